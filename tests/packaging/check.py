"""Build sdist and wheel, look into them, and run the demo from each where the sources are not.

Usage: ``python check.py SCRATCH_DIRECTORY``, from the root of the project. Ends with status 1 at the first thing wrong.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

LIMIT = 600.0


def run(command: Sequence[str | Path], cwd: Path, env: Mapping[str, str] | None = None) -> str:
    """Run a command and return what it printed; end the program if it fails."""
    result = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    if result.returncode:
        print(result.stdout)
        raise SystemExit(f"{' '.join(str(part) for part in command)} failed with {result.returncode}")
    return result.stdout


def check(condition: bool, message: str) -> None:
    if not condition:
        raise SystemExit(f"wrong: {message}")
    print(f"ok: {message}")


def only(directory: Path, pattern: str) -> Path:
    (path,) = directory.glob(pattern)
    return path


def install_and_demo(archive: Path, scratch: Path, name: str, env: Mapping[str, str] | None = None) -> str:
    """Install into a new virtual environment and return what the demo prints in an empty directory."""
    home = scratch / name
    venv.create(home, with_pip=True)
    bin_directory = home / ("Scripts" if os.name == "nt" else "bin")
    run([bin_directory / "python", "-m", "pip", "install", "--quiet", archive], scratch, env)
    empty = scratch / f"{name}-empty"
    empty.mkdir()
    output = run([bin_directory / "cwschannel", "demo"], empty)
    check("1000" in output, f"the demo runs from {name} and closes with 1000")
    return output


def main() -> None:
    root = Path.cwd()
    scratch = Path(sys.argv[1]).resolve()
    dist = scratch / "dist"
    run([sys.executable, "-m", "build", "--outdir", dist, root], scratch)
    sdist, wheel = only(dist, "*.tar.gz"), only(dist, "*.whl")

    with tarfile.open(sdist) as tar:
        names = tar.getnames()
    check(any(name.endswith("framing.pyx") for name in names), "the sdist has the Cython sources")
    check(any(name.endswith("masking.pxd") for name in names), "the sdist has the .pxd files")
    check(any(name.endswith("mask.h") for name in names), "the sdist has the C headers")
    check(not any(name.endswith((".c", ".so", ".pyd")) for name in names), "the sdist has nothing that was built")

    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    sources = [name for name in names if name.endswith((".pyx", ".pxd", ".c", ".h")) or name.startswith("tests")]
    check(not sources, f"the wheel has no sources and tests {sources or ''}")
    check("cwschannel/py.typed" in names, "the wheel has py.typed")
    binaries = [name for name in names if name.endswith((".so", ".pyd"))]
    pure_tag = wheel.name.endswith("-py3-none-any.whl")
    check(len(binaries) == (0 if pure_tag else 4), f"the wheel {wheel.name} has {len(binaries)} extension modules")

    output = install_and_demo(wheel, scratch, "wheel")
    check(f"{'pure' if pure_tag else 'compiled'} kernels" in output, "the wheel's demo says which kernels ran")
    output = install_and_demo(sdist, scratch, "sdist")
    check(f"{'pure' if pure_tag else 'compiled'} kernels" in output, "the sdist's demo says which kernels ran")
    output = install_and_demo(sdist, scratch, "sdist-pure", {"CC": "/bin/false"})
    check("pure kernels" in output, "the sdist installs without a compiler")


if __name__ == "__main__":
    main()

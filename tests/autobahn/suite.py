"""The Autobahn suite's own Python 2.7 virtualenv: built once, then reused."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

REQUIREMENTS = Path(__file__).with_name("requirements-py27.txt")
BUILD_TOOLS = ("setuptools==", "wheel==")  # their lines of the requirements are installed first
VIRTUALENV = "virtualenv==20.15.1"  # 20.22 dropped Python 2.7
BUILD_LIMIT = 1200.0


class SuiteError(Exception):
    """The suite could not be built; the text says why."""


def clean_environment() -> dict[str, str]:
    """The environment without the variables that would reach into another Python."""
    dropped = {"PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__"}
    return {name: value for name, value in os.environ.items() if name not in dropped}


def _output(*command: str | Path) -> str | None:
    """What a command prints, or None if it cannot be run or fails."""
    env = clean_environment()
    try:
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def find_python27() -> str:
    """The path of a Python 2.7 that runs: python2.7 on PATH, else one of pyenv's."""
    candidates: list[str | Path] = []
    if found := shutil.which("python2.7"):
        candidates.append(found)
    if root := os.environ.get("PYENV_ROOT") or _output("pyenv", "root"):
        candidates += sorted(Path(root).glob("versions/2.7*/bin/python"))
    code = "import sys; print('%d.%d %s' % (sys.version_info[:2] + (sys.executable,)))"
    for candidate in candidates:
        answer = _output(candidate, "-c", code)
        if answer and answer.startswith("2.7 "):
            return answer.removeprefix("2.7 ")
    raise SuiteError(
        "Python 2.7 is needed to run the Autobahn suite, and there is none: "
        "neither a working python2.7 on PATH nor a 2.7 among pyenv's versions (pyenv install 2.7.18)."
    )


def _step(log: Path, *command: str | Path) -> None:
    """Run one command of the build, its output going to the log."""
    with log.open("a") as output:
        print("$", *command, file=output, flush=True)
        try:
            subprocess.run(
                command,
                env=clean_environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=BUILD_LIMIT,
                check=True,
            )
        except (OSError, subprocess.SubprocessError) as error:
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
            raise SuiteError(f"{tail}\nThe Autobahn suite could not be installed: {error} ({log})") from error


def prepare(directory: Path) -> Path:
    """Build the virtualenv unless a complete one is there; returns its python."""
    requirements = REQUIREMENTS.read_bytes()
    wanted = hashlib.sha256(requirements).hexdigest()
    python, marker = directory / "bin" / "python", directory / "complete"
    complete = marker.is_file() and marker.read_text().strip() == wanted
    if complete and _output(python, "-c", "import autobahntestsuite") is not None:
        return python
    if directory.exists() and not (directory / "pyvenv.cfg").is_file():
        raise SuiteError(f"{directory} exists and is not a virtualenv: it is left alone.")
    python27 = find_python27()
    if importlib.util.find_spec("virtualenv") is None:
        raise SuiteError(f"{VIRTUALENV} is needed to build the Autobahn suite: run tox -e autobahn.")
    print(f"building the Autobahn suite in {directory} with {python27} (about a minute)", flush=True)
    shutil.rmtree(directory, ignore_errors=True)
    directory.parent.mkdir(parents=True, exist_ok=True)
    log = directory.with_name(directory.name + ".log")
    log.write_text("")
    tools = [line for line in requirements.decode().splitlines() if line.startswith(BUILD_TOOLS)]
    _step(log, sys.executable, "-m", "virtualenv", "--no-periodic-update", "-p", python27, directory)
    _step(log, python, "-m", "pip", "install", *tools)
    _step(log, python, "-m", "pip", "install", "--no-build-isolation", "-r", REQUIREMENTS)
    marker.write_text(wanted + "\n")
    return python

"""The extension modules, and whether they are built. Everything else is in pyproject.toml.

Two environment variables decide:

* ``CWSCHANNEL_PURE=1`` builds the pure package, without extension modules.
* ``CWSCHANNEL_REQUIRE_COMPILED=1`` lets the build fail where they cannot be built.

Without either, a machine that has no working compiler gets the pure package, and one line that says so.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from setuptools import Distribution, Extension, setup
from setuptools.command.build_ext import build_ext

KERNELS = Path("cwschannel", "kernels", "compiled")
MODULES = {
    "masking": ["cpu.h", "mask.h", "pool.h"],
    "framing": ["cpu.h", "encode.h", "frame.h", "mask.h", "measure.h", "places.h", "utf8.h"],
    "utf8": ["cpu.h", "decode.h", "mask.h", "measure.h", "places.h", "utf8.h"],
    "signing": ["cpu.h", "sha1.h"],
}


def is_set(name: str) -> bool:
    return os.environ.get(name, "0") not in ("", "0")


def extensions() -> list[Extension]:
    return [
        Extension(
            f"cwschannel.kernels.compiled.{name}",
            sources=[(KERNELS / f"{name}.pyx").as_posix()],
            depends=[(KERNELS / header).as_posix() for header in headers],
        )
        for name, headers in MODULES.items()
    ]


def why_not_compile() -> str | None:
    """Compile and link our C headers into an empty module. Returns what went wrong, or None.

    Asked before ``setup`` runs, because all or nothing is built, and a pure package needs a wheel without a platform tag.
    """
    headers = sorted({header for names in MODULES.values() for header in names})
    source = "".join(f'#include "{(KERNELS / header).resolve().as_posix()}"\n' for header in headers)
    source = f"#include <Python.h>\n{source}PyMODINIT_FUNC PyInit_probe(void) {{ return NULL; }}\n"
    with tempfile.TemporaryDirectory() as directory:
        probe = Path(directory, "probe.c")
        probe.write_text(source)
        try:
            command = build_ext(Distribution({"name": "probe", "ext_modules": [Extension("probe", [str(probe)])]}))
            command.build_lib = command.build_temp = directory
            command.ensure_finalized()
            command.run()
        except Exception as error:  # whatever a missing or broken compiler leads to
            return " ".join(str(error).split())[:80]
    return None


def chosen_extensions() -> list[Extension]:
    if is_set("CWSCHANNEL_PURE"):
        if is_set("CWSCHANNEL_REQUIRE_COMPILED"):
            raise SystemExit("cwschannel: CWSCHANNEL_PURE and CWSCHANNEL_REQUIRE_COMPILED contradict each other")
        return []
    if is_set("CWSCHANNEL_REQUIRE_COMPILED"):
        return extensions()
    problem = why_not_compile()
    if problem is not None:
        sys.stderr.write(
            f"cwschannel: no working C compiler, so this is the pure-Python package, which is slower ({problem})\n"
        )
        return []
    return extensions()


setup(ext_modules=chosen_extensions())

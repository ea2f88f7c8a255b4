"""The two implementations of the kernels, each imported as itself, whichever of them the package has picked."""

from __future__ import annotations

import functools
import importlib
import os
import shlex
import subprocess
import sysconfig
from typing import Any, NamedTuple

NAMES = ("compiled", "pure")
MODULES = ("framing", "masking", "signing", "utf8")


class Kernels(NamedTuple):
    """One implementation: its name and its modules, in the order of ``MODULES``."""

    name: str
    framing: Any
    masking: Any
    signing: Any
    utf8: Any


def load(name: str) -> Kernels:
    """Import one implementation; a module that is not there is an ImportError."""
    return Kernels(name, *(importlib.import_module(f"cwschannel.kernels.{name}.{module}") for module in MODULES))


def left_out(name: str) -> str | None:
    """Why this implementation is not tested: it was not built, because that was asked for or there is no compiler."""
    if name != "compiled":
        return None
    try:
        load(name)
    except ImportError as error:
        if os.environ.get("CWSCHANNEL_PURE", "0") not in ("", "0"):
            return f"the compiled kernels are left out: CWSCHANNEL_PURE is set, and {error}"
        if not has_compiler():
            return f"the compiled kernels are left out: there is no working C compiler, and {error}"
    return None


@functools.cache
def has_compiler() -> bool:
    """Whether the C compiler that would build the kernels compiles anything."""
    compiler = os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc"
    command = [*shlex.split(compiler), "-x", "c", "-c", "-", "-o", os.devnull]
    try:
        result = subprocess.run(command, input=b"int x;", capture_output=True, timeout=60, check=False)
    except OSError:
        return False
    return result.returncode == 0

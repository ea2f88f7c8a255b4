"""Says which build of the package is tested, and ends the run if it is not the one that was meant."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import cwschannel
from cwschannel import kernels

EXPECT = "CWSCHANNEL_EXPECT"


def loaded() -> str:
    return "compiled" if kernels.COMPILED else "pure"


def pytest_report_header() -> str:
    return f"cwschannel: {Path(cwschannel.__file__).parent}, {loaded()} kernels"


def pytest_sessionstart() -> None:
    expected = os.environ.get(EXPECT)
    if not expected:
        return
    if expected not in ("compiled", "pure"):
        raise pytest.UsageError(f"{EXPECT} is 'compiled' or 'pure', not {expected!r}")
    if expected != loaded():
        raise pytest.UsageError(f"{EXPECT} is {expected!r}, but {kernels.__file__} loads the {loaded()} kernels")

"""The kernels under test, and how many examples hypothesis generates for them."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

from .twins import NAMES, Kernels, left_out, load

settings.register_profile(
    "kernels",
    max_examples=100,
    deadline=None,
    derandomize=bool(os.environ.get("CI")),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("kernels")


@pytest.fixture(scope="session", params=NAMES)
def kernels(request: pytest.FixtureRequest) -> Kernels:
    """Each implementation in turn. One that was not built is an error, unless a pure build was asked for."""
    reason = left_out(request.param)
    if reason is not None:
        pytest.skip(reason)
    return load(request.param)


@pytest.fixture(scope="session")
def compiled() -> Kernels:
    """The compiled kernels, for what only they have."""
    reason = left_out("compiled")
    if reason is not None:
        pytest.skip(reason)
    return load("compiled")


@pytest.fixture(scope="session")
def pure() -> Kernels:
    """The pure kernels, to compare the compiled ones with."""
    return load("pure")

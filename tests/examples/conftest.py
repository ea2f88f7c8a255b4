"""What examples and documents talk to."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .running import serving


@pytest.fixture
def server() -> Iterator[str]:
    """The URI of a running ``examples/echo_server.py``."""
    with serving("echo_server.py", "0") as (uri, _):
        yield uri

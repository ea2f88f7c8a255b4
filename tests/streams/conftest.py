"""Runs each test of this folder on every event loop that is installed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

try:
    import uvloop
except ImportError:
    uvloop = None


@pytest.hookimpl(optionalhook=True)
def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Of pytest-asyncio 1.4 and newer; an older one runs the tests on asyncio only."""
    factories = {"asyncio": asyncio.new_event_loop}
    if uvloop is not None:
        factories["uvloop"] = uvloop.new_event_loop
    return factories


class Problems(list[dict[str, Any]]):
    """What the loop's exception handler was called with. A test takes what it expects; anything left over fails it."""

    def watch(self) -> Problems:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: self.append(context))
        return self


@pytest.fixture
def problems() -> Iterator[Problems]:
    found = Problems()
    yield found
    assert found == []


async def settle() -> None:
    """Let everything run that can run without something from outside."""
    for _ in range(8):
        await asyncio.sleep(0)


async def wait(awaitable: Awaitable[None]) -> None:
    """Make a coroutine, and so a task, of what can only be awaited."""
    await awaitable

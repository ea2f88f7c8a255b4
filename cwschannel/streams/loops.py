"""Which event loop the code that runs now belongs to: asyncio's, or one that stands in for it under something else."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextvars import Context, ContextVar
from typing import Any, Protocol

from .waiter import Waiter

__all__ = ["AnyLoop", "Future", "Handle", "Wakeable", "current_loop", "foreign_loop", "waiter_of"]


class Handle(Protocol):
    """A call that was asked for, and can be called off."""

    def cancel(self) -> Any: ...


class Future(Protocol):
    """What one task waits for."""

    def done(self) -> bool: ...

    def set_result(self, result: None, /) -> None: ...

    def __await__(self) -> Generator[Any, None, None]: ...


class Wakeable(Protocol):
    """What ``Waiter`` is to those who use it."""

    waiting: bool

    def wait(self) -> Awaitable[None]: ...

    def wake(self, at_once: bool = False) -> None: ...


class AnyLoop(Protocol):
    """What streams and channels ask of an event loop. Those of asyncio have it."""

    def call_soon(self, callback: Callable[..., object], *args: Any, context: Context | None = None) -> Handle: ...

    def call_later(
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Handle: ...

    def call_exception_handler(self, context: dict[str, Any]) -> None: ...

    def create_task(self, coro: Coroutine[Any, Any, Any]) -> Handle: ...

    def create_future(self) -> Any: ...


foreign_loop: ContextVar[Any] = ContextVar("cwschannel.foreign_loop", default=None)
"""The stand-in for an asyncio loop, for tasks that run under something else; set by whoever brings it."""


def current_loop() -> AnyLoop:
    """Return the loop that runs now.

    Raises:
        RuntimeError: there is none.
    """
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        pass
    loop = foreign_loop.get()
    if loop is None:
        raise RuntimeError(
            "there is no running event loop: streams and channels are made and used within coroutines of asyncio, or within "
            "'async with byte_channels.from_anyio(...)' of others"
        )
    return loop  # type: ignore[no-any-return]


def waiter_of(loop: AnyLoop) -> Callable[[], Wakeable]:
    """Return what makes a ``Waiter``, or what stands in for it."""
    if isinstance(loop, asyncio.AbstractEventLoop):
        return functools.partial(Waiter, loop)
    return loop.make_waiter  # type: ignore[attr-defined,no-any-return]

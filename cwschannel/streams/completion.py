"""Something that will be over once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator

__all__ = ["Completion"]


class Completion:
    """An awaitable that ends once, well or with an error, for any number of tasks that wait, or for none.

    Unlike a future it belongs to no loop until somebody waits, a waiter who is cancelled cancels nobody else, and an error
    that nobody asks for is not logged: ``claimed`` tells its owner whether somebody took it.
    """

    __slots__ = ("_callback", "_done", "_error", "_waiters", "claimed")

    def __init__(self) -> None:
        self._done = False
        self._error: BaseException | None = None
        self._waiters: list[asyncio.Future[None]] | None = None
        self._callback: Callable[[], object] | None = None
        self.claimed = False

    def done(self) -> bool:
        """Return whether it is over."""
        return self._done

    def error(self) -> BaseException | None:
        """Return what it ended with, without claiming it."""
        return self._error

    def finish(self, error: BaseException | None = None) -> None:
        """End it, unless it has ended."""
        if self._done:
            return
        self._done = True
        self._error = error
        for waiter in self._waiters or ():
            if not waiter.done():
                waiter.set_result(None)
        self._waiters = None
        if self._callback is not None:
            self._callback()

    def when_done(self, callback: Callable[[], object]) -> None:
        """Have one callback called at the end, before those who wait go on."""
        self._callback = callback
        if self._done:
            callback()

    def is_awaited(self) -> bool:
        """Return whether somebody waits for it now."""
        return any(not waiter.done() for waiter in self._waiters or ())

    def __await__(self) -> Generator[object, None, None]:
        if not self._done:
            waiter = asyncio.get_running_loop().create_future()
            if self._waiters is None:
                self._waiters = []
            self._waiters.append(waiter)
            yield from waiter
        if self._error is not None:
            self.claimed = True
            raise self._error

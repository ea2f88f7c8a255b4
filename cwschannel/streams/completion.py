"""Something that will be over once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any

from .loops import Future, current_loop

__all__ = ["Completion", "Repeatable"]


class Completion:
    """An awaitable that ends once, well or with an error, for any number of tasks that wait, or for none.

    Unlike a future it belongs to no loop until somebody waits, a waiter who is cancelled cancels nobody else, and an error
    that nobody asks for is not logged: ``claimed`` tells its owner whether somebody waited or asked.
    """

    __slots__ = ("_callback", "_done", "_error", "_waiters", "claimed")

    def __init__(self) -> None:
        self._done = False
        self._error: BaseException | None = None
        self._waiters: dict[Future, bool] = {}  # and whether they claim the error
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
        waiters, self._waiters = self._waiters, {}
        for waiter, claims in waiters.items():
            if not waiter.done():
                waiter.set_result(None)
                self.claimed = self.claimed or claims
        if self._callback is not None:
            self._callback()

    def when_done(self, callback: Callable[[], object]) -> None:
        """Have one callback called at the end, before those who wait go on."""
        self._callback = callback
        if self._done:
            callback()

    def ended(self) -> Awaitable[None]:
        """Return an awaitable for the end, whatever it is, that claims no error."""
        return _Ended(self)

    def __await__(self) -> Generator[object, None, None]:
        yield from self._wait(True)
        self.claimed = True
        if self._error is not None:
            raise self._error

    def _wait(self, claims: bool) -> Generator[object, None, None]:
        if not self._done:
            waiter = current_loop().create_future()
            self._waiters[waiter] = claims
            try:
                yield from waiter.__await__()
            finally:
                self._waiters.pop(waiter, None)


class _Ended:
    __slots__ = ("_completion",)

    def __init__(self, completion: Completion) -> None:
        self._completion = completion

    def __await__(self) -> Generator[object, None, None]:
        return self._completion._wait(False)


class Repeatable:
    """An awaitable that runs a coroutine function each time it is awaited, and nothing if it never is."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._function = function

    def __await__(self) -> Generator[Any, None, None]:
        return self._function().__await__()

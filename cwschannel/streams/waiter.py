"""An awaitable that resumes its task at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from contextvars import Context
from typing import Any

__all__ = ["Waiter"]


class Waiter:
    """Lets one task wait for one thing, and resumes it in the very call of ``wake``.

    A future resumes its task by way of the loop's queue, a whole pass later: measured on asyncio, that costs 2.2 to 4 us a
    message, on uvloop 0.5 us. This speaks the part of a future's protocol that tasks use instead. Resuming at once is only
    possible from a callback of the loop: where a task is running, ``wake`` goes by way of the queue like everybody else.
    """

    __slots__ = ("_asked", "_asyncio_future_blocking", "_callback", "_cancelled", "_context", "_done", "_loop", "_message")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._asyncio_future_blocking = False
        self._callback: Callable[[Any], object] | None = None
        self._context: Context | None = None
        self._asked = False
        self._done = False
        self._cancelled = False
        self._message: Any = None

    def reuse(self) -> bool:
        """Make it as new, if it has ended well and its task has gone on. A new one adds 7 % to what ``recv`` costs here."""
        if self._cancelled or not self._done or not self._asked:
            return False
        self._asked = self._done = False
        return True

    def wake(self, *, at_once: bool = False) -> None:
        """Resume the task; ``at_once`` if the caller is a callback of the loop and can bear other code to run now."""
        if self._done:
            return
        self._done = True
        callback = self._callback
        if callback is None:
            return
        self._callback = None  # or the task, its error, the error's traceback and this would keep each other alive
        context = self._context
        if at_once and context is not None and asyncio.current_task(self._loop) is None:
            try:
                context.run(callback, self)
            except RuntimeError:
                if self._asked:
                    raise
            else:
                return
            # The caller runs in the task's own context, which cannot be entered twice.
        self._loop.call_soon(callback, self, context=context)

    def __await__(self) -> Generator[Waiter, None, None]:
        if not self._done:
            self._asyncio_future_blocking = True
            yield self  # the task raises here what result() raises
        else:
            self.result()

    # What asyncio.Task asks of the thing it waits for.

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return self._loop

    def add_done_callback(self, callback: Callable[[Any], object], *, context: Context | None = None) -> None:
        if self._done:
            self._loop.call_soon(callback, self, context=context)
        else:
            self._callback, self._context = callback, context

    def cancel(self, msg: Any = None) -> bool:
        if self._done:
            return False
        self._cancelled = True
        self._message = msg
        self.wake()
        return True

    def done(self) -> bool:
        return self._done

    def cancelled(self) -> bool:
        return self._cancelled

    def result(self) -> None:
        self._asked = True
        if self._cancelled:
            raise asyncio.CancelledError(*([] if self._message is None else [self._message]))

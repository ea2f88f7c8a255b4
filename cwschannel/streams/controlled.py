"""A stream that somebody else fills."""

from __future__ import annotations

import inspect
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from ..exceptions import ChannelStateError
from .loops import AnyLoop, Wakeable, waiter_of
from .stream import Stream, StreamSubscription

__all__ = ["ControlledStream", "Failure"]

logger = logging.getLogger("cwschannel")

T = TypeVar("T")


class Failure:
    """An error that stands in a queue among the items."""

    __slots__ = ("error",)

    def __init__(self, error: Exception) -> None:
        self.error = error


def _ends_well() -> Exception | None:
    return None


def _do_nothing() -> None:
    pass


def _is_coroutine_function(callback: Callable[..., object]) -> bool:
    if inspect.iscoroutinefunction(callback):
        return True
    # Objects with an `async def __call__` are meant. inspect takes 0.6 us for each of these questions.
    return not inspect.isroutine(callback) and inspect.iscoroutinefunction(getattr(callback, "__call__", None))  # noqa: B004


class ControlledStream(Stream[T]):
    """Hands on what it is given: to the callbacks of ``listen``, or to whoever awaits.

    Whoever fills it calls ``deliver`` and, once, ``finish``, and looks at ``queue`` to know what is still unread.

    Args:
        loop: in whose callbacks ``deliver`` runs.
        on_demand: called with ``False`` when a listener pauses, and with ``True`` when it resumed or nothing more is kept;
            while ``held_back`` is set, also with ``True`` when the queue has been read empty.
        why_ended: called once the stream has ended and is empty; returns the error for the reader, or ``None``.
        on_listen: called when the first reader comes, before it is given anything.
        on_cancel: called when the listener has cancelled.
    """

    __slots__ = (
        "_discarding",
        "_ended",
        "_finished",
        "_has_reader",
        "_loop",
        "_new_waiter",
        "_on_cancel",
        "_on_demand",
        "_on_listen",
        "_subscription",
        "_waiter",
        "_why_ended",
        "held_back",
        "listener",
        "queue",
    )

    def __init__(
        self,
        loop: AnyLoop,
        on_demand: Callable[[bool], None],
        why_ended: Callable[[], Exception | None] = _ends_well,
        on_listen: Callable[[], object] = _do_nothing,
        on_cancel: Callable[[], object] = _do_nothing,
    ) -> None:
        self._loop = loop
        self._new_waiter = waiter_of(loop)
        self._on_demand = on_demand
        self._why_ended = why_ended
        self._on_listen = on_listen
        self._on_cancel = on_cancel
        self._waiter: Wakeable | None = None  # since a task waited for the first time
        self._subscription: _Subscription[T] | None = None
        self._has_reader = False
        self._finished = False
        self._ended = False  # and the reader knows why
        self._discarding = False
        self.queue: deque[T | Failure] = deque()
        self.held_back = False
        # Takes items in place of `deliver` while somebody listens: a call less for each.
        self.listener: Callable[[Sequence[T]], None] | None = None

    # For whoever fills it.

    def deliver(self, items: Sequence[T], at_once: bool = False) -> None:
        """Hand on items; ``at_once`` if a waiting task may be resumed within this call."""
        if self._discarding or self._finished:
            return
        if self.listener is not None:
            self.listener(items)
            return
        self.queue.extend(items)
        waiter = self._waiter
        if waiter is not None and self.queue:
            waiter.wake(at_once)

    def deliver_error(self, error: Exception, *, at_once: bool = False) -> None:
        """Hand on an error, after the items before it."""
        if self._discarding or self._finished:
            return
        self.queue.append(Failure(error))
        if self._subscription is not None:
            self._subscription.pump()
        elif self._waiter is not None:
            self._waiter.wake(at_once)

    def finish(self, *, at_once: bool = False) -> None:
        """No more items will come. What is queued can still be read."""
        if self._finished:
            return
        self._finished = True
        if self._subscription is not None:
            self._subscription.finish()
        elif self._waiter is not None:
            self._waiter.wake(at_once)

    def discard(self) -> None:
        """End the stream now, without what is queued and what may still come."""
        self._discarding = True
        self.listener = None
        self.queue.clear()
        if self._subscription is not None:
            self._subscription.halt()
        if not self._finished:
            # Whoever calls this is in the middle of something: a done callback must not run within it.
            self._finished = True
            if self._subscription is not None:
                self._loop.call_soon(self._subscription.finish)
            elif self._waiter is not None:
                self._waiter.wake()
        self._on_demand(True)

    @property
    def finished(self) -> bool:
        """Whether no more items will come."""
        return self._finished

    @property
    def has_reader(self) -> bool:
        """Whether somebody has begun to read, and has not cancelled."""
        return self._has_reader and not self._discarding

    # For whoever reads it.

    def listen(
        self,
        on_data: Callable[[T], object] | None = None,
        *,
        on_error: Callable[[Exception], object] | None = None,
        on_done: Callable[[], object] | None = None,
        cancel_on_error: bool = False,
    ) -> StreamSubscription:
        if self._subscription is not None:
            raise ChannelStateError("the stream is being listened to already, and it has one listener")
        if self._waiter is not None and self._waiter.waiting:
            raise ChannelStateError("a task is reading the stream already, and it has one reader")
        for callback in (on_data, on_error, on_done):
            if callback is not None and _is_coroutine_function(callback):
                name = getattr(callback, "__qualname__", callback)
                raise TypeError(
                    f"{name} is a coroutine function, and listen() calls plain functions; "
                    f"use 'async for' to await something for each message"
                )
        self._begin_reading()
        self._subscription = _Subscription(self, on_data, on_error, on_done, cancel_on_error)
        if not self._discarding:
            self.listener = self._subscription.deliver
        if self.queue or self._finished:
            self._loop.call_soon(self._subscription.pump)
        return self._subscription

    def __aiter__(self) -> AsyncIterator[T]:
        self._check_no_listener()
        self._begin_reading()
        return self

    async def __anext__(self) -> T:
        while not self.queue:
            more = self.wait_for_more()
            if more is None:
                error = None if self._ended else self._why_ended()
                self._ended = True
                raise StopAsyncIteration if error is None else error
            await more
        return self.take()

    def wait_for_more(self) -> Awaitable[None] | None:
        """Return what to await until there may be something in the queue; ``None`` if there will be nothing any more."""
        if self._finished:
            return None
        if self._subscription is not None:
            self._check_no_listener()
        waiter = self._waiter
        if waiter is None:
            waiter = self._waiter = self._new_waiter()
        elif waiter.waiting:
            raise ChannelStateError("another task is reading the stream already, and it has one reader")
        return waiter.wait()

    def take(self) -> T:
        """Return the first item of the queue, which is not empty, or raise the error that stands there."""
        if self._subscription is not None:
            self._check_no_listener()
        item = self.queue.popleft()
        if self.held_back and not self.queue:
            self._on_demand(True)
        if type(item) is Failure:
            raise item.error
        return item  # type: ignore[return-value]

    def _begin_reading(self) -> None:
        if not self._has_reader:
            self._has_reader = True
            self._on_listen()

    def _check_no_listener(self) -> None:
        if self._subscription is not None:
            raise ChannelStateError("the stream is being listened to, so it cannot be read by 'async for' or recv()")


class _Subscription(StreamSubscription, Generic[T]):
    """The callbacks of ``listen``."""

    __slots__ = (
        "_cancel_on_error",
        "_cancelled",
        "_delivering",
        "_halted",
        "_on_data",
        "_on_done",
        "_on_error",
        "_pauses",
        "_stream",
    )

    def __init__(
        self,
        stream: ControlledStream[T],
        on_data: Callable[[T], object] | None,
        on_error: Callable[[Exception], object] | None,
        on_done: Callable[[], object] | None,
        cancel_on_error: bool,
    ) -> None:
        self._stream = stream
        self._on_data = on_data
        self._on_error = on_error
        self._on_done = on_done
        self._cancel_on_error = cancel_on_error
        self._pauses = 0
        self._cancelled = False
        self._delivering = False
        self._halted = False  # by a pause, or for good: what has to be asked between one item and the next

    def pause(self) -> None:
        self._pauses += 1
        self._halted = True
        if self._pauses == 1 and not self._cancelled:
            self._stream._on_demand(False)

    def resume(self) -> None:
        if self._pauses == 0:
            return
        self._pauses -= 1
        if self._pauses == 0 and not self._cancelled:
            self._halted = self._stream._discarding
            self._stream._loop.call_soon(self.pump)

    def cancel(self) -> None:
        if self._cancelled:
            return
        self._cancelled = self._halted = True
        self._stream._discarding = True
        self._stream.listener = None
        self._stream.queue.clear()
        self._stream._on_demand(True)
        self._stream._on_cancel()

    def halt(self) -> None:
        """Call back for no more items, even for those that are being delivered."""
        self._halted = True

    def deliver(self, items: Sequence[T]) -> None:
        """Call back for each item, until one of the callbacks pauses or cancels."""
        queue = self._stream.queue
        if self._pauses or self._delivering or queue:
            queue.extend(items)
            return
        on_data = self._on_data
        if on_data is None:
            return
        # Items that come while one is handed on, because its callback brought them about, wait their turn in the queue.
        self._delivering = True
        remaining = iter(items)
        try:
            for item in remaining:
                try:
                    on_data(item)
                except Exception as error:
                    self._report(error)
                if self._halted:
                    break
        finally:
            self._delivering = False
        if self._pauses:
            queue.extendleft(reversed(list(remaining)))  # type: ignore[unreachable]
        if queue or self._stream._finished:
            self.pump()

    def pump(self) -> None:
        """Call back for what is queued; then ask for more, or say that it was all."""
        stream = self._stream
        queue = stream.queue
        if self._delivering:
            return
        self._delivering = True
        try:
            while queue and not self._pauses and not self._cancelled:
                item = queue.popleft()
                if type(item) is Failure:
                    self._fail(item.error)
                elif self._on_data is not None:
                    self._call(self._on_data, item)
        finally:
            self._delivering = False
        if self._pauses or self._cancelled:
            return
        if stream._finished:
            self.finish()
        else:
            stream._on_demand(True)

    def finish(self) -> None:
        """Call back for the end, once everything before it was."""
        if self._cancelled or self._pauses or self._delivering or self._stream.queue:
            return
        error = None if self._stream._ended else self._stream._why_ended()
        self._stream._ended = True
        if error is not None:
            self._fail(error)
            if self._cancelled or self._pauses:  # by cancel_on_error, or by on_error
                return  # type: ignore[unreachable]
        self._cancelled = True
        if self._on_done is not None:
            self._call(self._on_done)

    def _fail(self, error: Exception) -> None:
        if self._on_error is None:
            logger.error("a stream has an error, and listen() was given no on_error: %s", error)
        else:
            self._call(self._on_error, error)
        if self._cancel_on_error:
            self.cancel()

    def _call(self, callback: Callable[..., object], *args: object) -> None:
        try:
            callback(*args)
        except Exception as error:
            self._report(error)

    def _report(self, error: Exception) -> None:
        self._stream._loop.call_exception_handler(
            {"message": "a callback given to listen() raised an error", "exception": error}
        )

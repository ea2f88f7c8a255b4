"""A stream that somebody else fills: read by ``async for``, or by the callbacks of ``listen``."""

from __future__ import annotations

import asyncio
import functools
import gc
from typing import TYPE_CHECKING, Any

import pytest

from cwschannel.exceptions import ChannelStateError
from cwschannel.streams.controlled import ControlledStream

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import Problems


class Source:
    """Fills a stream, and keeps what it is asked for."""

    def __init__(self, error: Exception | None = None) -> None:
        self.demand: list[bool] = []
        self.error = error
        self.stream: ControlledStream[int] = ControlledStream(
            asyncio.get_running_loop(), self.demand.append, lambda: self.error
        )

    async def deliver(self, *items: int) -> None:
        """From a callback of the loop, as a transport does it."""
        await self._in_callback(lambda: self.stream.deliver(items, at_once=True))

    async def finish(self) -> None:
        await self._in_callback(lambda: self.stream.finish(at_once=True))

    async def _in_callback(self, step: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_soon(step)
        await settle()


async def settle() -> None:
    for _ in range(4):
        await asyncio.sleep(0)


class Listener:
    """The callbacks of ``listen``, and what they were called with."""

    def __init__(self, source: Source, **options: Any) -> None:
        self.log: list[Any] = []
        self.at: dict[int, Callable[[], None]] = {}  # what to do at an item
        self.subscription = source.stream.listen(
            self.on_data, on_error=self.log.append, on_done=lambda: self.log.append("done"), **options
        )

    def on_data(self, item: int) -> None:
        self.log.append(item)
        if item in self.at:
            self.at[item]()


class TestReading:
    async def test_items_come_in_order_and_end(self) -> None:
        source = Source()
        source.stream.deliver([1, 2])

        async def fill() -> None:
            await source.deliver(3)
            await source.deliver(4, 5)
            await source.finish()

        task = asyncio.create_task(fill())
        assert [item async for item in source.stream] == [1, 2, 3, 4, 5]
        assert [item async for item in source.stream] == []
        await task

    async def test_a_reader_that_waits_gets_the_item_within_the_callback(self) -> None:
        source = Source()
        log: list[object] = []

        async def read() -> None:
            async for item in source.stream:
                log.append(item)

        task = asyncio.create_task(read())
        await asyncio.sleep(0)

        def fill() -> None:
            source.stream.deliver([1, 2], at_once=True)
            log.append("delivered")
            source.stream.deliver([3])
            log.append("delivered")

        asyncio.get_running_loop().call_soon(fill)
        await settle()
        assert log == [1, 2, "delivered", "delivered", 3]
        await source.finish()
        await task

    async def test_breaking_out_leaves_the_rest_for_later(self) -> None:
        source = Source()
        source.stream.deliver([1, 2, 3])
        async for item in source.stream:
            assert item == 1
            break
        source.stream.finish()
        assert [item async for item in source.stream] == [2, 3]

    async def test_what_is_queued_can_be_read_after_the_end_and_then_the_error_is_raised(self) -> None:
        source = Source(OSError("lost"))
        source.stream.deliver([1, 2])
        source.stream.finish()
        source.stream.finish()
        got = []
        with pytest.raises(OSError, match="lost"):  # noqa: PT012
            async for item in source.stream:
                got.append(item)
        assert got == [1, 2]

    async def test_a_second_reader_is_refused_and_does_not_disturb_the_first(self) -> None:
        source = Source()
        first = asyncio.create_task(anext(source.stream))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        with pytest.raises(ChannelStateError, match="one reader"):
            await anext(source.stream)
        with pytest.raises(ChannelStateError, match="one reader"):
            source.stream.listen(print)
        await source.deliver(1)
        assert await first == 1
        source.stream.listen(print).cancel()

    async def test_a_reader_that_is_cancelled_loses_no_item(self) -> None:
        source = Source()
        loop = asyncio.get_running_loop()
        task = asyncio.create_task(anext(source.stream))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        loop.call_soon(source.stream.deliver, [1, 2])
        loop.call_soon(task.cancel)
        await asyncio.wait([task])
        assert task.cancelled()
        assert await anext(source.stream) == 1
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext_after(source, 2), 0.001)
            source.stream.deliver([2])
        assert list(source.stream.queue) == [2]

    async def test_a_reader_that_drains_what_was_held_back_asks_for_more(self) -> None:
        source = Source()
        source.stream.deliver([1, 2, 3])
        assert await anext(source.stream) == 1
        assert source.demand == []
        source.stream.held_back = True
        assert await anext(source.stream) == 2
        assert source.demand == []
        assert await anext(source.stream) == 3
        assert source.demand == [True]

    async def test_discarding_ends_the_stream_for_a_reader_that_waits(self) -> None:
        source = Source()
        task = asyncio.create_task(collect(source))
        await source.deliver(1)
        source.stream.discard()
        assert source.demand == [True]
        source.stream.deliver([2])
        assert await task == [1]
        assert [item async for item in source.stream] == []

    async def test_discarding_drops_what_is_queued(self) -> None:
        source = Source()
        source.stream.deliver([1, 2])
        source.stream.discard()
        source.stream.discard()
        assert [item async for item in source.stream] == []


async def anext_after(source: Source, item: int) -> int:
    """Read ``item``, if it is there, and then wait for another."""
    if source.stream.queue:
        assert await anext(source.stream) == item
    return await anext(source.stream)


async def collect(source: Source) -> list[int]:
    return [item async for item in source.stream]


class TestListening:
    async def test_items_and_the_end_are_called_back(self) -> None:
        source = Source()
        listener = Listener(source)
        await source.deliver(1, 2)
        await source.deliver(3)
        await source.finish()
        assert listener.log == [1, 2, 3, "done"]
        await source.finish()
        assert listener.log == [1, 2, 3, "done"]

    async def test_what_came_before_the_listener_is_called_back_first_but_not_within_listen(self) -> None:
        source = Source()
        source.stream.deliver([1, 2])
        listener = Listener(source)
        assert listener.log == []
        source.stream.deliver([3])
        assert listener.log == []
        await settle()
        assert listener.log == [1, 2, 3]
        assert source.demand == [True]

    async def test_a_stream_that_has_ended_can_be_listened_to(self) -> None:
        source = Source()
        source.stream.deliver([1])
        source.stream.finish()
        listener = Listener(source)
        await settle()
        assert listener.log == [1, "done"]

    async def test_there_is_one_listener_for_good(self) -> None:
        source = Source()
        listener = Listener(source)
        for _ in range(2):
            with pytest.raises(ChannelStateError, match="one listener"):
                source.stream.listen(print)
            with pytest.raises(ChannelStateError, match="listened to"):
                await collect(source)
            with pytest.raises(ChannelStateError, match="listened to"):
                await anext(source.stream)
            listener.subscription.cancel()

    async def test_all_callbacks_may_be_left_out(self, caplog: pytest.LogCaptureFixture) -> None:
        source = Source(OSError("lost"))
        source.stream.listen()
        await source.deliver(1, 2)
        await source.finish()
        assert not source.stream.queue
        assert [(record.name, record.levelname) for record in caplog.records] == [("cwschannel", "ERROR")]
        assert "lost" in caplog.text

    async def test_an_error_comes_before_the_end(self) -> None:
        source = Source(OSError("lost"))
        listener = Listener(source)
        await source.deliver(1)
        await source.finish()
        assert listener.log == [1, source.error, "done"]

    async def test_cancel_on_error_leaves_out_the_end(self) -> None:
        source = Source(OSError("lost"))
        listener = Listener(source, cancel_on_error=True)
        await source.finish()
        assert listener.log == [source.error]

    async def test_a_coroutine_function_is_refused(self) -> None:
        async def callback(*_: object) -> None: ...

        class Owner:
            async def method(self, *_: object) -> None: ...

        source = Source()
        for wrong in (callback, Owner().method):
            for options in ({"on_data": wrong}, {"on_error": wrong}, {"on_done": wrong}):
                with pytest.raises(TypeError, match="is a coroutine function"):
                    source.stream.listen(**options)  # type: ignore[arg-type]
        source.stream.listen(print)

    async def test_a_partial_of_a_coroutine_function_is_refused(self) -> None:
        async def callback(*_: object) -> None: ...

        with pytest.raises(TypeError, match="coroutine function"):
            Source().stream.listen(functools.partial(callback, 1))

    async def test_an_error_in_a_callback_is_reported_and_the_rest_is_delivered(self, problems: Problems) -> None:
        problems.watch()
        source = Source(OSError("lost"))
        log = []

        def fail(*arguments: object) -> None:
            log.append(arguments)
            raise ValueError(len(log))

        source.stream.deliver([1, 2])
        source.stream.listen(fail, on_error=fail, on_done=fail)
        await settle()
        await source.deliver(3, 4)
        await source.finish()
        assert log == [(1,), (2,), (3,), (4,), (source.error,), ()]
        found, problems[:] = list(problems), []
        assert [context["exception"].args for context in found] == [(1,), (2,), (3,), (4,), (5,), (6,)]
        assert all("listen()" in context["message"] for context in found)

    async def test_discarding_calls_back_for_the_end_later_and_once(self) -> None:
        source = Source()
        listener = Listener(source)
        await source.deliver(1)
        source.stream.discard()
        assert listener.log == [1]
        source.stream.deliver([2])
        source.stream.finish()
        await settle()
        assert listener.log == [1, "done"]

    @pytest.mark.parametrize("queued", [False, True])
    async def test_discarding_within_a_callback_drops_the_rest_of_the_batch(self, queued: bool) -> None:
        source = Source()
        if queued:
            source.stream.deliver([1, 2, 3])
        listener = Listener(source)
        seen_within = []
        listener.at[2] = lambda: (source.stream.discard(), seen_within.append("done" in listener.log))  # type: ignore[assignment,func-returns-value]
        if not queued:
            await source.deliver(1, 2, 3)
        await settle()
        assert listener.log == [1, 2, "done"]
        assert seen_within == [False]


class TestSubscription:
    async def test_a_pause_keeps_items_until_it_is_taken_back(self) -> None:
        source = Source()
        listener = Listener(source)
        await source.deliver(1)
        listener.subscription.pause()
        assert source.demand == [False]
        await source.deliver(2, 3)
        assert listener.log == [1]
        assert list(source.stream.queue) == [2, 3]
        listener.subscription.resume()
        assert listener.log == [1], "not within resume()"
        await settle()
        assert listener.log == [1, 2, 3]
        assert source.demand == [False, True]
        await source.deliver(4)
        assert listener.log == [1, 2, 3, 4]

    async def test_pauses_add_up(self) -> None:
        source = Source()
        listener = Listener(source)
        listener.subscription.resume()
        listener.subscription.pause()
        listener.subscription.pause()
        await source.deliver(1)
        listener.subscription.resume()
        await settle()
        assert listener.log == []
        assert source.demand == [False]
        listener.subscription.resume()
        listener.subscription.resume()
        await settle()
        assert listener.log == [1]
        assert source.demand == [False, True]

    async def test_the_end_waits_for_a_pause(self) -> None:
        source = Source(OSError("lost"))
        listener = Listener(source)
        listener.subscription.pause()
        await source.deliver(1)
        await source.finish()
        assert listener.log == []
        listener.subscription.resume()
        await settle()
        assert listener.log == [1, source.error, "done"]

    @pytest.mark.parametrize("queued", [False, True])
    async def test_a_pause_within_a_callback_keeps_the_rest_of_the_batch(self, queued: bool) -> None:
        source = Source()
        if queued:
            source.stream.deliver([1, 2, 3, 4])
        listener = Listener(source)
        listener.at[2] = listener.subscription.pause
        listener.at[3] = listener.subscription.pause
        if not queued:
            await source.deliver(1, 2, 3, 4)
        await settle()
        assert listener.log == [1, 2]
        await source.deliver(5)
        await source.finish()
        assert list(source.stream.queue) == [3, 4, 5]
        listener.subscription.resume()
        await settle()
        assert listener.log == [1, 2, 3]
        listener.subscription.resume()
        await settle()
        assert listener.log == [1, 2, 3, 4, 5, "done"]

    async def test_a_pause_that_is_taken_back_within_the_callback_changes_nothing(self) -> None:
        source = Source()
        listener = Listener(source)
        listener.at[1] = lambda: (listener.subscription.pause(), listener.subscription.resume())  # type: ignore[assignment,func-returns-value]
        await source.deliver(1, 2)
        await source.deliver(3)
        assert listener.log == [1, 2, 3]
        assert source.demand == [False, True]

    async def test_items_that_come_between_resume_and_the_callbacks_keep_their_order(self) -> None:
        source = Source()
        listener = Listener(source)
        listener.subscription.pause()
        source.stream.deliver([1])
        listener.subscription.resume()
        source.stream.deliver([2])
        source.stream.finish()
        await settle()
        assert listener.log == [1, 2, "done"]

    async def test_a_pause_between_resume_and_the_callbacks_counts(self) -> None:
        source = Source()
        listener = Listener(source)
        listener.subscription.pause()
        source.stream.deliver([1])
        listener.subscription.resume()
        listener.subscription.pause()
        await settle()
        assert listener.log == []

    @pytest.mark.parametrize("queued", [False, True])
    async def test_cancelling_within_a_callback_drops_the_rest_of_the_batch(self, queued: bool) -> None:
        source = Source()
        if queued:
            source.stream.deliver([1, 2, 3])
        listener = Listener(source)
        listener.at[2] = listener.subscription.cancel
        if not queued:
            await source.deliver(1, 2, 3)
        await settle()
        await source.deliver(4)
        await source.finish()
        assert listener.log == [1, 2]
        assert not source.stream.queue
        assert source.demand == [True]

    async def test_cancelling_a_paused_subscription_asks_for_more_and_keeps_nothing(self) -> None:
        source = Source()
        listener = Listener(source)
        listener.subscription.pause()
        await source.deliver(1)
        listener.subscription.cancel()
        assert source.demand == [False, True]
        listener.subscription.resume()
        listener.subscription.pause()
        await source.deliver(2)
        await source.finish()
        assert listener.log == []
        assert not source.stream.queue
        assert source.demand == [False, True]

    async def test_discarding_what_a_pause_keeps_leaves_the_end(self) -> None:
        source = Source()
        listener = Listener(source)
        listener.subscription.pause()
        await source.deliver(1)
        source.stream.discard()
        await settle()
        assert listener.log == []
        listener.subscription.resume()
        await settle()
        assert listener.log == ["done"]
        gc.collect()

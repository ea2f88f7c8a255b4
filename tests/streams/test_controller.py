"""A stream, and the sink that fills it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from cwschannel.exceptions import BackPressureError, ChannelStateError
from cwschannel.streams.controller import StreamController

from .conftest import settle, wait

if TYPE_CHECKING:
    from .conftest import Problems


class Told:
    """A controller, and what its callbacks were told."""

    def __init__(self, **options: Any) -> None:
        self.log: list[str] = []
        names = ("listen", "pause", "resume", "cancel")
        told = {f"on_{name}": lambda name=name: self.log.append(name) for name in names}
        self.controller = StreamController[Any](**{**told, **options})


class TestOrder:
    async def test_without_sync_nothing_is_called_within_add(self) -> None:
        controller = StreamController[int]()
        got: list[object] = []
        controller.stream.listen(got.append, on_done=lambda: got.append("done"))
        controller.add(1)
        controller.add(2)
        controller.close()
        assert got == []
        await settle()
        assert got == [1, 2, "done"]

    async def test_with_sync_the_listener_is_called_within_add_and_close(self) -> None:
        controller = StreamController[int](sync=True)
        got: list[object] = []
        controller.stream.listen(got.append, on_error=got.append, on_done=lambda: got.append("done"))
        controller.add(1)
        assert got == [1]
        error = KeyError()
        controller.add_error(error)
        assert got == [1, error]
        controller.close()
        assert got == [1, error, "done"]

    @pytest.mark.parametrize("sync", [False, True])
    async def test_what_is_added_before_there_is_a_reader_waits(self, sync: bool) -> None:
        controller = StreamController[int](sync=sync)
        controller.add(1)
        controller.add(2)
        controller.close()
        assert await controller.stream.to_list() == [1, 2]

    @pytest.mark.parametrize("sync", [False, True])
    async def test_adding_and_closing_within_a_callback_keeps_the_order(self, sync: bool) -> None:
        controller = StreamController[int](sync=sync)
        got: list[object] = []

        def on_data(item: int) -> None:
            got.append(item)
            if item < 3:
                controller.add(item + 10)
                controller.add(item + 1)
            elif item == 3:
                controller.add_error(KeyError(3))
                controller.close()

        controller.stream.listen(
            on_data, on_error=lambda error: got.append(error.args[0]), on_done=lambda: got.append("done")
        )
        controller.add(1)
        await settle()
        await settle()
        assert got == [1, 11, 2, 12, 3, 3, "done"]

    async def test_a_task_that_is_woken_within_a_delivery_may_add_and_close(self) -> None:
        controller = StreamController[int]()

        async def read() -> list[int]:
            got = [await controller.stream.first(), await controller.stream.first()]
            controller.add(3)
            controller.close()
            return got + await controller.stream.to_list()

        reading = asyncio.create_task(read())
        await settle()
        controller.add(1)
        controller.add(2)
        assert await reading == [1, 2, 3]

    async def test_cancelling_within_a_callback_drops_the_rest(self) -> None:
        controller = StreamController[int](sync=True)
        got: list[int] = []

        def on_data(item: int) -> None:
            controller.add(2)
            got.append(item)
            subscription.cancel()

        subscription = controller.stream.listen(on_data)
        controller.add(1)
        controller.add(3)
        await settle()
        assert got == [1]


class TestCallbacks:
    async def test_the_life_of_a_listener(self) -> None:
        told = Told()
        assert not told.controller.has_listener
        subscription = told.controller.stream.listen()
        assert told.log == ["listen"]
        assert told.controller.has_listener
        subscription.pause()
        subscription.pause()
        assert told.log == ["listen", "pause"]
        assert told.controller.is_paused
        subscription.resume()
        subscription.resume()
        await settle()
        assert told.log == ["listen", "pause", "resume"]
        assert not told.controller.is_paused
        subscription.cancel()
        assert told.log == ["listen", "pause", "resume", "cancel"]
        assert not told.controller.has_listener

    async def test_a_reader_is_told_of_once(self) -> None:
        told = Told()
        told.controller.add(1)
        told.controller.add(2)
        assert await told.controller.stream.first() == 1
        assert await told.controller.stream.first() == 2
        assert told.log == ["listen"]

    async def test_cancelling_while_paused_does_not_ask_for_more(self) -> None:
        told = Told()
        subscription = told.controller.stream.listen()
        subscription.pause()
        subscription.cancel()
        await settle()
        assert told.log == ["listen", "pause", "cancel"]

    async def test_a_source_that_begins_when_somebody_listens(self) -> None:
        for sync in (False, True):
            controller = StreamController[int](sync=sync, on_listen=lambda: (controller.add(1), controller.close()))  # noqa: B023
            got: list[object] = []
            controller.stream.listen(got.append, on_done=lambda: got.append("done"))  # noqa: B023
            await settle()
            assert got == [1, "done"]

    async def test_more_than_pause_at_unread_is_a_pause_until_all_was_read(self) -> None:
        told = Told(pause_at=2)
        for number in range(3):
            told.controller.add(number)
            await settle()
            assert told.controller.is_paused is (number == 2)
        assert await told.controller.stream.first() == 0
        assert await told.controller.stream.first() == 1
        assert told.controller.is_paused
        assert await told.controller.stream.first() == 2
        assert told.log == ["pause", "listen", "resume"]

    async def test_a_source_that_adds_when_it_is_asked_to(self) -> None:
        numbers = iter(range(30))

        def add_some() -> None:
            for number in numbers:
                controller.add(number)
                if controller.is_paused:
                    return
            controller.close()

        controller = StreamController[int](sync=True, on_listen=add_some, on_resume=add_some, pause_at=4)
        assert await controller.stream.to_list() == list(range(30))

    async def test_what_callbacks_raise_is_reported_and_loses_nothing(self, problems: Problems) -> None:
        problems.watch()

        def fail() -> None:
            raise LookupError

        for sync in (False, True):
            controller = StreamController[int](
                sync=sync, on_listen=fail, on_pause=fail, on_resume=fail, on_cancel=fail, pause_at=1
            )
            for number in range(3):
                controller.add(number)
            flushing = controller.flush()
            controller.close()
            await settle()
            assert await controller.stream.to_list() == [0, 1, 2]
            await flushing
            controller.stream.listen().cancel()
        found, problems[:] = list(problems), []
        assert len(found) == 8
        assert all(type(context["exception"]) is LookupError for context in found)


class TestBounds:
    async def test_more_than_max_waiting_raises(self) -> None:
        for sync in (False, True):
            controller = StreamController[int](sync=sync, pause_at=2, max_waiting=5)
            for number in range(5):
                controller.add(number)
            with pytest.raises(BackPressureError, match="max_waiting is 5"):
                controller.add(5)
            with pytest.raises(BackPressureError, match="wait_for_room"):
                controller.add_error(KeyError())
            await settle()
            assert await controller.stream.first() == 0
            controller.add(5)
            controller.close()
            assert await controller.stream.to_list() == [1, 2, 3, 4, 5]

    async def test_a_mistake_in_the_bounds_is_refused(self) -> None:
        for pause_at, max_waiting in ((-1, 5), (6, 5)):
            with pytest.raises(ValueError, match="pause_at is from 0 to max_waiting"):
                StreamController(pause_at=pause_at, max_waiting=max_waiting)

    @pytest.mark.parametrize("sync", [False, True])
    async def test_add_stream_waits_for_the_reader_and_never_adds_too_much(self, sync: bool) -> None:
        controller = StreamController[int](sync=sync, pause_at=4, max_waiting=8)
        adding = asyncio.create_task(controller.add_stream(range(1000)))
        got: list[int] = []
        for _ in range(1000):
            got.append(await controller.stream.first())
        await adding
        assert got == list(range(1000))

    @pytest.mark.parametrize("sync", [False, True])
    async def test_an_endless_iterable_leaves_the_loop_to_others(self, sync: bool) -> None:
        controller = StreamController[int](sync=sync)
        got: list[int] = []

        def on_data(item: int) -> None:
            got.append(item)
            if item == 1000:
                subscription.cancel()

        subscription = controller.stream.listen(on_data)

        def endless() -> Any:
            number = 0
            while True:
                number += 1
                yield number

        await asyncio.wait_for(controller.add_stream(endless()), 10)
        assert got == list(range(1, 1001))

    async def test_nobody_waits_for_room_in_what_is_closed_or_cancelled(self) -> None:
        for end in ("close", "cancel"):
            controller = StreamController[int](pause_at=0)
            subscription = controller.stream.listen()
            subscription.pause()
            waiting = asyncio.create_task(controller.wait_for_room())
            await settle()
            assert not waiting.done()
            controller.close() if end == "close" else subscription.cancel()
            await waiting
            await controller.wait_for_room()


class TestSink:
    async def test_it_is_its_own_sink(self) -> None:
        controller = StreamController[int]()
        assert controller.sink is controller
        assert not controller.is_closed
        controller.close()
        assert controller.is_closed
        with pytest.raises(ChannelStateError, match="after close"):
            controller.add(1)

    async def test_done_ends_with_close_or_when_the_listener_cancels(self) -> None:
        controller = StreamController[int]()
        waiting = asyncio.ensure_future(wait(controller.done))
        await settle()
        assert not waiting.done()
        await controller.close()
        await waiting
        controller = StreamController[int]()
        controller.stream.listen().cancel()
        await controller.done
        controller.add(1)
        await controller.flush()

    async def test_flush_ends_when_everything_was_read(self) -> None:
        for sync in (False, True):
            controller = StreamController[int](sync=sync)
            await controller.flush()
            controller.add(1)
            controller.add(2)
            first, second = (asyncio.ensure_future(wait(controller.flush())) for _ in range(2))
            await settle()
            assert await controller.stream.first() == 1
            await settle()
            assert not first.done()
            assert await controller.stream.first() == 2
            await asyncio.gather(first, second)

    async def test_flush_ends_when_nothing_will_be_read_any_more(self) -> None:
        controller = StreamController[int]()
        subscription = controller.stream.listen()
        subscription.pause()
        controller.add(1)
        flushing = asyncio.ensure_future(wait(controller.flush()))
        await settle()
        assert not flushing.done()
        subscription.cancel()
        await flushing

    async def test_it_needs_a_loop(self) -> None:
        with pytest.raises(RuntimeError, match="no running event loop"):
            await asyncio.to_thread(StreamController)

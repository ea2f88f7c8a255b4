"""One stream for several readers."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from cwschannel.exceptions import BackPressureError, ChannelStateError
from cwschannel.streams.controller import StreamController

from .conftest import settle


class Broadcast:
    """A stream that several read, and what its source was told."""

    def __init__(self, **options: Any) -> None:
        self.log: list[str] = []
        self.controller = StreamController[Any](
            on_listen=lambda: self.log.append("listen"),
            on_pause=lambda: self.log.append("pause"),
            on_resume=lambda: self.log.append("resume"),
        )
        self.stream = self.controller.stream.broadcast(**options)

    async def add(self, *items: Any) -> None:
        for item in items:
            self.controller.add(item)
        await settle()

    async def close(self) -> None:
        self.controller.close()
        await settle()

    def listener(self) -> tuple[list[Any], Any]:
        """The log of one, and its subscription."""
        log: list[Any] = []
        return log, self.stream.listen(log.append, on_error=log.append, on_done=lambda: log.append("done"))


class TestReaders:
    async def test_each_gets_all_that_comes_from_when_it_began(self) -> None:
        broadcast = Broadcast()
        one, _ = broadcast.listener()
        reading = asyncio.create_task(broadcast.stream.to_list())
        await settle()
        await broadcast.add(1, 2)
        late, _ = broadcast.listener()
        await broadcast.add(3)
        await broadcast.close()
        assert one == [1, 2, 3, "done"]
        assert await reading == [1, 2, 3]
        assert late == [3, "done"]

    async def test_they_are_called_in_the_order_in_which_they_came(self) -> None:
        broadcast = Broadcast()
        log: list[int] = []
        for number in range(20):
            broadcast.stream.listen(lambda _, number=number: log.append(number))  # type: ignore[misc]
        await broadcast.add("x")
        assert log == list(range(20))

    async def test_one_that_comes_after_the_end_sees_the_end(self) -> None:
        broadcast = Broadcast()
        first, _ = broadcast.listener()
        await broadcast.close()
        late, _ = broadcast.listener()
        await settle()
        assert first == late == ["done"]
        assert await broadcast.stream.to_list() == []

    async def test_errors_go_to_all_and_none_of_them_ends_it(self) -> None:
        broadcast = Broadcast()
        error = KeyError("among")
        one, _ = broadcast.listener()
        other, _ = broadcast.listener()
        broadcast.controller.add(1)
        broadcast.controller.add_error(error)
        broadcast.controller.add(2)
        await broadcast.close()
        assert one == other == [1, error, 2, "done"]

    async def test_the_source_is_read_while_there_are_readers(self) -> None:
        broadcast = Broadcast()
        await broadcast.add(1)
        assert broadcast.log == []
        one, first = broadcast.listener()
        other, second = broadcast.listener()
        await settle()
        assert broadcast.log == ["listen"]
        first.cancel()
        assert broadcast.log == ["listen"]
        second.cancel()
        assert broadcast.log == ["listen", "pause"]
        await broadcast.add(2)
        third, _ = broadcast.listener()
        await settle()
        assert broadcast.log == ["listen", "pause", "resume"]
        assert (one, other, third) == ([1], [1], [2])

    async def test_a_source_that_has_another_reader_is_refused_each_time(self) -> None:
        controller = StreamController[int]()
        controller.stream.listen()
        stream = controller.stream.broadcast()
        for _ in range(2):
            with pytest.raises(ChannelStateError, match="one listener"):
                stream.listen()
            with pytest.raises(ChannelStateError, match="one listener"):
                stream.reader()

    async def test_a_reader_of_its_own_goes_on_where_it_left(self) -> None:
        broadcast = Broadcast()
        reader = broadcast.stream.reader()
        await broadcast.add(1, 2, 3)
        async for item in reader:
            assert item == 1
            break
        assert await reader.first() == 2
        await broadcast.close()
        assert await reader.to_list() == [3]

    async def test_a_reader_that_is_cancelled_ends_and_is_forgotten(self) -> None:
        broadcast = Broadcast()
        reader = broadcast.stream.reader()
        reading = asyncio.create_task(reader.to_list())
        await broadcast.add(1)
        reader.cancel()
        reader.cancel()
        await broadcast.add(2)
        assert await reading == [1]
        assert broadcast.log == ["listen", "pause"]

    async def test_a_reader_can_be_made_into_another_stream(self) -> None:
        broadcast = Broadcast()
        reading = asyncio.create_task(broadcast.stream.map(str).to_list())
        other = asyncio.create_task(broadcast.stream.reader().map(abs).to_list())
        await settle()
        await broadcast.add(-1, -2)
        await broadcast.close()
        assert await reading == ["-1", "-2"]
        assert await other == [1, 2]

    async def test_a_task_that_reads_is_kept_by_what_it_waits_for(self) -> None:
        broadcast = Broadcast()
        got: list[int] = []

        async def read() -> None:
            async for item in broadcast.stream:
                got.append(item)

        asyncio.create_task(read())  # noqa: RUF006 - nobody keeps it, which is what is tested
        await settle()
        import gc

        gc.collect()
        await broadcast.add(1)
        await broadcast.close()
        assert got == [1]

    async def test_readers_that_come_and_go_within_a_callback(self) -> None:
        broadcast = Broadcast()
        log: list[object] = []
        subscriptions: list[Any] = []

        def first(item: object) -> None:
            log.append(("first", item))
            if item == 1:
                subscriptions[0].cancel()
                broadcast.stream.listen(lambda item: log.append(("new", item)))

        broadcast.stream.listen(first)
        subscriptions.append(broadcast.stream.listen(lambda item: log.append(("second", item))))
        await broadcast.add(1, 2)
        assert log == [("first", 1), ("first", 2), ("new", 2)]


class TestAbandoned:
    async def test_a_loop_that_is_left_is_forgotten_at_once(self) -> None:
        broadcast = Broadcast(max_waiting=2)
        other, _ = broadcast.listener()

        async def read_one() -> object:
            async for item in broadcast.stream:
                return item
            return None

        reading = asyncio.create_task(read_one())
        await settle()
        await broadcast.add(*range(10))
        assert await reading == 0
        await broadcast.add(*range(10, 20))
        assert other == list(range(20))

    async def test_a_slow_loop_that_is_left_holds_back_nobody_any_more(self) -> None:
        broadcast = Broadcast(max_waiting=2)
        other, _ = broadcast.listener()
        go_on = asyncio.Event()

        async def be_slow() -> None:
            async for _ in broadcast.stream:
                await go_on.wait()
                break

        slow = asyncio.create_task(be_slow())
        await settle()
        await broadcast.add(*range(10))
        assert other == [0, 1, 2]
        go_on.set()
        await slow
        await settle()
        assert other == list(range(10))

    async def test_a_task_that_is_cancelled_while_it_waits_is_forgotten(self) -> None:
        broadcast = Broadcast()
        reading = asyncio.create_task(broadcast.stream.to_list())
        await settle()
        reading.cancel()
        await asyncio.wait([reading])
        del reading
        await settle()
        assert broadcast.log == ["listen", "pause"]

    async def test_one_that_is_forgotten_when_the_loop_has_ended_is_no_trouble(self) -> None:
        kept: list[Any] = []

        async def leave() -> None:
            broadcast = Broadcast(max_waiting=1)
            kept.extend((broadcast, broadcast.stream.reader(), broadcast.stream.reader()))
            await broadcast.add(1)

        await asyncio.to_thread(asyncio.run, leave())
        kept.pop()
        kept.pop()


class TestSlowReaders:
    async def test_wait_holds_back_the_source_and_with_it_all(self) -> None:
        broadcast = Broadcast(max_waiting=3)
        fast, _ = broadcast.listener()
        slow = broadcast.stream.reader()
        await broadcast.add(*range(10))
        assert fast == [0, 1, 2]
        assert broadcast.log[-1] == "pause"
        assert [await slow.first() for _ in range(2)] == [0, 1]
        await settle()
        assert fast == [0, 1, 2]
        assert await slow.first() == 2
        await settle()
        assert fast == [0, 1, 2, 3, 4, 5]
        broadcast.controller.close()
        assert await slow.to_list() == list(range(3, 10))
        await settle()
        assert fast == [*range(10), "done"]
        assert slow.lost == 0

    async def test_wait_waits_for_a_listener_that_paused_and_for_errors_too(self) -> None:
        broadcast = Broadcast(max_waiting=2)
        fast, _ = broadcast.listener()
        log, subscription = broadcast.listener()
        subscription.pause()
        errors = [KeyError(number) for number in range(5)]
        for error in errors:
            broadcast.controller.add_error(error)
        await settle()
        assert fast == errors[:2]
        assert log == []
        subscription.resume()
        await settle()
        assert fast == log == errors

    async def test_drop_drops_the_oldest_and_counts_them(self) -> None:
        broadcast = Broadcast(max_waiting=3, on_slow="drop")
        fast, _ = broadcast.listener()
        slow = broadcast.stream.reader()
        await broadcast.add(*range(10))
        assert fast == list(range(10))
        assert slow.lost == 7
        await broadcast.close()
        assert await slow.to_list() == [7, 8, 9]
        assert slow.lost == 7
        assert "pause" not in broadcast.log

    async def test_disconnect_ends_the_stream_of_the_slow_one_with_an_error(self) -> None:
        broadcast = Broadcast(max_waiting=3, on_slow="disconnect")
        fast, _ = broadcast.listener()
        slow = broadcast.stream.reader()
        log, subscription = broadcast.listener()
        subscription.pause()
        await broadcast.add(*range(10))
        assert fast == list(range(10))
        assert [await slow.first() for _ in range(3)] == [0, 1, 2]
        with pytest.raises(BackPressureError, match="more than 3 items"):
            await slow.first()
        assert await slow.to_list() == []
        subscription.resume()
        await settle()
        assert log[:3] == [0, 1, 2]
        assert type(log[3]) is BackPressureError
        assert log[4:] == ["done"]

    @pytest.mark.parametrize("on_slow", ["drop", "disconnect"])
    async def test_errors_count_like_items(self, on_slow: Any) -> None:
        broadcast = Broadcast(max_waiting=2, on_slow=on_slow)
        log, subscription = broadcast.listener()
        subscription.pause()
        errors = [KeyError(number) for number in range(4)]
        for error in errors:
            broadcast.controller.add_error(error)
        await broadcast.close()
        subscription.resume()
        await settle()
        assert log.pop() == "done"
        if on_slow == "drop":
            assert log == errors[2:]
        else:
            assert log[:2] == errors[:2]
            assert type(log[2]) is BackPressureError

    @pytest.mark.parametrize("on_slow", ["wait", "drop", "disconnect"])
    async def test_a_reader_that_keeps_up_misses_nothing(self, on_slow: Any) -> None:
        broadcast = Broadcast(max_waiting=1, on_slow=on_slow)
        reading = asyncio.create_task(broadcast.stream.to_list())
        await settle()
        for number in range(50):
            await broadcast.add(number)
        await broadcast.close()
        assert await reading == list(range(50))

    async def test_mistakes_in_the_options_are_refused(self) -> None:
        with pytest.raises(ValueError, match="at least 1"):
            Broadcast(max_waiting=0)
        with pytest.raises(ValueError, match="'wait', 'drop' or 'disconnect'"):
            Broadcast(on_slow="forget")

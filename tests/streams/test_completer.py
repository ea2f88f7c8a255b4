"""A channel that can be used before there is one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from cwschannel.exceptions import BackPressureError, ChannelStateError, ConnectionClosed
from cwschannel.streams import completer as module
from cwschannel.streams.channel import StreamChannel
from cwschannel.streams.channel_controller import StreamChannelController
from cwschannel.streams.completer import StreamChannelCompleter
from cwschannel.testing import connected_pair, memory_pair

from .conftest import settle, wait


class Late:
    """A completer, and both ends of the channel that will be set."""

    def __init__(self, channels: tuple[Any, Any] | None = None) -> None:
        self.completer = StreamChannelCompleter[Any]()
        self.channel = self.completer.channel
        self.real, self.far = channels or memory_pair()

    def complete(self) -> None:
        self.completer.set_channel(self.real)


class TestSetChannel:
    async def test_what_was_added_early_comes_first_and_in_order(self) -> None:
        late = Late()
        error = KeyError("early")
        late.channel.sink.add(1)
        late.channel.sink.add_error(error)
        late.channel.sink.add(2)
        late.complete()
        late.channel.sink.add(3)
        assert await late.far.stream.first() == 1
        with pytest.raises(KeyError, match="early"):
            await late.far.stream.first()
        late.channel.sink.close()
        assert await late.far.stream.to_list() == [2, 3]

    async def test_who_reads_early_gets_what_comes(self) -> None:
        late = Late()
        reading = asyncio.create_task(late.channel.stream.to_list())
        late.far.sink.add(1)
        await settle()
        late.complete()
        late.far.sink.add(2)
        late.far.sink.close()
        assert await reading == [1, 2]

    async def test_a_pause_from_before_holds(self) -> None:
        late = Late()
        got: list[Any] = []
        subscription = late.channel.stream.listen(got.append)
        subscription.pause()
        late.far.sink.add(1)
        late.complete()
        await settle()
        assert got == []
        subscription.resume()
        await settle()
        assert got == [1]

    async def test_a_listener_that_cancelled_early_lets_the_end_be_noticed(self) -> None:
        late = Late()
        late.channel.stream.listen().cancel()
        late.complete()
        late.far.sink.add(1)
        late.far.sink.close()
        await late.channel.sink.done
        late.channel.sink.add("dropped")

    async def test_it_can_be_done_once(self) -> None:
        late = Late()
        late.complete()
        with pytest.raises(ChannelStateError, match="completed already"):
            late.complete()
        with pytest.raises(ChannelStateError, match="completed already"):
            late.completer.set_error(KeyError())

    async def test_a_channel_that_somebody_reads_is_refused_and_another_can_be_set(self) -> None:
        late = Late()
        late.channel.sink.add(1)
        taken, _ = memory_pair()
        taken.stream.listen()
        with pytest.raises(ChannelStateError, match="one listener"):
            late.completer.set_channel(taken)
        late.complete()
        assert await late.far.stream.first() == 1

    async def test_add_stream_wait_for_room_and_flush_wait_for_it(self) -> None:
        late = Late()
        adding = asyncio.create_task(late.channel.sink.add_stream(range(5)))
        room = asyncio.create_task(late.channel.sink.wait_for_room())
        flush = asyncio.ensure_future(wait(late.channel.sink.flush()))
        await settle()
        assert not any(task.done() for task in (adding, room, flush))
        with pytest.raises(ChannelStateError, match="add_stream"):
            late.channel.sink.close()
        late.complete()
        await asyncio.gather(adding, room, flush)
        late.channel.sink.close()
        assert await late.far.stream.to_list() == [0, 1, 2, 3, 4]

    async def test_add_stream_ends_when_the_real_channel_does(self) -> None:
        late = Late()

        async def endless() -> Any:
            while True:
                yield 1
                await asyncio.sleep(0)

        adding = asyncio.create_task(late.channel.sink.add_stream(endless()))
        late.complete()
        await settle()
        late.far.sink.close()
        await adding

    async def test_what_is_kept_has_a_bound(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "_MOST_KEPT", 3)
        late = Late()
        for number in range(3):
            late.channel.sink.add(number)
        for add in (lambda: late.channel.sink.add(3), lambda: late.channel.sink.add_error(KeyError())):
            with pytest.raises(BackPressureError, match="wait_for_room"):
                add()
        late.complete()
        late.channel.sink.add(3)
        late.channel.sink.close()
        assert await late.far.stream.to_list() == [0, 1, 2, 3]

    async def test_what_is_added_while_it_is_set_comes_after_what_was_added_before(self) -> None:
        controller = StreamChannelController[str](sync=True)
        late = Late((controller.local, controller.foreign))
        for item in ("1", "2"):
            late.channel.sink.add(item)
        got: list[object] = []

        def answer(item: str) -> None:
            got.append(item)
            late.far.sink.add(f"answer to {item}")

        def go_on(item: str) -> None:
            if item == "answer to 1":
                late.channel.sink.add("3")
                late.channel.sink.close()

        late.channel.stream.listen(go_on)
        late.far.stream.listen(answer, on_done=lambda: got.append("done"))
        late.complete()
        await settle()
        assert got == ["1", "2", "3", "done"]


class TestEarlyClose:
    async def test_what_was_added_before_it_arrives_and_the_stream_ends_at_once(self) -> None:
        late = Late()
        late.channel.sink.add(1)
        closing = late.channel.sink.close()
        assert await late.channel.stream.to_list() == []
        with pytest.raises(ChannelStateError, match="after close"):
            late.channel.sink.add(2)
        late.far.sink.add("not read")
        late.complete()
        await closing
        assert await late.far.stream.to_list() == [1]

    async def test_code_and_reason_reach_a_websocket(self) -> None:
        for early in (False, True):
            late = Late(connected_pair())
            late.channel.sink.add("before")
            if not early:
                late.complete()
            late.channel.sink.close(3000, "early")  # type: ignore[call-arg]
            if early:
                late.channel.sink.close(3001, "again")  # type: ignore[call-arg]
                late.complete()
            await late.channel.sink.done
            assert await late.far.recv() == "before"
            assert (late.far.close_code, late.far.close_reason) == (3000, "early")

    async def test_a_code_that_may_not_be_sent_is_refused_once_there_is_a_websocket(self) -> None:
        late = Late(connected_pair())
        late.complete()
        with pytest.raises(ValueError, match="1005"):
            late.channel.sink.close(1005)  # type: ignore[call-arg]
        late.channel.sink.add("still open")
        assert await late.far.recv() == "still open"
        await late.channel.sink.close()

    async def test_a_code_that_may_not_be_sent_ends_done_with_its_error(self) -> None:
        late = Late(connected_pair())
        late.channel.sink.add("before")
        closing = late.channel.sink.close(1005)  # type: ignore[call-arg]
        late.complete()
        with pytest.raises(ValueError, match="1005"):
            await closing
        assert await late.far.recv() == "before"
        with pytest.raises(ConnectionClosed) as caught:
            await late.far.recv()
        assert caught.value.code == 1011


class TestRefused:
    async def test_an_item_that_the_real_sink_refuses_closes_it_with_that_error(self) -> None:
        late = Late(connected_pair())
        for item in ("before", 1, "after"):
            late.channel.sink.add(item)
        late.complete()
        assert await late.far.recv() == "before"
        with pytest.raises(ConnectionClosed) as caught:
            await late.far.recv()
        assert caught.value.code == 1011
        with pytest.raises(TypeError):
            await late.channel.sink.done
        assert await late.channel.stream.to_list() == []

    async def test_too_much_for_the_real_sink_leaves_no_gap(self) -> None:
        controller = StreamChannelController[int](pause_at=1, max_waiting=3)
        late = Late((controller.local, controller.foreign))
        for number in range(5):
            late.channel.sink.add(number)
        late.complete()
        assert await late.far.stream.to_list() == [0, 1, 2]
        with pytest.raises(BackPressureError):
            await late.channel.sink.done

    async def test_an_error_from_before_that_closes_the_real_sink(self) -> None:
        late = Late(connected_pair())
        late.channel.sink.add("before")
        late.channel.sink.add_error(KeyError("early"))
        late.channel.sink.add("after")
        late.complete()
        assert await late.far.recv() == "before"
        with pytest.raises(KeyError, match="early"):
            await late.channel.sink.done


class TestSetError:
    async def test_the_stream_raises_it_and_ends_and_the_sink_drops(self) -> None:
        for early in (False, True):
            completer = StreamChannelCompleter[int]()
            channel = completer.channel
            reading = asyncio.create_task(channel.stream.to_list()) if early else None
            await settle()
            channel.sink.add(1)
            flush = asyncio.ensure_future(wait(channel.sink.flush()))
            adding = asyncio.create_task(channel.sink.add_stream([2]))
            await settle()
            completer.set_error(KeyError("no channel"))
            with pytest.raises(KeyError, match="no channel"):
                await (reading or channel.stream.to_list())
            await asyncio.gather(flush, adding)
            await channel.sink.done
            channel.sink.add(2)
            channel.sink.add_error(KeyError())
            await channel.sink.add_stream([3])
            await channel.sink.wait_for_room()
            assert await channel.stream.to_list() == []
            await channel.sink.close()
            with pytest.raises(ChannelStateError, match="after close"):
                channel.sink.add(4)

    async def test_after_an_early_close_nobody_is_told(self) -> None:
        completer = StreamChannelCompleter[int]()
        closing = completer.channel.sink.close()
        completer.set_error(KeyError("no channel"))
        await closing
        assert await completer.channel.stream.to_list() == []


class TestFromFuture:
    async def test_the_channel_that_a_future_or_a_coroutine_gives(self) -> None:
        async def make(real: StreamChannel[bytes]) -> StreamChannel[bytes]:
            await asyncio.sleep(0)
            return real

        for kind in ("future", "coroutine"):
            real, far = memory_pair()
            future = asyncio.get_running_loop().create_future()
            channel: StreamChannel[Any] = StreamChannelCompleter.from_future(future if kind == "future" else make(real))
            channel.sink.add(b"early")
            await settle()
            if kind == "future":
                future.set_result(real)
            assert await far.stream.first() == b"early"
            far.sink.add(b"answer")
            assert await channel.stream.first() == b"answer"

    async def test_what_it_raises_the_stream_raises(self) -> None:
        async def fail() -> StreamChannel[Any]:
            raise OSError("nobody there")

        channel = StreamChannelCompleter.from_future(fail())
        channel.sink.add(1)
        with pytest.raises(OSError, match="nobody there"):
            await channel.stream.first()
        await channel.sink.done

    async def test_a_future_that_is_cancelled_ends_it(self) -> None:
        future: asyncio.Future[StreamChannel[Any]] = asyncio.get_running_loop().create_future()
        channel = StreamChannelCompleter.from_future(future)
        await settle()
        future.cancel()
        with pytest.raises(ChannelStateError, match="was cancelled"):
            await channel.stream.first()
        await channel.sink.close()

    async def test_a_channel_that_somebody_reads_ends_it_with_an_error(self) -> None:
        async def give() -> StreamChannel[Any]:
            taken, _ = memory_pair()
            taken.stream.listen()
            return taken

        channel = StreamChannelCompleter.from_future(give())
        with pytest.raises(ChannelStateError, match="one listener"):
            await channel.stream.first()
        await channel.sink.done

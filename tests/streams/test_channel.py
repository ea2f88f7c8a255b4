"""What every channel can be made into, and channels connected with each other. The guarantees: see ``test_contract.py``."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from cwschannel.exceptions import ChannelStateError, ConnectionClosed
from cwschannel.streams.channel import DelegatingStreamChannel, StreamChannel
from cwschannel.streams.channel_controller import StreamChannelController
from cwschannel.streams.sink import MappedSink
from cwschannel.testing import connected_pair, memory_pair

from ..channels.running import until
from .conftest import wait


class TestDerived:
    async def test_iterating_a_channel_iterates_its_stream(self) -> None:
        near, far = memory_pair()
        far.sink.add(b"1")
        far.sink.close()
        assert [item async for item in near] == [b"1"]

    async def test_cast_checks_both_directions(self) -> None:
        controller = StreamChannelController[Any]()
        near, far = controller.local.cast(str), controller.foreign
        near.sink.add("a")
        with pytest.raises(TypeError, match="carries str, and this is int"):
            near.sink.add(1)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="carries str, and this is bytes"):
            await near.sink.add_stream(["b", b"c"])  # type: ignore[list-item]
        near.sink.close()
        far.sink.add("d")
        assert await far.stream.to_list() == ["a", "b"]
        with pytest.raises(TypeError, match="parameterized generic"):
            controller.foreign.cast(list[int])

    async def test_cast_makes_an_error_of_what_comes_and_is_something_else(self) -> None:
        controller = StreamChannelController[Any]()
        near, far = controller.local.cast(str), controller.foreign
        for item in ("a", 1, "b"):
            far.sink.add(item)
        assert await near.stream.first() == "a"
        with pytest.raises(TypeError, match="carries str, and this is int"):
            await near.stream.first()
        assert await near.stream.first() == "b"

    async def test_change_stream_and_change_sink(self) -> None:
        controller = StreamChannelController[int]()
        near = controller.local.change_stream(lambda stream: stream.map(lambda item: item + 1))
        near = near.change_sink(lambda sink: MappedSink(sink, lambda item: item * 10))
        near.sink.add(1)
        await near.sink.add_stream([2, 3])
        controller.foreign.sink.add(4)
        assert await near.stream.first() == 5
        near.sink.close()
        assert await controller.foreign.stream.to_list() == [10, 20, 30]

    async def test_a_delegating_channel_shows_stream_and_sink_and_no_more(self) -> None:
        class Shy(DelegatingStreamChannel[Any]):
            pass

        near, far = connected_pair()
        channel = Shy(near)
        assert channel.stream is near.stream
        assert channel.sink is near.sink
        assert not hasattr(channel, "close_code")
        channel.sink.add("a")
        assert await far.recv() == "a"

    async def test_close_takes_code_and_reason_through_whatever_was_made_of_a_websocket(self) -> None:
        near, far = connected_pair()
        channel = (
            near.cast(str).change_sink(lambda sink: MappedSink(sink, str)).change_stream(lambda stream: stream.map(str))
        )
        await channel.sink.close(3000, "through all")  # type: ignore[call-arg]
        assert (far.close_code, far.close_reason) == (3000, "through all")


class Middle:
    """Two channels, and a pipe between their near ends: ``left - (near | near) - right``."""

    def __init__(self, **options: Any) -> None:
        one, other = StreamChannelController[Any](**options), StreamChannelController[Any](**options)
        self.left, self.right = one.foreign, other.foreign
        self.near_left, self.near_right = one.local, other.local
        self.done = asyncio.ensure_future(wait(self.near_left.pipe(self.near_right)))


class TestPipe:
    async def test_items_go_both_ways_and_the_ends_close_each_other(self) -> None:
        for closes_right in (False, True):
            middle = Middle()
            for number in range(100):
                middle.left.sink.add(number)
                middle.right.sink.add(-number)
            assert [await middle.right.stream.first() for _ in range(100)] == list(range(100))
            assert [await middle.left.stream.first() for _ in range(100)] == [-number for number in range(100)]
            closing, other = (middle.right, middle.left) if closes_right else (middle.left, middle.right)
            assert not middle.done.done()
            closing.sink.add("last")
            closing.sink.close()
            assert await other.stream.to_list() == ["last"]
            await asyncio.wait_for(middle.done, 5)
            await other.sink.done

    async def test_it_takes_effect_without_being_awaited(self) -> None:
        one, other = memory_pair(), memory_pair()
        one[1].pipe(other[0])
        one[0].sink.add(b"1")
        one[0].sink.close()
        assert await other[1].stream.to_list() == [b"1"]

    async def test_a_side_is_read_as_fast_as_the_other_takes_it(self) -> None:
        middle = Middle(pause_at=4)
        taken = 0

        def generate() -> Any:
            nonlocal taken
            while taken < 3000:
                yield taken
                taken += 1

        adding = asyncio.create_task(middle.left.sink.add_stream(generate()))
        before = -1
        while before < taken:
            before = taken
            await asyncio.sleep(0.02)
        assert taken < 1500
        middle.right.sink.add("the other direction goes on")
        assert await middle.left.stream.first() == "the other direction goes on"
        reading = asyncio.create_task(middle.right.stream.to_list())
        await adding
        middle.left.sink.close()
        assert await reading == list(range(3000))

    async def test_errors_of_a_stream_go_to_the_other_sink_and_what_follows_too(self) -> None:
        middle = Middle()
        error = KeyError("among")
        middle.left.sink.add(1)
        middle.left.sink.add_error(error)
        middle.left.sink.add_error(error)
        middle.left.sink.add(2)
        middle.left.sink.close()
        log: list[Any] = []
        middle.right.stream.listen(log.append, on_error=log.append, on_done=lambda: log.append("done"))
        await middle.done
        await until(lambda: "done" in log)
        assert log == [1, error, error, 2, "done"]

    async def test_an_error_that_the_other_sink_cannot_forward_closes_both(self) -> None:
        near, far = memory_pair()
        client, server = connected_pair()
        done = near.pipe(client)  # type: ignore[arg-type]
        far.sink.add("a")  # type: ignore[arg-type]
        far.sink.add_error(KeyError("among"))
        far.sink.add("dropped")  # type: ignore[arg-type]
        assert await server.recv() == "a"
        with pytest.raises(ConnectionClosed) as caught:
            await server.recv()
        assert caught.value.code == 1011
        assert await far.stream.to_list() == []
        await done

    async def test_an_item_that_the_other_sink_refuses_closes_both(self) -> None:
        near, far = memory_pair()
        client, server = connected_pair()
        done = near.pipe(client)  # type: ignore[arg-type]
        far.sink.add(1)  # type: ignore[arg-type]
        with pytest.raises(ConnectionClosed) as caught:
            await server.recv()
        assert caught.value.code == 1011
        assert await far.stream.to_list() == []
        await done

    async def test_an_error_that_closes_a_channel_with_guarantees_is_left_to_done(self) -> None:
        one, other = StreamChannelController[Any](), StreamChannelController[Any](allow_foreign_errors=False)
        done = one.local.pipe(other.foreign)
        one.foreign.sink.add_error(KeyError("among"))
        one.foreign.sink.add(1)
        one.foreign.sink.close()
        assert await other.local.stream.to_list() == []
        await done
        with pytest.raises(KeyError, match="among"):
            await other.foreign.sink.done

    async def test_a_target_that_somebody_else_closes_or_uses_ends_it(self) -> None:
        for use in ("close", "add_stream"):
            middle = Middle()
            go_on = asyncio.Event()

            async def wait(go_on: asyncio.Event = go_on) -> Any:
                await go_on.wait()
                yield 1

            await asyncio.sleep(0)  # the pipe has not begun to add yet
            if use == "close":
                middle.right.sink.close()
            else:
                middle.left.sink.close()
            await asyncio.wait_for(middle.done, 5)
            go_on.set()

    async def test_a_source_that_somebody_reads_leaves_the_other_direction(self) -> None:
        one, other = memory_pair(), memory_pair()
        one[1].stream.listen()
        done = one[1].pipe(other[0])
        other[1].sink.add(b"1")
        other[1].sink.close()
        assert await one[0].stream.to_list() == [b"1"]
        await done


class TestRelay:
    """Between two WebSockets, as a gateway does it."""

    def make(self) -> tuple[Any, Any, Any, Any]:
        client, gateway_server = connected_pair()
        gateway_client, server = connected_pair()
        return client, server, gateway_server, gateway_client

    @pytest.mark.parametrize(
        ("code", "reason", "expected"),
        [
            (3000, "enough", (3000, "enough")),
            (1000, "", (1000, "")),
            (1001, "going", (1001, "going")),
            (1011, "broken", (1011, "broken")),
            (None, "", (1005, "")),
        ],
    )
    @pytest.mark.parametrize("by_server", [False, True])
    async def test_close_code_and_reason_are_handed_on(self, code: Any, reason: str, expected: Any, by_server: bool) -> None:
        client, server, one, other = self.make()
        done = one.pipe(other)
        client.sink.add("to the server")
        server.sink.add(b"to the client")
        assert await server.recv() == "to the server"
        assert await client.recv() == b"to the client"
        closing, told = (server, client) if by_server else (client, server)
        closing.sink.add("last")
        closing.sink.close(code, reason)
        assert await told.recv() == "last"
        await told.sink.done
        assert (told.close_code, told.close_reason) == expected
        await closing.sink.done
        await done

    @pytest.mark.parametrize("by_server", [False, True])
    async def test_a_side_that_is_lost_is_reported_as_a_bad_gateway(self, by_server: bool) -> None:
        client, server, one, other = self.make()
        done = one.pipe(other)
        lost, told = (server, client) if by_server else (client, server)
        lost.sink.add("last")
        assert await told.recv() == "last"
        lost.abort()
        await told.sink.done
        assert (told.close_code, told.close_reason) == (1014, "")
        await done

    async def test_a_side_that_could_not_be_opened_is_reported_as_a_bad_gateway(self) -> None:
        import cwschannel

        from ..channels.wire import bound_socket

        client, gateway = connected_pair()
        with bound_socket() as sock:  # bound, but nobody listens
            upstream = cwschannel.connect(f"ws://127.0.0.1:{sock.getsockname()[1]}/")
            done = gateway.pipe(upstream)
            client.sink.add("never sent")
            await client.sink.done
        assert client.close_code == 1014
        await done


async def test_with_guarantees_is_a_channel() -> None:
    near, far = memory_pair()
    channel: StreamChannel[bytes] = StreamChannel.with_guarantees(near.stream, near.sink)
    far.sink.add(b"1")
    assert await channel.stream.first() == b"1"
    with pytest.raises(ChannelStateError):
        near.stream.listen()

"""What ``with_guarantees`` and ``with_close_guarantee`` add. That they keep them all: see ``test_contract.py``."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

import pytest

from cwschannel.exceptions import ChannelStateError, ConnectionClosed
from cwschannel.streams.channel import StreamChannel
from cwschannel.streams.channel_controller import StreamChannelController
from cwschannel.streams.controller import StreamController
from cwschannel.testing import connected_pair

from .conftest import settle
from .contract import Careless


class Ends:
    """A stream to fill and a sink to look at, with a channel over them."""

    def __init__(self, *, close_only: bool = False, **options: Any) -> None:
        self.incoming = StreamController[Any]()
        self.outgoing = StreamController[Any](**options.pop("outgoing", {}))
        make = StreamChannel.with_close_guarantee if close_only else StreamChannel.with_guarantees
        self.channel: StreamChannel[Any] = make(self.incoming.stream, self.outgoing, **options)


class TestGuarantees:
    async def test_the_stream_is_read_at_once_and_held_back_while_nobody_reads(self) -> None:
        ends = Ends()
        assert ends.incoming.has_listener
        adding = asyncio.create_task(ends.incoming.add_stream(range(1000)))
        await asyncio.sleep(0.02)
        assert not adding.done()
        ends.channel.stream.listen()
        await adding

    async def test_the_sink_below_is_closed_once_and_after_what_was_added(self) -> None:
        ends = Ends()
        ends.channel.sink.add(1)
        await ends.channel.sink.close()
        await ends.channel.sink.close()
        assert await ends.outgoing.stream.to_list() == [1]
        assert not ends.incoming.has_listener

    async def test_the_end_of_the_stream_closes_the_sink_below_before_the_reader_knows(self) -> None:
        for with_listener in (False, True):
            ends = Ends()
            seen: list[bool] = []
            if with_listener:
                ends.channel.stream.listen(on_done=lambda: seen.append(ends.outgoing.is_closed))  # noqa: B023
            else:

                async def read() -> None:
                    await ends.channel.stream.drain()  # noqa: B023
                    seen.append(ends.outgoing.is_closed)  # noqa: B023

                reading = asyncio.create_task(read())
            await settle()
            ends.incoming.close()
            await settle()
            assert seen == [True]
            if not with_listener:
                await reading

    async def test_add_stream_that_waits_for_room_ends_with_the_channel(self) -> None:
        ends = Ends(outgoing={"pause_at": 2})
        ends.channel.stream.listen()
        adding = asyncio.create_task(ends.channel.sink.add_stream(range(100)))
        await settle()
        assert not adding.done()
        ends.incoming.close()
        await adding
        assert len(await ends.outgoing.stream.to_list()) < 10

    async def test_a_sink_below_that_is_busy_is_left_to_whoever_uses_it(self) -> None:
        ends = Ends()
        go_on = asyncio.Event()

        async def generate() -> Any:
            await go_on.wait()
            yield 1

        busy = asyncio.create_task(ends.outgoing.add_stream(generate()))
        await settle()
        await ends.channel.sink.close()
        go_on.set()
        await busy
        assert not ends.outgoing.is_closed

    async def test_an_error_goes_to_the_sink_below_or_closes_it(self) -> None:
        error = KeyError("given")
        ends = Ends()
        ends.channel.sink.add_error(error)
        await settle()
        with pytest.raises(KeyError):
            await ends.outgoing.stream.first()
        ends = Ends(allow_sink_errors=False)
        ends.incoming.add(1)
        await settle()
        ends.channel.sink.add_error(error)
        assert ends.outgoing.is_closed
        assert await ends.outgoing.stream.to_list() == []
        assert await ends.channel.stream.to_list() == []
        with pytest.raises(KeyError):
            await ends.channel.sink.done

    async def test_what_the_sink_below_ends_with_ends_the_sink(self) -> None:
        near, _far = connected_pair()
        channel: StreamChannel[Any] = StreamChannel.with_guarantees(near.stream, near.sink)
        channel.sink.add_error(KeyError("given"))
        with pytest.raises(KeyError, match="given"):
            await channel.sink.done
        assert near.close_code == 1011

    async def test_a_stream_that_keeps_no_rule_does_no_harm(self) -> None:
        there, back = Careless(), Careless()
        channel: StreamChannel[Any] = StreamChannel.with_guarantees(back, there)
        got: list[Any] = []
        there.listen(got.append)
        log: list[Any] = []
        channel.stream.listen(log.append, on_error=log.append, on_done=lambda: log.append("done"))
        back.add(1)
        back.close()
        back.add_error(KeyError("after the end"))
        back.add("after the end")
        back.close()
        await settle()
        assert log == [1, "done"]

    async def test_a_source_that_has_a_reader_is_refused(self) -> None:
        controller = StreamController[int]()
        controller.stream.listen()
        with pytest.raises(ChannelStateError, match="one listener"):
            StreamChannel.with_guarantees(controller.stream, controller)

    async def test_a_channel_that_is_over_and_forgotten_is_gone(self) -> None:
        ends = Ends()
        token = _Token()
        gone = weakref.ref(token)
        ends.channel.stream.listen(lambda _, token=token: None)  # type: ignore[misc]
        ends.channel.sink.add(1)
        ends.channel.sink.close()
        await settle()
        del ends, token
        gc.collect()
        assert gone() is None


class _Token:
    """Something to see whether it is still there."""


class TestCloseGuarantee:
    async def test_the_stream_is_not_read_before_somebody_reads(self) -> None:
        ends = Ends(close_only=True)
        ends.incoming.add(1)
        await settle()
        assert not ends.incoming.has_listener
        assert await ends.channel.stream.first() == 1

    async def test_nothing_comes_after_close(self) -> None:
        ends = Ends(close_only=True)
        for number in range(5):
            ends.incoming.add(number)
        assert await ends.channel.stream.first() == 0
        ends.channel.sink.close()
        assert await ends.channel.stream.to_list() == []
        assert not ends.incoming.has_listener

    async def test_a_stream_that_nobody_had_read_is_left_alone(self) -> None:
        ends = Ends(close_only=True)
        ends.incoming.add(1)
        ends.channel.sink.close()
        assert await ends.channel.stream.to_list() == []
        assert await ends.incoming.stream.first() == 1

    async def test_a_close_that_is_refused_ends_nothing(self) -> None:
        near, far = connected_pair()
        channel: StreamChannel[Any] = StreamChannel.with_close_guarantee(near.stream, near.sink)
        with pytest.raises(ValueError, match="1005"):
            channel.sink.close(1005)  # type: ignore[call-arg]
        far.sink.add("still open")
        assert await channel.stream.first() == "still open"
        await channel.sink.close(3000, "for the peer")  # type: ignore[call-arg]
        assert (far.close_code, far.close_reason) == (3000, "for the peer")


async def test_code_and_reason_reach_the_websocket_below() -> None:
    client, server = connected_pair()
    guarded = StreamChannel.with_guarantees(client.stream, client.sink)
    with pytest.raises(ValueError, match="1005"):
        guarded.sink.close(1005)
    guarded.sink.add("still open")
    assert await server.recv() == "still open"
    guarded.sink.close(4000, "why")
    with pytest.raises(ConnectionClosed):
        await server.recv()
    assert (server.close_code, server.close_reason) == (4000, "why")
    await guarded.sink.done


async def test_a_channel_without_close_codes_says_so() -> None:
    controller: StreamChannelController[int] = StreamChannelController()
    with pytest.raises(TypeError, match="no close codes"):
        controller.local.sink.close(4000, "why")
    controller.local.sink.add(1)
    assert await controller.foreign.stream.first() == 1

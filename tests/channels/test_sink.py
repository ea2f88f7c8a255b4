"""What the sink of a WebSocket does beyond the contract that it shares with every sink (tests/streams/contract.py)."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

import cwschannel
from cwschannel import ChannelStateError, ConnectionClosed, OpeningFailed

from .running import connected, each_loop, serving, until
from .wire import bound_socket, raw_server

# The guarantees, by their numbers, where a WebSocket has more to say.


@each_loop
async def test_guarantee_1_holds_for_recv() -> None:
    async with connected() as pair:
        pair.server.stream.listen(lambda _: None)
        with pytest.raises(ChannelStateError, match="being listened to"):
            await pair.server.recv()


@each_loop
async def test_guarantee_5_cancelling_the_subscription_leaves_the_channel_open() -> None:
    async with connected() as pair:
        received: list[object] = []
        subscription = pair.server.stream.listen(received.append, on_done=lambda: received.append("done"))
        pair.client.sink.add("a")
        await until(lambda: received)
        subscription.cancel()
        pair.client.sink.add("not heard")
        pair.server.sink.add("still open")
        assert await pair.client.recv() == "still open"
        assert await pair.client.ping() > 0
        pair.client.sink.close(3000, "seen")
        await pair.server.sink.done
        assert (pair.server.close_code, pair.server.close_reason) == (3000, "seen")
        assert received == ["a"]


@each_loop
async def test_guarantee_6_an_error_closes_the_sink_with_1011_and_done_raises_it() -> None:
    async with connected() as pair:
        error = ValueError("not for the peer's eyes")
        pair.client.sink.add("before")
        pair.client.sink.add_error(error)
        with pytest.raises(ChannelStateError):
            pair.client.sink.add("after")
        with pytest.raises(ValueError, match="not for") as caught:
            await pair.client.sink.done
        assert caught.value is error
        assert await pair.server.recv() == "before"
        with pytest.raises(ConnectionClosed) as closed:
            await pair.server.recv()
        assert (closed.value.code, closed.value.reason) == (1011, "")
        with pytest.raises(ValueError, match="not for"):
            await pair.client.sink.close()


# Adding.


@each_loop
async def test_sending_after_close_or_while_add_stream_runs_raises() -> None:
    async with connected() as pair:
        go_on = asyncio.Event()

        async def generate():
            yield "a"
            await go_on.wait()
            yield b"b"

        adding = asyncio.create_task(pair.client.sink.add_stream(generate()))
        assert await pair.server.recv() == "a"
        with pytest.raises(ChannelStateError, match="add_stream"):
            await pair.client.send("x")
        go_on.set()
        await adding
        await pair.client.send("c")
        closing = pair.client.sink.close()
        with pytest.raises(ChannelStateError, match="after close"):
            await pair.client.send("x")
        assert [message async for message in pair.server.stream] == [b"b", "c"]
        await closing


@each_loop
async def test_sending_after_the_peer_closed_raises_and_adding_is_silent() -> None:
    async with connected() as pair:
        await pair.client.sink.close(3000, "enough")
        with pytest.raises(ConnectionClosed) as caught:
            await pair.server.send("x")
        assert (caught.value.code, caught.value.reason) == (3000, "enough")
        pair.server.sink.add("x")
        pair.server.sink.add_error(ValueError("not asked for by anybody"))
        await pair.server.sink.close()


@each_loop
async def test_what_is_sent_before_the_connection_is_open_keeps_its_place() -> None:
    async with serving() as (_, uri):
        channel = cwschannel.connect(uri)
        channel.sink.add("1")
        sending = asyncio.create_task(channel.send("2"))
        await asyncio.sleep(0)
        channel.sink.add("3")
        assert channel.response is None
        await sending
        assert channel.response is not None
        assert [await channel.recv() for _ in range(3)] == ["1", "2", "3"]
        await channel.sink.close()


@each_loop
async def test_sending_before_a_connection_that_fails_raises_why() -> None:
    with bound_socket() as sock:  # bound, but nobody listens
        channel = cwschannel.connect(f"ws://127.0.0.1:{sock.getsockname()[1]}/")
        with pytest.raises(TypeError):
            await channel.send(1)  # type: ignore[arg-type]
        for _ in range(2):
            with pytest.raises(OpeningFailed):
                await channel.send("never sent")


@each_loop
async def test_a_channels_stream_can_be_added_to_another_channels_sink() -> None:
    async with connected() as first, connected() as second:
        relaying = asyncio.create_task(second.client.sink.add_stream(first.server.stream))
        for number in range(50):
            first.client.sink.add(str(number))
        assert [await second.server.recv() for _ in range(50)] == [str(number) for number in range(50)]
        await first.client.sink.close(1000)
        await relaying
        await second.client.sink.close(1000)


@each_loop
async def test_leaving_the_context_in_the_middle_of_add_stream_leaves_nothing_open() -> None:
    async with serving() as (server, uri):
        async with cwschannel.connect(uri) as channel:

            async def endless():
                yield "a"
                await asyncio.Event().wait()

            adding = asyncio.create_task(channel.sink.add_stream(endless()))
            assert await channel.recv() == "a"
        await until(lambda: not server.channels)
        adding.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await adding


@each_loop
async def test_add_stream_before_the_connection_is_open_waits_for_it() -> None:
    async with serving() as (_, uri):
        channel = cwschannel.connect(uri)
        await channel.sink.add_stream(["a", "b"])
        assert [await channel.recv(), await channel.recv()] == ["a", "b"]
        await channel.sink.close()


@each_loop
async def test_add_stream_does_not_hide_from_the_reader_that_the_opening_failed() -> None:
    with bound_socket() as sock:  # bound, but nobody listens
        channel = cwschannel.connect(f"ws://127.0.0.1:{sock.getsockname()[1]}/")
        adding = asyncio.create_task(channel.sink.add_stream(["a"]))
        with pytest.raises(OpeningFailed):
            async for _ in channel.stream:
                pass
        await adding


# Closing.


@each_loop
async def test_close_that_is_not_awaited_takes_effect() -> None:
    async with connected() as pair:
        pair.client.sink.add("last")
        pair.client.sink.close(3000, "bye")
        await pair.server.sink.done
        assert (pair.server.close_code, pair.server.close_reason) == (3000, "bye")
        assert await pair.server.recv() == "last"


@each_loop
async def test_closing_again_changes_nothing() -> None:
    async with connected() as pair:
        first = pair.client.sink.close(3000, "first")
        second = pair.client.sink.close(3001, "second")
        await asyncio.gather(_wait(first), _wait(second), _wait(pair.client.sink.done))
        await pair.client.sink.close()
        assert (pair.server.close_code, pair.server.close_reason) == (3000, "first")


async def _wait(awaitable) -> None:
    await awaitable


@each_loop
async def test_both_sides_may_close_at_once() -> None:
    async with connected() as pair:
        await asyncio.gather(_wait(pair.client.sink.close(3000)), _wait(pair.server.sink.close(3001)))
        assert (pair.client.close_code, pair.server.close_code) == (3001, 3000)


@each_loop
async def test_closing_before_the_connection_is_open_keeps_messages_code_and_reason() -> None:
    channels: list[cwschannel.IOWebSocketChannel] = []
    async with serving(channels.append) as (_, uri):
        channel = cwschannel.connect(uri)
        channel.sink.add("one")
        channel.sink.add(b"two")
        closing = channel.sink.close(3333, "early")
        with pytest.raises(ChannelStateError):
            channel.sink.add("three")
        assert [message async for message in channel.stream] == []
        await closing
        (peer,) = channels
        assert [await peer.recv(), await peer.recv()] == ["one", b"two"]
        await peer.sink.done
        assert (peer.close_code, peer.close_reason) == (3333, "early")
        assert channel.close_code == 3333


@each_loop
async def test_the_first_of_two_early_closes_counts() -> None:
    channels: list[cwschannel.IOWebSocketChannel] = []
    async with serving(channels.append) as (_, uri):
        channel = cwschannel.connect(uri)
        channel.sink.close(3001)
        await channel.sink.close(3002)
        assert channels[0].close_code == 3001


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        *((code, "") for code in (-1, 0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65536)),
        (1000, "x" * 124),
        (1000, "é" * 62),
        (1000, "\ud800"),
        (None, "a reason without a code"),
    ],
)
@each_loop
async def test_codes_and_reasons_that_may_not_be_sent_are_refused_and_nothing_is_sent(code: int | None, reason: str) -> None:
    async with connected() as pair:
        with pytest.raises(ValueError):
            pair.client.sink.close(code, reason)
        pair.client.sink.add("still open")
        assert await pair.server.recv() == "still open"
    async with serving() as (_, uri):
        channel = cwschannel.connect(uri)
        with pytest.raises(ValueError):
            channel.sink.close(code, reason)
        channel.sink.add("still open")
        assert await channel.recv() == "still open"
        await channel.sink.close(1000, "é" * 61)


@each_loop
async def test_flush_before_the_connection_is_open_waits_for_it_and_ends_when_it_fails() -> None:
    async def script(wire) -> None:
        await wire.accept()
        assert (await wire.read_frame()).payload == b"early"

    async with raw_server(script) as uri:
        channel = cwschannel.connect(uri)
        channel.sink.add("early")
        await channel.sink.flush()
        assert channel.response is not None
        await channel.sink.done
    with bound_socket() as sock:
        channel = cwschannel.connect(f"ws://127.0.0.1:{sock.getsockname()[1]}/")
        channel.sink.add("never sent")
        await channel.sink.flush()
        with pytest.raises(OpeningFailed):
            await channel.ready

"""The WebSocket over any channel of bytes, at both ends and over each kind of channel."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from cwschannel import (
    BackPressureError,
    ChannelStateError,
    ConnectionClosed,
    StreamChannelController,
    StreamController,
    WebSocketChannel,
    byte_channels,
)
from cwschannel.streams.channel import StreamChannel

from .over_bytes import KINDS, open_pair, tcp
from .running import each_loop, until, within
from .wire import BINARY, CLOSE, PING, PONG, TEXT, Received, close_frame, frame, xor

if TYPE_CHECKING:
    import ssl

each_kind = pytest.mark.parametrize("kind", KINDS)


class Raw:
    """A WebSocket of ours, and the bare channel of bytes at its far end."""

    def __init__(self, *, server_side: bool = False, **options: Any) -> None:
        near, self.far = byte_channels.memory_pair()
        self.channel = WebSocketChannel(near, server_side=server_side, **{"close_timeout": 5, **options})
        self._data = bytearray()

    def send(self, *chunks: Any) -> None:
        for chunk in chunks:
            self.far.sink.add(chunk)

    async def read_frame(self) -> Received:
        start, second = await self._read(2)
        size = second & 0x7F
        if size > 125:
            size = int.from_bytes(await self._read(2 if size == 126 else 8), "big")
        key = await self._read(4) if second & 0x80 else b""
        payload = await self._read(size)
        return Received(start & 0x0F, xor(payload, key) if key else payload, bool(start & 0x80), bool(key))

    async def _read(self, size: int) -> bytes:
        while len(self._data) < size:
            self._data += await self.far.stream.first()
        data = bytes(self._data[:size])
        del self._data[:size]
        return data


@each_kind
@each_loop
async def test_messages_pass_both_ways(kind: str) -> None:
    async with open_pair(kind, max_message_size=None) as (client, server):
        for one, other in ((client, server), (server, client)):
            messages = ["", "grün", b"", b"\x00" * 70_000, "x" * 300_000, *map(str, range(200))]
            for message in messages:
                one.sink.add(message)
            assert [await other.recv() for _ in messages] == messages
        assert await client.ping() > 0
        assert await server.ping(b"payload") > 0


@each_kind
@pytest.mark.parametrize("closer", ["client", "server"])
@each_loop
async def test_code_and_reason_pass_both_ways_though_nobody_listens(kind: str, closer: str) -> None:
    async with open_pair(kind) as both:
        ours, theirs = both if closer == "client" else reversed(both)
        ours.sink.add("last")
        with within(10):
            await ours.sink.close(4001, "grün")
            await theirs.sink.done
        for channel in both:
            assert (channel.close_code, channel.close_reason) == (4001, "grün")
        assert await theirs.recv() == "last"
        with pytest.raises(ConnectionClosed):
            await theirs.recv()
        with pytest.raises(ChannelStateError):
            ours.sink.add("x")
        theirs.sink.add("dropped silently")


@each_kind
@each_loop
async def test_async_for_listen_and_the_context_manager(kind: str) -> None:
    async with open_pair(kind) as (client, server):
        got: list[Any] = []
        server.stream.listen(lambda message: server.sink.add(message * 2), on_done=lambda: got.append("done"))
        async with client:
            client.sink.add("ab")
            client.sink.add(b"c")
            async for message in client.stream:
                got.append(message)
                if len(got) == 2:
                    break
        assert got[:2] == ["abab", b"cc"]
        await until(lambda: got[2:] == ["done"])
        assert (client.close_code, server.close_code) == (1000, 1000)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "memory"])
@each_loop
async def test_dropping_one_end_is_1006_at_the_other(kind: str) -> None:
    async with open_pair(kind) as (client, server):
        client.sink.add("before")
        assert await server.recv() == "before"
        client.abort()
        await client.sink.done
        with pytest.raises(ConnectionClosed) as caught:
            await server.recv()
        assert caught.value.code == server.close_code == client.close_code == 1006
        assert isinstance(caught.value.__cause__, OSError)
        await server.sink.done


@pytest.mark.parametrize("make", ["streams", "transport"])
@each_loop
async def test_over_tls(make: str, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext) -> None:
    async with open_pair(lambda: tcp(make=make, server_tls=server_tls, client_tls=client_tls)) as (client, server):
        client.sink.add(b"x" * 1_000_000)
        assert await server.recv() == b"x" * 1_000_000
        await client.sink.close(1001, "bye")
        await server.sink.done
        assert (server.close_code, server.close_reason) == (1001, "bye")


# What comes.


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
@each_loop
async def test_chunks_may_be_any_bytes_split_anywhere(kind: Any) -> None:
    data = frame(TEXT, "grün".encode()) + frame(BINARY, b"x" * 130) + frame(PING, b"p") + frame(TEXT, b"a", fin=False)
    data += frame(0, b"b")
    for size in (1, 2, 3, 7, len(data)):
        raw = Raw()
        raw.send(*(kind(data[start : start + size]) for start in range(0, len(data), size)))
        assert [await raw.channel.recv() for _ in range(3)] == ["grün", b"x" * 130, "ab"]
        assert (await raw.read_frame())[:2] == (PONG, b"p")
        raw.channel.abort()


@pytest.mark.parametrize("chunk", ["text", 5, None, ["list"]])
@each_loop
async def test_a_chunk_that_is_no_bytes_loses_the_connection_and_closes_what_is_below(chunk: Any) -> None:
    raw = Raw()
    raw.send(frame(TEXT, b"good"), chunk, frame(TEXT, b"lost"))
    assert await raw.channel.recv() == "good"
    with pytest.raises(ConnectionClosed, match="carries bytes-like objects") as caught:
        await raw.channel.recv()
    assert caught.value.code == 1006
    assert isinstance(caught.value.__cause__, TypeError)
    await raw.channel.sink.done
    await raw.far.stream.to_list()  # which ends


@each_loop
async def test_an_error_of_the_channel_below_is_the_cause_at_once() -> None:
    raw = Raw()
    raw.send(frame(TEXT, b"good"))
    raw.far.sink.add_error(LookupError("below"))
    assert await raw.channel.recv() == "good"
    with pytest.raises(ConnectionClosed, match="below") as caught:
        await raw.channel.recv()
    assert isinstance(caught.value.__cause__, LookupError)
    await raw.channel.sink.done
    await raw.far.sink.done


@each_loop
async def test_the_end_of_the_channel_below_without_a_close_frame_is_1006() -> None:
    raw = Raw()
    raw.send(frame(TEXT, b"good"), frame(TEXT, b"half")[:3])
    raw.far.sink.close()
    assert await raw.channel.recv() == "good"
    with pytest.raises(ConnectionClosed) as caught:
        await raw.channel.recv()
    assert caught.value.code == raw.channel.close_code == 1006
    await raw.channel.sink.done


@pytest.mark.parametrize("together", [True, False])
@each_loop
async def test_a_good_frame_before_a_bad_one_is_answered_before_the_connection_fails(together: bool) -> None:
    raw = Raw()
    raw.channel.stream.listen(raw.channel.sink.add, on_error=lambda _: None)
    chunks = (frame(TEXT, b"good"), frame(PING, b"p"), frame(TEXT, b"\xff"), frame(TEXT, b"not read any more"))
    raw.send(*([b"".join(chunks)] if together else chunks))
    seen = [await raw.read_frame() for _ in range(3)]
    assert {(received.opcode, received.payload) for received in seen[:2]} == {(TEXT, b"good"), (PONG, b"p")}
    assert (seen[2].opcode, seen[2].code) == (CLOSE, 1007)
    assert raw.channel.close_code == 1006
    await raw.channel.sink.done


# Closing.


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000])
@each_loop
async def test_codes_that_may_not_be_sent_are_refused_before_anything_is_sent(code: int) -> None:
    raw = Raw()
    with pytest.raises(ValueError, match="may not be sent"):
        raw.channel.sink.close(code)
    for reason in ("x" * 124, "ü" * 62):
        with pytest.raises(ValueError, match="123 bytes"):
            raw.channel.sink.close(1000, reason)
    raw.channel.sink.add("still open")
    assert (await raw.read_frame()).payload == b"still open"
    raw.channel.sink.close(1000, "x" * 123)
    assert (await raw.read_frame()).payload == b"\x03\xe8" + b"x" * 123
    raw.channel.abort()


@each_loop
async def test_closing_with_nobody_listening_takes_the_code_of_the_peer() -> None:
    raw = Raw()
    done = raw.channel.sink.close()
    received = await raw.read_frame()
    assert (received.opcode, received.payload, received.masked) == (CLOSE, b"", True)
    raw.send(frame(TEXT, b"on its way"), close_frame(3000, "theirs"))
    raw.far.sink.close()
    await done
    assert (raw.channel.close_code, raw.channel.close_reason) == (3000, "theirs")


@pytest.mark.parametrize("server_side", [False, True])
@each_loop
async def test_a_peer_that_never_answers_is_dropped(server_side: bool) -> None:
    raw = Raw(server_side=server_side, close_timeout=0.1)
    with within(10, at_least=0.05):
        await raw.channel.sink.close(1000)
    assert raw.channel.close_code == 1006
    await until(raw.far.sink._is_gone)


class Stuck(StreamController[bytes]):
    """A sink that never finishes closing, nor flushing."""

    def close(self) -> asyncio.Future[None]:
        return asyncio.get_running_loop().create_future()

    flush = close


@each_loop
async def test_a_sink_that_never_finishes_does_not_hold_us_longer_than_the_timeout() -> None:
    incoming: StreamController[bytes] = StreamController()
    channel = WebSocketChannel(StreamChannel(incoming.stream, Stuck()), close_timeout=0.1)
    channel.sink.add(b"x" * 100_000)  # more than write_limit, so that it is flushed
    sending = asyncio.create_task(channel.send("waits"))
    incoming.add(close_frame(3000, masked=True))
    with within(10):
        await channel.sink.done
        await sending
    assert channel.close_code == 3000


@each_loop
async def test_a_sink_that_breaks_loses_the_connection() -> None:
    class Broken(StreamController[bytes]):
        def add(self, item: bytes) -> None:
            raise LookupError("broken")

    channel = WebSocketChannel(StreamChannel(StreamController().stream, Broken()))
    channel.sink.add("x")
    with pytest.raises(ConnectionClosed, match="broken"):
        await channel.recv()
    await channel.sink.done


@each_loop
async def test_a_sink_with_a_smaller_bound_loses_the_connection() -> None:
    pair: StreamChannelController[bytes] = StreamChannelController(pause_at=4, max_waiting=8)
    channel = WebSocketChannel(pair.local)
    for _ in range(20):
        channel.sink.add(b"x" * 70_000)
    with pytest.raises(ConnectionClosed) as caught:
        await channel.recv()
    assert isinstance(caught.value.__cause__, BackPressureError)
    await channel.sink.done


@each_loop
async def test_the_channel_below_closed_from_elsewhere_loses_the_connection() -> None:
    near, _ = byte_channels.memory_pair()
    channel = WebSocketChannel(near)
    near.sink.close()
    channel.sink.add("x")
    with pytest.raises(ConnectionClosed):
        await channel.recv()
    await channel.sink.done


# Time.


@each_loop
async def test_keepalive_keeps_a_peer_that_answers_and_drops_one_that_does_not() -> None:
    client, server = (
        WebSocketChannel(end, server_side=side, ping_interval=0.02, ping_timeout=5)
        for end, side in zip(byte_channels.memory_pair(), (False, True), strict=True)
    )
    await until(lambda: client.latency and server.latency)
    await client.sink.close()
    await server.sink.done
    raw = Raw(ping_interval=0.02, ping_timeout=0.1)
    with within(10):
        await raw.channel.sink.done
    assert (await raw.read_frame()).opcode == PING
    with pytest.raises(ConnectionClosed) as caught:
        await raw.channel.recv()
    assert isinstance(caught.value.__cause__, TimeoutError)


# Back pressure.


@each_kind
@each_loop
async def test_a_slow_reader_at_the_far_end_makes_send_wait(kind: str) -> None:
    sent = 0

    async def send() -> None:
        nonlocal sent
        for _ in range(400):
            await client.send(b"x" * 100_000)
            sent += 1

    async with open_pair(kind) as (client, server):
        sending = asyncio.create_task(send())
        seen = -1
        while seen != sent:
            seen = sent
            await asyncio.sleep(0.3)
        assert not sending.done()
        for _ in range(400):
            assert len(await server.recv()) == 100_000
        await sending
        await client.sink.flush()


@each_kind
@each_loop
async def test_pausing_the_stream_pauses_the_channel_below(kind: str) -> None:
    async with open_pair(kind) as (client, server):
        got = []
        listener = server.stream.listen(got.append)
        listener.pause()
        sending = asyncio.create_task(client.sink.add_stream(b"x" * 100_000 for _ in range(300)))  # noqa: RUF006
        await asyncio.sleep(0.2)
        assert not sending.done()
        assert got == []
        listener.resume()
        await sending
        await until(lambda: len(got) == 300)


@each_loop
async def test_adding_without_end_is_refused() -> None:
    raw = Raw(max_buffered=10**6)
    with pytest.raises(BackPressureError, match="max_buffered"):  # noqa: PT012
        for _ in range(100):
            raw.channel.sink.add(b"x" * 50_000)
    raw.channel.abort()


# Mistakes.


@pytest.mark.parametrize("wrong", [None, b"bytes", 5, object()])
@each_loop
async def test_what_is_no_channel_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match="StreamChannel of bytes"):
        WebSocketChannel(wrong)


@each_loop
async def test_options_are_checked_before_the_channel_is_taken() -> None:
    near, _ = byte_channels.memory_pair()
    for options in ({"ping_interval": 0}, {"close_timeout": None}, {"read_limit": 0}, {"max_message_size": 0}):
        with pytest.raises(ValueError):
            WebSocketChannel(near, **options)
    WebSocketChannel(near).abort()


@each_loop
async def test_a_channel_that_is_read_already_is_refused() -> None:
    near, _ = byte_channels.memory_pair()
    near.stream.listen()
    with pytest.raises(ChannelStateError):
        WebSocketChannel(near)


def test_without_a_loop_there_is_no_channel() -> None:
    async def make() -> StreamChannel[bytes]:
        return byte_channels.memory_pair()[0]

    near = asyncio.run(make())
    with pytest.raises(RuntimeError, match="no running event loop"):
        WebSocketChannel(near)


@each_loop
async def test_protocol_repr_and_ready() -> None:
    near, _ = byte_channels.memory_pair()
    channel = WebSocketChannel(near, "chat")
    await channel.ready
    assert channel.protocol == "chat"
    assert "open" in repr(channel)
    channel.abort()
    assert "closed with 1006" in repr(channel)


@each_loop
async def test_a_websocket_over_a_websocket() -> None:
    async with open_pair() as (outer_client, outer_server):
        client = WebSocketChannel(outer_client, server_side=False)
        server = WebSocketChannel(outer_server)
        client.sink.add("hello")
        assert await server.recv() == "hello"
        await client.sink.close(3000)
        await server.sink.done
        assert server.close_code == 3000

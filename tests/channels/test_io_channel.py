"""``IOWebSocketChannel`` over connections that somebody else has opened, and byte channels with peers of other libraries."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import websockets
import websockets.asyncio.client
import websockets.asyncio.server

from cwschannel import (
    ChannelStateError,
    ConnectionClosed,
    Headers,
    IOWebSocketChannel,
    Request,
    WebSocketChannel,
    byte_channels,
)

from .over_bytes import open_pair, tcp
from .running import each_loop, until, within
from .wire import ACCEPT, CLOSE, PING, REQUEST, TEXT, accept_value, close_frame, frame, header, raw_client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


def over_writer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, **options: Any) -> WebSocketChannel:
    return IOWebSocketChannel(writer, received=reader._buffer, **options)  # there is no public way to see what it holds


def over_streams(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, **options: Any) -> WebSocketChannel:
    return WebSocketChannel(byte_channels.from_streams(reader, writer), **options)


def over_transport(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, **options: Any) -> WebSocketChannel:
    return WebSocketChannel(byte_channels.from_transport(writer, reader._buffer), **options)


each_way = pytest.mark.parametrize("make", [over_writer, over_streams, over_transport])


@contextlib.asynccontextmanager
async def upgrading(make: Callable[..., WebSocketChannel], **options: Any) -> AsyncIterator[tuple[int, list[Any]]]:
    """A server that makes the upgrade by hand and echoes. Yields its port, and the channels that it has made."""
    channels: list[WebSocketChannel] = []
    tasks = set()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        accept = WebSocketChannel.sign_key(header(head, "Sec-WebSocket-Key"))
        writer.write(
            f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {accept}\r\n\r\n".encode()
        )
        channel = make(reader, writer, **options)
        channels.append(channel)
        del reader, writer
        gc.collect()
        with contextlib.suppress(ConnectionClosed):
            async for message in channel.stream:
                await channel.send(message)
        await channel.sink.done

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], channels
    finally:
        server.close()
        for channel in channels:
            channel.abort()
        await asyncio.gather(*tasks)


MESSAGES = ["hello", b"\x00\xff", "grün" * 1000, b"x" * 300_000, ""]


@each_way
@each_loop
async def test_a_client_of_websockets(make: Any) -> None:
    async with upgrading(make) as (port, channels):
        async with websockets.asyncio.client.connect(f"ws://127.0.0.1:{port}/", compression=None) as client:
            for message in MESSAGES:
                await client.send(message)
                assert await client.recv() == message
            await (await client.ping())
            await client.close(4000, "theirs")
        await until(lambda: channels[0].close_code == 4000)
        assert channels[0].close_reason == "theirs"


@each_way
@each_loop
async def test_a_client_of_aiohttp(make: Any) -> None:
    async with (
        upgrading(make) as (port, channels),
        aiohttp.ClientSession() as session,
        session.ws_connect(f"http://127.0.0.1:{port}/") as client,
    ):
        for message in MESSAGES:
            await (client.send_str if isinstance(message, str) else client.send_bytes)(message)
            assert (await client.receive()).data == message
        channels[0].sink.close(3000, "ours")
        assert (await client.receive()).data == 3000
        await channels[0].sink.done


@each_way
@each_loop
async def test_a_server_of_websockets(make: Any) -> None:
    async def echo(connection: Any) -> None:
        async for message in connection:
            await connection.send(message)

    async with websockets.asyncio.server.serve(echo, "127.0.0.1", 0, compression=None) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.sockets[0].getsockname()[1])
        writer.write(REQUEST)
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        assert header(head, "Sec-WebSocket-Accept") == ACCEPT == accept_value("dGhlIHNhbXBsZSBub25jZQ==")
        async with make(reader, writer, server_side=False) as channel:
            for message in MESSAGES:
                channel.sink.add(message)
                assert await channel.recv() == message
            await channel.sink.close(4001, "ours")
        assert (channel.close_code, channel.close_reason) == (4001, "ours")


@each_way
@each_loop
async def test_frames_in_the_same_segment_as_the_request(make: Any) -> None:
    async with upgrading(make) as (port, _), raw_client(port) as wire:
        await wire.upgrade(then=frame(TEXT, b"early", masked=True) + frame(TEXT, b"half", masked=True)[:5])
        assert (await wire.read_frame()).payload == b"early"
        await wire.send(frame(TEXT, b"half", masked=True)[5:] + close_frame(1000, masked=True))
        assert (await wire.read_frame()).payload == b"half"
        assert (await wire.read_frame()).code == 1000
        assert await wire.read_all() == b""


@each_loop
async def test_a_reader_that_had_paused_the_transport() -> None:
    near, far = socket.socketpair()
    with far:
        reader, writer = await asyncio.open_connection(sock=near)
        data = b"".join(frame(TEXT, b"%d" % number * 100, masked=True) for number in range(2000))
        far.setblocking(False)
        sending = asyncio.create_task(asyncio.get_running_loop().sock_sendall(far, data))
        await until(lambda: len(reader._buffer) > 2**17)
        channel = over_writer(reader, writer)
        for number in range(2000):
            assert await channel.recv() == str(number) * 100
        await sending
        channel.abort()
        await channel.sink.done


@pytest.mark.parametrize("wrong", [None, 5, "text", object()])
@each_loop
async def test_what_is_no_transport_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match=f"StreamWriter, and not {type(wrong).__name__}"):
        IOWebSocketChannel(wrong)


@each_loop
async def test_mistakes_are_told_before_the_transport_is_taken_over() -> None:
    near, far = socket.socketpair()
    with far:
        reader, writer = await asyncio.open_connection(sock=near)
        for options, error in (({"received": "text"}, TypeError), ({"ping_interval": 0}, ValueError)):
            with pytest.raises(error):
                IOWebSocketChannel(writer, **options)  # type: ignore[arg-type]
        far.sendall(b"x")
        assert await reader.read(1) == b"x"
        writer.close()


@each_loop
async def test_a_transport_that_is_closed_already_makes_a_channel_that_ends() -> None:
    for passes in (0, 3):
        near, far = socket.socketpair()
        with far:
            _, writer = await asyncio.open_connection(sock=near)
            writer.close()
            for _ in range(passes):
                await asyncio.sleep(0.01)
            channel = IOWebSocketChannel(writer)
            with within(5), pytest.raises(ConnectionClosed):
                await channel.recv()
            channel.abort()
            await channel.sink.done
            assert channel.close_code == 1006


@each_loop
async def test_request_response_protocol_and_addresses() -> None:
    near, far = socket.socketpair()
    with far:
        _, writer = await asyncio.open_connection(sock=near)
        channel = IOWebSocketChannel(writer, "chat")
        assert channel.protocol == "chat"
        assert channel.response is None
        with pytest.raises(ChannelStateError, match="request="):
            _ = channel.request
        assert "open" in repr(channel)
        assert channel.get_extra_info("socket") is not None
        channel.abort()
        await channel.sink.done
        near, other = socket.socketpair()
        with other:
            _, writer = await asyncio.open_connection(sock=near)
            request = Request("GET", "/path", Headers([("Host", "here")]))
            channel = IOWebSocketChannel(writer, request=request)
            assert channel.request is request
            assert "/path" in repr(channel)
            channel.abort()
            await channel.sink.done


# The same bytes make the same of a byte channel and of a transport.

SEQUENCES: dict[str, bytes] = {
    "messages": frame(TEXT, b"a", masked=True) + frame(2, b"b" * 70_000, masked=True),
    "fragments": frame(TEXT, b"a", fin=False, masked=True) + frame(PING, b"p", masked=True) + frame(0, b"b", masked=True),
    "close": frame(TEXT, b"a", masked=True) + close_frame(4000, "why", masked=True) + frame(TEXT, b"late", masked=True),
    "empty close": close_frame(masked=True),
    "close of one byte": frame(CLOSE, b"\x03", masked=True),
    "close with a bad code": frame(TEXT, b"a", masked=True) + close_frame(1006, masked=True),
    "close with a bad reason": frame(CLOSE, b"\x03\xe8\xff", masked=True),
    "not masked": frame(TEXT, b"a", masked=True) + frame(TEXT, b"b"),
    "reserved bits": frame(TEXT, b"a", rsv=0x40, masked=True),
    "reserved opcode": frame(TEXT, b"a", masked=True) + frame(3, b"b", masked=True),
    "no UTF-8": frame(TEXT, b"a", masked=True) + frame(TEXT, b"\xed\xa0\x80", masked=True),
    "no start": frame(0, b"a", masked=True),
    "start within": frame(TEXT, b"a", fin=False, masked=True) + frame(TEXT, b"b", masked=True),
    "long ping": frame(PING, b"p" * 126, masked=True),
    "fragmented ping": frame(PING, b"p", fin=False, masked=True),
    "too big": frame(TEXT, b"a", masked=True) + b"\x82\xff" + (2**21).to_bytes(8, "big") + b"mask",
    "ping": frame(PING, b"p", masked=True) + frame(10, b"unasked", masked=True),
    "half a frame": frame(TEXT, b"abc", masked=True)[:-1],
}


async def outcome(make: Any, data: bytes, size: int) -> Any:
    """What our end makes of the bytes, and what it answers."""
    near, far = socket.socketpair()
    far.setblocking(False)
    loop = asyncio.get_running_loop()
    with far:
        channel = make(*await asyncio.open_connection(sock=near))
        events: list[Any] = []
        channel.stream.listen(
            events.append,
            on_error=lambda error: events.append((str(error), error.code, repr(error.__cause__))),
            on_done=lambda: events.append("done"),
        )
        for start in range(0, len(data), size):
            with contextlib.suppress(ConnectionError):
                await loop.sock_sendall(far, data[start : start + size])
        with contextlib.suppress(OSError):
            far.shutdown(socket.SHUT_WR)
        answer = b""
        with contextlib.suppress(ConnectionError):
            while piece := await loop.sock_recv(far, 65536):
                answer += piece
        await channel.sink.done
    return events, answer, channel.close_code, channel.close_reason


@pytest.mark.parametrize("name", SEQUENCES)
@each_loop
async def test_the_same_bytes_have_the_same_outcome(name: str) -> None:
    data = SEQUENCES[name]
    for size in (len(data), 1 if len(data) < 1000 else 5000):
        expected = await outcome(over_writer, data, size)
        for make in (over_streams, over_transport):
            assert await outcome(make, data, size) == expected


@each_loop
async def test_both_kinds_speak_to_each_other() -> None:
    async with open_pair(lambda: tcp(make="transport")) as (client, server):
        client.sink.add("hello")
        assert await server.recv() == "hello"

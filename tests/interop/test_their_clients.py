"""Our server against the clients of websockets, aiohttp, picows and websocket-client."""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import websockets.asyncio.client

import cwschannel

from ..channels.running import each_loop, serving, until
from .messages import CLOSE_CODES, FRAGMENTS, SIZES, binary, raw_fragments, text

try:
    import picows
except ImportError:
    picows = None
try:
    import websocket
except ImportError:
    websocket = None

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

LIMIT = 2**25

# Each client has the same face here: send, recv, ping (returns when the pong came), send_fragments, close; protocol, and
# close_code and close_reason once recv has returned None.


class Websockets:
    @classmethod
    @contextlib.asynccontextmanager
    async def connect(cls, uri: str, protocols: list[str], *, compression: str | None = None) -> AsyncIterator[Any]:
        async with websockets.asyncio.client.connect(
            uri, subprotocols=protocols or None, compression=compression, max_size=LIMIT, proxy=None
        ) as connection:
            yield cls(connection)

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.protocol = connection.subprotocol

    async def send(self, message: str | bytes) -> None:
        await self.connection.send(message)

    async def recv(self) -> str | bytes | None:
        try:
            return await self.connection.recv()
        except websockets.exceptions.ConnectionClosed:
            return None

    async def ping(self) -> None:
        await (await self.connection.ping(b"theirs"))

    async def send_fragments(self, kind: str) -> None:
        async def fragments() -> AsyncIterator[str | bytes]:
            for fragment in FRAGMENTS:
                yield fragment if kind == "text" else fragment.encode()
                await (await self.connection.ping())

        await self.connection.send(fragments())

    async def close(self, code: int, reason: str) -> None:
        await self.connection.close(code, reason)

    @property
    def close_code(self) -> int:
        return self.connection.close_code

    @property
    def close_reason(self) -> str:
        return self.connection.close_reason


class Aiohttp:
    @classmethod
    @contextlib.asynccontextmanager
    async def connect(cls, uri: str, protocols: list[str], *, compression: str | None = None) -> AsyncIterator[Any]:
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(
                uri, protocols=protocols, compress=15 if compression else 0, max_msg_size=LIMIT, autoping=False
            ) as connection,
        ):
            yield cls(connection)

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.protocol = connection.protocol
        self.close_reason: str | None = None

    async def send(self, message: str | bytes) -> None:
        await (self.connection.send_str if isinstance(message, str) else self.connection.send_bytes)(message)

    async def recv(self) -> str | bytes | None:
        while True:
            message = await self.connection.receive()
            if message.type is aiohttp.WSMsgType.PING:
                await self.connection.pong(message.data)
            elif message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                return message.data
            elif message.type is not aiohttp.WSMsgType.PONG:
                self.close_reason = message.extra
                return None

    async def ping(self) -> None:
        await self.connection.ping(b"theirs")
        message = await self.connection.receive()
        assert (message.type, message.data) == (aiohttp.WSMsgType.PONG, b"theirs")

    async def send_fragments(self, kind: str) -> None:
        # aiohttp fragments nothing by itself.
        for data in raw_fragments(1 if kind == "text" else 2, masked=True):
            self.connection._conn.transport.write(data)

    async def close(self, code: int, reason: str) -> None:
        await self.connection.close(code=code, message=reason.encode())

    @property
    def close_code(self) -> int:
        return self.connection.close_code


class Picows:
    @classmethod
    @contextlib.asynccontextmanager
    async def connect(cls, uri: str, protocols: list[str], *, compression: str | None = None) -> AsyncIterator[Any]:
        client = cls()

        class Listener(picows.WSListener):
            def on_ws_frame(self, transport: Any, frame: Any) -> None:
                client.on_frame(frame)

        headers = {"Sec-WebSocket-Protocol": ", ".join(protocols)} if protocols else None
        client.transport, _ = await picows.ws_connect(
            Listener, uri, extra_headers=headers, max_frame_size=LIMIT, use_aiofastnet=False
        )
        client.protocol = client.transport.response.headers.get("Sec-WebSocket-Protocol")
        try:
            yield client
        finally:
            client.transport.disconnect()
            await client.transport.wait_disconnected()

    def __init__(self) -> None:
        self.received: asyncio.Queue[Any] = asyncio.Queue()
        self.transport: Any = None

    def on_frame(self, frame: Any) -> None:
        kind = frame.msg_type
        if kind is picows.WSMsgType.TEXT:
            self.received.put_nowait(frame.get_payload_as_utf8_text())
        elif kind is picows.WSMsgType.BINARY:
            self.received.put_nowait(frame.get_payload_as_bytes())
        elif kind is picows.WSMsgType.PONG:
            self.received.put_nowait(("pong", frame.get_payload_as_bytes()))
        elif kind is picows.WSMsgType.CLOSE:
            self.close_code = int(getattr(frame.get_close_code(), "value", frame.get_close_code()))
            self.close_reason = frame.get_close_reason()
            if not self.transport.is_close_frame_sent:
                self.transport.send(kind, frame.get_payload_as_bytes())
            self.received.put_nowait(None)

    async def send(self, message: str | bytes) -> None:
        if isinstance(message, str):
            self.transport.send(picows.WSMsgType.TEXT, message.encode())
        else:
            self.transport.send(picows.WSMsgType.BINARY, message)

    async def recv(self) -> str | bytes | None:
        while isinstance(received := await self.received.get(), tuple):
            pass  # the pongs of send_fragments
        return received

    async def ping(self) -> None:
        self.transport.send_ping(b"theirs")
        assert await self.received.get() == ("pong", b"theirs")

    async def send_fragments(self, kind: str) -> None:
        opcode = picows.WSMsgType.TEXT if kind == "text" else picows.WSMsgType.BINARY
        for number, fragment in enumerate(FRAGMENTS):
            self.transport.send(opcode, fragment.encode(), fin=number == len(FRAGMENTS) - 1)
            opcode = picows.WSMsgType.CONTINUATION
            self.transport.send_ping(b"between")

    async def close(self, code: int, reason: str) -> None:
        self.transport.send_close(code, reason.encode())
        assert await self.recv() is None


class WebsocketClient:
    """websocket-client blocks, so each call is made in a thread."""

    @classmethod
    @contextlib.asynccontextmanager
    async def connect(cls, uri: str, protocols: list[str], *, compression: str | None = None) -> AsyncIterator[Any]:
        connection = await asyncio.to_thread(
            websocket.create_connection,
            uri,
            timeout=10,
            subprotocols=protocols or None,
            http_no_proxy=["*"],
            skip_utf8_validation=True,  # it takes seconds for 16 MiB; recv() decodes
        )
        try:
            yield cls(connection)
        finally:
            connection.shutdown()

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.protocol = connection.subprotocol
        self.close_code: int | None = None
        self.close_reason: str | None = None

    async def _next(self) -> tuple[int, Any]:
        return await asyncio.to_thread(self.connection.recv_data, True)

    async def send(self, message: str | bytes) -> None:
        opcode = websocket.ABNF.OPCODE_TEXT if isinstance(message, str) else websocket.ABNF.OPCODE_BINARY
        await asyncio.to_thread(self.connection.send, message, opcode)

    async def recv(self) -> str | bytes | None:
        while True:
            opcode, data = await self._next()
            if opcode == websocket.ABNF.OPCODE_TEXT:
                return data.decode()
            if opcode == websocket.ABNF.OPCODE_BINARY:
                return data
            if opcode == websocket.ABNF.OPCODE_CLOSE:
                self.close_code = int.from_bytes(data[:2], "big") if data else 1005
                self.close_reason = data[2:].decode()
                return None

    async def ping(self) -> None:
        await asyncio.to_thread(self.connection.ping, b"theirs")
        assert await self._next() == (websocket.ABNF.OPCODE_PONG, b"theirs")

    async def send_fragments(self, kind: str) -> None:
        def send() -> None:
            opcode = websocket.ABNF.OPCODE_TEXT if kind == "text" else websocket.ABNF.OPCODE_BINARY
            for number, fragment in enumerate(FRAGMENTS):
                data = fragment if kind == "text" and number == 0 else fragment.encode()
                frame = websocket.ABNF.create_frame(data, opcode, int(number == len(FRAGMENTS) - 1))
                self.connection.send_frame(frame)
                opcode = websocket.ABNF.OPCODE_CONT
                self.connection.ping(b"between")

        await asyncio.to_thread(send)

    async def close(self, code: int, reason: str) -> None:
        await asyncio.to_thread(self.connection.close, code, reason.encode(), 5)


def _unless_missing(client: type, module: Any, name: str) -> Any:
    return pytest.param(client, id=name, marks=pytest.mark.skipif(module is None, reason=f"{name} is not installed"))


CLIENTS = [
    _unless_missing(Websockets, websockets, "websockets"),
    _unless_missing(Aiohttp, aiohttp, "aiohttp"),
    _unless_missing(Picows, picows, "picows"),
    _unless_missing(WebsocketClient, websocket, "websocket-client"),
]
clients = pytest.mark.parametrize("client", CLIENTS)


@contextlib.asynccontextmanager
async def both(
    client: Any, handler: Callable[[cwschannel.IOWebSocketChannel], Any] | None = None, *, offered: Any = (), **more: Any
) -> AsyncIterator[tuple[Any, cwschannel.IOWebSocketChannel]]:
    """Their client and our channel."""
    opened: list[cwschannel.IOWebSocketChannel] = []
    async with (
        serving(opened.append, max_message_size=LIMIT, protocols=["b", "c"]) as (_, uri),
        client.connect(uri, list(offered), **more) as theirs,
    ):
        await until(lambda: opened)
        try:
            yield theirs, opened[0]
        finally:
            if opened[0].close_code is None:
                opened[0].sink.close(1000)


@pytest.mark.parametrize("size", SIZES)
@clients
@each_loop
async def test_messages_of_any_size_go_both_ways(client: Any, size: int) -> None:
    async with both(client) as (theirs, ours):
        for message in (binary(size), text(size)):
            sending = asyncio.create_task(theirs.send(message))
            assert await ours.recv() == message
            await sending
            ours.sink.add(message)
            assert await theirs.recv() == message


@clients
@each_loop
async def test_bursts_arrive_in_order(client: Any) -> None:
    async with both(client) as (theirs, ours):
        numbers = random.Random(3)
        burst = [(binary if numbers.random() < 0.5 else text)(numbers.choice([0, 5, 200, 3000])) for _ in range(200)]
        for message in burst:
            ours.sink.add(message)
        assert [await theirs.recv() for _ in burst] == burst
        for message in burst:
            await theirs.send(message)
        assert [await ours.recv() for _ in burst] == burst


@pytest.mark.parametrize("kind", ["text", "binary"])
@clients
@each_loop
async def test_fragments_with_pings_between_them_are_put_together(client: Any, kind: str) -> None:
    async with both(client) as (theirs, ours):
        await theirs.send_fragments(kind)
        whole = "".join(FRAGMENTS)
        assert await ours.recv() == (whole if kind == "text" else whole.encode())
        await theirs.send("after")
        assert await ours.recv() == "after"


@clients
@each_loop
async def test_pings_go_both_ways(client: Any) -> None:
    async with both(client) as (theirs, ours):
        await theirs.ping()
        receiving = asyncio.create_task(theirs.recv())  # some answer only while they receive
        assert await ours.ping() > 0
        ours.sink.add("end")
        assert await receiving == "end"


@pytest.mark.parametrize(("code", "reason"), CLOSE_CODES)
@clients
@each_loop
async def test_their_code_and_reason_arrive(client: Any, code: int, reason: str) -> None:
    async with both(client) as (theirs, ours):
        await theirs.send("last")
        await asyncio.wait_for(theirs.close(code, reason), 5)
        await ours.sink.done
        assert (ours.close_code, ours.close_reason) == (code, reason)
        assert await ours.recv() == "last"


@pytest.mark.parametrize(("code", "reason"), [*CLOSE_CODES, (None, "")])
@clients
@each_loop
async def test_our_code_and_reason_arrive(client: Any, code: int | None, reason: str) -> None:
    async with both(client) as (theirs, ours):
        closing = ours.sink.close(code, reason)
        assert await asyncio.wait_for(theirs.recv(), 5) is None
        await closing
        # Nothing to say is 1005. picows has 0 for it, and aiohttp goes on to wait for a frame with a code.
        assert theirs.close_code in ((code,) if code else (1005, 0, 1006))
        assert (theirs.close_reason or "") == reason
        assert ours.close_code in (code or 1005, 1000)


@pytest.mark.parametrize(("offered", "chosen"), [(["c", "b"], "b"), (["a", "c"], "c"), (["a"], None), ([], None)])
@clients
@each_loop
async def test_subprotocols_are_agreed_on(client: Any, offered: list[str], chosen: str | None) -> None:
    if client is WebsocketClient and offered and chosen is None:
        pytest.skip("websocket-client fails when the server chooses none, which RFC 6455 section 4.2.2 allows")
    async with both(client, offered=offered) as (theirs, ours):
        assert theirs.protocol == ours.protocol == chosen


@pytest.mark.parametrize("client", CLIENTS[:2])
@each_loop
async def test_a_client_that_would_compress_does_not(client: Any) -> None:
    async with both(client, compression="deflate") as (theirs, ours):
        assert "permessage-deflate" in ours.request.headers["sec-websocket-extensions"]
        assert "sec-websocket-extensions" not in ours.response.headers
        message = "compressible " * 1000
        await theirs.send(message)
        assert await ours.recv() == message
        ours.sink.add(message)
        assert await theirs.recv() == message

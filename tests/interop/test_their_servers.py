"""Our client against the servers of websockets, aiohttp and picows."""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import websockets.asyncio.server
from aiohttp import web

import cwschannel
from cwschannel import ConnectionClosed

from ..channels.running import each_loop, until
from .messages import CLOSE_CODES, FRAGMENTS, SIZES, binary, raw_fragments, text

try:
    import picows
except ImportError:
    picows = None

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

LIMIT = 2**25

# Each server echoes messages, and obeys these texts:
#   "close <code> <reason>"   close with that
#   "fragments <kind>"        send FRAGMENTS as one message, with pings between them
#   "ping"                    ping us, and say "ponged" when the pong came


def choose(_: Any, offered: Sequence[str]) -> str | None:
    return next((protocol for protocol in ("b", "c") if protocol in offered), None)


@contextlib.asynccontextmanager
async def serve_websockets(*, compression: str | None = None) -> AsyncIterator[tuple[str, list[Any]]]:
    closed: list[Any] = []

    async def handler(connection: Any) -> None:
        with contextlib.suppress(websockets.exceptions.ConnectionClosed):
            async for message in connection:
                command, _, rest = message.partition(" ") if isinstance(message, str) else ("", "", "")
                if command == "close":
                    code, _, reason = rest.partition(" ")
                    await connection.close(int(code), reason)
                elif command == "fragments":

                    async def fragments(kind: str = rest) -> AsyncIterator[str | bytes]:
                        for fragment in FRAGMENTS:
                            yield fragment if kind == "text" else fragment.encode()
                            await (await connection.ping())

                    # A task of its own receives meanwhile: the library reads pongs by itself.
                    await connection.send(fragments())
                elif command == "ping":
                    await (await connection.ping(b"theirs"))
                    await connection.send("ponged")
                else:
                    await connection.send(message)
        closed.append((connection.close_code, connection.close_reason))

    async with websockets.asyncio.server.serve(
        handler,
        "127.0.0.1",
        0,
        compression=compression,
        max_size=LIMIT,
        select_subprotocol=choose,
    ) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/", closed


@contextlib.asynccontextmanager
async def serve_aiohttp(*, compression: str | None = None) -> AsyncIterator[tuple[str, list[Any]]]:
    closed: list[Any] = []

    async def handler(request: web.Request) -> web.WebSocketResponse:
        connection = web.WebSocketResponse(
            compress=bool(compression), max_msg_size=LIMIT, protocols=("b", "c"), autoping=False
        )
        await connection.prepare(request)
        async for message in connection:
            if message.type is aiohttp.WSMsgType.PING:
                await connection.pong(message.data)
            elif message.type is aiohttp.WSMsgType.PONG:
                await connection.send_str("ponged")
            elif message.type is aiohttp.WSMsgType.BINARY:
                await connection.send_bytes(message.data)
            else:
                command, _, rest = message.data.partition(" ")
                if command == "close":
                    code, _, reason = rest.partition(" ")
                    await connection.close(code=int(code), message=reason.encode())
                elif command == "fragments":  # aiohttp sends none by itself
                    for data in raw_fragments(1 if rest == "text" else 2, masked=False):
                        request.transport.write(data)
                elif command == "ping":
                    await connection.ping(b"theirs")
                else:
                    await connection.send_str(message.data)
        closed.append((connection.close_code, None))
        return connection

    app = web.Application()
    app.router.add_get("/", handler)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"ws://127.0.0.1:{runner.addresses[0][1]}/", closed
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def serve_picows(*, compression: str | None = None) -> AsyncIterator[tuple[str, list[Any]]]:
    closed: list[Any] = []

    class Listener(picows.WSListener):
        def on_ws_frame(self, transport: Any, frame: Any) -> None:
            kind = frame.msg_type
            if kind is picows.WSMsgType.PONG:
                transport.send(picows.WSMsgType.TEXT, b"ponged")
            elif kind is picows.WSMsgType.CLOSE:
                code = int(getattr(frame.get_close_code(), "value", frame.get_close_code()))
                closed.append((code, frame.get_close_reason()))
                transport.send(kind, frame.get_payload_as_bytes())
                transport.disconnect()
            elif kind is picows.WSMsgType.BINARY:
                transport.send(kind, frame.get_payload_as_bytes())
            elif kind is picows.WSMsgType.TEXT:
                self.on_text(transport, frame.get_payload_as_utf8_text())

        def on_text(self, transport: Any, message: str) -> None:
            command, _, rest = message.partition(" ")
            if command == "close":
                code, _, reason = rest.partition(" ")
                transport.send_close(int(code), reason.encode())
            elif command == "fragments":
                kind = picows.WSMsgType.TEXT if rest == "text" else picows.WSMsgType.BINARY
                for number, fragment in enumerate(FRAGMENTS):
                    transport.send(kind, fragment.encode(), fin=number == len(FRAGMENTS) - 1)
                    kind = picows.WSMsgType.CONTINUATION
                    transport.send_ping(b"between")
            elif command == "ping":
                transport.send_ping(b"theirs")
            else:
                transport.send(picows.WSMsgType.TEXT, message.encode())

    def factory(request: Any) -> Any:
        offered = request.headers.get("Sec-WebSocket-Protocol", "").replace(" ", "").split(",")
        chosen = choose(None, offered)
        headers = {"Sec-WebSocket-Protocol": chosen} if chosen else None
        return picows.WSUpgradeResponseWithListener(picows.WSUpgradeResponse.create_101_response(headers), Listener())

    server = await picows.ws_create_server(factory, "127.0.0.1", 0, max_frame_size=LIMIT, use_aiofastnet=False)
    async with server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/", closed


SERVERS = [
    pytest.param(serve_websockets, id="websockets"),
    pytest.param(serve_aiohttp, id="aiohttp"),
    pytest.param(serve_picows, id="picows", marks=pytest.mark.skipif(picows is None, reason="picows is not installed")),
]
servers = pytest.mark.parametrize("serve", SERVERS)


@pytest.mark.parametrize("size", SIZES)
@servers
@each_loop
async def test_messages_of_any_size_come_back(serve: Any, size: int) -> None:
    async with serve() as (uri, _), cwschannel.connect(uri, max_message_size=LIMIT) as channel:
        for message in (binary(size), text(size)):
            await channel.send(message)
            assert await channel.recv() == message


@servers
@each_loop
async def test_a_burst_comes_back_in_order(serve: Any) -> None:
    async with serve() as (uri, _), cwschannel.connect(uri) as channel:
        numbers = random.Random(3)
        burst = [(binary if numbers.random() < 0.5 else text)(numbers.choice([0, 5, 200, 3000])) for _ in range(300)]
        for message in burst:
            channel.sink.add(message)
        assert [await channel.recv() for _ in burst] == burst


@pytest.mark.parametrize("kind", ["text", "binary"])
@servers
@each_loop
async def test_fragments_with_pings_between_them_are_put_together(serve: Any, kind: str) -> None:
    async with serve() as (uri, _), cwschannel.connect(uri) as channel:
        channel.sink.add(f"fragments {kind}")
        whole = "".join(FRAGMENTS)
        received = await channel.recv()
        while received == "ponged":
            received = await channel.recv()
        assert received == (whole if kind == "text" else whole.encode())


@servers
@each_loop
async def test_pings_go_both_ways(serve: Any) -> None:
    async with serve() as (uri, _), cwschannel.connect(uri) as channel:
        assert await channel.ping() > 0
        assert await channel.ping(b"x" * 125) > 0
        channel.sink.add("ping")
        assert await channel.recv() == "ponged"


@pytest.mark.parametrize(("code", "reason"), CLOSE_CODES)
@servers
@each_loop
async def test_their_code_and_reason_arrive(serve: Any, code: int, reason: str) -> None:
    async with serve() as (uri, _):
        channel = cwschannel.connect(uri)
        channel.sink.add(f"close {code} {reason}")
        with pytest.raises(ConnectionClosed) as caught:
            await channel.recv()
        assert (caught.value.code, caught.value.reason) == (code, reason)
        await channel.sink.done
        assert channel.close_code == code


@pytest.mark.parametrize(("code", "reason"), [*CLOSE_CODES, (None, "")])
@servers
@each_loop
async def test_our_code_and_reason_arrive(serve: Any, code: int | None, reason: str) -> None:
    async with serve() as (uri, closed):
        channel = await cwschannel.connect(uri)
        await asyncio.wait_for(_wait(channel.sink.close(code, reason)), 5)
        assert channel.close_code in (code or 1005, 1000)  # some answer an empty close frame with 1000
        await until(lambda: closed)
        # Nothing to say is 1005, for which aiohttp and picows have 0 or 1000.
        assert closed[0][0] in ((code,) if code else (1005, 1000, 0))
        assert closed[0][1] in (reason, None)


async def _wait(awaitable: Any) -> None:
    await awaitable


@pytest.mark.parametrize(("offered", "chosen"), [(["a", "c"], "c"), (["b", "c"], "b"), (["a"], None), ([], None)])
@servers
@each_loop
async def test_subprotocols_are_agreed_on(serve: Any, offered: list[str], chosen: str | None) -> None:
    async with serve() as (uri, _), cwschannel.connect(uri, protocols=offered) as channel:
        assert channel.protocol == chosen


@pytest.mark.parametrize("serve", SERVERS[:2])
@each_loop
async def test_a_server_that_would_compress_does_not(serve: Any) -> None:
    async with serve(compression="deflate") as (uri, _), cwschannel.connect(uri) as channel:
        assert "sec-websocket-extensions" not in channel.response.headers
        message = "compressible " * 1000
        channel.sink.add(message)
        assert await channel.recv() == message

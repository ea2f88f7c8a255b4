"""The blocking server: what it lets in, what it refuses, and how it shuts down."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
import websocket
import websockets.sync.client
import websockets.sync.server

import cwschannel
from cwschannel import ConnectionClosed, Response
from cwschannel.sync import broadcast, connect, serve

from .blocking import (
    Bare,
    Task,
    _nothing_is_left,
    asyncio_serving,
    bare_client,
    connected,
    echo,
    logs,
    serving,
    until,
)
from .running import within
from .wire import CLOSE, REQUEST, TEXT, close_frame, frame, header

if TYPE_CHECKING:
    import ssl

    from cwschannel import Request, SocketWebSocketChannel

__all__ = ["_nothing_is_left", "logs"]

MESSAGES = ["", "text", "ä€😀" * 1000, b"", bytes(range(256)), b"x" * 200_000]


def test_asyncio_clients_of_ours() -> None:
    async def run(uri: str) -> None:
        async with cwschannel.connect(uri) as channel:
            for message in MESSAGES:
                channel.sink.add(message)
                assert await channel.recv() == message
        assert channel.close_code == 1000

    with serving() as (_, uri):
        asyncio.run(run(uri))


@pytest.mark.parametrize("secure", [False, True])
def test_blocking_clients_of_websockets(secure: bool, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext) -> None:
    with (
        serving(**({"ssl": server_tls} if secure else {})) as (_, uri),
        websockets.sync.client.connect(uri, ssl=client_tls if secure else None, proxy=None) as theirs,
    ):
        for message in MESSAGES:
            theirs.send(message)
            assert theirs.recv(timeout=20) == message
        assert theirs.ping().wait(20)


def test_websocket_client() -> None:
    with serving() as (_, uri):
        theirs = websocket.create_connection(uri, timeout=20)
        for message in MESSAGES:
            if isinstance(message, str):
                theirs.send(message)
            else:
                theirs.send_binary(message)
            assert theirs.recv() == message
        theirs.close()


def test_blocking_servers_of_websockets() -> None:
    def handler(theirs: websockets.sync.server.ServerConnection) -> None:
        for message in theirs:
            theirs.send(message)

    with websockets.sync.server.serve(handler, "127.0.0.1", 0) as server:
        task = Task(server.serve_forever)
        with connect(f"ws://127.0.0.1:{server.socket.getsockname()[1]}/") as channel:
            for message in MESSAGES:
                channel.send(message)
                assert channel.recv(timeout=20) == message
            assert channel.ping() > 0
        assert channel.close_code == 1000
        server.shutdown()
        task.result()


def test_servers_of_websockets_on_asyncio() -> None:
    from websockets.asyncio.server import serve as their_serve

    async def handler(theirs: Any) -> None:
        async for message in theirs:
            await theirs.send(message)

    with (
        asyncio_serving(lambda: their_serve(handler, "127.0.0.1", 0)) as port,
        connect(f"ws://127.0.0.1:{port}/") as channel,
    ):
        for message in MESSAGES:
            channel.send(message)
            assert channel.recv(timeout=20) == message


def test_servers_of_aiohttp() -> None:
    import contextlib

    from aiohttp import web

    async def handler(request: web.Request) -> web.WebSocketResponse:
        theirs = web.WebSocketResponse(compress=False)
        await theirs.prepare(request)
        async for message in theirs:
            await (theirs.send_str if isinstance(message.data, str) else theirs.send_bytes)(message.data)
        return theirs

    @contextlib.asynccontextmanager
    async def start() -> Any:
        application = web.Application()
        application.router.add_get("/", handler)
        runner = web.AppRunner(application)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            yield site._server
        finally:
            await runner.cleanup()

    with asyncio_serving(start) as port, connect(f"ws://127.0.0.1:{port}/") as channel:
        for message in MESSAGES:
            channel.send(message)
            assert channel.recv(timeout=20) == message


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"connect_timeout": 0}, ValueError, "connect_timeout"),
        ({"max_connections": 0}, ValueError, "max_connections"),
        ({"send_timeout": 0}, ValueError, "send_timeout"),
        ({"read_limit": 0}, ValueError, "read_limit"),
        ({"protocols": ["a b"]}, ValueError, "token"),
        ({"headers": {"Connection": "x"}}, ValueError, "Connection"),
    ],
)
def test_mistakes_are_told_at_once(options: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        serve(echo, "127.0.0.1", 0, **options)


def test_coroutine_functions_are_not_for_threads() -> None:
    async def handler(_: object) -> None: ...

    with pytest.raises(TypeError, match="coroutine function"):
        serve(handler)
    with pytest.raises(TypeError, match="process_request"):
        serve(echo, process_request=handler)  # type: ignore[arg-type]


def test_an_address_that_is_taken() -> None:
    with serving() as (server, _), pytest.raises(OSError, match="cannot listen on"):
        serve(echo, "127.0.0.1", server.port).start()


def test_the_life_of_a_server() -> None:
    server = serve(echo, ["127.0.0.1"], 0)
    with pytest.raises(cwschannel.ChannelStateError):
        _ = server.port
    task = Task(server.serve_forever)
    until(lambda: server.sockets)
    with connect(f"ws://127.0.0.1:{server.port}/") as channel:
        channel.send("x")
        assert channel.recv() == "x"
        assert len(server.channels) == 1
    with pytest.raises(ValueError, match="close code"):
        server.close(1006)
    server.close()
    assert server.is_closing
    task.result()
    assert server.wait_closed()
    assert server.sockets == ()
    with pytest.raises(cwschannel.ChannelStateError):
        server.start()
    never_started = serve(echo, "127.0.0.1", 0)
    never_started.close()
    assert never_started.wait_closed(1)


def test_requests_that_are_answered_otherwise() -> None:
    def hook(request: Request) -> Response | None:
        if request.path == "/health":
            return Response.text(200, "fine")
        if request.path == "/wrong":
            return "no response"  # type: ignore[return-value]
        return None

    with serving(process_request=hook) as (server, uri):
        with bare_client(server.port) as bare:
            bare.send(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = bare.read_all()
        assert answer.startswith(b"HTTP/1.1 200 OK\r\nDate: ")
        assert answer.endswith(b"\r\n\r\nfine\n")
        with connect(uri) as channel:
            channel.send("x")
            assert channel.recv() == "x"


def test_hooks_that_fail(logs: list[list[logging.LogRecord]]) -> None:
    def hook(request: Request) -> Response | None:
        if request.path == "/wrong":
            return "no response"  # type: ignore[return-value]
        raise ZeroDivisionError

    with serving(process_request=hook) as (_, uri):
        for path in ("", "wrong"):
            with pytest.raises(cwschannel.HandshakeRejected) as caught:
                connect(uri + path)
            assert caught.value.status == 500
    assert [record.getMessage() for record in logs[0]] == ["process_request failed"] * 2


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 426),
        (b"POST / HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        (REQUEST.replace(b"Version: 13", b"Version: 8"), 426),
        (REQUEST.replace(b"\r\n\r\n", b"\r\nOrigin: https://evil.example\r\n\r\n"), 403),
        (b"\x16\x03\x01\x00\xa5", 400),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 4000, 431),
        (b"GET / HTTP/1.1\r\nHost: x", 408),
    ],
)
def test_requests_that_open_nothing(request_bytes: bytes, status: int) -> None:
    with serving(connect_timeout=0.5) as (server, _), bare_client(server.port) as bare:
        bare.send(request_bytes)
        with within(10.0):
            assert bare.read_all().startswith(f"HTTP/1.1 {status} ".encode())


def test_clients_that_never_finish_tls(server_tls: ssl.SSLContext) -> None:
    with serving(connect_timeout=0.3, ssl=server_tls) as (server, _), bare_client(server.port) as bare:
        bare.send(b"\x16\x03\x01")
        with within(10.0):
            bare.read_all()


def test_subprotocols_headers_and_origins() -> None:
    with serving(protocols=["b", "a"], headers={"X-Y": "z"}, allowed_origins=["https://good.example"]) as (server, _):
        request = REQUEST.replace(b"\r\n\r\n", b"\r\nOrigin: https://good.example\r\nSec-WebSocket-Protocol: a, b\r\n\r\n")
        with bare_client(server.port) as bare:
            bare.upgrade(request, then=frame(TEXT, b"early", masked=True))
            assert header(bare.head, "Sec-WebSocket-Protocol") == "b"
            assert header(bare.head, "X-Y") == "z"
            assert bare.read_frame()[:2] == (TEXT, b"early")
            bare.send(close_frame(1000, masked=True))
            assert bare.read_frame().code == 1000
            assert bare.read_all() == b""


def test_too_many_connections() -> None:
    with serving(max_connections=2) as (server, uri), ExitStack() as stack:
        channels = [stack.enter_context(connect(uri)) for _ in range(2)]
        with pytest.raises(cwschannel.HandshakeRejected) as caught:
            connect(uri)
        assert caught.value.status == 503
        assert b"all the connections" in caught.value.response.body
        for channel in channels:
            channel.send("still here")
            assert channel.recv(timeout=20) == "still here"
        channels[0].close()
        until(lambda: server._workers.busy < 2)
        stack.enter_context(connect(uri)).send("there is room again")


def test_handlers_that_return_and_handlers_that_fail(logs: list[list[logging.LogRecord]]) -> None:
    def handler(channel: SocketWebSocketChannel) -> None:
        if channel.recv() == "fail":
            raise ZeroDivisionError

    with serving(handler) as (_, uri):
        with connect(uri) as channel:
            channel.send("return")
            assert list(channel) == []
            assert channel.close_code == 1000
        with connect(uri) as channel:
            channel.send("fail")
            with pytest.raises(ConnectionClosed, match="1011"):
                channel.recv()
        channel = connect(uri)
        channel.abort()  # the end of a connection within recv() is no failure of the handler
    assert len(logs[0]) == 1
    assert "failed" in logs[0][0].getMessage()


@pytest.mark.parametrize("background", [False, True])
def test_shutting_down(background: bool) -> None:
    with ExitStack() as stack:
        server, uri = stack.enter_context(serving(background=background))
        readers = [Task(lambda channel: (list(channel), channel.close()), connect(uri)) for _ in range(3)]
        until(lambda: len(server.channels) == 3)
        with bare_client(server.port) as opening, within(10.0):
            opening.send(REQUEST[:20])
            until(lambda: server._workers.busy == 4)
            server.close(1012, "restart")
            assert opening.read_all().startswith(b"HTTP/1.1 503 ")
            assert server.wait_closed(10)
        for reader in readers:
            with pytest.raises(ConnectionClosed, match="restart") as caught:
                reader.result()
            assert caught.value.code == 1012
        with pytest.raises(cwschannel.OpeningFailed):
            connect(uri)


def test_handlers_that_do_not_end_are_reported(logs: list[list[logging.LogRecord]]) -> None:
    over = threading.Event()
    started = threading.Event()

    def handler(_: SocketWebSocketChannel) -> None:
        started.set()
        over.wait(30)

    with within(20.0), serving(handler, close_timeout=0.3) as (_, uri):
        channel = connect(uri, close_timeout=0.3)
        assert started.wait(20)
    over.set()
    assert [record.getMessage() for record in logs[0]] == ["1 handlers did not end, though their connections did"]
    channel.close()


def test_a_client_that_sends_garbage_does_not_disturb_the_others() -> None:
    with serving() as (server, uri), connect(uri) as channel:
        for _ in range(5):
            with bare_client(server.port) as bare:
                bare.upgrade(then=b"\xff" * 1000)
                assert bare.read_frame().code == 1002
            with bare_client(server.port) as bare:
                bare.upgrade()
                bare.reset()
        channel.send("undisturbed")
        assert channel.recv(timeout=20) == "undisturbed"


def test_broadcast_reaches_everybody_but_the_slow_and_the_gone() -> None:
    with serving() as (server, uri), ExitStack() as stack:
        clients = [stack.enter_context(connect(uri)) for _ in range(3)]
        until(lambda: len(server.channels) == 3)
        slow = socket.socket()
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect(("127.0.0.1", server.port))
        stack.callback(slow.close)
        bare = Bare(slow)
        bare.upgrade()
        until(lambda: len(server.channels) == 4)
        with within(10.0):
            first = broadcast(server.channels, "small")
        assert [len(kind) for kind in first] == [4, 0, 0, 0]
        received = [Task(client.recv, 20) for client in clients]
        assert [task.result() for task in received] == ["small"] * 3
        gone = clients.pop()
        everybody = list(server.channels)
        gone.abort()
        until(lambda: len(server.channels) == 3)
        large = bytes(2**20) * 8
        readers = [Task(lambda one: [one.recv(20) for _ in range(2)], connect(uri, max_message_size=None)) for _ in range(2)]
        until(lambda: len(server.channels) == 5)
        everybody = [*everybody, *(set(server.channels) - set(everybody))]
        for client in clients:
            client.abort()
        until(lambda: len(server.channels) == 3)
        with within(30.0):
            second = broadcast(everybody, large, timeout=3.0)
            third = broadcast(everybody, large, timeout=3.0)
        assert [len(kind) for kind in second] == [2, 1, 0, 3]
        assert [len(kind) for kind in third] == [2, 0, 1, 3]
        assert [reader.result() for reader in readers] == [[large, large]] * 2
        # what was begun is finished when the peer reads again
        assert bare.read_frame()[:2] == (TEXT, b"small")
        assert bare.read_frame().payload == large
    with connected() as pair, pytest.raises(TypeError, match="a message is str"):
        broadcast([pair.server], 5)  # type: ignore[arg-type]


def test_broadcast_from_the_clients_side_masks_each_frame_by_itself() -> None:
    with serving() as (_, uri), ExitStack() as stack:
        clients = [stack.enter_context(connect(uri)) for _ in range(3)]
        assert len(broadcast(clients, "to the servers").sent) == 3
        assert [client.recv(20) for client in clients] == ["to the servers"] * 3
        clients[0].close()
        assert broadcast(clients, b"again").closed == [clients[0]]


def test_the_frame_that_tells_why() -> None:
    with serving(max_message_size=10) as (server, _), bare_client(server.port) as bare:
        bare.upgrade(then=frame(TEXT, b"x" * 11, masked=True))
        last = bare.read_frame()
        assert (last.opcode, last.code) == (CLOSE, 1009)
        assert b"max_message_size" in last.payload
        time.sleep(0.01)

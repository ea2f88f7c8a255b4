"""Servers, peers made of bare sockets, and a look at what a test leaves behind, all without an event loop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

import cwschannel
import cwschannel.sync

from .running import open_sockets, recorded_logs
from .wire import ACCEPT, REQUEST, Received, header, switching, xor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cwschannel import SocketWebSocketChannel

PATIENCE = 20.0


@pytest.fixture(autouse=True)
def _nothing_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that logs a warning, or leaves threads or sockets. One with a fixture ``logs`` may log."""
    sockets = open_sockets()
    threads = set(threading.enumerate())
    with recorded_logs() as records:
        if "logs" in request.fixturenames:
            request.getfixturevalue("logs").extend([records])
        yield
        until(lambda: not running(threads), "the test left threads")
    gc.collect()
    if "logs" not in request.fixturenames:
        assert not records, [record.getMessage() for record in records]
    until(lambda: open_sockets() <= sockets, "the test left sockets")


@pytest.fixture
def logs() -> list[Any]:
    """Holds the list of what is logged."""
    return []


def running(before: set[threading.Thread]) -> list[threading.Thread]:
    """Threads that were started since; those of a server that are idle end by themselves."""
    return [one for one in threading.enumerate() if one not in before and one.name != "cwschannel handler"]


def until(condition: Callable[[], object], message: str = "it did not come to that", seconds: float = PATIENCE) -> None:
    """Wait until the condition holds, or fail."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, message
        time.sleep(0.002)


class Task:
    """A function that runs in a thread of its own."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self._result: Any = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(function, *arguments), daemon=True)
        self._thread.start()

    def _run(self, function: Callable[..., Any], *arguments: Any) -> None:
        try:
            self._result = function(*arguments)
        except BaseException as error:
            self._error = error

    def result(self, seconds: float = PATIENCE) -> Any:
        """Wait for it; return what it returned, or raise what it raised."""
        self._thread.join(seconds)
        assert not self._thread.is_alive(), "the thread hangs"
        if self._error is not None:
            raise self._error
        return self._result

    def is_running(self) -> bool:
        return self._thread.is_alive()


def echo(channel: SocketWebSocketChannel) -> None:
    """A handler that sends back what it receives."""
    for message in channel.stream:
        channel.send(message)


def send_on_and_on(channel: SocketWebSocketChannel) -> None:
    """Send until that is not possible any more."""
    while True:
        channel.send(bytes(2**20))


@contextlib.contextmanager
def serving(handler: Any = echo, **options: Any) -> Iterator[tuple[cwschannel.sync.Server, str]]:
    """A blocking server of ours, and its URI."""
    if "sock" not in options:
        options |= {"host": "127.0.0.1", "port": 0}
    with cwschannel.sync.serve(handler, **{"close_timeout": 5.0, **options}) as server:
        yield server, f"{'wss' if 'ssl' in options else 'ws'}://127.0.0.1:{server.port}/"


@contextlib.contextmanager
def asyncio_serving(start: Callable[[], Any]) -> Iterator[int]:
    """A server of asyncio, in a thread: what ``start`` returns is entered with ``async with``. Yields its port."""
    ready = threading.Event()
    found: list[Any] = []

    async def run() -> None:
        stop = asyncio.Event()
        async with start() as server:
            port = server.port if hasattr(server, "port") else server.sockets[0].getsockname()[1]
            found.extend([asyncio.get_running_loop(), stop, port])
            ready.set()
            await stop.wait()

    task = Task(asyncio.run, run())
    until(lambda: ready.is_set() or not task.is_running())
    if not found:
        task.result()
    loop, stop, port = found
    try:
        yield port
    finally:
        loop.call_soon_threadsafe(stop.set)
        task.result()


class Bare:
    """One end of a TCP connection, which can break the rules."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.head = ""
        self._data = bytearray()
        sock.settimeout(PATIENCE)

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def _more(self) -> None:
        data = self.sock.recv(65536)
        if not data:
            raise EOFError
        self._data += data

    def read(self, size: int) -> bytes:
        while len(self._data) < size:
            self._more()
        data = bytes(self._data[:size])
        del self._data[:size]
        return data

    def read_head(self) -> str:
        while b"\r\n\r\n" not in self._data:
            self._more()
        return self.read(self._data.index(b"\r\n\r\n") + 4).decode("latin-1")

    def read_all(self) -> bytes:
        """Everything until the peer closes or resets the connection."""
        with contextlib.suppress(EOFError, ConnectionError):
            while True:
                self._more()
        return bytes(self._data)

    def read_frame(self) -> Received:
        start, second = self.read(2)
        size = second & 0x7F
        if size > 125:
            size = int.from_bytes(self.read(2 if size == 126 else 8), "big")
        key = self.read(4) if second & 0x80 else b""
        payload = self.read(size)
        return Received(start & 0x0F, xor(payload, key) if key else payload, bool(start & 0x80), bool(key))

    def accept(self, *, headers: str = "", then: bytes = b"") -> str:
        """Answer the opening handshake as a server; ``then`` goes out in the same segment. Returns the request."""
        self.head = self.read_head()
        self.send(switching(header(self.head, "Sec-WebSocket-Key"), headers) + then)
        return self.head

    def upgrade(self, request: bytes = REQUEST, *, then: bytes = b"") -> str:
        """Do the opening handshake as a client. Returns the answer."""
        self.send(request + then)
        self.head = self.read_head()
        assert " 101 " in self.head, self.head
        assert header(self.head, "Sec-WebSocket-Accept") == ACCEPT
        return self.head

    def reset(self) -> None:
        """Close with a reset, as a process that was killed may."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        self.sock.close()


@contextlib.contextmanager
def bare_server(script: Callable[[Bare], Any], *, buffers: int | None = None) -> Iterator[str]:
    """Runs a script for one connection. Yields the URI. A failure of the script fails the test."""

    def run() -> None:
        sock, _ = listening.accept()
        with sock, contextlib.suppress(EOFError, ConnectionError):
            script(Bare(sock))

    with socket.socket() as listening:
        if buffers is not None:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffers)
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        listening.settimeout(PATIENCE)
        task = Task(run)
        yield f"ws://127.0.0.1:{listening.getsockname()[1]}/"
        task.result()


@contextlib.contextmanager
def bare_client(port: int) -> Iterator[Bare]:
    with socket.create_connection(("127.0.0.1", port)) as sock:
        yield Bare(sock)


class Pair:
    """Both ends of one connection, blocking ones of ours."""

    client: SocketWebSocketChannel
    server: SocketWebSocketChannel
    listening: cwschannel.sync.Server


@contextlib.contextmanager
def connected(*, client: dict[str, Any] | None = None, server: dict[str, Any] | None = None, **both: Any) -> Iterator[Pair]:
    """A client connected to a server, whose handler leaves the channel to the test. What is open afterwards is dropped."""
    pair = Pair()
    opened, over = threading.Event(), threading.Event()

    def handler(channel: SocketWebSocketChannel) -> None:
        pair.server = channel
        opened.set()
        over.wait()

    with serving(handler, **{**both, **(server or {})}) as (pair.listening, uri):
        try:
            pair.client = cwschannel.sync.connect(uri, **{"close_timeout": 5.0, **both, **(client or {})})
            assert opened.wait(PATIENCE)
            yield pair
        finally:
            over.set()
            with contextlib.suppress(AttributeError):
                pair.client.abort()
                pair.server.abort()

"""A blocking channel over a socket on which somebody else has done the opening handshake."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING, Any

import pytest
import websocket
import websockets.sync.client

import cwschannel
from cwschannel import ChannelStateError, ConnectionClosed, SocketWebSocketChannel

from .blocking import Task, _nothing_is_left, logs
from .wire import header, switching

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator

__all__ = ["_nothing_is_left", "logs"]


@contextlib.contextmanager
def both_ends(**options: Any) -> Iterator[tuple[SocketWebSocketChannel, SocketWebSocketChannel]]:
    """A client and a server, one in a thread that is in ``recv`` whenever the test is in the other."""
    near, far = socket.socketpair()
    channels = SocketWebSocketChannel(near, server_side=False, **options), SocketWebSocketChannel(far, **options)
    yield channels
    for one in channels:
        one.abort()


@contextlib.contextmanager
def upgraded_by_hand(handle: Callable[[SocketWebSocketChannel], None], tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """Serves one connection: the request is read and answered without us. Yields the address."""

    def run() -> None:
        sock, _ = listening.accept()
        if tls is not None:
            sock = tls.wrap_socket(sock, server_side=True)
        head = b""
        while b"\r\n\r\n" not in head:
            head += sock.recv(4096)
        head, _, rest = head.partition(b"\r\n\r\n")
        sock.sendall(switching(header(head.decode() + "\r\n\r\n", "Sec-WebSocket-Key"), "Sec-WebSocket-Protocol: chat\r\n"))
        with SocketWebSocketChannel(sock, "chat", received=rest) as channel:
            handle(channel)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = Task(run)
        yield f"127.0.0.1:{listening.getsockname()[1]}"
        server.result()


def echo_three(channel: SocketWebSocketChannel) -> None:
    assert channel.protocol == "chat"
    assert channel.response is None
    for _ in range(3):
        channel.send(channel.recv(timeout=20))


def test_websockets_is_served_after_an_upgrade_by_hand() -> None:
    connect: Any = websockets.sync.client.connect
    with upgraded_by_hand(echo_three) as address, connect(f"ws://{address}", subprotocols=["chat"], proxy=None) as client:
        for message in ("text", b"bytes", "x" * 300_000):
            client.send(message)
            assert client.recv(20) == message


def test_websocket_client_is_served_after_an_upgrade_by_hand() -> None:
    with upgraded_by_hand(echo_three) as address:
        client = websocket.create_connection(f"ws://{address}", subprotocols=["chat"], timeout=20)
        for message in ("one", "two", "three"):
            client.send(message)
            assert client.recv() == message
        client.close()


def test_over_tls(server_tls: ssl.SSLContext, client_tls: ssl.SSLContext) -> None:
    with (
        upgraded_by_hand(echo_three, server_tls) as address,
        cwschannel.sync.connect(
            f"wss://{address}", ssl=client_tls, server_hostname="localhost", protocols=["chat"]
        ) as client,
    ):
        for message in ("one", "two", "x" * 300_000):
            client.send(message)
            assert client.recv(timeout=20) == message


def test_what_came_with_the_handshake_comes_first_and_closing_is_seen() -> None:
    near, far = socket.socketpair()
    client = SocketWebSocketChannel(near, server_side=False)
    client.send("early")
    early = far.recv(3)
    server = SocketWebSocketChannel(far, "v1", 30, received=bytearray(early))
    assert server.recv(timeout=20) == "early"
    reading = Task(lambda: list(server.stream))
    client.sink.close(4000, "enough")
    with pytest.raises(ConnectionClosed, match="4000"):
        reading.result()
    server.sink.wait_done(20)
    assert (server.close_code, server.close_reason, client.close_code) == (4000, "enough", 4000)


def test_a_background_thread_answers_for_it() -> None:
    with both_ends(background=True) as (client, server):
        assert server.ping(timeout=20) > 0
        assert client.ping(timeout=20) > 0


def test_keepalive_is_off_unless_asked_for() -> None:
    near, far = socket.socketpair()
    with far:
        channel = SocketWebSocketChannel(near, ping_interval=0.01, ping_timeout=None)
        with pytest.raises(TimeoutError):
            channel.recv(timeout=0.1)
        assert far.recv(1) == b"\x89"  # a ping
        channel.abort()
    near, far = socket.socketpair()
    with far:
        channel = SocketWebSocketChannel(near)
        assert channel._io.connection.timer is None
        channel.abort()


def test_it_has_the_request_only_if_it_was_handed_over() -> None:
    request = cwschannel.Request("GET", "/there", cwschannel.Headers())
    with both_ends() as (client, server):
        with pytest.raises(ChannelStateError, match="request="):
            _ = client.request
        assert repr(server) == "<SocketWebSocketChannel open>"
    with both_ends(request=request) as (client, _):
        assert client.request is request
        assert "/there open" in repr(client)


def test_a_socket_whose_peer_has_gone_makes_a_channel_that_says_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        sock = socket.create_connection(listening.getsockname())
        listening.accept()[0].close()
        channel = SocketWebSocketChannel(sock)
        with pytest.raises(ConnectionClosed):
            channel.recv(timeout=20)
        assert channel.close_code == 1006
        channel.abort()


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: "socket", TypeError, "stream socket"),
        (lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM), TypeError, "stream socket"),
        (socket.socket, ValueError, "not connected"),
        (lambda: socket.create_server(("127.0.0.1", 0)), ValueError, "not connected"),
    ],
)
def test_what_is_no_connection_is_refused(make: Callable[[], Any], error: type[Exception], message: str) -> None:
    existing = make()
    with pytest.raises(error, match=message):
        SocketWebSocketChannel(existing)
    if isinstance(existing, socket.socket):
        existing.close()
        with pytest.raises((TypeError, ValueError), match=r"closed|stream socket"):
            SocketWebSocketChannel(existing)


def test_tls_that_has_not_begun_is_refused(client_tls: ssl.SSLContext) -> None:
    near, far = socket.socketpair()
    wrapped = client_tls.wrap_socket(near, server_hostname="localhost", do_handshake_on_connect=False)
    with far, wrapped, pytest.raises(ValueError, match="do_handshake"):
        SocketWebSocketChannel(wrapped)


@pytest.mark.parametrize("options", [{"read_limit": 0}, {"send_timeout": 0}, {"close_timeout": 0}, {"ping_interval": -1}])
def test_impossible_options_are_refused_before_the_socket_is_touched(options: dict[str, Any]) -> None:
    near, far = socket.socketpair()
    with near, far:
        with pytest.raises(ValueError, match=next(iter(options))):
            SocketWebSocketChannel(near, **options)
        near.sendall(b"still mine")
        assert far.recv(100) == b"still mine"

"""Opening a blocking channel, and everything that can keep it from opening."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING, Any

import pytest

import cwschannel
from cwschannel.sync import connect

from .blocking import Bare, _nothing_is_left, bare_server, logs, serving
from .running import within
from .wire import TEXT, frame, header, switching

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["_nothing_is_left", "logs"]


@pytest.mark.parametrize(
    ("uri", "options", "error", "text"),
    [
        ("http://localhost", {}, cwschannel.InvalidURI, "ws://"),
        ("ws://localhost", {"ssl": ssl.create_default_context()}, ValueError, "wss://"),
        ("ws://localhost", {"protocols": "chat"}, TypeError, "sequence"),
        ("ws://localhost", {"headers": {"Upgrade": "x"}}, ValueError, "Upgrade"),
        ("ws://localhost", {"connect_timeout": 0}, ValueError, "connect_timeout"),
        ("ws://localhost", {"close_timeout": None}, ValueError, "close_timeout"),
        ("ws://localhost", {"send_timeout": -1}, ValueError, "send_timeout"),
        ("ws://localhost", {"read_limit": 0}, ValueError, "read_limit"),
        ("ws://localhost", {"max_message_size": 0}, ValueError, "max_message_size"),
        ("ws://localhost", {"ping_interval": 0}, ValueError, "ping_interval"),
    ],
)
def test_mistakes_are_told_before_anything_is_done(uri: str, options: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        connect(uri, **options)


def test_what_is_sent_and_what_comes_back() -> None:
    heads = []

    def script(bare: Bare) -> None:
        heads.append(bare.accept(headers="Sec-WebSocket-Protocol: b\r\nX-Y: z\r\n", then=frame(TEXT, b"early")))
        bare.read_all()

    with bare_server(script) as uri:
        channel = connect(
            uri.replace("//", "//me:secret@") + "path?q=1",
            protocols=["a", "b"],
            headers=[("X-One", "1"), ("X-One", "2")],
            origin="https://example.com",
            user_agent="test",
        )
        assert channel.recv(timeout=0) == "early"
        assert channel.protocol == "b"
        assert channel.response.headers["x-y"] == "z"
        channel.abort()
    head = heads[0]
    assert head.startswith("GET /path?q=1 HTTP/1.1\r\n")
    assert header(head, "Authorization") == "Basic bWU6c2VjcmV0"
    assert header(head, "Origin") == "https://example.com"
    assert header(head, "User-Agent") == "test"
    assert header(head, "Sec-WebSocket-Protocol") == "a, b"
    assert head.count("X-One") == 2


def test_a_socket_of_ones_own() -> None:
    with serving() as (server, _):
        sock = socket.create_connection(("127.0.0.1", server.port))
        sock.settimeout(0.001)
        with connect("ws://by.name/", sock=sock) as channel:
            assert channel.request.headers["host"] == "by.name"
            channel.send("x")
            assert channel.recv(timeout=20) == "x"
        assert sock.fileno() == -1


def test_a_pair_of_unix_sockets() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        theirs.settimeout(20)
        bare = Bare(theirs)
        from .blocking import Task

        task = Task(connect, "ws://localhost/")
        with pytest.raises(cwschannel.OpeningFailed):
            task.result()
        answering = Task(bare.accept)
        channel = connect("ws://localhost/", sock=ours)
        answering.result()
        bare.send(frame(TEXT, b"hello"))
        assert channel.recv(timeout=20) == "hello"
        channel.abort()


def test_nobody_listens() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        with pytest.raises(cwschannel.OpeningFailed, match="refused") as caught:
            connect(f"ws://127.0.0.1:{sock.getsockname()[1]}/")
    assert isinstance(caught.value.__cause__, ConnectionRefusedError)


def test_a_host_that_nobody_knows() -> None:
    with pytest.raises(cwschannel.OpeningFailed, match=r"not known|no connection"):
        connect("ws://no-such-host.invalid/")


def nothing(bare: Bare) -> None:
    bare.read_all()


def drip(bare: Bare) -> None:
    bare.read_head()
    bare.sock.settimeout(0.05)
    for byte in b"HTTP/1.1 101 Switching Protocols\r\nX: " + b"x" * 1000:
        bare.send(bytes([byte]))
        try:
            if not bare.sock.recv(100):
                return
        except TimeoutError:
            pass


@pytest.mark.parametrize("script", [nothing, drip])
def test_an_answer_that_does_not_come_in_time(script: Callable[[Bare], None]) -> None:
    with (
        bare_server(script) as uri,
        within(10.0, at_least=0.25),
        pytest.raises(cwschannel.OpeningTimeout, match="connect_timeout") as caught,
    ):
        connect(uri, connect_timeout=0.3)
    assert isinstance(caught.value, TimeoutError)


def test_tls_that_does_not_come_in_time() -> None:
    with bare_server(nothing) as uri, within(10.0), pytest.raises(cwschannel.OpeningTimeout):
        connect(uri.replace("ws:", "wss:"), connect_timeout=0.3)


def test_a_refusal_whose_body_does_not_end() -> None:
    def script(bare: Bare) -> None:
        bare.read_head()
        bare.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 100\r\n\r\nnot you")
        bare.read_all()

    with bare_server(script) as uri, pytest.raises(cwschannel.HandshakeRejected) as caught:
        connect(uri, connect_timeout=0.3)
    assert (caught.value.status, caught.value.response.body) == (403, b"not you")


@pytest.mark.parametrize(
    ("answer", "error", "text"),
    [
        (b"", cwschannel.InvalidHandshake, "closed the connection"),
        (b"SSH-2.0-x\r\n", cwschannel.InvalidHandshake, "does not speak HTTP"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno", cwschannel.HandshakeRejected, "404"),
        (switching("dGhlIHNhbXBsZSBub25jZQ=="), cwschannel.InvalidHandshake, "Sec-WebSocket-Accept"),
        (b"HTTP/1.1 101 X\r\n" + b"A: b\r\n" * 4000, cwschannel.InvalidHandshake, "longer"),
    ],
)
def test_answers_that_open_nothing(answer: bytes, error: type[Exception], text: str) -> None:
    def script(bare: Bare) -> None:
        bare.read_head()
        bare.send(answer)
        bare.sock.shutdown(socket.SHUT_WR)
        bare.read_all()

    with bare_server(script) as uri, pytest.raises(error, match=text):
        connect(uri)


def test_certificates_are_verified(server_tls: ssl.SSLContext, client_tls: ssl.SSLContext) -> None:
    with serving(ssl=server_tls) as (_, uri):
        with pytest.raises(cwschannel.OpeningFailed, match="not trusted"):
            connect(uri)
        with pytest.raises(cwschannel.OpeningFailed, match="not trusted"):
            connect(uri, ssl=client_tls, server_hostname="another.name")
        with connect(uri, ssl=client_tls, server_hostname="by.name") as channel:
            assert channel.get_extra_info("peercert")["subjectAltName"]
            assert channel.get_extra_info("cipher")
            assert channel.get_extra_info("ssl_object").version().startswith("TLS")
        with pytest.raises(cwschannel.OpeningFailed):
            connect(uri.replace("wss:", "ws:"))

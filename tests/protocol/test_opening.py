"""Both sides of the opening handshake: with each other, in pieces, within the limits, and without smuggling."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cwschannel.exceptions import HandshakeRejected, InvalidHandshake, OpeningFailed, WebSocketChannelException
from cwschannel.protocol.heads import LONGEST_HEAD, MOST_HEADERS, check_headers
from cwschannel.protocol.opening import ServerOpening, check_protocols

from .heads import ACCEPT, CHROME, FIREFOX, KEY, SAFARI, answer, client, opened, request
from .wire import accept_value, pieces

if TYPE_CHECKING:
    from collections.abc import Callable

CLIENT_HELLO = bytes.fromhex("1603010200010001fc0303") + bytes(range(256)) * 2


def test_the_accept_value_is_that_of_the_rfc() -> None:
    assert accept_value(KEY) == ACCEPT


def test_the_two_sides_open_a_connection_with_each_other() -> None:
    us = client("ws://example.com:8765/chat?room=1", protocols=["chat", "superchat"], headers={"X-One": "1"})
    server = ServerOpening()
    got = server.received(us.request_bytes)
    assert got is not None
    assert (got.method, got.target, got.path, got.version) == ("GET", "/chat?room=1", "/chat", "1.1")
    assert got.headers.pairs() == us.request.headers.pairs()
    out, response, protocol = server.accept(protocols=["superchat", "chat"], headers={"X-Two": "2"})
    assert protocol == "superchat"
    assert us.received(out) is True
    assert us.response is not None
    assert us.protocol == "superchat"
    assert us.response.status == response.status == 101
    assert us.response.headers.pairs() == response.headers.pairs()
    assert us.trailing == server.trailing == b""


@pytest.mark.parametrize("head", [FIREFOX, CHROME, SAFARI], ids=["firefox", "chrome", "safari"])
def test_a_request_may_be_split_at_every_byte(head: bytes) -> None:
    whole = opened(head).request
    assert whole is not None
    for cut in range(1, len(head)):
        opening = ServerOpening()
        assert opening.received(head[:cut]) is None
        assert opening.request is None
        got = opening.received(head[cut:] + b"\x81\x80early")
        assert got is not None
        assert (got.target, got.headers.pairs()) == (whole.target, whole.headers.pairs())
        assert opening.trailing == b"\x81\x80early"
        assert opening.accept()[1].headers["Sec-WebSocket-Accept"] == ACCEPT


def test_a_request_may_come_byte_by_byte() -> None:
    opening = ServerOpening()
    *early, last = pieces(CHROME, 1)
    assert all(opening.received(byte) is None for byte in early)
    assert opening.received(last) is opening.request is not None


def test_an_answer_may_be_split_at_every_byte() -> None:
    for cut in range(1, 129):
        us = client()
        head = answer(us)
        assert len(head) == 129
        assert us.received(head[:cut]) is False
        assert us.response is None
        assert us.received(head[cut:] + b"\x81\x02hi") is True
        assert us.trailing == b"\x81\x02hi"


def test_an_answer_may_come_byte_by_byte() -> None:
    us = client()
    *early, last = pieces(answer(us), 1)
    assert not any(us.received(byte) for byte in early)
    assert us.received(last) is True
    assert us.trailing == b""


def taken_by_server(data: bytes) -> None:
    ServerOpening().received(data)


def taken_by_client(data: bytes) -> None:
    client().received(data)


SIDES: list[Any] = [
    pytest.param(taken_by_server, b"GET / HTTP/1.1\r\nHost: h\r\n", id="server"),
    pytest.param(taken_by_client, b"HTTP/1.1 404 Not Found\r\nContent-Length: 1\r\n", id="client"),
]


@pytest.mark.parametrize(("take", "start"), SIDES)
def test_a_head_of_the_largest_size_passes_and_one_byte_more_does_not(take: Callable[[bytes], None], start: bytes) -> None:
    fill = LONGEST_HEAD - len(start) - len(b"X: \r\n\r\n")
    take(start + b"X: " + b"a" * fill + b"\r\n\r\n")
    with pytest.raises(InvalidHandshake, match="longer than 16384 bytes") as caught:
        take(start + b"X: " + b"a" * (fill + 1) + b"\r\n\r\n")
    assert caught.value.status == 431


@pytest.mark.parametrize(("take", "start"), SIDES)
def test_a_head_that_does_not_end_is_refused_at_the_limit(take: Callable[[bytes], None], start: bytes) -> None:
    take(start + b"X: " + b"a" * (LONGEST_HEAD - len(start) - 3))
    with pytest.raises(InvalidHandshake) as caught:
        take(start + b"X: " + b"a" * (LONGEST_HEAD - len(start) - 2))
    assert caught.value.status == 431


def test_a_head_that_grows_byte_by_byte_is_refused_at_the_limit() -> None:
    opening = ServerOpening()
    opening.received(b"GET / HTTP/1.1\r\nX: ")
    taken = 19
    with pytest.raises(InvalidHandshake, match="longer"):  # noqa: PT012
        for _ in range(LONGEST_HEAD):
            opening.received(b"a")
            taken += 1
    assert taken == LONGEST_HEAD


@pytest.mark.parametrize(("take", "start"), SIDES)
def test_so_many_headers_pass_and_one_more_does_not(take: Callable[[bytes], None], start: bytes) -> None:
    lines = b"X: y\r\n" * (MOST_HEADERS - 1)
    take(start + lines + b"\r\n")
    with pytest.raises(InvalidHandshake, match="more than 128 headers") as caught:
        take(start + lines + b"X: y\r\n\r\n")
    assert caught.value.status == 431


def test_bytes_after_the_head_do_not_count_towards_its_limits() -> None:
    early = b"\n" * LONGEST_HEAD
    assert opened(request() + early).trailing == early
    us = client()
    assert us.received(answer(us) + early)
    assert us.trailing == early


SMUGGLED = {
    "bare line feeds": lambda head: head.replace(b"\r\n", b"\n"),
    "one bare line feed": lambda head: head.replace(b"\r\nConnection", b"\nConnection"),
    "a bare line feed in a value": lambda head: head.replace(b"websocket", b"web\nsocket"),
    "a bare carriage return in a value": lambda head: head.replace(b"websocket", b"web\rsocket"),
    "a bare carriage return for a line end": lambda head: head.replace(b"\r\nConnection", b"\rConnection"),
    "two carriage returns": lambda head: head.replace(b"\r\nConnection", b"\r\r\nConnection"),
    "a folded line": lambda head: head.replace(b": Upgrade", b":\r\n Upgrade"),
    "a line folded by a tab": lambda head: head.replace(b": Upgrade", b":\r\n\tUpgrade"),
    "a NUL in a value": lambda head: head.replace(b"websocket", b"web\0socket"),
    "a NUL in a name": lambda head: head.replace(b"Connection", b"Conn\0ection"),
    "a space before the colon": lambda head: head.replace(b"Connection:", b"Connection :"),
    "a tab before the colon": lambda head: head.replace(b"Connection:", b"Connection\t:"),
    "a line without a colon": lambda head: head.replace(b"Connection:", b"Connection"),
    "an empty name": lambda head: head.replace(b"Connection:", b":"),
    "a name in quotes": lambda head: head.replace(b"Connection:", b'"Connection":'),
    "a byte order mark": lambda head: b"\xef\xbb\xbf" + head,
}


@pytest.mark.parametrize("form", SMUGGLED)
def test_a_request_that_could_be_read_in_two_ways_is_refused(form: str) -> None:
    data = SMUGGLED[form](request())
    assert data != request()
    with pytest.raises(InvalidHandshake) as caught:
        taken_by_server(data)
    assert caught.value.status == 400
    for size in (1, 2, 3, 7):
        opening = ServerOpening()
        with pytest.raises(InvalidHandshake):  # noqa: PT012
            for piece in pieces(data, size):
                opening.received(piece)


@pytest.mark.parametrize("form", SMUGGLED)
def test_an_answer_that_could_be_read_in_two_ways_is_refused(form: str) -> None:
    for size in (1, 2, 3, 7, 1000):
        us = client()
        data = SMUGGLED[form](answer(us))
        with pytest.raises(InvalidHandshake):  # noqa: PT012
            for piece in pieces(data, size):
                us.received(piece)


@pytest.mark.parametrize("form", ["bare line feeds", "one bare line feed", "a line folded by a tab"])
def test_an_answer_after_an_interim_one_is_refused_too(form: str) -> None:
    us = client()
    data = SMUGGLED[form](answer(us))
    with pytest.raises(InvalidHandshake):
        us.received(b"HTTP/1.1 103 Early Hints\r\n\r\n" + data)


def test_the_headers_after_an_interim_answer_are_counted() -> None:
    us = client()
    with pytest.raises(InvalidHandshake):
        us.received(b"HTTP/1.1 103 Early Hints\r\n\r\n" + answer(us, more="X: y\n" * MOST_HEADERS))


def test_a_tls_client_hello_to_a_plain_port_is_refused() -> None:
    for size in (1, 5, 1000):
        opening = ServerOpening()
        with pytest.raises(InvalidHandshake) as caught:  # noqa: PT012
            for piece in pieces(CLIENT_HELLO, size):
                opening.received(piece)
        assert caught.value.status == 400


def test_a_tls_client_hello_that_comes_in_one_piece_is_called_so() -> None:
    with pytest.raises(InvalidHandshake, match="it looks like TLS"):
        ServerOpening().received(CLIENT_HELLO)


def test_a_tls_client_hello_that_comes_byte_by_byte_is_called_so() -> None:
    with pytest.raises(InvalidHandshake, match="it looks like TLS"):
        ServerOpening().received(CLIENT_HELLO[:1])


@pytest.mark.parametrize("data", [b"\x80", b"{", b"\xff\xfe", b"(", b"@", b"A" * 33, b"GET\t/"])
def test_a_server_refuses_what_does_not_begin_like_http_at_once(data: bytes) -> None:
    with pytest.raises(InvalidHandshake, match="does not speak HTTP") as caught:
        ServerOpening().received(data)
    assert "TLS" not in str(caught.value)


@pytest.mark.parametrize("data", [b"SSH-2.0-OpenSSH_9.6\r\n", b"h", b"HTTP/2", b"220 ready\r\n", b"\x15\x03"])
def test_a_client_refuses_what_does_not_begin_like_http_at_once(data: bytes) -> None:
    with pytest.raises(InvalidHandshake, match=r"does not speak HTTP/1\.1: it sent b"):
        client().received(data)


@pytest.mark.parametrize("name", ["Connection", "UPGRADE", "sec-websocket-key", "Content-Length", "Transfer-Encoding"])
def test_headers_of_the_handshake_itself_cannot_be_set(name: str) -> None:
    with pytest.raises(ValueError, match="belongs to the opening handshake"):
        client(headers={name: "x"})
    with pytest.raises(ValueError, match="belongs to the opening handshake"):
        opened(request()).accept(headers={name: "x"})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("", "x"),
        ("a b", "x"),
        ("a:", "x"),
        ("a\r\nb", "x"),
        ("a\n", "x"),
        ("\u00e9", "x"),
        ("a", "x\r\nSet-Cookie: b=c"),
        ("a", "x\n"),
        ("a", "x\ry"),
        ("a", "x\0y"),
        ("a", "x\x7fy"),
        ("a", " x"),
        ("a", "x\t"),
    ],
)
def test_headers_that_cannot_be_sent_are_refused(name: str, value: str) -> None:
    for make in (
        lambda: check_headers({name: value}),
        lambda: client(headers=[(name, value)]),
        lambda: opened(request()).accept(headers={name: value}),
    ):
        with pytest.raises(ValueError, match="not a header that can be sent"):
            make()


def test_headers_that_can_be_sent_pass() -> None:
    pairs = [("X-Tab", "a\tb"), ("X-Empty", ""), ("x!#$%&'*+-.^_`|~9", "caf\u00e9"), ("Cookie", "a=1"), ("Cookie", "b=2")]
    assert check_headers(pairs).pairs() == pairs


def test_protocols_are_tokens_each_of_them_once() -> None:
    assert check_protocols(["a", "A", "v1.b!#$%&'*+-.^_`|~9"]) == ("a", "A", "v1.b!#$%&'*+-.^_`|~9")
    assert check_protocols(()) == ()
    for protocols in (["a", "b", "a"], [""], ["a b"], ["a,b"], ["a;q=1"], ['"a"'], ["a\n"], ["\u00e9"], ["a/b"]):
        with pytest.raises(ValueError, match="subprotocol"):
            check_protocols(protocols)


def test_one_str_is_no_sequence_of_protocols() -> None:
    with pytest.raises(TypeError, match=r"\['chat'\]"):
        check_protocols("chat")


def test_a_long_list_of_protocols_or_tokens_takes_linear_time() -> None:
    # quadratic or worse would take minutes
    opening = opened(request(more="Sec-WebSocket-Protocol: " + "a," * 7000 + "b"))
    assert opening.accept(protocols=["b"])[2] == "b"
    opening = opened(request(more="Sec-WebSocket-Protocol: a" + " " * 14000 + "b"))
    with pytest.raises(InvalidHandshake):
        opening.accept(protocols=["b"])


def test_the_errors_of_opening_have_one_root() -> None:
    assert issubclass(InvalidHandshake, OpeningFailed)
    assert issubclass(HandshakeRejected, OpeningFailed)
    assert issubclass(OpeningFailed, WebSocketChannelException)

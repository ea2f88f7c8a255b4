"""What is read without h11 is read as h11 reads it, and what is written h11 reads as it was meant."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from cwschannel.exceptions import InvalidHandshake
from cwschannel.http import Headers, Request, Response
from cwschannel.protocol.heads import (
    HeadBuffer,
    check_request_line,
    encode_head,
    read_plain_request,
    read_plain_switch,
    read_request,
    read_response,
    response_parser,
)

from .heads import CHROME, FIREFOX, SAFARI

if TYPE_CHECKING:
    from collections.abc import Callable

ASKED = Request("GET", "/", Headers([("Host", "a"), ("Upgrade", "websocket"), ("Connection", "Upgrade")]))
REQUEST = b"GET /chat?room=1 HTTP/1.1"
SWITCH = b"HTTP/1.1 101 Switching Protocols"
FIRST_LINES = [
    REQUEST,
    SWITCH,
    b"HTTP/1.1 101",
    b"HTTP/1.1 101 ",
    b"HTTP/1.1 101  two \t",
    b"HTTP/1.1 1011",
    b"HTTP/1.0 101 x",
    b"HTTP/2.0 101 x",
    b"HTTP/1.1 200 OK",
    b"HTTP/1.1 101 \xe9",
    b"HTTP/1.1 101 \x01",
    b"GET / HTTP/1.0",
    b"GET / HTTP/2.0",
    b"get / HTTP/1.1",
    b"GET  / HTTP/1.1",
    b"GET / HTTP/1.1 ",
    b" GET / HTTP/1.1",
    b"GET /\x7f HTTP/1.1",
    b"GET /\xe9 HTTP/1.1",
    b"POST / HTTP/1.1",
    b"GET / x HTTP/1.1",
    b"GET",
    b"",
]
HEADER_LINES = [
    b"Upgrade: websocket",
    b"Connection:keep-alive, Upgrade",
    b"Sec-WebSocket-Key: \t dGhlIHNhbXBsZSBub25jZQ== \t",
    b"X-Empty:",
    b"X-Blank: \t ",
    b"X-Inner: a \t b",
    b"x!#$%&'*+-.^_`|~9: y",
    b"X: a:b: c",
    b"Host: other",
    b"HOST: ",
    b"Content-Length: 0",
    b"content-length: 7",
    b"Content-Length: x",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: gzip",
    b"Expect: 100-continue",
    b"Connection: close",
    b"X : y",
    b" X: folded",
    b"\tX: folded",
    b"no colon",
    b": no name",
    b"X\xe9: y",
    b"X: \xe9\xff",
    b"X: \x85\xa0",
    b"X: a\x00b",
    b"X: a\x01b",
    b"X: a\x0bb",
    b"X: a\x0c",
    b"X: a\x7fb",
    b"X: a\nY: b",
    b"X: a\rY: b",
    b"X: a\r",
    b"X\x00: a",
    b"X(: a",
    b"",
]


def generated(seed: int) -> bytes:
    """A head that is ordinary, but for something that a peer, or a hostile one, may have put into it."""
    rng = random.Random(seed)
    first = rng.choice([REQUEST, SWITCH]) if rng.random() < 0.7 else rng.choice(FIRST_LINES)
    ordinary = rng.random() < 0.5
    lines = [first, b"Host: example.com"] if rng.random() < 0.9 else [first]
    lines += rng.choices(HEADER_LINES[:8] if ordinary else HEADER_LINES, k=rng.randrange(6))
    head = bytearray(b"\r\n".join([*lines, b"\r\n"]))
    if rng.random() < 0.3:
        head[rng.randrange(len(head))] = rng.randrange(256)
    return bytes(head)


def heads() -> list[bytes]:
    """Each first line and each header line by itself, what browsers send, and thousands at random."""
    found = [CHROME, FIREFOX, SAFARI, *(line + b"\r\nHost: a\r\n\r\n" for line in FIRST_LINES)]
    for first in (REQUEST, SWITCH):
        found += [first + b"\r\nHost: a\r\n" + line + b"\r\n\r\n" for line in HEADER_LINES]
        # Each byte in each place where a rule may be special about it.
        for byte in map(bytes, zip(range(256), strict=True)):
            found += [
                first + b"\r\nHost: a\r\n" + line + b"\r\n\r\n"
                for line in (
                    byte + b"X: y",
                    b"X" + byte + b": y",
                    b"X:" + byte + b"y",
                    b"X: y" + byte,
                    b"X: y" + byte + b"z",
                )
            ]
            found.append(first[:5] + byte + first[5:] + b"\r\nHost: a\r\n\r\n")
    return found + [generated(seed) for seed in range(6000)]


def facts(head: Request | Response) -> object:
    return (
        head.headers.pairs(),
        *((head.method, head.target, head.version) if isinstance(head, Request) else (head.status, head.reason)),
    )


def request_by_h11(head: bytes) -> Request:
    request, has_body = read_request(head)
    assert not has_body
    return request


def switch_by_h11(head: bytes) -> Response:
    return read_response(response_parser(ASKED), head)


@pytest.mark.parametrize(
    ("plain", "by_h11", "least"),
    [(read_plain_request, request_by_h11, 1000), (read_plain_switch, switch_by_h11, 1000)],
    ids=["request", "switch"],
)
def test_what_is_read_without_h11_is_read_as_h11_reads_it(
    plain: Callable[[bytes], Request | Response | None], by_h11: Callable[[bytes], Request | Response], least: int
) -> None:
    read = 0
    for head in heads():
        found = plain(head)
        if found is not None:
            assert facts(found) == facts(by_h11(head)), head
            read += 1
    assert read >= least  # or nothing was compared


@pytest.mark.parametrize("head", [CHROME, FIREFOX, SAFARI], ids=["chrome", "firefox", "safari"])
def test_what_browsers_send_is_read_without_h11(head: bytes) -> None:
    assert read_plain_request(head) is not None


@pytest.mark.parametrize(
    "line",
    [b"Content-Length: 0", b"Content-Length: 5", b"TRANSFER-ENCODING: chunked", b"X:\n y", b"X: \xe9", b"X : y", b"Host: b"],
)
def test_what_is_unusual_is_left_to_h11(line: bytes) -> None:
    assert read_plain_request(REQUEST + b"\r\nHost: a\r\n" + line + b"\r\n\r\n") is None


def test_a_request_without_host_is_left_to_h11_which_refuses_it() -> None:
    head = REQUEST + b"\r\nUpgrade: websocket\r\n\r\n"
    assert read_plain_request(head) is None
    with pytest.raises(InvalidHandshake, match="Host"):
        read_request(head)


def outcome(chunks: list[bytes]) -> object:
    """What a head comes to that comes in pieces: what was read, or why nothing was."""
    buffer = HeadBuffer(check_request_line)
    try:
        for chunk in chunks:
            whole = buffer.take(chunk)
            if whole is not None:
                return facts(read_plain_request(whole[0]) or read_request(whole[0])[0])
    except InvalidHandshake as error:
        return str(error)
    return None


def test_where_a_head_is_split_makes_no_difference() -> None:
    rng = random.Random(1)
    for seed in range(2000):
        head = generated(seed)
        if not head.startswith(b"GET "):
            continue
        cuts = sorted(rng.sample(range(1, len(head)), 3))
        chunks = [head[start:end] for start, end in zip([0, *cuts], [*cuts, len(head)], strict=True)]
        assert outcome(chunks) == outcome([head]), (head, cuts)


def test_what_is_written_h11_reads_as_it_was_meant() -> None:
    pairs = [
        ("Host", "example.com:1"),
        ("Upgrade", "websocket"),
        ("X-Empty", ""),
        ("X-Latin", "caf\xe9 \t ~!"),
        ("x", "a:b"),
    ]
    request = request_by_h11(encode_head("GET /a?b HTTP/1.1", pairs))
    assert (request.method, request.target, request.headers.pairs()) == ("GET", "/a?b", pairs)
    response = switch_by_h11(encode_head("HTTP/1.1 101 Switching Protocols", pairs))
    assert (response.status, response.reason, response.headers.pairs()) == (101, "Switching Protocols", pairs)


@pytest.mark.parametrize("bad", ["a\r\nX: y", "a\nb", "a\rb", "a\x00b", "\u2028", "a\x0bb", "a\x7f", " a", "a "])
def test_nothing_can_be_put_into_a_head_that_we_write(bad: str) -> None:
    for line in (f"GET {bad} HTTP/1.1", f"HTTP/1.1 404 {bad}", f"HTTP/1.1 {bad} OK", f"{bad} / HTTP/1.1"):
        with pytest.raises(ValueError, match="is not a first line that can be sent"):
            encode_head(line, [])
    for name, value in ((bad, "y"), ("X", bad)):
        with pytest.raises(ValueError, match="is not a header that can be sent"):
            encode_head("GET / HTTP/1.1", [("Host", "a"), (name, value)])


@pytest.mark.parametrize("name", ["", "X:", "X: y", "X y", "caf\xe9", "(X)"])
def test_a_name_that_is_no_token_is_not_written(name: str) -> None:
    with pytest.raises(ValueError, match="is not a header that can be sent"):
        encode_head("GET / HTTP/1.1", [(name, "y")])

"""Heads of HTTP messages as they are on the wire: ours are written here, plain ones are read here, all others by h11.

A second parser of HTTP must not grow here. What is read without h11 is what nearly every handshake consists of, one
regular expression each, and whatever that does not match is h11's: a test holds that both read the same. It spares a client
23 % of the instructions that opening and closing a connection take, and a server 30 % (callgrind; the loop's are counted).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

import h11

from ..exceptions import InvalidHandshake
from ..http import Headers, HeadersLike, Request, Response

__all__ = ["LONGEST_HEAD", "MOST_HEADERS", "TOKEN", "HeadBuffer", "check_headers", "encode_head"]

# A head that is larger is an attack or a mistake. nginx and node allow 8 to 32 KiB in all, most servers 100 headers.
LONGEST_HEAD: Final = 16384
MOST_HEADERS: Final = 128

_HEAD_END = re.compile(rb"\r\n\r\n")
# Bare line feeds, folded lines and NULs are read differently by different programs, which lets requests be smuggled past a
# proxy (RFC 9112 sections 2.2, 5.2, 11.2). Each branch begins with a literal, which lets the search skip what is neither.
_SMUGGLING = re.compile(rb"\n(?<!\r\n)|\r\n[ \t]|\r[^\n]|\x00")
_METHOD = re.compile(rb"$|[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,32}( |$)")
_VERSIONS: Final = (b"HTTP/1.0 ", b"HTTP/1.1 ")

_NAME = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_VALUE = r"(?:[!-~\x80-\xff](?:[\t !-~\x80-\xff]*[!-~\x80-\xff])?)?"  # Latin-1 (RFC 9110 section 5.5)
TOKEN = re.compile(_NAME)
_HEADER_VALUE = re.compile(_VALUE)
_FIRST_LINE = re.compile(rf"GET [!-~]+ HTTP/1\.1|HTTP/1\.1 [0-9]+ {_VALUE}")
_PLAIN_HEADERS = rf"((?:{_NAME}:[\t -~]*\r\n)+)\r\n"
_PLAIN_REQUEST = re.compile(rf"GET ([!-~]+) HTTP/1\.1\r\n{_PLAIN_HEADERS}")
_PLAIN_SWITCH = re.compile(rf"HTTP/1\.1 101(?: ([\t -~]*))?\r\n{_PLAIN_HEADERS}")

_OWN_HEADERS: Final = frozenset(
    {
        "connection",
        "content-length",
        "sec-websocket-accept",
        "sec-websocket-extensions",
        "sec-websocket-key",
        "sec-websocket-protocol",
        "sec-websocket-version",
        "transfer-encoding",
        "upgrade",
    }
)


class HeadBuffer:
    """Collects a head, within the limits, and refuses what could be read in two ways.

    Args:
        check: raises an error for a first line that cannot be one, however little of it is there.
    """

    def __init__(self, check: Callable[[bytes], None]) -> None:
        self._check = check
        self._data = bytearray()

    def take(self, data: bytes) -> tuple[bytes, bytes] | None:
        """Add what was received. Returns the head and what came after it, once the head is whole."""
        seen = max(0, len(self._data) - 3)
        self._data += data
        match = _HEAD_END.search(self._data, seen)
        end = match.end() if match else len(self._data)
        self._check(bytes(self._data[:64].partition(b"\r\n")[0]))
        if end > LONGEST_HEAD:
            raise InvalidHandshake(f"the head is longer than {LONGEST_HEAD} bytes", 431)
        if bad := _SMUGGLING.search(self._data, seen, end):
            what = {b"\n": "a bare line feed", b"\x00": "a NUL"}.get(bad.group(), "a folded line or bare carriage return")
            raise InvalidHandshake(f"the head has {what} in it (RFC 9112 sections 2.2 and 5.2)")
        if match is None:
            return None
        if self._data.count(b"\n", 0, end) - 2 > MOST_HEADERS:
            raise InvalidHandshake(f"the head has more than {MOST_HEADERS} headers", 431)
        return bytes(self._data[:end]), bytes(self._data[end:])


def check_request_line(line: bytes) -> None:
    if not _METHOD.match(line):
        tls = "; it looks like TLS: use wss:// only where the server has a certificate" if line[0] == 0x16 else ""
        raise InvalidHandshake(f"the client does not speak HTTP{tls}")


def check_status_line(line: bytes) -> None:
    if not line.startswith(_VERSIONS) and not any(version.startswith(line) for version in _VERSIONS):
        raise InvalidHandshake(f"the peer does not speak HTTP/1.1: it sent {line[:40]!r}")


# What is sent.


def check_headers(headers: HeadersLike) -> Headers:
    """Return extra headers, once they are known to leave the handshake's own ones alone."""
    checked = Headers(headers)
    for name, value in checked.pairs():
        if name.lower() in _OWN_HEADERS:
            raise ValueError(f"the header {name} belongs to the opening handshake and cannot be set")
        _check_header(name, value)
    return checked


def _check_header(name: str, value: str) -> None:
    if not TOKEN.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
        raise ValueError(f"{name!r}: {value!r} is not a header that can be sent (RFC 9110 section 5)")


def encode_head(line: str, pairs: Sequence[tuple[str, str]]) -> bytes:
    """Return a head to send: its first line and its headers.

    Raises:
        ValueError: a part of it cannot be sent: with a line break in it, say, it would make a header of its own.
    """
    if not _FIRST_LINE.fullmatch(line):
        raise ValueError(f"{line!r} is not a first line that can be sent (RFC 9112 sections 3 and 4)")
    lines = [line]
    for name, value in pairs:
        _check_header(name, value)
        lines.append(f"{name}: {value}")
    return "\r\n".join([*lines, "\r\n"]).encode("latin-1")


# What is received.


def read_plain_request(head: bytes) -> Request | None:
    """Read the head of a request with nothing unusual in it; ``None`` if there is, or may be."""
    match = _PLAIN_REQUEST.fullmatch(head.decode("latin-1"))
    if match is None:
        return None
    headers = _plain_headers(match[2])
    if headers is None or len(headers.get_all("host")) != 1:
        return None
    return Request("GET", match[1], headers)


def read_plain_switch(head: bytes) -> Response | None:
    """Read the head of an answer 101 with nothing unusual in it; ``None`` if there is, or may be, or it is another one."""
    match = _PLAIN_SWITCH.fullmatch(head.decode("latin-1"))
    if match is None:
        return None
    headers = _plain_headers(match[2])
    return None if headers is None else Response(101, match[1] or "", headers)


def _plain_headers(text: str) -> Headers | None:
    pairs = []
    for line in text[:-2].split("\r\n"):
        name, _, value = line.partition(":")
        pairs.append((name, value.strip(" \t")))
    headers = Headers(pairs)
    # Whether there is a body is for h11 to say.
    return None if "content-length" in headers or "transfer-encoding" in headers else headers


def read_request(head: bytes) -> tuple[Request, bool]:
    """Read the head of a request by way of h11. Returns also whether a body follows.

    Raises:
        InvalidHandshake: it is not valid HTTP.
    """
    parser = h11.Connection(h11.SERVER, max_incomplete_event_size=LONGEST_HEAD)
    try:
        parser.receive_data(head)
        event = parser.next_event()
        if not isinstance(event, h11.Request):
            raise InvalidHandshake("the client sent no request")
        request = Request(
            event.method.decode("ascii"),
            event.target.decode("latin-1"),
            _to_headers(event.headers),
            event.http_version.decode("ascii"),
        )
        has_body = not isinstance(parser.next_event(), h11.EndOfMessage)
    except h11.RemoteProtocolError as error:
        raise InvalidHandshake(f"the request is not valid HTTP: {error}", error.error_status_hint) from None
    return request, has_body


def response_parser(request: Request) -> h11.Connection:
    """Return what reads the answers to a request."""
    raw = [(name.encode("ascii"), value.encode("latin-1")) for name, value in request.headers.pairs()]
    parser = h11.Connection(h11.CLIENT, max_incomplete_event_size=LONGEST_HEAD)
    parser.send(h11.Request(method="GET", target=request.target, headers=raw))
    parser.send(h11.EndOfMessage())
    return parser


def read_response(parser: h11.Connection, head: bytes) -> Response:
    """Read the head of an answer by way of h11.

    Raises:
        h11.RemoteProtocolError: it is not valid HTTP.
        InvalidHandshake: it switches protocols in another version of HTTP.
    """
    parser.receive_data(head)
    event = parser.next_event()
    assert isinstance(event, h11.InformationalResponse | h11.Response)
    if event.status_code == 101 and event.http_version != b"1.1":
        raise InvalidHandshake("the server's answer 101 is not one of HTTP/1.1 (RFC 6455 section 4.1)")
    return Response(event.status_code, event.reason.decode("latin-1"), _to_headers(event.headers))


def _to_headers(raw: h11._headers.Headers) -> Headers:
    return Headers([(name.decode("ascii"), value.decode("latin-1")) for name, value in raw.raw_items()])

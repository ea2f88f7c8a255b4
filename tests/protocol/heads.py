"""Request heads as browsers send them, and the answer that fits the key of RFC 6455 section 1.3."""

from __future__ import annotations

from cwschannel.protocol.opening import ClientOpening, ServerOpening
from cwschannel.protocol.uri import parse_uri

from .wire import accept_value

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

FIREFOX = (
    b"GET /chat?room=1 HTTP/1.1\r\n"
    b"Host: localhost:8765\r\n"
    b"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0\r\n"
    b"Accept: */*\r\n"
    b"Accept-Language: en-US,en;q=0.5\r\n"
    b"Accept-Encoding: gzip, deflate, br, zstd\r\n"
    b"Sec-WebSocket-Version: 13\r\n"
    b"Origin: http://localhost:8765\r\n"
    b"Sec-WebSocket-Extensions: permessage-deflate\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Connection: keep-alive, Upgrade\r\n"
    b"Sec-Fetch-Dest: empty\r\n"
    b"Sec-Fetch-Mode: websocket\r\n"
    b"Sec-Fetch-Site: same-origin\r\n"
    b"Pragma: no-cache\r\n"
    b"Cache-Control: no-cache\r\n"
    b"Upgrade: websocket\r\n"
    b"\r\n"
)
CHROME = (
    b"GET /chat?room=1 HTTP/1.1\r\n"
    b"Host: localhost:8765\r\n"
    b"Connection: Upgrade\r\n"
    b"Pragma: no-cache\r\n"
    b"Cache-Control: no-cache\r\n"
    b"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36\r\n"
    b"Upgrade: websocket\r\n"
    b"Origin: http://localhost:8765\r\n"
    b"Sec-WebSocket-Version: 13\r\n"
    b"Accept-Encoding: gzip, deflate, br, zstd\r\n"
    b"Accept-Language: en-US,en;q=0.9\r\n"
    b"Cookie: session=abc; theme=dark\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
    b"Sec-WebSocket-Protocol: chat, superchat\r\n"
    b"\r\n"
)
SAFARI = (
    b"GET /chat?room=1 HTTP/1.1\r\n"
    b"Host: localhost:8765\r\n"
    b"Origin: http://localhost:8765\r\n"
    b"Pragma: no-cache\r\n"
    b"Cache-Control: no-cache\r\n"
    b"Sec-Fetch-Dest: websocket\r\n"
    b"Sec-Fetch-Site: same-origin\r\n"
    b"User-Agent: Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    b"Version/18.1 Safari/605.1.15\r\n"
    b"Upgrade: websocket\r\n"
    b"Connection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Extensions: permessage-deflate\r\n"
    b"Sec-Fetch-Mode: websocket\r\n"
    b"Accept-Language: en-GB,en;q=0.9\r\n"
    b"Accept-Encoding: gzip, deflate\r\n"
    b"\r\n"
)

PLAIN = {
    "Host": "example.com",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": KEY,
    "Sec-WebSocket-Version": "13",
}


def request(start: str = "GET /chat HTTP/1.1", *, without: str = "", more: str = "", **changed: str) -> bytes:
    """A request in which headers are missing, changed (``sec_websocket_key="..."``) or added (whole lines)."""
    values = {name.replace("_", "-").lower(): value for name, value in changed.items()}
    assert values.keys() <= {name.lower() for name in PLAIN}
    lines = [f"{name}: {values.get(name.lower(), value)}" for name, value in PLAIN.items() if name != without]
    return "\r\n".join([start, *lines, *more.splitlines(), "", ""]).encode("latin-1")


def opened(data: bytes) -> ServerOpening:
    """A server that was given a whole request."""
    opening = ServerOpening()
    assert opening.received(data) is opening.request is not None
    return opening


def client(uri: str = "ws://example.com/chat", **options: object) -> ClientOpening:
    return ClientOpening(parse_uri(uri), **options)  # type: ignore[arg-type]


def answer(
    opening: ClientOpening,
    start: str = "HTTP/1.1 101 Switching Protocols",
    *,
    without: str = "",
    more: str = "",
    **changed: str,
) -> bytes:
    """The right answer to a client's request, unless headers are missing, changed or added."""
    values = {name.replace("_", "-").lower(): value for name, value in changed.items()}
    right = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Accept": accept_value(opening.request.headers["Sec-WebSocket-Key"]),
    }
    assert values.keys() <= {name.lower() for name in right}
    lines = [f"{name}: {values.get(name.lower(), value)}" for name, value in right.items() if name != without]
    return "\r\n".join([start, *lines, *more.splitlines(), "", ""]).encode("latin-1")

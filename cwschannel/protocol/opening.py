"""The opening handshake (RFC 6455 section 4), both sides, without I/O: HTTP heads in and out, by way of h11."""

from __future__ import annotations

import base64
import os
from collections.abc import Collection, Sequence
from typing import Final

import h11

from ..exceptions import HandshakeRejected, InvalidHandshake
from ..http import Headers, HeadersLike, Request, Response
from ..kernels import sign_key
from .heads import (
    TOKEN,
    HeadBuffer,
    check_headers,
    check_request_line,
    check_status_line,
    encode_head,
    read_plain_request,
    read_plain_switch,
    read_request,
    read_response,
    response_parser,
)
from .uri import WebSocketURI

__all__ = ["ClientOpening", "ServerOpening"]

VERSION: Final = "13"

# What is kept of the body of a refusal, for whoever wants to know why.
LONGEST_BODY: Final = 2**20


class ClientOpening:
    """The client's side (section 4.1). Write ``request_bytes``, then give ``received`` what comes.

    Args:
        uri: where to.
        protocols: the subprotocols to offer, the favourite first.
        headers: what else to send. ``Host``, ``Origin``, ``User-Agent`` and ``Authorization`` take the place of ours.
        origin: for clients that act for a browser.
        user_agent: ``None`` sends no such header.

    Attributes:
        request: what is sent.
        response: the server's answer, once ``received`` has returned true.
        protocol: the subprotocol that the server chose, or ``None``.
        trailing: what came after the answer: frames.

    Raises:
        ValueError: a subprotocol or header is not fit to be sent.
    """

    def __init__(
        self,
        uri: WebSocketURI,
        *,
        protocols: Sequence[str] = (),
        headers: HeadersLike = (),
        origin: str | None = None,
        user_agent: str | None = None,
    ) -> None:
        self._protocols = check_protocols(protocols)
        self._key = base64.b64encode(os.urandom(16)).decode()
        extra = check_headers(headers)
        hosts = extra.get_all("host") or [uri.authority]
        if len(hosts) > 1:
            raise ValueError("the request cannot be sent: it has two Host headers (RFC 9112 section 3.2)")
        # "A user agent that sends Host SHOULD send it as the first field" (RFC 9110 section 7.2)
        pairs = [("Host", hosts[0]), ("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Key", self._key)]
        pairs.append(("Sec-WebSocket-Version", VERSION))
        if self._protocols:
            pairs.append(("Sec-WebSocket-Protocol", ", ".join(self._protocols)))
        if origin is not None and "origin" not in extra:
            pairs.append(("Origin", origin))
        if user_agent is not None and "user-agent" not in extra:
            pairs.append(("User-Agent", user_agent))
        if uri.credentials is not None and "authorization" not in extra:
            token = base64.b64encode(":".join(uri.credentials).encode()).decode()
            pairs.append(("Authorization", f"Basic {token}"))
        pairs += [pair for pair in extra.pairs() if pair[0].lower() != "host"]
        self.request = Request("GET", uri.target, Headers(pairs))
        self.request_bytes = encode_head(f"GET {uri.target} HTTP/1.1", pairs)
        self.response: Response | None = None
        self.protocol: str | None = None
        self.trailing = b""
        self._head: HeadBuffer | None = HeadBuffer(check_status_line)  # while a head is awaited
        self._body = bytearray()
        self._http: h11.Connection | None = None  # for what is not the ordinary answer

    def received(self, data: bytes) -> bool:
        """Take what came. Returns whether the connection is open now.

        Raises:
            InvalidHandshake: the answer breaks section 4.1 or HTTP.
            HandshakeRejected: the answer has another status than 101.
        """
        try:
            while self._head is not None:
                whole = self._head.take(data)
                if whole is None:
                    return False
                head, data = whole
                response = read_plain_switch(head) or self._read(head)
                # "A client MUST be able to parse one or more 1xx responses" (RFC 9110 section 15.2)
                if response.status < 200 and response.status != 101:
                    self._head = HeadBuffer(check_status_line)
                    continue
                self._head = None
                self.response = response
                if response.status == 101:
                    self._check(response)
                    self.trailing = data
                    return True
            self._take_body(data)
        except h11.RemoteProtocolError as error:
            raise InvalidHandshake(f"the server's answer is not valid HTTP: {error}") from None
        return False

    def _read(self, head: bytes) -> Response:
        if self._http is None:
            self._http = response_parser(self.request)
        return read_response(self._http, head)

    def eof(self) -> None:
        """The server closed TCP before the connection was open. Raises the error that says so best."""
        self.give_up()
        raise InvalidHandshake("the server closed the connection during the opening handshake")

    def give_up(self) -> None:
        """No more will be waited for: raise ``HandshakeRejected`` if a refusal has come but for the end of its body."""
        if self.response is not None and self.response.status != 101:
            raise self._rejected()

    def _take_body(self, data: bytes) -> None:
        assert self._http is not None
        if data:
            self._http.receive_data(data)
        while not isinstance(event := self._http.next_event(), type(h11.NEED_DATA)):
            if isinstance(event, h11.Data):
                self._body += event.data
            if not isinstance(event, h11.Data) or len(self._body) >= LONGEST_BODY:
                raise self._rejected()

    def _rejected(self) -> HandshakeRejected:
        assert self.response is not None
        response = self.response
        body = bytes(self._body[:LONGEST_BODY])
        return HandshakeRejected(Response(response.status, response.reason, response.headers, body))

    def _check(self, response: Response) -> None:
        headers = response.headers
        # "If the response lacks an |Upgrade| header field or the |Upgrade| header field contains a value that is not an
        # ASCII case-insensitive match for the value "websocket", the client MUST _Fail the WebSocket Connection_." (4.1)
        if [value.lower() for value in headers.tokens("upgrade")] != ["websocket"]:
            raise InvalidHandshake("the server's answer has no 'Upgrade: websocket' (RFC 6455 section 4.1)")
        if not _has_token(headers, "connection", "upgrade"):
            raise InvalidHandshake("the server's answer has no 'Connection: Upgrade' (RFC 6455 section 4.1)")
        # A body would be taken for frames.
        if "transfer-encoding" in headers or headers.get("content-length", "0").strip("0"):
            raise InvalidHandshake("the server's answer 101 announces a body (RFC 9110 section 15.2)")
        if headers.get_all("sec-websocket-accept") != [sign_key(self._key)]:
            raise InvalidHandshake(
                "the server's answer has no Sec-WebSocket-Accept that fits our key: it does not speak WebSocket, or a "
                "cache answered in its place (RFC 6455 section 4.1)"
            )
        if "sec-websocket-extensions" in headers:
            raise InvalidHandshake("the server chose an extension that was not offered (RFC 6455 section 4.1)")
        chosen = headers.get_all("sec-websocket-protocol")
        if len(chosen) > 1 or (chosen and chosen[0] not in self._protocols):
            raise InvalidHandshake(
                f"the server chose the subprotocol {', '.join(chosen)!r}, which was not offered (RFC 6455 section 4.1)"
            )
        self.protocol = chosen[0] if chosen else None


class ServerOpening:
    """The server's side (section 4.2). Give ``received`` what comes; write what ``accept`` or ``reject`` returns.

    Attributes:
        request: the client's request, once it came.
        trailing: what came after the request: early frames, not to be read before the answer is written.
    """

    def __init__(self) -> None:
        self._head = HeadBuffer(check_request_line)
        self.request: Request | None = None
        self.trailing = b""

    def received(self, data: bytes) -> Request | None:
        """Take what came. Returns the request when it is whole; whether it asks for a WebSocket is for ``accept`` to say.

        Raises:
            InvalidHandshake: the request is not valid HTTP, or has a body.
        """
        if self.request is not None:
            self.trailing += data
            return None
        whole = self._head.take(data)
        if whole is None:
            return None
        head, self.trailing = whole
        self.request = read_plain_request(head)
        if self.request is None:
            self.request, has_body = read_request(head)
            if has_body:
                raise InvalidHandshake("a request with a body opens no WebSocket")
        return self.request

    def accept(
        self,
        *,
        protocols: Sequence[str] = (),
        allowed_origins: Collection[str] | str | None = None,
        headers: HeadersLike = (),
        secure: bool = False,
    ) -> tuple[bytes, Response, str | None]:
        """Check the request and accept it. Returns the answer's bytes, the answer, and the subprotocol or ``None``.

        Args:
            protocols: the subprotocols that the server speaks, its favourite first.
            allowed_origins: which pages' scripts may connect: origins such as ``"https://example.com"``, ``"*"`` for all,
                ``None`` for pages of the same host. A request without ``Origin`` comes from no browser and passes.
            headers: what else to send.
            secure: whether the connection runs over TLS.

        Raises:
            InvalidHandshake: the request breaks section 4.2.1, or its origin is not allowed.
        """
        assert self.request is not None
        key = self._check()
        self._check_origin(allowed_origins, secure)
        protocol = self._choose_protocol(protocols)
        pairs = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", sign_key(key))]
        if protocol is not None:
            pairs.append(("Sec-WebSocket-Protocol", protocol))
        if headers:
            pairs += check_headers(headers).pairs()
        response = Response(101, "Switching Protocols", Headers(pairs))
        return encode_head("HTTP/1.1 101 Switching Protocols", pairs), response, protocol

    def reject(self, response: Response) -> bytes:
        """Return the bytes of an answer after which the connection is to be closed.

        Raises:
            ValueError: the status, a header or the reason cannot be sent.
        """
        if not 200 <= response.status <= 999:
            raise ValueError(f"an answer that opens no WebSocket has a status from 200 on, not {response.status}")
        pairs = [pair for pair in response.headers.pairs() if pair[0].lower() != "connection"]
        connection = "Upgrade, close" if "upgrade" in response.headers else "close"
        head = encode_head(f"HTTP/1.1 {response.status} {response.reason}", [*pairs, ("Connection", connection)])
        without_body = self.request is not None and self.request.method == "HEAD"
        return head if without_body else head + response.body

    def _check(self) -> str:
        """Check the request against section 4.2.1. Returns its key."""
        request = self.request
        assert request is not None
        if request.method != "GET":
            raise InvalidHandshake("a WebSocket is opened with GET", 405, (("Allow", "GET"),))
        if request.version != "1.1":
            raise InvalidHandshake("a WebSocket needs HTTP/1.1", 505)
        upgrade = (("Upgrade", "websocket"), ("Sec-WebSocket-Version", VERSION))
        headers = request.headers
        if not _has_token(headers, "upgrade", "websocket") or not _has_token(headers, "connection", "upgrade"):
            raise InvalidHandshake("this is a WebSocket server: the request must ask for an upgrade to it", 426, upgrade)
        versions = headers.get_all("sec-websocket-version")
        # "If this version does not match a version understood by the server, the server MUST abort the WebSocket handshake
        # [...] and instead send an appropriate HTTP error code (such as 426 Upgrade Required) and a
        # |Sec-WebSocket-Version| header field indicating the version(s) the server is capable of understanding." (4.2.2)
        if versions != [VERSION]:
            status = 426 if versions else 400
            raise InvalidHandshake(f"the request must have the header 'Sec-WebSocket-Version: {VERSION}'", status, upgrade)
        keys = headers.get_all("sec-websocket-key")
        if len(keys) != 1:
            raise InvalidHandshake("the request must have one Sec-WebSocket-Key (RFC 6455 section 4.2.1)")
        try:
            sign_key(keys[0])
        except ValueError as error:
            raise InvalidHandshake(f"{error} (RFC 6455 section 4.2.1)") from None
        return keys[0]

    def _check_origin(self, allowed: Collection[str] | str | None, secure: bool) -> None:
        assert self.request is not None
        origins = [origin.lower() for origin in self.request.headers.get_all("origin")]
        if not origins or allowed == "*":
            return
        if allowed is None:
            # Without TLS of our own, a proxy in front of us may have ended it, and the page may be one of https.
            host = self.request.headers.get("host", "").lower()
            passes = origins == [f"https://{host}"] or (not secure and origins == [f"http://{host}"])
        else:
            allowed = (allowed,) if isinstance(allowed, str) else allowed
            passes = origins in [[origin.lower()] for origin in allowed]
        if not passes:
            origin = ", ".join(origins)
            raise InvalidHandshake(f"pages of the origin {origin!r} may not connect here (RFC 6455 section 10.2)", 403)

    def _choose_protocol(self, protocols: Sequence[str]) -> str | None:
        assert self.request is not None
        offered = self.request.headers.tokens("sec-websocket-protocol")
        for protocol in offered:
            if not TOKEN.fullmatch(protocol):
                raise InvalidHandshake(f"the subprotocol {protocol!r} is not a token (RFC 6455 section 4.1)")
        return next((protocol for protocol in protocols if protocol in offered), None)


def check_protocols(protocols: Sequence[str]) -> tuple[str, ...]:
    """Return subprotocols as a tuple, once they are fit to be sent: tokens, each of them once (section 4.1)."""
    if isinstance(protocols, str):
        raise TypeError(f"protocols is a sequence of names, such as [{protocols!r}], not one str")
    for protocol in protocols:
        if not TOKEN.fullmatch(protocol):
            raise ValueError(f"the subprotocol {protocol!r} is not a token: letters, digits and !#$%&'*+-.^_`|~")
    if len(set(protocols)) != len(protocols):
        raise ValueError("a subprotocol stands in protocols twice")
    return tuple(protocols)


def _has_token(headers: Headers, name: str, token: str) -> bool:
    return any(value.lower() == token for value in headers.tokens(name))

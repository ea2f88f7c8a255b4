"""Everything that cwschannel raises of its own accord.

::

    WebSocketChannelException
    ├── InvalidURI                  the caller's mistake: not a ws:// or wss:// URI (also a ValueError)
    ├── OpeningFailed               the connection could not be opened; an OSError below it is the __cause__
    │   ├── OpeningTimeout          ... within connect_timeout (also a TimeoutError)
    │   ├── InvalidHandshake        the peer's HTTP breaks RFC 6455 section 4
    │   └── HandshakeRejected       the server answered with another status than 101: see .response
    ├── ProtocolError               the peer broke a rule of RFC 6455 section 5 or 7: see .code and .rule
    ├── ConnectionClosed            no more messages: see .code and .reason, and __cause__ for what went wrong
    │   └── SendTimeout             ... because the peer did not take a message in time (also a TimeoutError; blocking side)
    ├── MultiChannelError           the peer broke the format of MultiChannel
    ├── ChannelStateError           the caller's mistake: two readers, or adding after close()
    └── BackPressureError           the caller's mistake: adding without end to a sink that nobody empties

Mistakes in arguments raise ``TypeError`` and ``ValueError``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import status

if TYPE_CHECKING:
    from .http import Response

__all__ = [
    "BackPressureError",
    "ChannelStateError",
    "ConnectionClosed",
    "HandshakeRejected",
    "InvalidHandshake",
    "InvalidURI",
    "MultiChannelError",
    "OpeningFailed",
    "OpeningTimeout",
    "ProtocolError",
    "SendTimeout",
    "WebSocketChannelException",
]


class WebSocketChannelException(Exception):
    """The root of the tree: catch it to catch all of them."""


class InvalidURI(WebSocketChannelException, ValueError):
    """The URI is not one of a WebSocket (RFC 6455 section 3)."""


class OpeningFailed(WebSocketChannelException):
    """The connection could not be opened. Where the system said why, its ``OSError`` is the ``__cause__``."""


class OpeningTimeout(OpeningFailed, TimeoutError):
    """The connection did not open within ``connect_timeout`` seconds, from the name look-up to the last header."""


class InvalidHandshake(OpeningFailed):
    """The peer's side of the opening handshake breaks RFC 6455 section 4.

    Attributes:
        status: the HTTP status a server answers such a request with.
        headers: the headers that belong to that answer, such as ``Allow``.
    """

    def __init__(self, message: str, status: int = 400, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers


class HandshakeRejected(OpeningFailed):
    """The server answered the opening handshake with another status than 101.

    Attributes:
        response: the whole answer: ``status``, ``reason``, ``headers``, ``body`` (at most 1 MiB of it).
    """

    def __init__(self, response: Response) -> None:
        reason = f" {response.reason}" if response.reason else ""
        super().__init__(f"the server refused the WebSocket: HTTP {response.status}{reason}")
        self.response = response

    @property
    def status(self) -> int:
        """The HTTP status, such as 404."""
        return self.response.status


class ProtocolError(WebSocketChannelException):
    """The peer broke a rule of RFC 6455, and the connection was failed for it (section 7.1.7).

    Attributes:
        code: the close code that tells the peer: 1002, 1007 or 1009.
        rule: a short name of the rule that never changes, such as ``"reserved-opcode"``.
    """

    def __init__(self, code: int, rule: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.rule = rule


class ConnectionClosed(WebSocketChannelException):
    """The connection is closed, and every message that came before was delivered.

    Attributes:
        code: the close code that the peer sent; 1005 if its close frame was empty, 1006 if there was none.
        reason: the reason that the peer sent, else an empty string.
    """

    def __init__(self, code: int, reason: str = "", detail: str = "") -> None:
        text = f"the connection is closed: {code} ({status.describe(code)})"
        if reason:
            text += f" {reason!r}"
        if detail:
            text += f"; {detail}"
        super().__init__(text)
        self.code = code
        self.reason = reason


class SendTimeout(ConnectionClosed, TimeoutError):
    """The operating system did not take a message within ``send_timeout`` seconds, because the peer does not read.

    The connection was dropped: part of the message may be on its way, and nothing can follow half of a frame.
    """


class MultiChannelError(WebSocketChannelException):
    """The other end of a ``MultiChannel`` sent what is not in its format. All its channels were closed."""


class ChannelStateError(WebSocketChannelException):
    """The channel is not in a state in which the caller may do this."""


class BackPressureError(WebSocketChannelException):
    """Too much waits already, and whoever is to take it does not: bytes on their way to the peer, or items for a reader."""

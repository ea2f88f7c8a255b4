"""What every ``connect()`` and every ``serve()`` share, whatever they wait with: their options, checked in one place, and
what a server says to those it does not let in. No I/O."""

from __future__ import annotations

import functools
import logging
import socket
import ssl as tls
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from typing import Any, Final

from .._version import __version__
from ..exceptions import InvalidHandshake, OpeningTimeout, WebSocketChannelException
from ..http import Headers, HeadersLike, Request, Response
from ..protocol.connection import ConnectionOptions
from ..protocol.heads import check_headers
from ..protocol.opening import ClientOpening, ServerOpening, check_protocols
from ..protocol.uri import WebSocketURI, parse_uri

__all__ = ["USER_AGENT", "ConnectOptions", "ServeOptions", "connect_options", "serve_options"]

logger = logging.getLogger("cwschannel")

USER_AGENT: Final = f"cwschannel/{__version__}"

SERVER_CLOSED: Final = "the server is closed: make another one with serve()"


def check_timeout(name: str, value: float | None) -> float | None:
    """Return a number of seconds, or ``None`` for no limit, once it can be one."""
    if value is not None and not value > 0:
        raise ValueError(f"{name} must be more than 0 seconds; it is {value}")
    return value


def check_read_limit(value: int) -> int:
    """Return how many bytes may wait for the reader, once that can be."""
    if value < 1:
        raise ValueError(f"read_limit must be at least 1 byte; it is {value}")
    return value


# Clients.


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectOptions:
    """What ``connect()`` was asked for. ``tls`` is ``None`` for ``ws``."""

    target: WebSocketURI
    opening: ClientOpening
    tls: tls.SSLContext | None
    server_hostname: str
    connect_timeout: float | None
    connection: ConnectionOptions


def connect_options(
    uri: str,
    *,
    protocols: Sequence[str],
    headers: HeadersLike,
    origin: str | None,
    user_agent: str | None,
    ssl: tls.SSLContext | None,
    server_hostname: str | None,
    connect_timeout: float | None,
    **limits: Any,
) -> ConnectOptions:
    """Check what ``connect()`` was given; ``limits`` are those of ``ConnectionOptions``.

    Raises:
        InvalidURI, ValueError, TypeError: a mistake in it.
    """
    target = parse_uri(uri)
    connection = ConnectionOptions(**limits)
    opening = ClientOpening(target, protocols=protocols, headers=headers, origin=origin, user_agent=user_agent)
    if ssl is not None and not target.secure:
        raise ValueError("ssl= is for wss:// URIs, and this is a ws:// one")
    return ConnectOptions(
        target=target,
        opening=opening,
        tls=(ssl or default_context()) if target.secure else None,
        server_hostname=server_hostname or target.host,
        connect_timeout=check_timeout("connect_timeout", connect_timeout),
        connection=connection,
    )


@functools.cache
def default_context() -> tls.SSLContext:
    """The TLS settings of clients that give none. One for all: each costs a reading of the system's authorities."""
    return tls.create_default_context()


def opening_timeout(options: ConnectOptions) -> Exception:
    """Return the error for a connection that did not open in time: the refusal, if one came but for the end of its body."""
    try:
        options.opening.give_up()
    except WebSocketChannelException as error:
        return error
    where = f"{options.target.host} port {options.target.port}"
    return OpeningTimeout(f"{where} did not open a WebSocket within {options.connect_timeout:g} s (connect_timeout)")


def explain(error: Exception, target: WebSocketURI) -> str:
    """Say in one sentence why there is no connection."""
    where = f"{target.host} port {target.port}"
    if isinstance(error, socket.gaierror):
        return f"no connection to {where}: the host name is not known ({error.strerror})"
    if isinstance(error, ConnectionRefusedError):
        return f"no connection to {where}: it was refused; is the server running?"
    if isinstance(error, tls.SSLCertVerificationError):
        return f"the certificate of {where} is not trusted: {error.verify_message}"
    if isinstance(error, tls.SSLError):
        return f"no TLS connection to {where}: {error.reason or error}; does the server speak TLS there?"
    return f"no connection to {where}: {error.strerror if isinstance(error, OSError) and error.strerror else error}"


# Servers.


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """What ``serve()`` was asked for."""

    protocols: tuple[str, ...]
    allowed_origins: Collection[str] | str | None
    process_request: Callable[[Request], Any] | None
    headers: Headers
    connect_timeout: float | None
    connection: ConnectionOptions

    def accept(self, opening: ServerOpening, *, secure: bool) -> tuple[bytes, Response, str | None]:
        """Check the request that came, and accept it: see ``ServerOpening.accept``."""
        return opening.accept(
            protocols=self.protocols, allowed_origins=self.allowed_origins, headers=self.headers, secure=secure
        )


def serve_options(
    *,
    protocols: Sequence[str],
    allowed_origins: Collection[str] | str | None,
    process_request: Callable[[Request], Any] | None,
    headers: HeadersLike,
    connect_timeout: float | None,
    **limits: Any,
) -> ServeOptions:
    """Check what ``serve()`` was given; ``limits`` are those of ``ConnectionOptions``.

    Raises:
        ValueError, TypeError: a mistake in it.
    """
    return ServeOptions(
        protocols=check_protocols(protocols),
        allowed_origins=allowed_origins,
        process_request=process_request,
        headers=check_headers(headers),
        connect_timeout=check_timeout("connect_timeout", connect_timeout),
        connection=ConnectionOptions(**limits),
    )


def shutting_down() -> Response:
    """The answer of a server that is being closed."""
    return Response.text(503, "the server is shutting down")


def too_late() -> Response:
    """The answer to a request that did not come whole within ``connect_timeout``."""
    return Response.text(408, "the request did not come in time")


def hook_failed() -> Response:
    """Report that ``process_request`` raised the error that is being handled. Returns the answer."""
    logger.exception("process_request failed")
    return Response.text(500)


def refused(error: InvalidHandshake) -> Response:
    """Report a request that opens no WebSocket. Returns the answer."""
    logger.info("refused a request with %d: %s", error.status, error)
    return Response.text(error.status, str(error), error.headers)


def encode_refusal(opening: ServerOpening, response: Response) -> bytes:
    """Return the bytes of an answer that is no upgrade.

    Raises:
        ValueError: it cannot be sent.
    """
    reason = response.reason or HTTPStatus(response.status).phrase
    pairs = [("Date", formatdate(usegmt=True)), *response.headers.pairs()]
    return opening.reject(Response(response.status, reason, Headers(pairs), response.body))

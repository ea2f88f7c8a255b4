"""WebSocket URIs (RFC 6455 section 3): ``ws://host[:port]/path?query`` and ``wss://...``."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlsplit

from ..exceptions import InvalidURI

__all__ = ["WebSocketURI", "parse_uri"]

_FORBIDDEN = re.compile(r"[\x00-\x20\x7f\ud800-\udfff]")

_HOST = re.compile(r"[0-9a-zA-Z._~-]+|[0-9a-fA-F:.]+")  # a name or an IPv4 address, or an IPv6 address

# Characters that stay as they are: the reserved ones of RFC 3986, and "%", because what is escaped already stays so.
_SAFE = "%/?:@!$&'()*+,;=~-._"


@dataclass(frozen=True, slots=True)
class WebSocketURI:
    """The parts of a URI that opening a connection needs.

    Attributes:
        secure: whether the connection runs over TLS (``wss``).
        host: a name in ASCII (IDNA) or an address, without brackets.
        port: 1 to 65535.
        target: the resource name of section 3, path and query, as it goes into the request line.
        credentials: user name and password, percent-decoded, or ``None``.
    """

    secure: bool
    host: str
    port: int
    target: str
    credentials: tuple[str, str] | None = None

    @property
    def authority(self) -> str:
        """What goes into the ``Host`` header: the port only if it is not the scheme's own (section 4.1, step 4)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.secure else 80) else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        """The origin of a page on the same host: ``http`` for ``ws``, ``https`` for ``wss``."""
        return f"{'https' if self.secure else 'http'}://{self.authority}"


def parse_uri(uri: str) -> WebSocketURI:
    """Take a URI apart. International host names and paths are encoded for the wire.

    Raises:
        InvalidURI: the text is not a ``ws`` or ``wss`` URI, or has a fragment.
    """
    if not isinstance(uri, str):
        raise TypeError(f"a URI is a str, not {type(uri).__name__}")
    return _parse(uri)


# Clients come back to the same few, and each time is 4 us. (A password in them is kept by urlsplit's own cache as well.)
@functools.lru_cache(128)
def _parse(uri: str) -> WebSocketURI:
    shown = re.sub(
        r"(?<=//)([^/?#@:]*):[^/?#]*@", r"\1:***@", uri
    )  # errors end up in logs, where a password has no business
    if _FORBIDDEN.search(uri):
        raise InvalidURI(
            f"{shown!r} is not a WebSocket URI: it has a space or control character, or half of a surrogate pair, in it"
        )
    # "Fragment identifiers are meaningless in the context of WebSocket URIs and MUST NOT be used on these URIs." (3)
    if "#" in uri:
        raise InvalidURI(f"{shown!r} is not a WebSocket URI: it has a fragment; write '#' as '%23' if it is part of a name")
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError as error:
        raise InvalidURI(f"{shown!r} is not a WebSocket URI: {error}") from None
    if parts.scheme not in ("ws", "wss"):
        hint = {"http": "; did you mean 'ws://'?", "https": "; did you mean 'wss://'?"}.get(parts.scheme, "")
        raise InvalidURI(f"{shown!r} is not a WebSocket URI: it must begin with 'ws://' or 'wss://'{hint}")
    if not parts.hostname or re.search(r"\][^:]", parts.netloc):
        raise InvalidURI(f"{shown!r} is not a WebSocket URI: it names no host")
    if port == 0:
        raise InvalidURI(f"{shown!r} is not a WebSocket URI: no connection can be made to port 0")
    secure = parts.scheme == "wss"
    target = quote(parts.path or "/", safe=_SAFE)
    if parts.query:
        target += "?" + quote(parts.query, safe=_SAFE)
    credentials = None
    if parts.username is not None:
        credentials = (unquote(parts.username), unquote(parts.password or ""))
        if ":" in credentials[0]:
            raise InvalidURI(f"{shown!r} is not a WebSocket URI: a user name has no colon in it (RFC 7617 section 2)")
    return WebSocketURI(secure, _ascii_host(shown, parts.hostname), port or (443 if secure else 80), target, credentials)


def _ascii_host(shown: str, host: str) -> str:
    try:
        encoded = host if host.isascii() else host.encode("idna").decode()
    except UnicodeError as error:
        raise InvalidURI(f"{shown!r} is not a WebSocket URI: its host name cannot be encoded ({error})") from None
    if not _HOST.fullmatch(encoded):
        raise InvalidURI(f"{shown!r} is not a WebSocket URI: its host is no name and no address")
    return encoded

"""Heads of HTTP messages: what the opening handshake is made of, and what applications see of it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

__all__ = ["Headers", "HeadersLike", "Request", "Response"]

HeadersLike = Mapping[str, str] | Iterable[tuple[str, str]]
"""What options take for headers: a mapping, or pairs where a name stands more than once."""


class Headers(Mapping[str, str]):
    """Headers, in order, looked up without regard to case.

    ``headers["name"]`` joins the values of a header that stands more than once with ``", "`` (RFC 9110 section 5.3);
    ``get_all`` keeps them apart.
    """

    __slots__ = ("_names", "_pairs")

    def __init__(self, headers: HeadersLike = ()) -> None:
        pairs = headers.items() if isinstance(headers, Mapping) else headers
        self._pairs: list[tuple[str, str]] = [(name, value) for name, value in pairs]
        self._names: tuple[str, ...] | None = None  # in lower case, made when the first one is looked up

    def get_all(self, name: str) -> list[str]:
        """Return the values of every header of that name, in order."""
        name = name.lower()
        names = self._lower()
        if name not in names:  # most of what an opening handshake asks for is not there
            return []
        return [value for lower, (_, value) in zip(names, self._pairs, strict=True) if lower == name]

    def _lower(self) -> tuple[str, ...]:
        names = self._names
        if names is None:
            # Interned, as each connection has the same ones: an index of all values would take it 1 KiB.
            self._names = names = tuple([sys.intern(name.lower()) for name, _ in self._pairs])
        return names

    def tokens(self, name: str) -> list[str]:
        """Return the elements of a header that is a comma-separated list, over all the lines it stands on."""
        return [token for value in self.get_all(name) for item in value.split(",") if (token := item.strip(" \t"))]

    def pairs(self) -> list[tuple[str, str]]:
        """Return names and values as they came."""
        return list(self._pairs)

    def __getitem__(self, name: str) -> str:
        values = self.get_all(name)
        if not values:
            raise KeyError(name)
        return ", ".join(values)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._lower()

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(self._lower()))

    def __len__(self) -> int:
        return len(set(self._lower()))

    def __repr__(self) -> str:
        return f"Headers({self._pairs!r})"


@dataclass(frozen=True, slots=True)
class Request:
    """The head of a request.

    Attributes:
        method: such as ``"GET"``.
        target: path and query as they came, such as ``"/chat?room=1"``.
        headers: what else it said.
        version: of HTTP, such as ``"1.1"``.
    """

    method: str
    target: str
    headers: Headers = field(default_factory=Headers)
    version: str = "1.1"

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]


@dataclass(frozen=True, slots=True)
class Response:
    """An answer to a request.

    Attributes:
        status: such as 404.
        reason: its words, such as ``"Not Found"``; may be empty.
        headers: what else it said.
        body: bytes; of an answer that was received, at most the first 1 MiB.
    """

    status: int
    reason: str = ""
    headers: Headers = field(default_factory=Headers)
    body: bytes = b""

    @classmethod
    def text(cls, status: int, text: str = "", headers: HeadersLike = ()) -> Response:
        """Make an answer in plain text, with the headers that such an answer needs."""
        reason = HTTPStatus(status).phrase
        body = (text or reason).encode() + b"\n"
        pairs = Headers(headers).pairs()
        pairs += [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))]
        return cls(status, reason, Headers(pairs), body)

"""Channels of documents over channels of text: JSON, and types of ``msgspec`` and ``pydantic``."""

from __future__ import annotations

import json
from typing import Any, Final, TypeVar

from .extras import load_extra
from .transformer import CodecTransformer

__all__ = ["json_document", "msgspec_document", "pydantic_document"]

M = TypeVar("M")


def _to_json(document: Any) -> str:
    try:
        return json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except RecursionError:
        raise ValueError("the document is nested too deeply for JSON") from None


def _from_json(text: str | bytes) -> Any:
    # By itself json.loads guesses at UTF-16 and UTF-32. "JSON text exchanged between systems [...] MUST be encoded using
    # UTF-8" (RFC 8259 section 8.1)
    try:
        return json.loads(text.decode() if isinstance(text, bytes) else text, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("the JSON is nested too deeply") from None


def _refuse_constant(name: str) -> Any:
    # "Numeric values that cannot be represented in the grammar [...] (such as Infinity and NaN) are not permitted." (6)
    raise ValueError(f"JSON has no {name} (RFC 8259 section 6)")


json_document: Final[CodecTransformer[Any, Any]] = CodecTransformer(_to_json, _from_json)
"""Turns a channel of text into one of whatever JSON (RFC 8259) can say: ``channel.transform(json_document)``.

What is not JSON makes a ``ValueError`` in the stream, which then goes on. Bytes are taken for text in UTF-8. ``add`` raises
``TypeError`` or ``ValueError`` for what JSON cannot say, NaN and infinity among it.
"""


def msgspec_document(kind: type[M]) -> CodecTransformer[M, Any]:
    """Turn a channel of text into one of ``kind``, a type that ``msgspec`` knows, written as JSON.

    Text that is no such document makes a ``msgspec.DecodeError`` (a ``ValueError``) in the stream, which then goes on.
    What is added may be anything that ``msgspec`` can write; whether it is a ``kind`` is for type checkers.

    Raises:
        ModuleNotFoundError: ``msgspec`` is not installed.
    """
    msgspec = load_extra("msgspec", "msgspec_document()")
    encoder = msgspec.json.Encoder()
    decoder = msgspec.json.Decoder(kind)
    return CodecTransformer(lambda document: encoder.encode(document).decode(), decoder.decode)


def pydantic_document(kind: type[M]) -> CodecTransformer[M, Any]:
    """Turn a channel of text into one of ``kind``, a model or any type that ``pydantic`` knows, written as JSON.

    Text that is no such document makes a ``pydantic.ValidationError`` (a ``ValueError``) in the stream, which then goes on.
    ``add`` raises ``ValueError`` for what is no ``kind``.

    Raises:
        ModuleNotFoundError: ``pydantic`` is not installed.
    """
    adapter = load_extra("pydantic", "pydantic_document()").TypeAdapter(kind)

    def encode(document: M) -> str:
        # Without being told, pydantic writes what is no document of that kind: with a warning, or as "{}".
        text: bytes = adapter.dump_json(adapter.validate_python(document, strict=True), warnings="error")
        return text.decode()

    return CodecTransformer(encode, adapter.validate_json)

"""Channels of documents over channels of text: JSON, and types of ``msgspec`` and ``pydantic``."""

from __future__ import annotations

import json
from typing import Any, Final, TypeVar

from .transformer import StreamChannelTransformer

__all__ = ["json_document", "msgspec_document", "pydantic_document"]

M = TypeVar("M")


def _to_json(document: Any) -> str:
    return json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


json_document: Final[StreamChannelTransformer[Any, Any]] = StreamChannelTransformer.from_codec(_to_json, json.loads)
"""Turns a channel of text into one of whatever JSON (RFC 8259) can say: ``channel.transform(json_document)``.

Text that is not JSON makes a ``ValueError`` in the stream. ``add`` raises ``TypeError`` or ``ValueError`` for what JSON
cannot say, NaN and infinity among it.
"""


def msgspec_document(kind: type[M]) -> StreamChannelTransformer[M, Any]:
    """Turn a channel of text into one of ``kind``, a type that ``msgspec`` knows, written as JSON.

    Text that is no such document makes a ``msgspec.DecodeError`` (a ``ValueError``) in the stream.

    Raises:
        ModuleNotFoundError: ``msgspec`` is not installed.
    """
    import msgspec

    encoder = msgspec.json.Encoder()
    decoder = msgspec.json.Decoder(kind)
    return StreamChannelTransformer.from_codec(lambda document: encoder.encode(document).decode(), decoder.decode)


def pydantic_document(kind: type[M]) -> StreamChannelTransformer[M, Any]:
    """Turn a channel of text into one of ``kind``, a model or any type that ``pydantic`` knows, written as JSON.

    Text that is no such document makes a ``pydantic.ValidationError`` (a ``ValueError``) in the stream.

    Raises:
        ModuleNotFoundError: ``pydantic`` is not installed.
    """
    import pydantic

    adapter = pydantic.TypeAdapter(kind)
    return StreamChannelTransformer.from_codec(lambda document: adapter.dump_json(document).decode(), adapter.validate_json)

"""WebSocket channels for Python: a stream to read and a sink to write, at C speed, over anything that carries bytes.

Public names are loaded on first use, so that ``import cwschannel`` costs next to nothing.
"""

from __future__ import annotations

import importlib
import logging
from typing import TYPE_CHECKING

from ._version import __version__

if TYPE_CHECKING:
    from . import status
    from .channels import byte_channels
    from .channels.broadcast import BroadcastReport, broadcast
    from .channels.connect import connect
    from .channels.io_channel import IOWebSocketChannel
    from .channels.server import Server, serve
    from .channels.socket_channel import SocketWebSocketChannel
    from .channels.websocket_channel import WebSocketChannel, WebSocketSink
    from .exceptions import (
        BackPressureError,
        ChannelStateError,
        ConnectionClosed,
        HandshakeRejected,
        InvalidHandshake,
        InvalidURI,
        MultiChannelError,
        OpeningFailed,
        OpeningTimeout,
        ProtocolError,
        SendTimeout,
        WebSocketChannelException,
    )
    from .http import Headers, Request, Response
    from .kernels import sign_key
    from .streams.broadcast import BroadcastReader, BroadcastStream
    from .streams.channel import DelegatingStreamChannel, StreamChannel
    from .streams.channel_controller import StreamChannelController
    from .streams.codecs import json_document, msgspec_document, pydantic_document
    from .streams.completer import StreamChannelCompleter
    from .streams.controller import StreamController
    from .streams.disconnector import Disconnector
    from .streams.multi_channel import MultiChannel, VirtualChannel
    from .streams.sink import StreamSink
    from .streams.stream import Stream, StreamSubscription
    from .streams.transformer import CodecTransformer, StreamChannelTransformer, StreamSinkTransformer, StreamTransformer

__all__ = [
    "BackPressureError",
    "BroadcastReader",
    "BroadcastReport",
    "BroadcastStream",
    "ChannelStateError",
    "CodecTransformer",
    "ConnectionClosed",
    "DelegatingStreamChannel",
    "Disconnector",
    "HandshakeRejected",
    "Headers",
    "IOWebSocketChannel",
    "InvalidHandshake",
    "InvalidURI",
    "MultiChannel",
    "MultiChannelError",
    "OpeningFailed",
    "OpeningTimeout",
    "ProtocolError",
    "Request",
    "Response",
    "SendTimeout",
    "Server",
    "SocketWebSocketChannel",
    "Stream",
    "StreamChannel",
    "StreamChannelCompleter",
    "StreamChannelController",
    "StreamChannelTransformer",
    "StreamController",
    "StreamSink",
    "StreamSinkTransformer",
    "StreamSubscription",
    "StreamTransformer",
    "VirtualChannel",
    "WebSocketChannel",
    "WebSocketChannelException",
    "WebSocketSink",
    "__version__",
    "broadcast",
    "byte_channels",
    "connect",
    "json_document",
    "msgspec_document",
    "pydantic_document",
    "serve",
    "sign_key",
    "status",
]

_HOMES = {
    "BroadcastReader": ".streams.broadcast",
    "BroadcastReport": ".channels.broadcast",
    "BroadcastStream": ".streams.broadcast",
    "CodecTransformer": ".streams.transformer",
    "DelegatingStreamChannel": ".streams.channel",
    "Disconnector": ".streams.disconnector",
    "Headers": ".http",
    "IOWebSocketChannel": ".channels.io_channel",
    "MultiChannel": ".streams.multi_channel",
    "Request": ".http",
    "Response": ".http",
    "Server": ".channels.server",
    "SocketWebSocketChannel": ".channels.socket_channel",
    "Stream": ".streams.stream",
    "StreamChannel": ".streams.channel",
    "StreamChannelCompleter": ".streams.completer",
    "StreamChannelController": ".streams.channel_controller",
    "StreamChannelTransformer": ".streams.transformer",
    "StreamController": ".streams.controller",
    "StreamSink": ".streams.sink",
    "StreamSinkTransformer": ".streams.transformer",
    "StreamSubscription": ".streams.stream",
    "StreamTransformer": ".streams.transformer",
    "VirtualChannel": ".streams.multi_channel",
    "WebSocketChannel": ".channels.websocket_channel",
    "WebSocketSink": ".channels.websocket_channel",
    "broadcast": ".channels.broadcast",
    "connect": ".channels.connect",
    "json_document": ".streams.codecs",
    "msgspec_document": ".streams.codecs",
    "pydantic_document": ".streams.codecs",
    "serve": ".channels.server",
    "sign_key": ".kernels",
}

_MODULES = {"byte_channels": ".channels.byte_channels", "status": ".status"}

# No output unless asked: without this, logging prints warnings of libraries that nobody configured.
logging.getLogger(__name__).addHandler(logging.NullHandler())


def __getattr__(name: str) -> object:
    if name in _MODULES:
        return importlib.import_module(_MODULES[name], __name__)
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(importlib.import_module(_HOMES.get(name, ".exceptions"), __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

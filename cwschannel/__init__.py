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
        OpeningFailed,
        OpeningTimeout,
        ProtocolError,
        SendTimeout,
        WebSocketChannelException,
    )
    from .http import Headers, Request, Response
    from .kernels import sign_key
    from .streams.channel import StreamChannel
    from .streams.sink import StreamSink
    from .streams.stream import Stream, StreamSubscription

__all__ = [
    "BackPressureError",
    "ChannelStateError",
    "ConnectionClosed",
    "HandshakeRejected",
    "Headers",
    "IOWebSocketChannel",
    "InvalidHandshake",
    "InvalidURI",
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
    "StreamSink",
    "StreamSubscription",
    "WebSocketChannel",
    "WebSocketChannelException",
    "WebSocketSink",
    "__version__",
    "connect",
    "serve",
    "sign_key",
    "status",
]

_HOMES = {
    "Headers": ".http",
    "IOWebSocketChannel": ".channels.io_channel",
    "Request": ".http",
    "Response": ".http",
    "Server": ".channels.server",
    "SocketWebSocketChannel": ".channels.socket_channel",
    "Stream": ".streams.stream",
    "StreamChannel": ".streams.channel",
    "StreamSink": ".streams.sink",
    "StreamSubscription": ".streams.stream",
    "WebSocketChannel": ".channels.websocket_channel",
    "WebSocketSink": ".channels.websocket_channel",
    "connect": ".channels.connect",
    "serve": ".channels.server",
    "sign_key": ".kernels",
}

# No output unless asked: without this, logging prints warnings of libraries that nobody configured.
logging.getLogger(__name__).addHandler(logging.NullHandler())


def __getattr__(name: str) -> object:
    if name == "status":
        return importlib.import_module(".status", __name__)
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(importlib.import_module(_HOMES.get(name, ".exceptions"), __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

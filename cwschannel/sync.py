"""The blocking side: the same channels without an event loop, and without threads behind them.

::

    from cwschannel.sync import connect

    with connect("ws://localhost:8765") as channel:
        channel.sink.add("hello")
        print(channel.recv(timeout=5))
"""

from __future__ import annotations

from .channels.socket_broadcast import BroadcastResult, broadcast
from .channels.socket_channel import SocketSink, SocketStream, SocketWebSocketChannel
from .channels.socket_transformed import TransformedSocketChannel, TransformedSocketSink, TransformedSocketStream
from .channels.sync_connect import connect
from .channels.sync_server import Server, serve

__all__ = [
    "BroadcastResult",
    "Server",
    "SocketSink",
    "SocketStream",
    "SocketWebSocketChannel",
    "TransformedSocketChannel",
    "TransformedSocketSink",
    "TransformedSocketStream",
    "broadcast",
    "connect",
    "serve",
]

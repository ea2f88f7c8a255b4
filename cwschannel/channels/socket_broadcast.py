"""``broadcast()``: one message to many channels."""

from __future__ import annotations

from collections.abc import Iterable
from time import monotonic, sleep
from typing import Final, NamedTuple

from ..exceptions import ConnectionClosed
from ..kernels.frame import BytesLike
from ..protocol.connection import SharedMessage
from .socket_channel import SocketWebSocketChannel

__all__ = ["BroadcastResult", "broadcast"]


# Seconds between two looks at those who are slow.
_SHORTEST_PAUSE: Final = 0.001
_LONGEST_PAUSE: Final = 0.02


class BroadcastResult(NamedTuple):
    """What became of a message, channel by channel.

    Attributes:
        sent: the operating system has taken all of it.
        late: it has taken a part of it. The rest goes out before anything else does, when the peer reads again and somebody
            is in the channel.
        missed: it has taken nothing, because what was sent before is still on its way. The message was not sent.
        closed: the channel is closing or closed.
    """

    sent: list[SocketWebSocketChannel]
    late: list[SocketWebSocketChannel]
    missed: list[SocketWebSocketChannel]
    closed: list[SocketWebSocketChannel]


def broadcast(
    channels: Iterable[SocketWebSocketChannel], message: str | BytesLike, *, timeout: float = 1.0
) -> BroadcastResult:
    """Send a message to many channels. It is encoded once, and a peer that does not read holds up no other.

    Args:
        channels: where to.
        message: ``str`` for text, bytes for binary.
        timeout: seconds that the slow ones have, all of them together.

    Raises:
        TypeError: the message is neither text nor bytes.
    """
    shared = SharedMessage(message)
    result = BroadcastResult([], [], [], [])
    deadline = monotonic() + timeout
    waiting = list(channels)
    begun: set[SocketWebSocketChannel] = set()
    pause = _SHORTEST_PAUSE
    while True:
        waiting = [channel for channel in waiting if not _offer(channel, shared, begun, result)]
        remaining = deadline - monotonic()
        if not waiting or remaining <= 0:
            break
        sleep(min(pause, remaining))
        pause = min(2 * pause, _LONGEST_PAUSE)
    for channel in waiting:
        (result.late if channel in begun else result.missed).append(channel)
    return result


def _offer(
    channel: SocketWebSocketChannel,
    shared: SharedMessage,
    begun: set[SocketWebSocketChannel],
    result: BroadcastResult,
) -> bool:
    """Send without waiting. Returns whether there is nothing more to be done for the channel."""
    io = channel._io
    gone = io.gone  # looked at first: what was not written before that never will be
    try:
        if channel in begun:
            io.flush()
            whole = not io.has_rest()
        else:
            taken = io.offer(shared)
            if taken is None:
                return False
            begun.add(channel)
            whole = taken
    except ConnectionClosed:
        result.closed.append(channel)
        return True
    if whole:
        result.sent.append(channel)
    elif gone:
        result.closed.append(channel)
    return whole or gone

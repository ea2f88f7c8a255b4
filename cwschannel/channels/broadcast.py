"""One message to many channels."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from ..exceptions import ChannelStateError, ConnectionClosed
from ..kernels.frame import BytesLike
from ..protocol.connection import SharedMessage
from ..status import TRY_AGAIN_LATER
from ..streams.completion import Completion
from ..streams.loops import Handle, current_loop
from .protocol_channel import ProtocolWebSocketChannel

__all__ = ["BroadcastReport", "broadcast"]


@dataclass(slots=True, kw_only=True, eq=False)
class BroadcastReport:
    """What became of a message that was sent to many. Await it to wait for those that are to be waited for.

    Attributes:
        sent: the channels that it was sent on.
        dropped: those that were too slow, and for which it was dropped.
        disconnected: those that were too slow, and are being closed for it.
        waiting: those that were too slow, and have not got it yet. After the wait they are in ``sent`` or ``not_open``.
        not_open: those on which nothing can be sent (any more).
    """

    sent: list[ProtocolWebSocketChannel] = field(default_factory=list)
    dropped: list[ProtocolWebSocketChannel] = field(default_factory=list)
    disconnected: list[ProtocolWebSocketChannel] = field(default_factory=list)
    waiting: list[ProtocolWebSocketChannel] = field(default_factory=list)
    not_open: list[ProtocolWebSocketChannel] = field(default_factory=list)
    _all_sent: Completion = field(default_factory=Completion, repr=False)
    _tasks: set[Handle] = field(default_factory=set, repr=False)  # the loop does not keep them

    def __await__(self) -> Generator[Any, None, BroadcastReport]:
        yield from self._all_sent.__await__()
        return self


def broadcast(
    channels: Iterable[ProtocolWebSocketChannel],
    message: str | BytesLike,
    *,
    on_slow: Literal["drop", "disconnect", "wait"] = "drop",
    max_backlog: int = 2**20,
) -> BroadcastReport:
    """Send a message to many channels, one of which being slow holds up none of the others.

    Its frame is encoded once for all channels of a server, and goes out in one write for each.

    Args:
        channels: such as ``server.channels``.
        message: ``str`` is sent as text, anything with a contiguous buffer as binary.
        on_slow: what is done about a channel with more than ``max_backlog`` bytes on their way out: ``"drop"`` leaves it
            out; ``"disconnect"`` closes it with 1013; ``"wait"`` sends the message when there is room again, in the order of
            the broadcasts, for which the report can be awaited.
        max_backlog: in bytes.

    Raises:
        TypeError, UnicodeEncodeError: the message cannot be sent. Nothing was.
    """
    if on_slow not in ("drop", "disconnect", "wait"):
        raise ValueError(f"on_slow is 'drop', 'disconnect' or 'wait', not {on_slow!r}")
    shared = SharedMessage(message)
    report = BroadcastReport()
    sent = report.sent.append
    for channel in list(channels):
        io = channel._io
        outbox = io.outbox
        if outbox.turn is not None or (outbox.blocked is not None and outbox.waiting() > max_backlog):
            _deal_with(channel, shared, on_slow, report)
            continue
        try:
            io.send_shared(shared)
        except ConnectionClosed:
            report.not_open.append(channel)
        else:
            sent(channel)
    _settle(report)
    return report


def _deal_with(channel: ProtocolWebSocketChannel, shared: SharedMessage, on_slow: str, report: BroadcastReport) -> None:
    """It is slow."""
    if on_slow == "drop":
        report.dropped.append(channel)
    elif on_slow == "wait":
        report.waiting.append(channel)
        outbox = channel._io.outbox
        before, outbox.turn = outbox.turn, Completion()
        sending = _send_when_there_is_room(channel, shared, report, before, outbox.turn)
        report._tasks.add(current_loop().create_task(sending))
    else:
        report.disconnected.append(channel)
        try:
            channel.sink.close(TRY_AGAIN_LATER, "too slow")
        except ChannelStateError:  # it is in the middle of add_stream()
            channel.abort()


async def _send_when_there_is_room(
    channel: ProtocolWebSocketChannel,
    shared: SharedMessage,
    report: BroadcastReport,
    before: Completion | None,
    turn: Completion,
) -> None:
    try:
        if before is not None:
            await before
        await channel.sink.wait_for_room()
        channel._io.send_shared(shared)
    except ConnectionClosed:
        report.not_open.append(channel)
    else:
        report.sent.append(channel)
    finally:
        turn.finish()
        if channel._io.outbox.turn is turn:
            channel._io.outbox.turn = None
        report.waiting.remove(channel)
        _settle(report)


def _settle(report: BroadcastReport) -> None:
    if not report.waiting:
        report._all_sent.finish()

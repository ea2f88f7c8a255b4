"""A channel whose other end is in the same program."""

from __future__ import annotations

from typing import Generic, TypeVar

from .channel import StreamChannel
from .controller import StreamController

__all__ = ["StreamChannelController"]

T = TypeVar("T")


class StreamChannelController(Generic[T]):
    """Two channels that are the ends of one: what is added to ``local`` comes out of ``foreign``, and the other way round.

    Whoever builds a new kind of channel keeps ``local`` and hands ``foreign`` to its users.

    Args:
        allow_foreign_errors: whether ``foreign.sink.add_error`` forwards the error to ``local``; otherwise it closes the
            channel, and the error ends ``foreign.sink.done``.
        sync: as for ``StreamController``.
        pause_at: as for ``StreamController``.
        max_waiting: as for ``StreamController``.

    Attributes:
        local: one end.
        foreign: the other.
    """

    __slots__ = ("foreign", "local")

    def __init__(
        self, *, allow_foreign_errors: bool = True, sync: bool = False, pause_at: int | None = None, max_waiting: int = 65536
    ) -> None:
        there: StreamController[T] = StreamController(sync=sync, pause_at=pause_at, max_waiting=max_waiting)
        back: StreamController[T] = StreamController(sync=sync, pause_at=pause_at, max_waiting=max_waiting)
        self.local: StreamChannel[T] = StreamChannel.with_guarantees(back.stream, there.sink)
        self.foreign: StreamChannel[T] = StreamChannel.with_guarantees(
            there.stream, back.sink, allow_sink_errors=allow_foreign_errors
        )

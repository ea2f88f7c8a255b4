"""Ways to give bytes to a reader, and what comes out in the oracle's words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cwschannel.exceptions import ProtocolError
from cwschannel.kernels.frame import Frame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .generated import Conversation
    from .twins import Kernels

Items = list[tuple[object, ...]]


def plain(item: object) -> tuple[object, ...]:
    """An item that a reader returned, as the oracle would put it. Any other type than the promised ones fails."""
    if type(item) is str:
        return "text", item
    if type(item) is bytes:
        return "binary", item
    if type(item) is Frame:
        assert (type(item.opcode), type(item.payload), type(item.fin), type(item.rsv)) == (int, bytes, bool, int)
        return "frame", *item
    assert type(item) is ProtocolError, item
    return "breach", item.rule, item.code


class Reading:
    """A reader, and everything that it has returned so far."""

    def __init__(self, kernels: Kernels, buffer: Any = None, **options: Any) -> None:
        self.buffer = kernels.framing.ReadBuffer(64) if buffer is None else buffer
        self.reader = kernels.framing.FrameReader(self.buffer, **options)
        self.items: Items = []
        self.windows = 0  # how often get_buffer has returned other memory than the buffer's

    def _keep(self, returned: list[object]) -> None:
        assert type(returned) is list
        new = [plain(item) for item in returned]
        self.items += new
        assert self.reader.only_messages is all(kind in ("text", "binary") for kind, *_ in new)

    def feed(self, data: Any) -> None:
        self._keep(self.reader.feed(data))

    def read(self, data: bytes, most: int | None = None) -> int:
        """What a loop does: one read of the beginning of `data`, as much as there is room for. Returns how much."""
        view = self.reader.get_buffer(-1)
        assert type(view) is memoryview
        assert not view.readonly
        assert view.format == "B"
        assert view.c_contiguous
        assert len(view) >= 1
        self.windows += view.obj is not self.buffer.view.obj
        size = min(len(data), len(view), most or len(data))
        view[:size] = data[:size]
        self._keep(self.reader.received(size))
        used = min(size, self.buffer.size)
        self.buffer.view[:used] = b"\xa5" * used  # nothing may be kept there between two calls
        return size

    def read_all(self, data: bytes, most: int | None = None) -> None:
        position = 0
        while position < len(data):
            position += self.read(data[position : position + 300_000], most)


def give_by_feed(reading: Reading, data: bytes) -> None:
    reading.feed(data)


def give_by_reads(reading: Reading, data: bytes) -> None:
    reading.read_all(data)


def check(
    kernels: Kernels,
    case: Conversation,
    parts: Iterable[bytes],
    give: Callable[[Reading, bytes], None] = give_by_feed,
    buffer: Any = None,
) -> None:
    """Give the parts to a reader. After each, it has returned what the oracle has found by then, and not less."""
    expected, counts = case.expected()
    reading = Reading(kernels, buffer, **case.options())
    position = 0
    for part in parts:
        give(reading, part)
        position += len(part)
        assert reading.items == expected[: counts[position]], (case, position)

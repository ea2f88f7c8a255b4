"""For the tests of whoever builds on cwschannel: connected channels in memory, and channels of bytes that misbehave.

::

    client, server = connected_pair()
    client.sink.add("hello")
    assert await server.recv() == "hello"
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from .channels.byte_channels import memory_pair
from .channels.transport_bytes import ByteChannel, ByteSink, as_bytes
from .channels.websocket_channel import WebSocketChannel
from .exceptions import BackPressureError, ChannelStateError
from .kernels.frame import BytesLike
from .streams.channel import StreamChannel
from .streams.completion import Completion, Repeatable
from .streams.controlled import ControlledStream
from .streams.loops import current_loop
from .streams.stream import StreamSubscription

__all__ = ["Faults", "FaultyByteChannel", "connected_pair", "memory_pair"]

_MOST_WAITING: Final = 2**20  # bytes on their way in one direction, before the sender has to wait
_MOST_LATE: Final = 2**26  # ... and before the sender that does not wait is told so


def connected_pair(protocol: str | None = None, **options: Any) -> tuple[WebSocketChannel, WebSocketChannel]:
    """Return the client's and the server's end of an open WebSocket that runs in memory.

    Args:
        protocol: the subprotocol, as if it had been agreed on.
        options: for both ends, what ``WebSocketChannel`` takes: limits and times.
    """
    near, far = memory_pair()
    client = WebSocketChannel(near, protocol, server_side=False, **options)
    return client, WebSocketChannel(far, protocol, server_side=True, **options)


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """What happens to the bytes that go one way. Without arguments: nothing.

    Attributes:
        delay: seconds that each chunk is late.
        split: the most bytes of a chunk; larger ones are cut up. 1 brings every byte alone.
        drop: called with the number of each chunk (from 0, after splitting); true drops it.
        cut_at: after so many bytes the channel is gone, as if the network were.
    """

    delay: float = 0.0
    split: int | None = None
    drop: Callable[[int], bool] | None = None
    cut_at: int | None = None

    def __post_init__(self) -> None:
        if self.delay < 0 or (self.split is not None and self.split < 1) or (self.cut_at is not None and self.cut_at < 0):
            raise ValueError("delay and cut_at are at least 0, and split is at least 1")


class FaultyByteChannel(ByteChannel):
    """A channel of bytes over another one that delays, splits and drops chunks, and cuts the connection.

    With 1 MiB on its way in one direction, it takes no more of it: it pauses the channel below, or has senders wait.

    Args:
        inner: the channel below.
        incoming: what happens to what comes from it.
        outgoing: what happens to what is added.
    """

    __slots__ = ("_bytes", "_guard", "_incoming", "_is_paused", "_unread", "_wanted")

    def __init__(self, inner: StreamChannel[bytes], *, incoming: Faults = Faults(), outgoing: Faults = Faults()) -> None:
        self._bytes: ControlledStream[bytes] = ControlledStream(current_loop(), self._on_demand)
        self._guard = _FaultySink(inner, self._bytes, outgoing)
        self._is_paused = False
        self._wanted = True
        self._unread = 0
        super().__init__(self._bytes, self._guard)
        self._incoming = way = _Way(incoming, self._take, self._end, self._guard.cut, self._settle)
        self._guard.source = inner.stream.listen(way.add, on_error=self._take_error, on_done=way.end)

    def abort(self) -> None:
        self._guard.drop()

    def _take(self, chunk: bytes) -> None:
        if self._guard.is_open:
            self._bytes.deliver((chunk,), at_once=True)
            self._unread += len(chunk)
            if self._bytes.queue and self._unread > _MOST_WAITING:
                self._bytes.held_back = True
            self._settle()

    def _take_error(self, error: Exception) -> None:
        self._incoming.call(0, functools.partial(self._bytes.deliver_error, error))

    def _end(self) -> None:
        self._bytes.finish()

    def _on_demand(self, wanted: bool) -> None:
        self._wanted = wanted
        if wanted:
            self._bytes.held_back = False
        self._settle()

    def _settle(self) -> None:
        """Pause the channel below while too much waits here."""
        if not self._bytes.queue:
            self._unread = 0
        source = self._guard.source
        paused = not self._wanted or self._unread > _MOST_WAITING or self._incoming.late > _MOST_WAITING
        if source is not None and paused is not self._is_paused:
            self._is_paused = paused
            if paused:
                source.pause()
            else:
                source.resume()


class _Way:
    """Hands on chunks, with faults.

    Attributes:
        late: bytes that wait for their time.
    """

    def __init__(
        self,
        faults: Faults,
        take: Callable[[bytes], object],
        end: Callable[[], object],
        cut: Callable[[], object],
        settle: Callable[[], object],
    ) -> None:
        self._faults = faults
        self._take = take
        self._end = end
        self._cut = cut
        self._settle = settle
        self._loop = current_loop()
        self._late: deque[tuple[int, Callable[[], object]]] = deque()
        self._number = 0
        self._passed = 0
        self.late = 0

    def add(self, data: BytesLike) -> None:
        """Take a chunk."""
        chunk = as_bytes(data)
        size = self._faults.split or max(len(chunk), 1)
        for start in range(0, len(chunk), size):
            piece = chunk[start : start + size]
            self.call(len(piece), functools.partial(self._pass_on, piece))

    def end(self) -> None:
        """No more will come."""
        self.call(0, self._end)

    def call(self, size: int, what: Callable[[], object]) -> None:
        """Call back when it is time, with so many bytes."""
        if self._faults.delay:
            # One after the other: timers of the same moment may run in any order.
            self._late.append((size, what))
            self.late += size
            self._loop.call_later(self._faults.delay, self._run_next)
            self._settle()
        else:
            what()

    def _run_next(self) -> None:
        size, what = self._late.popleft()
        self.late -= size
        what()
        self._settle()

    def _pass_on(self, piece: bytes) -> None:
        faults = self._faults
        number, self._number = self._number, self._number + 1
        whole = faults.cut_at is None or self._passed + len(piece) < faults.cut_at
        if faults.cut_at is not None:
            piece = piece[: faults.cut_at - self._passed]
        self._passed += len(piece)
        if piece and (faults.drop is None or not faults.drop(number)):
            self._take(piece)
        if not whole:
            self._cut()


class _FaultySink(ByteSink):
    """The sink of a ``FaultyByteChannel``.

    Attributes:
        source: what listens to the channel below.
        is_open: whether the connection was neither cut nor dropped.
    """

    __slots__ = ("_inner", "_room", "_stream", "_way", "is_open", "source")

    def __init__(self, inner: StreamChannel[bytes], stream: ControlledStream[bytes], faults: Faults) -> None:
        super().__init__()
        self._inner = inner
        self._stream = stream
        self._way = _Way(faults, self._pass_on, self._close, self.cut, self._settle)
        self._room: list[tuple[int, Completion]] = []
        self.is_open = True
        self.source: StreamSubscription | None = None

    @property
    def done(self) -> Awaitable[None]:
        return Repeatable(self._wait_until_done)

    async def _wait_until_done(self) -> None:
        await self._inner.sink.done
        if self._error is not None:
            raise self._error

    async def wait_for_room(self) -> None:
        await self._until_late(_MOST_WAITING)
        await self._inner.sink.wait_for_room()

    def flush(self) -> Awaitable[None]:
        return Repeatable(self._flush)

    async def _flush(self) -> None:
        await self._until_late(0)
        await self._inner.sink.flush()

    async def _until_late(self, size: int) -> None:
        """Wait until no more than so many bytes are late."""
        if self.is_open and self._way.late > size:
            room = Completion()
            self._room.append((size, room))
            await room

    def _settle(self) -> None:
        waiting, self._room = self._room, []
        for size, room in waiting:
            if self.is_open and self._way.late > size:
                self._room.append((size, room))
            else:
                room.finish()

    def cut(self) -> None:
        """Lose the connection."""
        if self.is_open:
            self._stream.deliver_error(ConnectionResetError("the connection was cut, as the test wanted it"))
            self.drop()

    def drop(self) -> None:
        """End both directions now."""
        if self.is_open:
            self.is_open = False
            self._stream.finish()
            if self.source is not None:
                self.source.cancel()
            self._settle()
            self._close()

    def _pass_on(self, piece: bytes) -> None:
        if not self.is_open:
            return
        try:
            self._inner.sink.add(piece)
        except (BackPressureError, ChannelStateError) as error:  # and what was cut up is not whole any more
            self._stream.deliver_error(error)
            self.drop()

    def _close(self) -> None:
        self._inner.sink.close()

    def _is_gone(self) -> bool:
        return not self.is_open or self._stream.finished

    def _write(self, data: bytes) -> None:
        if self._way.late > _MOST_LATE:
            raise BackPressureError(f"{self._way.late} bytes are late, more than {_MOST_LATE}: await wait_for_room()")
        self._way.add(data)

    def _finish(self) -> None:
        self._stream.discard()
        self._way.end()

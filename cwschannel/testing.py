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
from typing import Any

from .channels.byte_channels import memory_pair
from .channels.websocket_channel import WebSocketChannel
from .kernels.frame import BytesLike
from .streams.channel import StreamChannel
from .streams.controlled import ControlledStream
from .streams.loops import current_loop
from .streams.sink import RuledSink

__all__ = ["Faults", "FaultyByteChannel", "connected_pair", "memory_pair"]


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


class FaultyByteChannel(StreamChannel[bytes]):
    """A channel of bytes over another one that delays, splits and drops chunks, and cuts the connection.

    Args:
        inner: the channel below.
        incoming: what happens to what comes from it.
        outgoing: what happens to what is added.
    """

    __slots__ = ("_bytes", "_guard")

    def __init__(self, inner: StreamChannel[bytes], *, incoming: Faults = Faults(), outgoing: Faults = Faults()) -> None:
        self._bytes: ControlledStream[bytes] = ControlledStream(current_loop(), self._on_demand)
        self._guard = _FaultySink(inner, self._bytes, outgoing)
        super().__init__(self._bytes, self._guard)
        way = _Way(incoming, self._take, self._bytes.finish, self._guard.cut)
        self._guard.source = inner.stream.listen(way.add, on_error=self._bytes.deliver_error, on_done=way.end)

    def _take(self, chunk: bytes) -> None:
        self._bytes.deliver((chunk,), at_once=True)

    def _on_demand(self, wanted: bool) -> None:
        pass  # what waits in tests is small


class _Way:
    """Hands on chunks, with faults."""

    def __init__(
        self, faults: Faults, take: Callable[[bytes], object], end: Callable[[], object], cut: Callable[[], object]
    ) -> None:
        self._faults = faults
        self._take = take
        self._end = end
        self._cut = cut
        self._loop = current_loop()
        self._late: deque[Callable[[], object]] = deque()
        self._number = 0
        self._passed = 0

    def add(self, data: BytesLike) -> None:
        """Take a chunk."""
        chunk = bytes(data)
        size = self._faults.split or max(len(chunk), 1)
        for start in range(0, len(chunk), size):
            piece = chunk[start : start + size]
            self._call(functools.partial(self._pass_on, piece))

    def end(self) -> None:
        """No more will come."""
        self._call(self._end)

    def _call(self, what: Callable[[], object]) -> None:
        if self._faults.delay:
            # One after the other: timers of the same moment may run in any order.
            self._late.append(what)
            self._loop.call_later(self._faults.delay, self._run_next)
        else:
            what()

    def _run_next(self) -> None:
        self._late.popleft()()

    def _pass_on(self, piece: bytes) -> None:
        faults = self._faults
        number, self._number = self._number, self._number + 1
        if faults.cut_at is not None:
            piece, rest = piece[: faults.cut_at - self._passed], piece[faults.cut_at - self._passed :]
            self._passed += len(piece)
            if rest or self._passed == faults.cut_at:
                if piece:
                    self._take(piece)
                self._cut()
                return
        if faults.drop is None or not faults.drop(number):
            self._take(piece)


class _FaultySink(RuledSink[bytes]):
    def __init__(self, inner: StreamChannel[bytes], stream: ControlledStream[bytes], faults: Faults) -> None:
        super().__init__()
        self._inner = inner
        self._stream = stream
        self._way = _Way(faults, self._add, self._close, self.cut)
        self._gone = False
        self.source: Any = None

    @property
    def done(self) -> Awaitable[None]:
        return self._inner.sink.done

    async def wait_for_room(self) -> None:
        await self._inner.sink.wait_for_room()

    def flush(self) -> Awaitable[None]:
        return self._inner.sink.flush()

    def cut(self) -> None:
        """Lose the connection."""
        if not self._gone:
            self._gone = True
            self._stream.deliver_error(ConnectionResetError("the connection was cut, as the test wanted it"))
            self._stream.finish()
            self._close()

    def _add(self, piece: bytes) -> None:
        if not self._gone:
            self._inner.sink.add(piece)

    def _close(self) -> None:
        self._inner.sink.close()

    def _is_gone(self) -> bool:
        return self._gone or self._stream.finished

    def _put(self, item: bytes) -> None:
        if not self._gone:
            self._way.add(item)

    def _put_error(self, error: Exception) -> None:
        self._inner.sink.add_error(error)

    def _finish(self) -> None:
        self._stream.discard()
        self._way.end()

"""What is on its way out to an asyncio transport: frames written together, back pressure, and waiting for both."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from ..exceptions import BackPressureError
from ..streams.completion import Completion
from ..streams.loops import AnyLoop

__all__ = ["BufferLimits", "Outbox", "half_close"]

# The first sends after a receive go out at once, which keeps a lone answer as fast as it can be; a longer burst is written
# together (measured: 0.04 to 0.13 of the cost of a write for each message).
_SENT_AT_ONCE: Final = 2
_BATCH: Final = 65536


@dataclass(frozen=True, slots=True, kw_only=True)
class BufferLimits:
    """How much may wait, in bytes.

    Attributes:
        read_limit: with more than this received and not yet read by the application, the socket is not read.
        write_limit: with more than this on its way out, ``send()`` and ``add_stream()`` wait.
        max_buffered: with more than this on its way out, ``add()`` raises ``BackPressureError``.
    """

    read_limit: int = 2**20
    write_limit: int = 2**16
    max_buffered: int = 2**26

    def __post_init__(self) -> None:
        for name in ("read_limit", "write_limit", "max_buffered"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1 byte; it is {getattr(self, name)}")


def half_close(transport: asyncio.WriteTransport) -> None:
    """Send no more and read on, where the transport can; else close it."""
    if transport.is_closing():
        return
    if not transport.can_write_eof():
        transport.close()
        return
    try:
        transport.write_eof()
    except (OSError, RuntimeError):  # it was lost, and nobody has noticed yet
        transport.abort()


class Outbox:
    """Writes frames to a transport, in order.

    Attributes:
        burst: how many frames were sent since something was received, as far as it matters.
        blocked: while the transport has more than ``write_limit`` to write: ends when it has room again, or is lost.
    """

    __slots__ = (
        "_flush_due",
        "_flushed",
        "_limits",
        "_loop",
        "_pending",
        "_pending_size",
        "_transport",
        "_written",
        "blocked",
        "burst",
    )

    def __init__(self, loop: AnyLoop, limits: BufferLimits) -> None:
        self._loop = loop
        self._limits = limits
        self._transport: asyncio.Transport | None = None
        self.burst = 0
        self.blocked: Completion | None = None
        self._written = 0  # bytes handed to the transport
        self._pending: list[bytes] = []
        self._pending_size = 0
        self._flush_due = False
        self._flushed: Completion | None = None

    def attach(self, transport: asyncio.Transport) -> None:
        """From now on there is something to write to."""
        self._transport = transport
        if not transport.is_closing():  # uvloop's raise, then
            transport.set_write_buffer_limits(self._limits.write_limit)

    def write(self, frame: bytes) -> None:
        """Write a frame, now or together with those that follow it in this pass of the loop."""
        if self.burst < _SENT_AT_ONCE and not self._pending:
            self.burst += 1
            self._written += len(frame)
            self._transport.write(frame)  # type: ignore[union-attr]
            return
        self._pending.append(frame)
        self._pending_size += len(frame)
        if self._pending_size >= _BATCH:
            self.write_pending()
        elif not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self._end_of_pass)

    def write_now(self, frame: bytes) -> None:
        """Write a frame, and what is held together before it."""
        if self._pending:
            self._pending.append(frame)
            self._pending_size += len(frame)
            self.write_pending()
        else:
            self._written += len(frame)
            self._transport.write(frame)  # type: ignore[union-attr]

    def write_pending(self) -> None:
        """Write what is held together."""
        pending = self._pending
        if pending:
            self._pending = []
            self._written += self._pending_size
            self._pending_size = 0
            self._transport.write(pending[0] if len(pending) == 1 else b"".join(pending))  # type: ignore[union-attr]

    def _end_of_pass(self) -> None:
        self._flush_due = False
        if len(self._pending) <= 1:
            self.burst = 0  # no burst, after all
        self.write_pending()

    def check_room(self, kept: int = 0) -> None:
        """Raise ``BackPressureError`` if too much waits; ``kept`` is what waits elsewhere."""
        waiting = kept + self._pending_size + self.backlog()
        if waiting > self._limits.max_buffered:
            raise BackPressureError(
                f"{waiting} bytes wait to be sent, more than max_buffered ({self._limits.max_buffered}): the peer does not "
                f"read fast enough; use 'await channel.send()' or 'await channel.sink.flush()' to wait for it"
            )

    def backlog(self) -> int:
        """Return how many bytes the transport has not written yet."""
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    def progress(self) -> int:
        """Return how many bytes the transport has written in all."""
        return self._written - self.backlog()

    async def drain(self) -> None:
        """Wait until no more than ``write_limit`` bytes are on their way out, or the connection is lost."""
        while self.blocked is not None:
            await self.blocked

    def flush(self) -> Completion:
        """Return what ends when the operating system has taken everything, or never will."""
        if self._flushed is None:
            self._flushed = Completion()
        return self._flushed

    def start_flush(self) -> None:
        """Begin what ``flush`` promised: now, or when there is something to write to."""
        if self._flushed is None:
            return
        self.write_pending()
        if self._transport is not None and self.backlog():
            # With a limit of 0 the transport calls resume_writing() when it has nothing left.
            self._transport.set_write_buffer_limits(0)
        else:
            self._end_flush()

    def pause(self) -> None:
        """The transport has more than its limit to write."""
        if self.blocked is None:
            self.blocked = Completion()

    def resume(self) -> None:
        """The transport has written enough."""
        blocked, self.blocked = self.blocked, None
        if blocked is not None:
            blocked.finish()
        if self._flushed is not None:
            self._end_flush()
            if self._transport is not None and not self._transport.is_closing():
                self._transport.set_write_buffer_limits(self._limits.write_limit)

    def discard(self) -> None:
        """The connection is lost, or was never made: nothing will be written any more, and nobody need wait for it."""
        self._pending = []
        self._pending_size = 0
        self.resume()

    def _end_flush(self) -> None:
        flushed, self._flushed = self._flushed, None
        if flushed is not None:
            flushed.finish()

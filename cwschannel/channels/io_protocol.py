"""What waits for an asyncio transport: it writes what ``Connection`` returns, reads what it queues, sets its timer.

The hot path is here. In: ``get_buffer`` (of the kernel), ``buffer_updated``, ``ControlledStream.deliver``. Out: ``send``,
``transport.write``. No context managers, locks, log calls or objects for a single message belong into it.
"""

from __future__ import annotations

import asyncio
import threading
import time
from sys import getsizeof
from typing import Any, Final

from ..exceptions import ConnectionClosed, OpeningFailed
from ..kernels import ReadBuffer
from ..kernels.frame import BytesLike, Message
from ..protocol.closing import close_payload
from ..protocol.connection import Connection, End, HangUp, Pong, SharedMessage, Timer, copy_message
from ..status import ABNORMAL_CLOSURE, GOING_AWAY, NO_STATUS_RECEIVED, NORMAL_CLOSURE
from ..streams.completion import Completion
from ..streams.controlled import ControlledStream
from ..streams.loops import AnyLoop, Handle
from .outbox import WRITTEN_IN_PLACE, BufferLimits, Outbox, half_close

__all__ = ["IOProtocol", "read_buffer"]

# Why reading is held back.
_QUEUE_FULL: Final = 1
_LISTENER_PAUSED: Final = 2
_WRITING_BLOCKED: Final = 4

_QUIET: Final = frozenset({NORMAL_CLOSURE, GOING_AWAY, NO_STATUS_RECEIVED})

_local = threading.local()


def read_buffer() -> ReadBuffer:
    """Return the read buffer that all connections of this thread share.

    Loops read synchronously: what was read is taken out of the buffer before anything else can read. That holds for selector
    loops, for uvloop, and for proactors, which copy what they have read in the background into the protocol's buffer.
    """
    try:
        return _local.buffer  # type: ignore[no-any-return]
    except AttributeError:
        _local.buffer = ReadBuffer()
        return _local.buffer  # type: ignore[no-any-return]


class _Ping:
    """A ping that waits for its pong."""

    __slots__ = ("done", "seconds", "sent")

    def __init__(self) -> None:
        self.done = Completion()
        self.sent = time.perf_counter()
        self.seconds = 0.0


class IOProtocol(asyncio.BufferedProtocol):
    """One connection, from before it is open until after it is closed.

    Until ``attach`` it has no transport, and what is sent waits.

    Attributes:
        stream: of the messages that were received.
        opened: ends when the connection is open, or with what kept it from opening.
        closed: ends when nothing is left of it; never raises.
        connection: the protocol's side of it; ``None`` until it is open.
        latency: of the last ping that was answered, in seconds; 0.0 before.
    """

    __slots__ = (
        "_clock",
        "_early",
        "_early_close",
        "_early_size",
        "_held_back",
        "_keepalive_sent",
        "_limits",
        "_locally_closed",
        "_loop",
        "_pings",
        "_progress",
        "_timer",
        "_transport",
        "_unread",
        "closed",
        "connection",
        "get_buffer",
        "latency",
        "opened",
        "outbox",
        "stream",
    )

    def __init__(self, loop: AnyLoop, limits: BufferLimits) -> None:
        self._loop = loop
        self._limits = limits
        self.stream: ControlledStream[Message] = ControlledStream(loop, self._on_demand, self._why_ended)
        self.outbox = Outbox(loop, limits)
        self.opened = Completion()
        self.closed = Completion()
        self.latency = 0.0
        self.connection: Connection | None = None
        self._transport: asyncio.Transport | None = None
        # before it is open:
        self._early: list[Message] = []
        self._early_size = 0
        self._early_close: tuple[int | None, str] | None = None
        # of what comes in:
        self._unread = 0  # bytes of messages in the stream's queue, or more: it is set right when the queue is empty
        self._held_back = 0
        # of time:
        self._timer: Timer | None = None
        self._clock: Handle | None = None
        self._pings: dict[bytes, _Ping] = {}
        self._keepalive_sent = 0.0
        self._progress = 0  # bytes that the transport had written at the last timer
        self._locally_closed = False

    # Beginning and end.

    def attach(self, transport: asyncio.Transport, connection: Connection) -> None:
        """The connection is open: take over the transport."""
        self._transport = transport
        self.connection = connection
        # The kernel's method in place of one of ours: a call less for each read.
        self.get_buffer = connection.get_buffer  # type: ignore[method-assign,assignment]
        self.outbox.attach(transport)
        transport.set_protocol(self)
        early, self._early = self._early, []
        self._early_size = 0
        for message in early:
            self.outbox.write(connection.send_message(message))
        self.outbox.write_pending()
        self.outbox.start_flush()
        if self._held_back:  # the stream's listener paused before there was anything to pause
            transport.pause_reading()
        self.opened.finish()
        if self._early_close is not None:
            self.close(*self._early_close)
        self._after(b"")

    def feed(self, data: BytesLike) -> None:
        """Take bytes that somebody else has read: those that came with the opening handshake, or all of them."""
        assert self.connection is not None
        if len(data):
            self.outbox.burst = 0
            self._after_reading(self.connection.feed(data))

    def fail(self, error: Exception) -> None:
        """The connection could not be opened."""
        self._early = []
        self.opened.finish(error)
        self.outbox.discard()
        self.closed.finish()
        self.stream.finish()

    def close(self, code: int | None, reason: str) -> None:
        """Start the closing handshake; before the connection is open, as soon as it is."""
        if self.connection is None:
            close_payload(code, reason)  # a mistake in them is the caller's, now
            self._locally_closed = True
            if self._early_close is None:
                self._early_close = (code, reason)
        else:
            was_open = self.close_code is None
            data = self.connection.close(code, reason)
            self._locally_closed = self._locally_closed or was_open
            self._after(data)
        self.stream.discard()

    def abort(self) -> None:
        """Drop the connection, or give up opening it."""
        self._locally_closed = self._locally_closed or self.close_code is None
        if self.connection is not None and self._transport is not None:
            self.connection.lost(ConnectionAbortedError("this side dropped the connection"))
            self._after(b"")
            if not self.closed.done():  # asyncio's abort() cannot bear being called then
                self._transport.abort()
        elif not self.opened.done():
            self.fail(OpeningFailed("the connection was given up before it was open"))
        self.stream.discard()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return what the transport knows of itself."""
        return default if self._transport is None else self._transport.get_extra_info(name, default)

    @property
    def close_code(self) -> int | None:
        """What the peer's close frame said, once no more messages will come."""
        if self.connection is not None:
            return self.connection.close_code
        return ABNORMAL_CLOSURE if self.opened.error() is not None else None

    @property
    def close_reason(self) -> str | None:
        """The reason in it, else an empty string; ``None`` before."""
        if self.connection is not None:
            return self.connection.close_reason
        return None if self.close_code is None else ""

    def closed_error(self) -> Exception:
        """The error for whoever wants more messages, or to send one, when there is no connection any more."""
        if self.connection is not None:
            return self.connection.closed_error()
        error = self.opened.error()
        if isinstance(error, Exception):
            self.opened.claimed = True
            return error
        code, reason = self._early_close or (None, "")
        return ConnectionClosed(NO_STATUS_RECEIVED if code is None else code, reason, "this side is closing it")

    def _why_ended(self) -> Exception | None:
        """The error with which the stream ends."""
        if self.connection is None:
            # One failure has one owner: who awaits `opened`, else the reader of the stream.
            if self._locally_closed or self.opened.claimed:
                return None
        elif self._locally_closed or self.connection.close_code in _QUIET:
            return None
        return self.closed_error()

    # What comes in.

    def buffer_updated(self, nbytes: int) -> None:
        connection = self.connection
        assert connection is not None
        self.outbox.burst = 0
        reader = connection.reader
        items = reader.received(nbytes)
        if not reader.only_messages:
            self._after_reading(connection.take(items))
        elif items:
            stream = self.stream
            listener = stream.listener
            if listener is not None:
                listener(items)  # type: ignore[arg-type]
            else:
                # by position: a keyword is 1 % of the instructions of an awaited message
                stream.deliver(items, True)  # type: ignore[arg-type]
            if stream.queue:
                self._count_unread(items)  # type: ignore[arg-type]

    def _after_reading(self, answer: bytes) -> None:
        self._after(answer)
        if answer and self.outbox.blocked is not None:
            # A peer that makes us answer and does not read the answers must not fill our memory with them.
            self._hold_back(_WRITING_BLOCKED, True)

    def _deliver(self, messages: list[Message]) -> None:
        self.stream.deliver(messages, at_once=True)
        if self.stream.queue:
            self._count_unread(messages)

    def _count_unread(self, messages: list[Message]) -> None:
        if len(self.stream.queue) <= len(messages):
            self._unread = 0  # everything before them was read
        self._unread += sum(map(getsizeof, messages))
        if self._unread > self._limits.read_limit:
            self.stream.held_back = True
            self._hold_back(_QUEUE_FULL, True)

    def eof_received(self) -> None:
        assert self.connection is not None
        self._after(self.connection.eof())

    def connection_lost(self, exc: Exception | None) -> None:
        assert self.connection is not None
        self.connection.lost(exc)
        self._after(b"")
        self.outbox.discard()
        self.closed.finish()

    def _on_demand(self, wanted: bool) -> None:
        self._hold_back(_LISTENER_PAUSED, not wanted)
        if wanted:
            self._unread = 0
            self.stream.held_back = False
            self._hold_back(_QUEUE_FULL, False)

    def _hold_back(self, reason: int, on: bool) -> None:
        before = self._held_back
        self._held_back = before | reason if on else before & ~reason
        transport = self._transport
        if transport is not None and bool(before) != bool(self._held_back) and not transport.is_closing():
            if on:
                transport.pause_reading()
            else:
                transport.resume_reading()

    # What Connection wants.

    def _after(self, data: bytes) -> None:
        """Follow the three rules: write what was returned, read what was queued, set the timer."""
        connection = self.connection
        assert connection is not None
        if data:
            self.outbox.write_now(data)
        if connection.messages:
            messages, connection.messages = connection.messages, []
            self._deliver(messages)
        if connection.timer is not self._timer:
            # After the messages: a timer of 0 seconds is to run after the tasks that they have woken.
            self._set_timer(connection.timer)
        if connection.events:
            events, connection.events = connection.events, []
            for event in events:
                if isinstance(event, Pong):
                    self._take_pong(event)
                elif isinstance(event, End):
                    self._hold_back(self._held_back, False)  # nothing will be queued any more
                    for ping in self._pings.values():
                        ping.done.finish(self.closed_error())
                    self._pings = {}
                    self.stream.finish(at_once=True)
                else:
                    self._hang_up(event)

    def _hang_up(self, how: HangUp) -> None:
        transport = self._transport
        assert transport is not None
        self.outbox.write_pending()
        if how is HangUp.ABORT:
            transport.abort()
        elif how is HangUp.HALF_CLOSE:
            half_close(transport)
        else:
            transport.close()

    def _set_timer(self, timer: Timer | None) -> None:
        if self._clock is not None:
            self._clock.cancel()
        self._timer = timer
        self._clock = None if timer is None else self._loop.call_later(timer.seconds, self._on_timer)

    def _on_timer(self) -> None:
        connection = self.connection
        assert connection is not None
        self._clock = None
        is_ping = self._timer is not None and self._timer.what == "ping"
        progress = self.outbox.progress()
        # Silence says nothing while we do not read, nor while the peer is busy with what we sent before the ping.
        reading_paused = self._held_back & (_QUEUE_FULL | _LISTENER_PAUSED)
        data = connection.on_timer(excused=bool(reading_paused) or progress > self._progress)
        if is_ping and data:
            self._keepalive_sent = time.perf_counter()
        self._after(data)
        self._progress = self.outbox.progress()

    # What goes out.

    def send(self, message: str | BytesLike) -> None:
        """Send a message, or keep it until the connection is open. Raises ``ConnectionClosed`` when it is closing."""
        connection = self.connection
        if connection is None:
            self._keep(message)
            return
        outbox = self.outbox
        if type(message) is bytes and len(message) >= WRITTEN_IN_PLACE and not connection.client_side:
            header = connection.send_header(message)
            if outbox.blocked is not None:
                outbox.check_room()
            outbox.write_large(header, message)
            return
        encode = connection.encode
        if encode is None:
            raise connection.closed_error()
        frame = encode(message)
        if outbox.blocked is not None:
            outbox.check_room()
        outbox.write(frame)

    def send_shared(self, shared: SharedMessage) -> None:
        """Send a message that goes to others, too. Raises ``ConnectionClosed`` if the connection is not open."""
        if self.connection is None:
            raise ConnectionClosed(NO_STATUS_RECEIVED, detail="it is not open yet")
        self.outbox.write(self.connection.send_shared(shared))

    def flush(self) -> Completion:
        """Write what is held together; the result ends when the operating system has taken all of it."""
        flushed = self.outbox.flush()
        if self.opened.done():
            self.outbox.start_flush()
        return flushed

    async def ping(self, payload: bytes) -> float:
        """Send a ping; return the seconds until its pong came."""
        await self.opened
        assert self.connection is not None
        if payload in self._pings:
            raise ValueError("a ping with the same payload is still waiting for its pong")
        data = self.connection.send_ping(payload)
        ping = self._pings[payload] = _Ping()
        self.outbox.write_now(data)
        try:
            await ping.done
        finally:
            if self._pings.get(payload) is ping:
                del self._pings[payload]
        return ping.seconds

    def pause_writing(self) -> None:
        self.outbox.pause()

    def resume_writing(self) -> None:
        self.outbox.resume()
        self._hold_back(_WRITING_BLOCKED, False)

    def _take_pong(self, pong: Pong) -> None:
        now = time.perf_counter()
        if pong.keepalive:
            self.latency = now - self._keepalive_sent
        elif pong.payload in self._pings:
            # A pong answers the pings before its own, too: a peer may answer only the latest (RFC 6455 section 5.5.3).
            for payload in list(self._pings):
                ping = self._pings.pop(payload)
                self.latency = ping.seconds = now - ping.sent
                ping.done.finish()
                if payload == pong.payload:
                    break

    def _keep(self, message: str | BytesLike) -> None:
        if self.opened.done():
            raise self.closed_error()
        self.outbox.check_room(self._early_size)
        copy = copy_message(message)
        self._early.append(copy)
        self._early_size += getsizeof(copy)

"""An open connection (RFC 6455 sections 5 to 7), without I/O and without a clock.

Whoever waits for sockets follows three rules: **write what its methods return, read what it queues, set the timer it asks
for.** Nothing else passes between the two. What is done for each message has two short cuts: messages that ``reader`` made,
and nothing else with them, may be handed on without being queued, and ``encode`` makes their frames.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, NamedTuple

from ..exceptions import ConnectionClosed, ProtocolError
from ..kernels import FrameReader, ReadBuffer, encode_frame, encode_header, encode_masked_message, encode_message
from ..kernels.frame import BINARY, CLOSE, NO_LIMIT, PING, PONG, TEXT, BytesLike, Frame, Message, no_message
from ..status import ABNORMAL_CLOSURE, INTERNAL_SERVER_ERROR, NO_STATUS_RECEIVED
from .closing import TABLE, Action, Event, State, close_payload, cut_reason, parse_close

__all__ = ["Connection", "ConnectionOptions", "End", "HangUp", "Pong", "SharedMessage", "Timer", "copy_message"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionOptions:
    """The limits and times of a connection. ``None`` means no limit, or never; times are in seconds.

    Attributes:
        max_message_size: the largest message that is received, in bytes. 1 MiB, as in ``websockets``.
        max_fragments: the most fragments of one received message that may wait for its last one. 4096, as in
            ``websockets``: each costs memory beside its payload, even an empty one.
        ping_interval: how long after the last pong the next keepalive ping is sent.
        ping_timeout: how long after a ping something, be it a pong or a message, must have come.
        close_timeout: how long the closing handshake may take in total, from the first close frame to the end of TCP.
    """

    max_message_size: int | None = 2**20
    max_fragments: int | None = 4096
    ping_interval: float | None = 20
    ping_timeout: float | None = 20
    close_timeout: float = 10

    def __post_init__(self) -> None:
        for name in ("max_message_size", "max_fragments"):
            value = getattr(self, name)
            if value is not None and not 1 <= value <= NO_LIMIT:
                raise ValueError(f"{name} must be at least 1, or None for no limit; it is {value}")
        for name in ("ping_interval", "ping_timeout", "close_timeout"):
            value = getattr(self, name)
            if value is None and name == "close_timeout":
                raise ValueError("close_timeout must be a number of seconds: a peer may never answer")
            if value is not None and not value > 0:
                raise ValueError(f"{name} must be more than 0 seconds; it is {value}")


class Timer(NamedTuple):
    """A wait that the connection asks for; ``on_timer()`` is to be called at its end, unless another one took its place."""

    what: str
    seconds: float


class Pong(NamedTuple):
    """The peer answered a ping: the caller's, or the last one sent for keepalive."""

    payload: bytes
    keepalive: bool


class End(NamedTuple):
    """No more messages will come. ``error`` is what went wrong, or ``None`` if both sides closed as they should."""

    error: Exception | None


class HangUp(Enum):
    """What is to be done to the transport, once everything that was returned is written."""

    HALF_CLOSE = auto()
    """Send no more, read on; where the transport cannot do that, ``CLOSE``."""
    CLOSE = auto()
    ABORT = auto()


_HANG_UPS: Final = {Action.HALF_CLOSE: HangUp.HALF_CLOSE, Action.HANG_UP: HangUp.CLOSE, Action.ABORT: HangUp.ABORT}


def copy_message(message: str | BytesLike) -> Message:
    """Return a message that is to be sent later, as it is now. Raises what ``Connection.send_message`` would raise."""
    if isinstance(message, str):
        message.encode()
        return message
    try:
        return message if isinstance(message, bytes) else memoryview(message).tobytes()
    except TypeError:
        raise no_message(message) from None


class SharedMessage:
    """A message for several connections: those of servers, whose frames are not masked, share one frame."""

    __slots__ = ("_message", "frame")

    def __init__(self, message: str | BytesLike) -> None:
        self._message = message
        self.frame = encode_message(message)

    def masked(self) -> bytes:
        """Return a frame with a mask of its own (section 5.3: every frame has a fresh key)."""
        return encode_masked_message(self._message)


class Connection:
    """One side of an open WebSocket.

    Args:
        buffer: what ``get_buffer`` hands out; may be shared by connections whose reads are synchronous.
        client_side: whether we are the client: then our frames are masked and the peer's are not.
        options: limits and times.

    Attributes:
        client_side: whether we are the client.
        encode: returns the frame for a message, as ``send_message``; ``None`` once no more may be sent.
        reader: what makes messages of bytes; see ``take``.
        messages: what was received, whole and in order. Whoever waits takes the list and leaves an empty one.
        events: ``Pong``, ``End`` and ``HangUp``, in order, to be looked at after ``messages``; taken the same way.
        timer: the timer that must run now, or ``None``. Another object than before means: stop that one, set this one.
        state: where the connection is in its life.
        close_code: what the peer's close frame said; 1005 if it was empty; 1006 if there was none; ``None`` until the end.
        close_reason: the reason in it; an empty string if there was none; ``None`` until the end.
    """

    __slots__ = (
        "_error",
        "_fragments",
        "_held",
        "_keepalive",
        "_opcode",
        "_options",
        "_receiving",
        "_sent",
        "client_side",
        "close_code",
        "close_reason",
        "encode",
        "events",
        "get_buffer",
        "messages",
        "reader",
        "state",
        "timer",
    )

    def __init__(self, buffer: ReadBuffer, *, client_side: bool, options: ConnectionOptions) -> None:
        self.reader = FrameReader(
            buffer,
            masked=not client_side,
            max_message_size=NO_LIMIT if options.max_message_size is None else options.max_message_size,
            max_fragments=NO_LIMIT if options.max_fragments is None else options.max_fragments,
        )
        self.get_buffer = self.reader.get_buffer
        self.client_side = client_side
        self.encode: Callable[[str | BytesLike], bytes] | None = encode_masked_message if client_side else encode_message
        self._options = options
        self.messages: list[Message] = []
        self.events: list[Pong | End | HangUp] = []
        self.state = State.OPEN
        self._receiving = True
        self._held: Frame | ProtocolError | None = (
            None  # what ends the connection, once the messages before it were handed on
        )
        self.close_code: int | None = None
        self.close_reason: str | None = None
        self._fragments: list[bytes] = []
        self._opcode = BINARY  # of the fragmented message in progress
        self._keepalive: bytes | None = None  # the payload of the keepalive ping that was not answered yet
        self._error: Exception | None = None
        self._sent: tuple[int, str] | None = None  # code and reason with which we began to close
        self.timer: Timer | None = None
        self._start_ping_interval()

    # What comes in.

    def feed(self, data: BytesLike) -> bytes:
        """Take bytes from a source that hands them over. Returns what to write."""
        return self.take(self.reader.feed(data))

    def take(self, items: list[Message | Frame | ProtocolError]) -> bytes:
        """Take what ``reader`` made of bytes that it was given. Returns what to write.

        If it made ``only_messages``, this would do no more than to queue them: whoever is in a hurry hands them on.
        """
        if self.reader.only_messages and self._receiving:
            if self.messages:
                self.messages += items  # type: ignore[arg-type]
            else:
                self.messages = items  # type: ignore[assignment]
            return b""
        return self._take_each(items)

    def eof(self) -> bytes:
        """The peer closed its half of TCP. Returns what to write."""
        out = self._take_held()
        return out + self._step(Event.EOF, error=ConnectionResetError("the peer closed TCP without a close frame"))

    def lost(self, cause: Exception | None = None) -> None:
        """There is no TCP connection any more; ``cause`` says why, where that is known."""
        self._take_held()
        self._step(Event.LOST, error=cause or ConnectionResetError("the connection was lost without a close frame"))

    def on_timer(self, *, excused: bool = False) -> bytes:
        """The timer that was asked for is over. Returns what to write.

        With ``excused`` the peer's silence says nothing: we did not read, or it is still taking what we sent before.
        """
        timer, self.timer = self.timer, None
        if timer is None:
            return b""
        if timer.what == "held":
            return self._take_held()
        if timer.what == "close":
            return self._step(Event.DEADLINE, error=TimeoutError(f"the peer did not close within {timer.seconds:g} s"))
        if timer.what == "ping":
            return self._send_keepalive()
        if self.reader.heard or excused:
            self._start_ping_interval()
            return b""
        error = TimeoutError(f"the peer sent nothing within {timer.seconds:g} s after a keepalive ping (ping_timeout)")
        return self._step(Event.SILENCE, close_payload(INTERNAL_SERVER_ERROR, "keepalive ping timeout"), error)

    # What goes out.

    def send_message(self, message: str | BytesLike) -> bytes:
        """Return the frame for a message: ``str`` makes text, anything with a contiguous buffer makes binary.

        Raises:
            ConnectionClosed: the connection is closing or closed.
            TypeError: the message is neither.
            UnicodeEncodeError: the text has a lone surrogate, which UTF-8 cannot carry.
        """
        encode = self.encode
        if encode is None:
            raise self.closed_error()
        return encode(message)

    def send_header(self, message: bytes) -> bytes:
        """Return what is to be written before a binary message that is then written as it is, without being copied.

        Only at the server's end, whose frames are not masked. Raises ``ConnectionClosed`` as ``send_message`` does.
        """
        if self.encode is None:
            raise self.closed_error()
        return encode_header(BINARY, len(message))

    def send_shared(self, shared: SharedMessage) -> bytes:
        """Return the frame for a message that goes to others, too. Raises what ``send_message`` raises."""
        if self.encode is None:
            raise self.closed_error()
        return shared.masked() if self.client_side else shared.frame

    def send_ping(self, payload: BytesLike = b"") -> bytes:
        """Return a ping frame (section 5.5.2). The peer's answer is queued as ``Pong`` with the same payload.

        Raises:
            ConnectionClosed: the connection is closing or closed.
            ValueError: the payload has more than 125 bytes.
        """
        if self.encode is None:
            raise self.closed_error()
        size = memoryview(payload).nbytes
        if size > 125:
            raise ValueError(f"a ping has at most 125 bytes of payload, this one has {size} (RFC 6455 section 5.5)")
        return encode_frame(PING, payload, self.client_side)

    def close(self, code: int | None = None, reason: str = "") -> bytes:
        """Start the closing handshake (section 7.1.2), unless it has begun. Returns what to write.

        Raises:
            ValueError: code or reason may not be sent.
        """
        payload = close_payload(code, reason)
        if self.state is State.OPEN:
            self._sent = (NO_STATUS_RECEIVED if code is None else code, reason)
        out = self._step(Event.CLOSE, payload)
        return out + self._take_held()

    def closed_error(self) -> ConnectionClosed:
        """The error for whoever wants to send or receive on a connection that is closing or closed."""
        if self.close_code is None:
            assert self._sent is not None
            return ConnectionClosed(*self._sent, detail="this side is closing it")
        error = ConnectionClosed(self.close_code, self.close_reason or "", str(self._error) if self._error else "")
        error.__cause__ = self._error
        return error

    # How it works.

    def _take_each(self, items: list[Message | Frame | ProtocolError]) -> bytes:
        out = []
        for item in items:
            if not self._receiving:
                # "after receiving a control frame indicating the connection should be closed, a peer discards any
                # further data received" (1.4)
                break
            if isinstance(item, Frame) and item.opcode != CLOSE:
                out.append(self._take_frame(item))
            elif not isinstance(item, (Frame, ProtocolError)):
                self.messages.append(item)
            else:
                self._held = item
                self._stop_receiving()
                if self.messages and self.encode is not None:
                    # Messages that came in the same read can still be answered: what ends the connection waits for one
                    # pass of the loop.
                    self.timer = Timer("held", 0.0)
                else:
                    out.append(self._take_held())
        return b"".join(out)

    def _stop_receiving(self) -> None:
        self._receiving = False
        self.reader.discard()

    def _take_held(self) -> bytes:
        held, self._held = self._held, None
        if isinstance(held, Frame):
            return self._take_close(held)
        return b"" if held is None else self._fail(held)

    def _take_frame(self, frame: Frame) -> bytes:
        if frame.opcode == PING:
            # "Upon receipt of a Ping frame, an endpoint MUST send a Pong frame in response, unless it already received
            # a Close frame." (5.5.2) Once we have sent a close frame ourselves, nothing follows it.
            return encode_frame(PONG, frame.payload, self.client_side) if self.encode is not None else b""
        if frame.opcode == PONG:
            self._take_pong(frame.payload)
        else:
            self._take_fragment(frame)
        return b""

    def _take_fragment(self, frame: Frame) -> None:
        if frame.opcode != 0:
            self._opcode = frame.opcode
        self._fragments.append(frame.payload)
        if frame.fin:
            message = b"".join(self._fragments)
            self._fragments = []
            self.messages.append(message.decode() if self._opcode == TEXT else message)

    def _take_pong(self, payload: bytes) -> None:
        keepalive = payload == self._keepalive
        self.events.append(Pong(payload, keepalive))
        # "A Pong frame MAY be sent unsolicited. [...] A response to an unsolicited Pong frame is not expected." (5.5.3)
        if keepalive and self.timer is not None and self.timer.what == "pong":
            self._start_ping_interval()

    def _take_close(self, frame: Frame) -> bytes:
        try:
            self.close_code, self.close_reason = parse_close(frame)
        except ProtocolError as error:
            return self._fail(error)
        return self._step(Event.CLOSE_RECEIVED, frame.payload)

    def _fail(self, error: ProtocolError) -> bytes:
        return self._step(Event.BREACH, close_payload(error.code, cut_reason(str(error))), error)

    def _step(self, event: Event, payload: bytes = b"", error: Exception | None = None) -> bytes:
        """Look up what the event means now, and do it. ``payload`` is that of the close frame to send, if one is."""
        self.state, actions = TABLE[self.state, event]
        if self.state not in (State.OPEN, State.CLOSING):
            self._stop_receiving()
        out = b""
        for action in actions:
            if action is Action.SEND_CLOSE or action is Action.ECHO_CLOSE:
                out = encode_frame(CLOSE, payload, self.client_side)
            elif action is Action.START_DEADLINE:
                self.timer = Timer("close", self._options.close_timeout)
            elif action is Action.END:
                self._end(error)
            elif action is Action.FINISH:
                if not self.client_side:
                    self.events.append(HangUp.CLOSE)
            else:
                self.events.append(_HANG_UPS[action])
        # Last: a thread that sends meanwhile, and is told that it cannot, finds out why.
        if self.state is not State.OPEN:
            self.encode = None
        if self.state is State.GONE:
            self.timer = None
        return out

    def _end(self, error: Exception | None) -> None:
        self._fragments = []
        self._error = error
        if self.close_code is None:
            self.close_code, self.close_reason = ABNORMAL_CLOSURE, ""
        self.events.append(End(error))

    def _start_ping_interval(self) -> None:
        self._keepalive = None
        interval = self._options.ping_interval
        self.timer = None if interval is None else Timer("ping", interval)

    def _send_keepalive(self) -> bytes:
        self.reader.heard = False
        timeout = self._options.ping_timeout
        if timeout is None:
            self._start_ping_interval()
        else:
            self.timer = Timer("pong", timeout)
        self._keepalive = os.urandom(4)
        return encode_frame(PING, self._keepalive, self.client_side)

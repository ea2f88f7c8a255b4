"""How a connection ends (RFC 6455 section 7), as a table.

``TABLE[state, event]`` is ``(next state, actions)``. A pair that is not in the table cannot happen: a ``KeyError`` would be
our mistake, never the peer's.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

from ..kernels.frame import CLOSE, Frame
from ..kernels.rules import breach
from ..status import NO_STATUS_RECEIVED, may_be_sent

__all__ = ["TABLE", "Action", "Event", "State", "close_payload", "parse_close"]

_LONGEST_REASON = 123  # a control frame has 125 bytes of payload, and the code takes two (sections 5.5, 5.5.1)


class _Key(Enum):
    """A part of the table's keys. Enum's own hash is a function in Python, and called ten times for a connection."""

    __hash__ = object.__hash__


class State(_Key):
    """Where a connection is in its life."""

    OPEN = auto()
    CLOSING = auto()
    """Our close frame went out; the peer's is awaited."""
    FAILED = auto()
    """The peer broke a rule: our close frame went out, and what comes is thrown away until the peer hangs up."""
    CLOSED_CLEANLY = auto()
    """Both close frames have passed; only TCP is left to close."""
    HUNG_UP = auto()
    """The peer closed its half of TCP; ours is being closed, as soon as the peer has taken what was written."""
    GONE = auto()
    """Nothing is left."""


class Event(_Key):
    """What happens to a connection."""

    CLOSE = auto()
    """The application closes the channel."""
    CLOSE_RECEIVED = auto()
    BREACH = auto()
    """The peer broke a rule."""
    SILENCE = auto()
    """The peer did not answer a keepalive ping in time."""
    DEADLINE = auto()
    """The peer did not finish the closing handshake in time."""
    EOF = auto()
    """The peer closed its half of TCP."""
    LOST = auto()
    """There is no TCP connection any more."""


class Action(Enum):
    """What is to be done about it, in this order."""

    SEND_CLOSE = auto()
    ECHO_CLOSE = auto()
    START_DEADLINE = auto()
    END = auto()
    """No more messages will come."""
    HALF_CLOSE = auto()
    """Say that we send no more, and read on: closing at once would answer unread bytes with a reset, and a reset
    destroys our close frame on its way to the peer."""
    FINISH = auto()
    """The server closes TCP; the client waits for that (section 7.1.1)."""
    HANG_UP = auto()
    ABORT = auto()


TABLE: Final[dict[tuple[State, Event], tuple[State, tuple[Action, ...]]]] = {
    (State.OPEN, Event.CLOSE): (State.CLOSING, (Action.SEND_CLOSE, Action.START_DEADLINE)),
    # "If an endpoint receives a Close frame and did not previously send a Close frame, the endpoint MUST send a Close
    # frame in response." (5.5.1)
    (State.OPEN, Event.CLOSE_RECEIVED): (
        State.CLOSED_CLEANLY,
        (Action.ECHO_CLOSE, Action.START_DEADLINE, Action.END, Action.FINISH),
    ),
    (State.OPEN, Event.BREACH): (
        State.FAILED,
        (Action.SEND_CLOSE, Action.START_DEADLINE, Action.END, Action.HALF_CLOSE),
    ),
    # A peer that is gone does not read what is buffered: waiting for that would never end.
    (State.OPEN, Event.SILENCE): (State.GONE, (Action.SEND_CLOSE, Action.END, Action.ABORT)),
    # A peer that closed its half may still never read what was written to it, so the deadline runs on, or begins.
    (State.OPEN, Event.EOF): (State.HUNG_UP, (Action.START_DEADLINE, Action.END, Action.HANG_UP)),
    (State.OPEN, Event.LOST): (State.GONE, (Action.END,)),
    (State.CLOSING, Event.CLOSE): (State.CLOSING, ()),
    (State.CLOSING, Event.CLOSE_RECEIVED): (State.CLOSED_CLEANLY, (Action.END, Action.FINISH)),
    (State.CLOSING, Event.BREACH): (State.FAILED, (Action.END, Action.HALF_CLOSE)),
    (State.CLOSING, Event.DEADLINE): (State.GONE, (Action.END, Action.ABORT)),
    (State.CLOSING, Event.EOF): (State.HUNG_UP, (Action.END, Action.HANG_UP)),
    (State.CLOSING, Event.LOST): (State.GONE, (Action.END,)),
    (State.FAILED, Event.CLOSE): (State.FAILED, ()),
    (State.FAILED, Event.DEADLINE): (State.GONE, (Action.ABORT,)),
    (State.FAILED, Event.EOF): (State.HUNG_UP, (Action.HANG_UP,)),
    (State.FAILED, Event.LOST): (State.GONE, ()),
    (State.CLOSED_CLEANLY, Event.CLOSE): (State.CLOSED_CLEANLY, ()),
    (State.CLOSED_CLEANLY, Event.DEADLINE): (State.GONE, (Action.ABORT,)),
    (State.CLOSED_CLEANLY, Event.EOF): (State.HUNG_UP, (Action.HANG_UP,)),
    (State.CLOSED_CLEANLY, Event.LOST): (State.GONE, ()),
    (State.HUNG_UP, Event.CLOSE): (State.HUNG_UP, ()),
    (State.HUNG_UP, Event.DEADLINE): (State.GONE, (Action.ABORT,)),
    (State.HUNG_UP, Event.EOF): (State.HUNG_UP, ()),
    (State.HUNG_UP, Event.LOST): (State.GONE, ()),
    (State.GONE, Event.CLOSE): (State.GONE, ()),
    (State.GONE, Event.EOF): (State.GONE, ()),
    (State.GONE, Event.LOST): (State.GONE, ()),
}


def close_payload(code: int | None, reason: str) -> bytes:
    """Return the payload of a close frame to send (section 5.5.1). No code makes an empty one.

    Raises:
        ValueError: the code may not be sent, a reason stands without a code, or the reason has more than 123 bytes.
    """
    if not isinstance(reason, str):
        raise TypeError(f"a close reason is a str, not {type(reason).__name__}")
    if code is None:
        if reason:
            raise ValueError("a close reason needs a close code: pass both, or neither")
        return b""
    if not isinstance(code, int) or isinstance(code, bool):
        raise TypeError(f"a close code is an int, not {type(code).__name__}")
    if not may_be_sent(code):
        raise ValueError(
            f"{code} may not be sent as a close code: use 1000 to 1003, 1007 to 1014, or 3000 to 4999 (RFC 6455 section 7.4)"
        )
    encoded = reason.encode()
    if len(encoded) > _LONGEST_REASON:
        raise ValueError(
            f"a close reason has at most {_LONGEST_REASON} bytes of UTF-8, this one has {len(encoded)} "
            f"(RFC 6455 section 5.5)"
        )
    return code.to_bytes(2, "big") + encoded


def cut_reason(reason: str) -> str:
    """Return as much of a sentence of ours as fits into a close frame."""
    return reason.encode()[:_LONGEST_REASON].decode(errors="ignore")


def parse_close(frame: Frame) -> tuple[int, str]:
    """Return code and reason of a close frame that was received; 1005 and an empty reason if it has none.

    Raises:
        ProtocolError: the payload breaks section 5.5.1 or 7.4.
    """
    assert frame.opcode == CLOSE
    payload = frame.payload
    if not payload:
        return NO_STATUS_RECEIVED, ""
    if len(payload) == 1:
        raise breach("close-payload")
    code = int.from_bytes(payload[:2], "big")
    if not may_be_sent(code):
        raise breach("close-code", code)
    try:
        return code, payload[2:].decode()
    except UnicodeDecodeError:
        raise breach("close-reason") from None

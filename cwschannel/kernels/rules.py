"""The rules of RFC 6455 that a received frame can break: a stable name, the close code, and the sentence.

Both twins report a breach with ``breach(rule, ...)``; the error is handed on as the last item of what was read, so that
no message before it is lost.
"""

from __future__ import annotations

from operator import index
from typing import Final

from ..exceptions import ProtocolError
from ..status import INVALID_FRAME_PAYLOAD_DATA, MESSAGE_TOO_BIG, PROTOCOL_ERROR

RULES: Final[dict[str, tuple[int, str]]] = {
    "reserved-bits": (
        PROTOCOL_ERROR,
        "a frame has RSV bits {0:#04x} set, which no negotiated extension gives a meaning there (RFC 6455 section 5.2)",
    ),
    "reserved-opcode": (PROTOCOL_ERROR, "a frame has the reserved opcode {0:#x} (RFC 6455 section 5.2)"),
    "control-fragmented": (PROTOCOL_ERROR, "a control frame is fragmented (RFC 6455 section 5.4)"),
    "control-too-long": (PROTOCOL_ERROR, "a control frame has more than 125 bytes of payload (RFC 6455 section 5.5)"),
    "mask-missing": (PROTOCOL_ERROR, "a frame from the client is not masked (RFC 6455 section 5.1)"),
    "mask-forbidden": (PROTOCOL_ERROR, "a frame from the server is masked (RFC 6455 section 5.1)"),
    "continuation-without-start": (
        PROTOCOL_ERROR,
        "a continuation frame came where no message was begun (RFC 6455 section 5.4)",
    ),
    "message-interrupted": (
        PROTOCOL_ERROR,
        "a new message began before the fragmented one was finished (RFC 6455 section 5.4)",
    ),
    "length-not-minimal": (
        PROTOCOL_ERROR,
        "a payload length of {0} is not written in the fewest bytes (RFC 6455 section 5.2)",
    ),
    "length-top-bit": (PROTOCOL_ERROR, "a 64-bit payload length has its top bit set (RFC 6455 section 5.2)"),
    "message-too-big": (
        MESSAGE_TOO_BIG,
        "a message of {0} bytes or more is over the limit of {1} (max_message_size)",
    ),
    "no-memory": (MESSAGE_TOO_BIG, "there is no memory for a message of {0} bytes (max_message_size would have refused it)"),
    "too-many-fragments": (MESSAGE_TOO_BIG, "more than {0} fragments of a message wait for its last one (max_fragments)"),
    "invalid-utf-8": (INVALID_FRAME_PAYLOAD_DATA, "a text message is not valid UTF-8 (RFC 6455 section 8.1)"),
    "close-payload": (PROTOCOL_ERROR, "a close frame has a payload of one byte (RFC 6455 section 5.5.1)"),
    "close-code": (PROTOCOL_ERROR, "a close frame has the code {0}, which may not be sent (RFC 6455 section 7.4)"),
    "close-reason": (
        INVALID_FRAME_PAYLOAD_DATA,
        "the reason in a close frame is not valid UTF-8 (RFC 6455 section 5.5.1)",
    ),
}


def breach(rule: str, *details: int) -> ProtocolError:
    """The error for a broken rule. ``details`` fill the places in its sentence."""
    code, sentence = RULES[rule]
    return ProtocolError(code, rule, sentence.format(*details))


def check_number(name: str, value: int, highest: int) -> int:
    """Return an option of a reader, once it is a whole number from 0 to ``highest``."""
    value = index(value)
    if not 0 <= value <= highest:
        raise ValueError(f"{name} must be from 0 to {highest}, not {value}")
    return value

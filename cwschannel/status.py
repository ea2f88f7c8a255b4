"""Close codes: why a WebSocket was closed (RFC 6455 section 7.4 and the IANA registry built on it).

Import it with its name, so that the codes read well: ``from cwschannel import status`` and then
``channel.sink.close(status.GOING_AWAY)``.
"""

from __future__ import annotations

from typing import Final

NORMAL_CLOSURE: Final = 1000
"""The purpose for which the connection was established has been fulfilled."""

GOING_AWAY: Final = 1001
"""An endpoint goes away: a server shuts down, or a browser leaves the page."""

PROTOCOL_ERROR: Final = 1002
"""An endpoint broke a rule of the protocol."""

UNSUPPORTED_DATA: Final = 1003
"""An endpoint received a type of data that it cannot accept, such as binary where it understands text only."""

NO_STATUS_RECEIVED: Final = 1005
"""The close frame carried no code. Never sent: it is what an endpoint reports of an empty close frame."""

ABNORMAL_CLOSURE: Final = 1006
"""The connection was lost without a close frame. Never sent."""

INVALID_FRAME_PAYLOAD_DATA: Final = 1007
"""A message held data that its type does not allow, such as a text message that is not UTF-8."""

POLICY_VIOLATION: Final = 1008
"""A message broke the endpoint's policy, and no other code fits better."""

MESSAGE_TOO_BIG: Final = 1009
"""A message is too big for the endpoint to process."""

MISSING_MANDATORY_EXTENSION: Final = 1010
"""The client needs an extension that the server did not negotiate."""

INTERNAL_SERVER_ERROR: Final = 1011
"""An endpoint met an unexpected condition that kept it from going on."""

SERVICE_RESTART: Final = 1012
"""The service restarts: connect again after a random delay of 5 to 30 seconds (IANA registry)."""

TRY_AGAIN_LATER: Final = 1013
"""The service is overloaded: connect to another address or try again later (IANA registry)."""

BAD_GATEWAY: Final = 1014
"""A gateway received an invalid answer from the server behind it (IANA registry)."""

TLS_HANDSHAKE_FAILED: Final = 1015
"""The TLS handshake failed. Never sent."""

_SENTENCES: Final[dict[int, str]] = {
    NORMAL_CLOSURE: "normal closure",
    GOING_AWAY: "going away",
    PROTOCOL_ERROR: "protocol error",
    UNSUPPORTED_DATA: "unsupported data",
    1004: "reserved",
    NO_STATUS_RECEIVED: "no status received",
    ABNORMAL_CLOSURE: "abnormal closure",
    INVALID_FRAME_PAYLOAD_DATA: "invalid frame payload data",
    POLICY_VIOLATION: "policy violation",
    MESSAGE_TOO_BIG: "message too big",
    MISSING_MANDATORY_EXTENSION: "missing mandatory extension",
    INTERNAL_SERVER_ERROR: "internal server error",
    SERVICE_RESTART: "service restart",
    TRY_AGAIN_LATER: "try again later",
    BAD_GATEWAY: "bad gateway",
    TLS_HANDSHAKE_FAILED: "TLS handshake failed",
    3000: "unauthorized",
    3003: "forbidden",
    3008: "timeout",
}

_NEVER_SENT: Final = frozenset({1004, NO_STATUS_RECEIVED, ABNORMAL_CLOSURE, TLS_HANDSHAKE_FAILED})


def may_be_sent(code: int) -> bool:
    """Whether ``code`` may stand in a close frame, sent or received (RFC 6455 sections 7.4.1 and 7.4.2).

    1000 to 1014 without the three that only describe a local condition, 3000 to 3999 (registered for
    libraries and frameworks) and 4000 to 4999 (private use).
    """
    return (1000 <= code <= 1014 and code not in _NEVER_SENT) or 3000 <= code <= 4999


def describe(code: int) -> str:
    """Say in a few words what a close code means: ``describe(1001)`` is ``'going away'``."""
    if code in _SENTENCES:
        return _SENTENCES[code]
    if 3000 <= code <= 3999:
        return "registered with IANA for a library or framework"
    if 4000 <= code <= 4999:
        return "private use"
    return "not a valid close code"

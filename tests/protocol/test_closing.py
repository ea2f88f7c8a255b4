"""Closing: the table, and what stands in close frames (RFC 6455 sections 5.5.1, 7.1 and 7.4)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cwschannel import status
from cwschannel.exceptions import ProtocolError
from cwschannel.kernels.frame import CLOSE, Frame
from cwschannel.protocol.closing import TABLE, Action, Event, State, close_payload, cut_reason, parse_close

from .wire import examples

IMPOSSIBLE = {
    # keepalive and the deadline of closing do not run in these states
    (State.OPEN, Event.DEADLINE),
    (State.CLOSING, Event.SILENCE),
    (State.FAILED, Event.SILENCE),
    (State.CLOSED_CLEANLY, Event.SILENCE),
    (State.HUNG_UP, Event.SILENCE),
    (State.GONE, Event.SILENCE),
    (State.GONE, Event.DEADLINE),
    # what is received after a close frame, a breach, or the peer's end of TCP is thrown away unread
    (State.FAILED, Event.CLOSE_RECEIVED),
    (State.FAILED, Event.BREACH),
    (State.CLOSED_CLEANLY, Event.CLOSE_RECEIVED),
    (State.CLOSED_CLEANLY, Event.BREACH),
    (State.HUNG_UP, Event.CLOSE_RECEIVED),
    (State.HUNG_UP, Event.BREACH),
    (State.GONE, Event.CLOSE_RECEIVED),
    (State.GONE, Event.BREACH),
}
OVER = (State.FAILED, State.CLOSED_CLEANLY, State.HUNG_UP, State.GONE)
ON_TRANSPORTS = {Action.HALF_CLOSE, Action.FINISH, Action.HANG_UP, Action.ABORT}


@pytest.mark.parametrize("event", Event)
@pytest.mark.parametrize("state", State)
def test_every_event_in_every_state_is_in_the_table_or_impossible(state: State, event: Event) -> None:
    assert ((state, event) in TABLE) is ((state, event) not in IMPOSSIBLE)


def test_no_state_is_left_for_an_earlier_one() -> None:
    order = [State.OPEN, State.CLOSING, State.FAILED, State.CLOSED_CLEANLY, State.HUNG_UP, State.GONE]
    for (state, _), (following, _) in TABLE.items():
        assert order.index(following) >= order.index(state)
    assert (State.FAILED, State.CLOSED_CLEANLY) not in {(state, following) for (state, _), (following, _) in TABLE.items()}


def test_one_close_frame_is_sent_and_only_when_leaving_open() -> None:
    for (state, event), (following, actions) in TABLE.items():
        sends = actions.count(Action.SEND_CLOSE) + actions.count(Action.ECHO_CLOSE)
        assert sends == (1 if state is State.OPEN and event not in (Event.EOF, Event.LOST) else 0)
        assert (following is State.OPEN) is False
        assert (Action.ECHO_CLOSE in actions) is (state is State.OPEN and event is Event.CLOSE_RECEIVED)


def test_the_stream_ends_once() -> None:
    for (state, _), (following, actions) in TABLE.items():
        assert actions.count(Action.END) == (1 if state not in OVER and following in OVER else 0)


def test_the_deadline_begins_when_open_is_left_and_is_never_set_again() -> None:
    for (state, _), (following, actions) in TABLE.items():
        starts = state is State.OPEN and following is not State.GONE
        assert actions.count(Action.START_DEADLINE) == (1 if starts else 0)


def test_the_transport_is_left_alone_or_told_to_go_once() -> None:
    for (state, event), (following, actions) in TABLE.items():
        hangs_up = following is State.HUNG_UP and state is not State.HUNG_UP
        aborts = following is State.GONE and state is not State.GONE and event is not Event.LOST
        assert actions.count(Action.HANG_UP) == (1 if hangs_up else 0)
        assert actions.count(Action.ABORT) == (1 if aborts else 0)
        if hangs_up or aborts:
            assert actions[-1] is (Action.HANG_UP if hangs_up else Action.ABORT)
            assert len(ON_TRANSPORTS.intersection(actions)) == 1
        assert (Action.HALF_CLOSE in actions) is (following is State.FAILED and state is not State.FAILED)


def test_the_peer_hangs_up_once_and_only_by_the_end_of_its_half_of_tcp() -> None:
    for (state, event), (following, actions) in TABLE.items():
        if state not in (State.HUNG_UP, State.GONE):
            assert (following is State.HUNG_UP) is (event is Event.EOF)
        elif event is Event.EOF:
            assert (following, actions) == (state, ())


def test_a_deadline_aborts_in_every_state_in_which_one_runs() -> None:
    for state in State:
        if state not in (State.OPEN, State.GONE):
            following, actions = TABLE[state, Event.DEADLINE]
            assert following is State.GONE
            assert actions[-1] is Action.ABORT


def test_a_lost_connection_is_gone_from_every_state_and_nothing_is_done_to_its_transport() -> None:
    for state in State:
        following, actions = TABLE[state, Event.LOST]
        assert following is State.GONE
        assert actions == (() if state in OVER else (Action.END,))


def test_closing_is_possible_in_every_state_and_does_something_in_one() -> None:
    for state in State:
        following, actions = TABLE[state, Event.CLOSE]
        if state is not State.OPEN:
            assert (following, actions) == (state, ())


SENDABLE = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999]
NEVER_SENT = [-1, 0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535, 65536]


@pytest.mark.parametrize("code", SENDABLE)
def test_these_codes_can_be_sent_and_received(code: int) -> None:
    assert status.may_be_sent(code)
    payload = close_payload(code, "bye")
    assert payload == code.to_bytes(2, "big") + b"bye"
    assert parse_close(Frame(CLOSE, payload)) == (code, "bye")
    assert parse_close(Frame(CLOSE, payload[:2])) == (code, "")


@pytest.mark.parametrize("code", NEVER_SENT)
def test_these_codes_cannot_be_sent(code: int) -> None:
    assert not status.may_be_sent(code)
    with pytest.raises(ValueError, match=f"^{code} may not be sent"):
        close_payload(code, "")


@pytest.mark.parametrize("code", [code for code in NEVER_SENT if 0 <= code < 65536])
def test_these_codes_cannot_be_received(code: int) -> None:
    with pytest.raises(ProtocolError) as caught:
        parse_close(Frame(CLOSE, code.to_bytes(2, "big") + b"bye"))
    assert (caught.value.code, caught.value.rule) == (1002, "close-code")


def test_every_code_is_either_fit_to_be_sent_or_not() -> None:
    fit = {*range(1000, 1015), *range(3000, 5000)} - {1004, 1005, 1006}
    assert {code for code in range(65536) if status.may_be_sent(code)} == fit


def test_codes_are_described() -> None:
    assert status.describe(status.GOING_AWAY) == "going away"
    assert status.describe(3500) == "registered with IANA for a library or framework"
    assert status.describe(4999) == "private use"
    assert status.describe(2999) == status.describe(-1) == "not a valid close code"


def test_no_code_makes_an_empty_payload() -> None:
    assert close_payload(None, "") == b""
    assert parse_close(Frame(CLOSE, b"")) == (1005, "")


def test_a_reason_needs_a_code() -> None:
    with pytest.raises(ValueError, match="needs a close code"):
        close_payload(None, "bye")


@pytest.mark.parametrize("code", ["1000", 1000.0, b"\x03\xe8", True])
def test_a_code_is_an_int(code: object) -> None:
    with pytest.raises(TypeError, match="a close code is an int"):
        close_payload(code, "")  # type: ignore[arg-type]


@pytest.mark.parametrize("reason", [b"bye", None, 5])
def test_a_reason_is_a_str(reason: object) -> None:
    with pytest.raises(TypeError):
        close_payload(1000, reason)  # type: ignore[arg-type]


@pytest.mark.parametrize("letter", ["a", "\u00e9", "\u20ac", "\U0001f600"])
def test_a_reason_has_at_most_123_bytes(letter: str) -> None:
    size = len(letter.encode())
    most = letter * (123 // size) + "a" * (123 % size)
    assert len(close_payload(1000, most)) == 125
    with pytest.raises(ValueError, match="at most 123 bytes of UTF-8, this one has 124"):
        close_payload(1000, most + "a")


def test_a_reason_with_a_lone_surrogate_is_refused() -> None:
    with pytest.raises(UnicodeEncodeError):
        close_payload(1000, "\ud800")


def test_a_payload_of_one_byte_is_a_breach() -> None:
    with pytest.raises(ProtocolError) as caught:
        parse_close(Frame(CLOSE, b"\x03"))
    assert (caught.value.code, caught.value.rule) == (1002, "close-payload")


@pytest.mark.parametrize("reason", [b"\xff", b"a\xc3", b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80"])
def test_a_reason_that_is_not_utf_8_is_a_breach(reason: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        parse_close(Frame(CLOSE, b"\x03\xe8" + reason))
    assert (caught.value.code, caught.value.rule) == (1007, "close-reason")


@examples(100)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=200))
def test_a_sentence_of_ours_is_cut_between_two_characters(text: str) -> None:
    cut = cut_reason(text)
    assert text.startswith(cut)
    assert len(cut.encode()) <= 123
    assert cut == text or len((cut + text[len(cut)]).encode()) > 123
    close_payload(1002, cut)


@examples(200)
@given(st.binary(max_size=125))
def test_any_payload_is_read_or_refused(payload: bytes) -> None:
    try:
        code, reason = parse_close(Frame(CLOSE, payload))
    except ProtocolError as error:
        assert error.code in (1002, 1007)  # noqa: PT017
    else:
        assert payload == (b"" if code == 1005 else close_payload(code, reason))

"""The end of TCP: the peer closes its half, or there is no connection any more (RFC 6455 section 7)."""

from __future__ import annotations

from typing import Any

import pytest

from cwschannel.exceptions import ConnectionClosed, ProtocolError
from cwschannel.protocol.closing import State
from cwschannel.protocol.connection import End, HangUp, Timer

from .test_connection_timers import Clock
from .wire import CLOSE, PING, PONG, TEXT, Side, close_body

BOTH = pytest.mark.parametrize("client", [True, False], ids=["client", "server"])
STATES = pytest.mark.parametrize("state", State, ids=lambda state: state.name.lower())
ENDS = pytest.mark.parametrize("end", ["hang_up", "lose"])
HELD = pytest.mark.parametrize("held", ["close", "breach"])


def side_in(state: State, client: bool, **options: Any) -> Side:
    """A connection that has come to a state."""
    side = Side(client=client, **options)
    if state is State.CLOSING:
        side.connection.close(1000)
    elif state is State.FAILED:
        side.read(side.frame(3))
    elif state is State.CLOSED_CLEANLY:
        side.read(side.frame(CLOSE, close_body(1001, "bye")))
    elif state is State.HUNG_UP:
        side.hang_up()
    elif state is State.GONE:
        side.lose()
    assert side.connection.state is state
    return side


def side_that_holds(held: str, client: bool) -> Side:
    """A connection with a close frame, or a breach, that came in one read with a message, and waits."""
    side = Side(client=client)
    last = side.frame(CLOSE, close_body(1001)) if held == "close" else side.frame(3)
    assert side.read(side.frame(TEXT, b"a") + last) == []
    assert side.connection.timer == Timer("held", 0.0)
    assert side.events == []
    return side


def is_dead(side: Side) -> bool:
    """Whether nothing that comes in, and no time that passes, does anything any more."""
    before = list(side.events), list(side.messages), side.connection.timer
    out = side.feed(side.frame(TEXT, b"x")) + side.feed(side.frame(CLOSE, close_body(4000)))
    out += side.read(side.frame(TEXT, b"x") + side.frame(PING) + side.frame(PONG) + side.frame(3))
    out += side.sent(side.connection.close(4001, "late")) + side.hang_up()
    return (out, side.events, side.messages, side.connection.timer) == ([], *before)


class TestAbnormalEnds:
    @BOTH
    @pytest.mark.parametrize("begun", [False, True])
    def test_a_peer_that_hangs_up_without_a_close_frame_is_abnormal(self, client: bool, begun: bool) -> None:
        side = Side(client=client)
        if begun:
            side.connection.close(1000)
        timer = side.connection.timer
        assert side.hang_up() == []
        ((error,),) = side.ends
        assert isinstance(error, ConnectionResetError)
        assert str(error) == "the peer closed TCP without a close frame"
        assert side.events == [End(error), HangUp.CLOSE]
        connection = side.connection
        assert (connection.state, connection.close_code, connection.close_reason) == (State.HUNG_UP, 1006, "")
        assert connection.timer == Timer("close", 10)
        assert (connection.timer is timer) is begun
        with pytest.raises(ConnectionClosed) as caught:
            connection.send_message("x")
        assert caught.value.__cause__ is error

    @BOTH
    @pytest.mark.parametrize("cause", [None, OSError("reset")])
    @pytest.mark.parametrize("begun", [False, True])
    def test_a_connection_that_is_lost_without_a_close_frame_is_abnormal(
        self, client: bool, cause: Exception | None, begun: bool
    ) -> None:
        side = Side(client=client)
        if begun:
            side.connection.close(1000)
        side.lose(cause)
        ((error,),) = side.ends
        if cause is None:
            assert isinstance(error, ConnectionResetError)
            assert str(error) == "the connection was lost without a close frame"
        else:
            assert error is cause
        assert side.events == [End(error)], "there is no transport left to be told anything"
        connection = side.connection
        assert (connection.state, connection.close_code, connection.close_reason) == (State.GONE, 1006, "")
        assert connection.timer is None
        with pytest.raises(ConnectionClosed) as caught:
            connection.send_message("x")
        assert caught.value.__cause__ is error


class TestHungUp:
    @BOTH
    @STATES
    def test_the_transport_is_closed_and_the_deadline_runs_on_or_begins(self, client: bool, state: State) -> None:
        side = side_in(state, client)
        events, timer = list(side.events), side.connection.timer
        assert side.hang_up() == []
        if state is State.GONE:
            assert side.connection.state is State.GONE
            assert side.connection.timer is None
            assert side.events == events
            return
        assert side.connection.state is State.HUNG_UP
        assert side.connection.timer == Timer("close", 10)
        assert (side.connection.timer is timer) is (state is not State.OPEN)
        assert len(side.ends) == 1
        if state is State.HUNG_UP:
            assert side.events == events
        else:
            assert side.events[:-1] == [*events, *(side.ends if state in (State.OPEN, State.CLOSING) else ())]
            assert side.events[-1] is HangUp.CLOSE

    @BOTH
    @pytest.mark.parametrize("before", [State.OPEN, State.CLOSING, State.FAILED, State.CLOSED_CLEANLY])
    def test_a_peer_that_does_not_take_what_was_written_is_dropped_at_the_deadline(
        self, client: bool, before: State
    ) -> None:
        side = side_in(before, client, close_timeout=3, ping_interval=50)
        clock = Clock(side)
        clock.advance(2)
        side.hang_up()
        ends, code = side.ends, side.connection.close_code
        left = 3 if before is State.OPEN else 1  # of the time, for the deadline began with the first close frame
        assert clock.advance(left - 0.1) == []
        assert side.connection.state is State.HUNG_UP
        assert side.hang_ups[-1] is HangUp.CLOSE
        assert clock.advance(0.2) == []
        assert side.connection.state is State.GONE
        assert side.connection.timer is None
        assert side.hang_ups[-2:] == [HangUp.CLOSE, HangUp.ABORT]
        assert side.ends == ends
        assert side.connection.close_code == code
        assert side.connection.closed_error().__cause__ is ends[0].error
        events = list(side.events)
        side.lose()
        assert side.events == events

    @BOTH
    @pytest.mark.parametrize("keepalive", ["ping", "pong"])
    def test_it_ends_keepalive(self, client: bool, keepalive: str) -> None:
        side = Side(client=client, ping_interval=5, ping_timeout=2)
        if keepalive == "pong":
            side.tick()
        assert side.waits_for == keepalive
        side.hang_up()
        assert side.connection.timer == Timer("close", 10)
        assert Clock(side).advance(100) == []
        assert side.hang_ups == [HangUp.CLOSE, HangUp.ABORT]

    @BOTH
    def test_without_keepalive_the_deadline_begins_too(self, client: bool) -> None:
        side = Side(client=client, ping_interval=None, close_timeout=3)
        assert side.connection.timer is None
        side.hang_up()
        assert side.connection.timer == Timer("close", 3)

    @BOTH
    @STATES
    def test_nothing_that_comes_afterwards_is_taken(self, client: bool, state: State) -> None:
        side = side_in(state, client)
        side.hang_up()
        assert is_dead(side)

    @BOTH
    def test_it_may_be_reported_twice(self, client: bool) -> None:
        side = Side(client=client)
        side.hang_up()
        events, timer = list(side.events), side.connection.timer
        assert side.hang_up() == []
        assert side.connection.timer is timer
        assert side.events == events
        assert side.feed(side.frame(TEXT, b"x")) == []
        assert side.read(side.frame(TEXT, b"x") + side.frame(3)) == []
        assert side.messages == []
        assert side.events == events
        assert side.tick() == []
        assert side.events == [*events, HangUp.ABORT]
        assert side.tick() == []
        assert side.events == [*events, HangUp.ABORT]


class TestLost:
    @BOTH
    @STATES
    def test_from_every_state_nothing_is_left(self, client: bool, state: State) -> None:
        side = side_in(state, client)
        events, ends, code = list(side.events), side.ends, side.connection.close_code
        cause = OSError("reset")
        side.lose(cause)
        assert side.connection.state is State.GONE
        assert side.connection.timer is None
        if state in (State.OPEN, State.CLOSING):
            assert side.events == [End(cause)]
            assert side.connection.close_code == 1006
            assert side.connection.closed_error().__cause__ is cause
        else:
            assert side.events == events
            assert side.ends == ends
            assert len(ends) == 1
            assert side.connection.close_code == code
            assert side.connection.closed_error().__cause__ is ends[0].error
        assert side.tick() == []
        assert is_dead(side)

    @BOTH
    @pytest.mark.parametrize("cause", [None, OSError("reset")])
    def test_after_the_peer_has_hung_up_it_is_the_end_that_was_told_already(
        self, client: bool, cause: Exception | None
    ) -> None:
        side = Side(client=client)
        side.hang_up()
        events = list(side.events)
        side.lose(cause)
        assert side.connection.state is State.GONE
        assert side.connection.timer is None
        assert side.events == events
        closed = side.connection.closed_error()
        assert (closed.code, closed.reason) == (1006, "")
        assert closed.__cause__ is side.ends[0].error
        assert "the peer closed TCP without a close frame" in str(closed)

    @BOTH
    def test_it_may_be_reported_twice(self, client: bool) -> None:
        side = Side(client=client)
        side.lose()
        events = list(side.events)
        side.lose(OSError())
        assert side.events == events
        assert side.feed(side.frame(TEXT, b"x")) == []
        assert side.read(side.frame(TEXT, b"x") + side.frame(3)) == []
        assert side.tick() == []
        assert side.messages == []
        assert side.events == events
        assert side.connection.state is State.GONE


class TestWhileSomethingIsHeld:
    @BOTH
    def test_a_peer_that_hangs_up_after_its_close_frame_is_a_clean_end(self, client: bool) -> None:
        side = side_that_holds("close", client)
        assert side.hang_up() == [(CLOSE, close_body(1001))]
        assert side.connection.state is State.HUNG_UP
        assert side.connection.timer == Timer("close", 10)
        assert side.ends == [End(None)]
        assert side.hang_ups == [HangUp.CLOSE] * (1 if client else 2)
        assert side.connection.close_code == 1001
        assert side.connection.closed_error().__cause__ is None

    @BOTH
    def test_a_peer_that_hangs_up_after_a_breach_ends_with_that_breach(self, client: bool) -> None:
        side = side_that_holds("breach", client)
        ((opcode, payload),) = side.hang_up()
        assert (opcode, payload[:2]) == (CLOSE, close_body(1002))
        ((error,),) = side.ends
        assert isinstance(error, ProtocolError)
        assert side.hang_ups == [HangUp.HALF_CLOSE, HangUp.CLOSE]
        assert side.connection.state is State.HUNG_UP
        assert side.connection.timer == Timer("close", 10)
        assert side.connection.close_code == 1006
        assert side.connection.closed_error().__cause__ is error

    @BOTH
    @pytest.mark.parametrize("cause", [None, OSError("reset")])
    def test_a_connection_that_is_lost_after_the_peers_close_frame_is_a_clean_end(
        self, client: bool, cause: Exception | None
    ) -> None:
        side = side_that_holds("close", client)
        side.lose(cause)
        assert side.connection.state is State.GONE
        assert side.connection.timer is None
        assert side.ends == [End(None)]
        assert side.hang_ups == ([] if client else [HangUp.CLOSE])
        assert side.connection.close_code == 1001
        assert side.connection.closed_error().__cause__ is None

    @BOTH
    @pytest.mark.parametrize("cause", [None, OSError("reset")])
    def test_a_connection_that_is_lost_after_a_breach_ends_with_that_breach(
        self, client: bool, cause: Exception | None
    ) -> None:
        side = side_that_holds("breach", client)
        side.lose(cause)
        assert side.connection.state is State.GONE
        assert side.connection.timer is None
        ((error,),) = side.ends
        assert isinstance(error, ProtocolError)
        assert side.hang_ups == [HangUp.HALF_CLOSE]
        assert side.connection.close_code == 1006
        assert side.connection.closed_error().__cause__ is error

    @BOTH
    @ENDS
    @HELD
    def test_it_is_taken_once_and_the_messages_before_it_are_kept(self, client: bool, end: str, held: str) -> None:
        side = side_that_holds(held, client)
        getattr(side, end)()
        assert side.messages == ["a"]
        events = list(side.events)
        assert is_dead(side)
        side.lose()
        assert side.tick() == []
        assert side.events == events
        assert side.messages == ["a"]
        assert side.connection.state is State.GONE
        assert side.connection.timer is None

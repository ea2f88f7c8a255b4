"""Keepalive and deadlines, with a clock that only the test moves."""

from __future__ import annotations

import pytest

from cwschannel.protocol.closing import State
from cwschannel.protocol.connection import End, HangUp, Pong, Timer

from .wire import CLOSE, PING, PONG, TEXT, Pair, Side, close_body

BOTH = pytest.mark.parametrize("client", [True, False], ids=["client", "server"])


class Clock:
    """Does what a channel does about timers: arms one when the object changes, calls when it is over."""

    def __init__(self, side: Side) -> None:
        self.side = side
        self.now = 0.0
        self._armed: Timer | None = None
        self._due = 0.0
        self.arm()

    def arm(self) -> None:
        timer = self.side.connection.timer
        if timer is not self._armed:
            self._armed = timer
            self._due = self.now + (timer.seconds if timer else 0)

    def advance(self, seconds: float, *, excused: bool = False) -> list[tuple[float, int, bytes]]:
        """Let time pass. Returns the frames that went out, and when."""
        until, out = self.now + seconds, []
        self.arm()
        while self._armed is not None and self._due <= until:
            self.now = self._due
            out += [(self.now, *sent) for sent in self.side.tick(excused=excused)]
            self.arm()
        self.now = until
        return out


@BOTH
def test_the_first_timer_is_the_ping_interval(client: bool) -> None:
    assert Side(client=client).connection.timer == Timer("ping", 20)
    assert Side(client=client, ping_interval=3.5).connection.timer == Timer("ping", 3.5)
    assert Side(client=client, ping_interval=None).connection.timer is None


@BOTH
def test_a_ping_goes_out_after_the_interval_and_its_pong_starts_the_next(client: bool) -> None:
    side = Side(client=client, ping_interval=5, ping_timeout=2)
    clock = Clock(side)
    for start in (0, 6, 12):
        assert clock.advance(4.9) == []
        ((when, opcode, payload),) = clock.advance(0.1)
        assert (when, opcode, len(payload)) == (pytest.approx(start + 5), PING, 4)
        assert side.connection.timer == Timer("pong", 2)
        clock.advance(1)
        assert side.read(side.frame(PONG, payload)) == []
        assert side.events.pop() == Pong(payload, True)
        assert side.connection.timer == Timer("ping", 5)
        clock.arm()


def test_keepalive_pings_are_not_alike() -> None:
    side = Side(client=True)
    payloads = set()
    for _ in range(20):
        ((_, payload),) = side.tick()
        payloads.add(payload)
        side.feed(side.frame(PONG, payload))
    assert len(payloads) == 20


@BOTH
def test_two_sides_keep_each_other_alive(client: bool) -> None:
    pair = Pair(ping_interval=5, ping_timeout=2)
    side = pair.client if client else pair.server
    for _ in range(10):
        out = side.connection.on_timer()
        if client:
            pair.to_server = out
        else:
            pair.to_client = out
        pair.travel()
        assert side.waits_for == "ping"
        assert side.connection.state is State.OPEN
    assert len(side.events) == 10
    assert all(isinstance(event, Pong) and event.keepalive for event in side.events)


@BOTH
def test_silence_after_a_ping_ends_the_connection(client: bool) -> None:
    side = Side(client=client, ping_interval=5, ping_timeout=2)
    clock = Clock(side)
    side.read(side.frame(TEXT, b"before the ping"))
    (_, last) = clock.advance(100)
    assert last == (7, CLOSE, close_body(1011, "keepalive ping timeout"))
    ((error,),) = side.ends
    assert isinstance(error, TimeoutError)
    assert "2 s" in str(error)
    assert side.hang_ups == [HangUp.ABORT]
    connection = side.connection
    assert (connection.state, connection.close_code, connection.timer) == (State.GONE, 1006, None)
    assert connection.closed_error().__cause__ is error
    assert side.hang_up() == []
    side.lose()
    assert len(side.events) == 2
    assert (connection.state, connection.timer) == (State.GONE, None)


@BOTH
@pytest.mark.parametrize("way", ["feed", "read"])
@pytest.mark.parametrize("what", ["message", "ping", "wrong pong", "half a frame"])
def test_anything_that_is_heard_after_a_ping_is_a_sign_of_life(client: bool, way: str, what: str) -> None:
    side = Side(client=client, ping_interval=5, ping_timeout=2)
    clock = Clock(side)
    clock.advance(6)
    timer = side.connection.timer
    data = {
        "message": side.frame(TEXT, b"x"),
        "ping": side.frame(PING),
        "wrong pong": side.frame(PONG, b"other"),
        "half a frame": side.frame(TEXT, b"x" * 100)[:50],
    }[what]
    getattr(side, way)(data)
    assert side.connection.timer is timer, "no timer is set again for what is received"
    assert clock.advance(1) == []
    assert side.connection.timer == Timer("ping", 5)
    (sent,) = clock.advance(5)
    assert sent[:2] == (12, PING)


def test_a_pong_that_comes_after_its_time_is_the_callers_or_nobodys() -> None:
    side = Side(client=True, ping_interval=5, ping_timeout=2)
    ((_, payload),) = side.tick()
    side.read(side.frame(TEXT, b"alive"))
    side.tick()
    timer = side.connection.timer
    side.read(side.frame(PONG, payload))
    assert side.events == [Pong(payload, False)]
    assert side.connection.timer is timer


@BOTH
def test_silence_that_is_excused_says_nothing(client: bool) -> None:
    side = Side(client=client, ping_interval=5, ping_timeout=2)
    clock = Clock(side)
    sent = clock.advance(21, excused=True)
    assert [when for when, opcode, _ in sent if opcode == PING] == [5, 12, 19]
    assert len(sent) == 3
    assert side.connection.state is State.OPEN
    clock.advance(100)
    assert side.hang_ups == [HangUp.ABORT]


@BOTH
def test_without_a_ping_timeout_pings_go_out_and_nothing_is_waited_for(client: bool) -> None:
    side = Side(client=client, ping_interval=5, ping_timeout=None)
    clock = Clock(side)
    sent = clock.advance(50)
    assert [when for when, opcode, _ in sent if opcode == PING] == [5, 10, 15, 20, 25, 30, 35, 40, 45, 50]
    timer = side.connection.timer
    side.feed(side.frame(PONG, sent[-1][2]))
    assert side.events == [Pong(sent[-1][2], True)]
    assert side.connection.timer is timer


def test_without_an_interval_no_ping_goes_out() -> None:
    side = Side(client=True, ping_interval=None, ping_timeout=2)
    assert Clock(side).advance(1000) == []
    side.feed(side.frame(PONG, b"x") + side.frame(TEXT, b"x"))
    assert side.connection.timer is None


@BOTH
def test_a_peer_that_does_not_close_is_dropped_at_the_deadline(client: bool) -> None:
    side = Side(client=client, close_timeout=3, ping_interval=1)
    clock = Clock(side)
    side.connection.close(1000)
    for _ in range(29):  # data does not put it off
        assert clock.advance(0.1) == []
        side.read(side.frame(TEXT, b"x") + side.frame(PING))
    assert side.connection.state is State.CLOSING
    assert clock.advance(0.2) == []
    ((error,),) = side.ends
    assert isinstance(error, TimeoutError)
    assert "3 s" in str(error)
    assert side.hang_ups == [HangUp.ABORT]
    assert (side.connection.state, side.connection.close_code) == (State.GONE, 1006)
    assert side.connection.timer is None


@BOTH
@pytest.mark.parametrize("first", ["ours", "theirs"])
def test_a_peer_that_closes_but_does_not_hang_up_is_dropped_at_the_same_deadline(client: bool, first: str) -> None:
    side = Side(client=client, close_timeout=3)
    clock = Clock(side)
    if first == "ours":
        side.connection.close(1000)
        clock.advance(2)
    side.read(side.frame(CLOSE, close_body(1000)))
    clock.advance(0.9 if first == "ours" else 2.9)
    assert side.connection.state is State.CLOSED_CLEANLY
    clock.advance(0.2)
    assert side.connection.state is State.GONE
    assert side.hang_ups[-1] is HangUp.ABORT
    assert side.ends == [End(None)]
    assert side.connection.close_code == 1000


@BOTH
def test_a_failed_connection_is_dropped_at_the_deadline(client: bool) -> None:
    side = Side(client=client, close_timeout=3)
    clock = Clock(side)
    side.read(side.frame(3))
    clock.advance(2.9)
    side.read(side.frame(TEXT, b"x"))
    assert side.hang_ups == [HangUp.HALF_CLOSE]
    clock.advance(0.2)
    assert side.hang_ups == [HangUp.HALF_CLOSE, HangUp.ABORT]
    assert side.connection.state is State.GONE
    assert len(side.ends) == 1


@BOTH
@pytest.mark.parametrize("keepalive", ["ping", "pong"])
def test_closing_ends_keepalive(client: bool, keepalive: str) -> None:
    side = Side(client=client, ping_interval=5, ping_timeout=2)
    payload = b""
    if keepalive == "pong":
        ((_, payload),) = side.tick()
    side.connection.close(1000)
    timer = side.connection.timer
    assert timer == Timer("close", 10)
    side.read(side.frame(PONG, payload))
    assert side.connection.timer is timer
    assert Clock(side).advance(100) == []


@pytest.mark.parametrize("keepalive", ["ping", "pong"])
def test_a_close_frame_that_is_held_comes_before_keepalive(keepalive: str) -> None:
    side = Side(client=True, ping_interval=5, ping_timeout=2)
    if keepalive == "pong":
        side.tick()
    clock = Clock(side)
    side.read(side.frame(TEXT, b"x") + side.frame(CLOSE))
    assert clock.advance(0) == [(0, CLOSE, b"")]
    assert side.waits_for == "close"


def test_a_timer_that_was_not_asked_for_does_nothing() -> None:
    side = Side(client=True, ping_interval=None)
    assert side.tick() == []
    assert side.events == []

"""How a connection ends: closing handshakes and breaches (RFC 6455 section 7)."""

from __future__ import annotations

from typing import Any

import pytest

from cwschannel.exceptions import ConnectionClosed, ProtocolError
from cwschannel.kernels.rules import RULES
from cwschannel.protocol.closing import State
from cwschannel.protocol.connection import End, HangUp, Timer

from .wire import BINARY, CLOSE, CONTINUATION, PING, TEXT, Pair, Side, close_body, frames, pieces

BOTH = pytest.mark.parametrize("client", [True, False], ids=["client", "server"])
WAYS = pytest.mark.parametrize("way", ["feed", "read"])


class TestHandshake:
    @BOTH
    @pytest.mark.parametrize(
        ("arguments", "code", "reason"),
        [
            ((), 1005, ""),
            ((1000,), 1000, ""),
            ((4001, "b\u00fcye"), 4001, "b\u00fcye"),
            ((3000, "x" * 123), 3000, "x" * 123),
        ],
    )
    def test_either_side_can_close(self, client: bool, arguments: Any, code: int, reason: str) -> None:
        pair = Pair()
        first, second = (pair.client, pair.server) if client else (pair.server, pair.client)
        out = first.connection.close(*arguments)
        assert first.sent(out) == [(CLOSE, close_body(code, reason) if arguments else b"")]
        assert first.connection.state is State.CLOSING
        assert first.connection.close_code is None
        assert first.connection.timer == Timer("close", 10)
        if client:
            pair.to_server += out
        else:
            pair.to_client += out
        pair.travel()
        for side in (first, second):
            connection = side.connection
            assert connection.state is State.CLOSED_CLEANLY
            assert (connection.close_code, connection.close_reason) == (code, reason)
            assert side.ends == [End(None)]
            assert side.waits_for == "close"
        # "The server closes TCP first" (7.1.1)
        assert pair.server.hang_ups == [HangUp.CLOSE]
        assert pair.client.hang_ups == []
        for side in (pair.client, pair.server):
            timer = side.connection.timer
            assert side.hang_up() == []
            assert side.connection.state is State.HUNG_UP
            assert side.connection.timer is timer
            assert side.ends == [End(None)]
            assert side.hang_ups == [HangUp.CLOSE] * (1 if side.client else 2)
            assert side.connection.close_code == code
            events = list(side.events)
            side.lose()
            assert side.connection.state is State.GONE
            assert side.connection.timer is None
            assert side.events == events
            assert (side.connection.close_code, side.connection.close_reason) == (code, reason)

    def test_both_sides_may_close_at_once(self) -> None:
        pair = Pair()
        pair.to_server = pair.client.connection.close(4001, "client")
        pair.to_client = pair.server.connection.close(4002, "server")
        pair.travel()
        assert (pair.client.connection.close_code, pair.client.connection.close_reason) == (4002, "server")
        assert (pair.server.connection.close_code, pair.server.connection.close_reason) == (4001, "client")
        for side in (pair.client, pair.server):
            assert side.connection.state is State.CLOSED_CLEANLY
            assert side.ends == [End(None)]
            assert side.waits_for == "close"

    @BOTH
    def test_the_peers_close_frame_is_echoed_byte_by_byte(self, client: bool) -> None:
        side = Side(client=client)
        body = close_body(1001, "\u20ac")
        assert side.read(side.frame(CLOSE, body)) == [(CLOSE, body)]

    @BOTH
    def test_closing_again_sends_nothing(self, client: bool) -> None:
        side = Side(client=client)
        assert side.sent(side.connection.close(1000)) == [(CLOSE, close_body(1000))]
        timer = side.connection.timer
        assert side.connection.close(1001) == b""
        side.feed(side.frame(CLOSE))
        assert side.connection.close() == b""
        assert side.connection.timer is timer
        assert side.hang_up() == []
        assert side.connection.close(1000, "again") == b""
        assert side.connection.timer is timer
        side.lose()
        assert side.connection.close(1000, "again") == b""
        assert side.connection.close_code == 1005
        assert side.connection.timer is None

    @BOTH
    @pytest.mark.parametrize(
        ("arguments", "code", "reason"), [((), 1005, ""), ((1000,), 1000, ""), ((4001, "b\u00fcye"), 4001, "b\u00fcye")]
    )
    def test_until_the_peer_answers_the_error_tells_our_own_code_and_reason(
        self, client: bool, arguments: Any, code: int, reason: str
    ) -> None:
        side = Side(client=client)
        side.connection.close(*arguments)
        for later in ((), (1001, "later")):
            error = side.connection.closed_error()
            assert isinstance(error, ConnectionClosed)
            assert (error.code, error.reason, error.__cause__) == (code, reason, None)
            assert str(code) in str(error)
            assert "this side is closing it" in str(error)
            side.connection.close(*later)
        side.feed(side.frame(CLOSE, close_body(4002, "theirs")))
        error = side.connection.closed_error()
        assert (error.code, error.reason, error.__cause__) == (4002, "theirs", None)
        assert "this side is closing it" not in str(error)

    @BOTH
    @pytest.mark.parametrize("end", ["breach", "hang_up", "lose", "tick"])
    def test_what_goes_wrong_while_we_close_takes_the_place_of_our_code(self, client: bool, end: str) -> None:
        side = Side(client=client)
        side.connection.close(4001, "ours")
        if end == "breach":
            side.feed(side.frame(3))
        else:
            getattr(side, end)()
        ((error,),) = side.ends
        closed = side.connection.closed_error()
        assert (closed.code, closed.reason) == (1006, "")
        assert closed.__cause__ is error
        assert error is not None
        assert str(error) in str(closed)
        assert "this side is closing it" not in str(closed)

    @pytest.mark.parametrize(
        ("arguments", "error"),
        [((1005,), ValueError), ((None, "x"), ValueError), ((1000, "x" * 124), ValueError), (("x",), TypeError)],
    )
    def test_a_close_frame_that_may_not_be_sent_changes_nothing(self, arguments: Any, error: type[Exception]) -> None:
        side = Side(client=True)
        with pytest.raises(error):
            side.connection.close(*arguments)
        assert side.connection.state is State.OPEN
        assert side.sent(side.connection.send_message("x")) == [(TEXT, b"x")]
        side.connection.close(4001)
        with pytest.raises(error):
            side.connection.close(*arguments)
        assert side.connection.closed_error().code == 4001

    @BOTH
    def test_messages_that_come_before_the_peers_close_frame_are_kept(self, client: bool) -> None:
        side = Side(client=client)
        side.connection.close(1000)
        assert side.read(side.frame(TEXT, b"a")) == []
        side.feed(side.frame(TEXT, b"b"))
        assert side.messages == ["a", "b"]
        assert side.connection.state is State.CLOSING

    @BOTH
    @WAYS
    def test_messages_in_one_read_with_a_close_frame_come_first_and_can_be_answered(self, client: bool, way: str) -> None:
        side = Side(client=client)
        take = getattr(side, way)
        messages = side.frame(TEXT, b"a") + side.frame(BINARY, b"b")
        assert take(messages + side.frame(CLOSE, close_body(1001)) + side.frame(TEXT, b"late")) == []
        assert side.messages == ["a", b"b"]
        assert side.events == []
        assert side.connection.timer == Timer("held", 0.0)
        assert side.sent(side.connection.send_message("answer")) == [(TEXT, b"answer")]
        assert take(side.frame(TEXT, b"later") + side.frame(PING)) == []
        assert side.tick() == [(CLOSE, close_body(1001))]
        assert side.messages == ["a", b"b"]
        assert side.connection.state is State.CLOSED_CLEANLY
        assert side.connection.close_code == 1001
        assert side.ends == [End(None)]

    @BOTH
    @WAYS
    def test_after_our_close_frame_messages_in_one_read_with_the_peers_come_first(self, client: bool, way: str) -> None:
        side = Side(client=client)
        side.connection.close(1000)
        timer = side.connection.timer
        data = side.frame(TEXT, b"a") + side.frame(CLOSE, close_body(1001)) + side.frame(TEXT, b"late")
        assert getattr(side, way)(data) == []
        if side.waits_for == "held":
            assert side.tick() == []
        assert side.messages == ["a"]
        assert side.connection.state is State.CLOSED_CLEANLY
        assert side.connection.close_code == 1001
        assert side.ends == [End(None)]
        assert side.connection.timer is timer

    @BOTH
    @pytest.mark.parametrize("last", ["close", "breach"])
    def test_the_deadline_still_runs_after_messages_that_came_with_the_peers_close_frame(
        self, client: bool, last: str
    ) -> None:
        side = Side(client=client)
        side.connection.close(1000)
        side.feed(side.frame(TEXT, b"a") + side.frame(CLOSE if last == "close" else 3))
        if side.waits_for == "held":
            side.tick()
        assert side.connection.state in (State.CLOSED_CLEANLY, State.FAILED)
        assert side.waits_for == "close"

    @BOTH
    def test_closing_while_a_close_frame_is_held_ends_both(self, client: bool) -> None:
        side = Side(client=client)
        side.feed(side.frame(TEXT, b"a") + side.frame(CLOSE, close_body(1001)))
        assert side.sent(side.connection.close(1000)) == [(CLOSE, close_body(1000))]
        side.take()
        assert side.connection.state is State.CLOSED_CLEANLY
        assert side.connection.close_code == 1001
        assert side.waits_for == "close"
        assert side.ends == [End(None)]


def masked_wrong(side: Side) -> bytes:
    return side.frame(TEXT, b"x", masked=side.client)


def declared(side: Side, size: int) -> bytes:
    return (
        bytes([0x82, (0 if side.client else 0x80) | 127]) + size.to_bytes(8, "big") + (b"" if side.client else b"\0\0\0\0")
    )


BREACHES: dict[str, Any] = {
    "rsv1": ("reserved-bits", lambda side: side.frame(TEXT, b"x", rsv=0x40)),
    "rsv2": ("reserved-bits", lambda side: side.frame(TEXT, b"x", rsv=0x20)),
    "rsv3 on a ping": ("reserved-bits", lambda side: side.frame(PING, rsv=0x10)),
    "opcode 3": ("reserved-opcode", lambda side: side.frame(3)),
    "opcode 11": ("reserved-opcode", lambda side: side.frame(11)),
    "fragmented ping": ("control-fragmented", lambda side: side.frame(PING, fin=False)),
    "fragmented close": ("control-fragmented", lambda side: side.frame(CLOSE, fin=False)),
    "long ping": ("control-too-long", lambda side: side.frame(PING, b"x" * 126)),
    "long close": ("control-too-long", lambda side: side.frame(CLOSE, b"\x03\xe8" + b"x" * 124)),
    "masking": (None, masked_wrong),
    "no start": ("continuation-without-start", lambda side: side.frame(CONTINUATION, b"x")),
    "no start, not last": ("continuation-without-start", lambda side: side.frame(CONTINUATION, fin=False)),
    "interrupted": ("message-interrupted", lambda side: side.frame(TEXT, fin=False) + side.frame(TEXT)),
    "16 bits too many": (
        "length-not-minimal",
        lambda side: bytes([0x82, (0 if side.client else 0x80) | 126, 0, 125]) + bytes(4),
    ),
    "64 bits too many": ("length-not-minimal", lambda side: declared(side, 65535)),
    "top bit": ("length-top-bit", lambda side: declared(side, 2**63)),
    "too big": ("message-too-big", lambda side: declared(side, 2**20 + 1)),
    "much too big": ("message-too-big", lambda side: declared(side, 2**63 - 1)),
    "too big in fragments": (
        "message-too-big",
        lambda side: side.frame(BINARY, bytes(2**19), fin=False) + side.frame(CONTINUATION, bytes(2**19 + 1)),
    ),
    "too many fragments": (
        "too-many-fragments",
        lambda side: side.frame(TEXT, fin=False) + side.frame(CONTINUATION, fin=False) * 4096,
    ),
    "not UTF-8": ("invalid-utf-8", lambda side: side.frame(TEXT, b"\xff")),
    "not UTF-8 over fragments": (
        "invalid-utf-8",
        lambda side: side.frame(TEXT, b"\xe2\x82", fin=False) + side.frame(CONTINUATION, b"\xff"),
    ),
    "half a character": (
        "invalid-utf-8",
        lambda side: side.frame(TEXT, b"\xe2", fin=False) + side.frame(CONTINUATION, b"\x82"),
    ),
    "close of 1 byte": ("close-payload", lambda side: side.frame(CLOSE, b"\x03")),
    "close code": ("close-code", lambda side: side.frame(CLOSE, close_body(1005))),
    "close reason": ("close-reason", lambda side: side.frame(CLOSE, b"\x03\xe8\xff")),
}


def rule_of(name: str, client: bool) -> str:
    return BREACHES[name][0] or ("mask-forbidden" if client else "mask-missing")


def test_every_rule_is_broken_by_a_test() -> None:
    broken = {rule_of(name, client) for name in BREACHES for client in (True, False)}
    assert broken | {"no-memory"} == RULES.keys()  # which needs a connection without a limit: see below


@BOTH
def test_what_no_machine_has_memory_for_is_refused_without_a_limit_too(client: bool) -> None:
    side = Side(client=client, max_message_size=None)
    header = bytes([0x82, 0x7F if client else 0xFF]) + (2**62).to_bytes(8, "big") + (b"" if client else b"mask")
    assert side.feed(header)[0][0] == CLOSE
    assert side.connection.closed_error().__cause__.rule == "no-memory"


class TestBreaches:
    @BOTH
    @WAYS
    @pytest.mark.parametrize("name", BREACHES)
    def test_a_breach_fails_the_connection(self, client: bool, way: str, name: str) -> None:
        side = Side(client=client, size=2**17)
        rule = rule_of(name, client)
        out = getattr(side, way)(BREACHES[name][1](side))
        ((opcode, payload),) = out
        assert opcode == CLOSE
        assert int.from_bytes(payload[:2], "big") == RULES[rule][0]
        ((error,),) = side.ends
        assert isinstance(error, ProtocolError)
        assert (error.rule, error.code) == (rule, RULES[rule][0])
        assert payload[2:].decode() == str(error)[:123]
        assert side.hang_ups == [HangUp.HALF_CLOSE]
        assert side.connection.state is State.FAILED
        assert side.connection.timer == Timer("close", 10)
        if not rule.startswith("close-"):
            assert (side.connection.close_code, side.connection.close_reason) == (1006, "")
        closed = side.connection.closed_error()
        assert closed.__cause__ is error
        assert str(error) in str(closed)

    @BOTH
    @WAYS
    @pytest.mark.parametrize("name", BREACHES)
    def test_messages_before_a_breach_come_first_and_can_be_answered(self, client: bool, way: str, name: str) -> None:
        side = Side(client=client, size=2**18)
        before = side.frame(TEXT, b"a") + side.frame(BINARY, b"b")
        data = before + BREACHES[name][1](side)
        first, rest = data[: 2**18], data[2**18 :]
        assert getattr(side, way)(first) == []
        assert side.messages == ["a", b"b"]
        if rest:  # longer than one read: the breach comes later, and is not held
            assert [opcode for opcode, _ in getattr(side, way)(rest)] == [CLOSE]
            return
        assert side.events == []
        assert side.sent(side.connection.send_message("answer")) == [(TEXT, b"answer")]
        assert side.sent(side.connection.send_ping(b"p")) == [(PING, b"p")]
        assert side.connection.timer == Timer("held", 0.0)
        ((opcode, _),) = side.tick()
        assert opcode == CLOSE
        assert isinstance(side.ends[0].error, ProtocolError)
        assert side.messages == ["a", b"b"]
        assert side.waits_for == "close"

    @BOTH
    def test_a_breach_that_comes_byte_by_byte_is_one_breach(self, client: bool) -> None:
        side = Side(client=client)
        out = [reply for piece in pieces(side.frame(TEXT, b"abc\xff" + b"x" * 50), 1) for reply in side.feed(piece)]
        assert [opcode for opcode, _ in out] == [CLOSE]
        assert len(side.ends) == 1

    @BOTH
    @WAYS
    @pytest.mark.parametrize("breach", ["opcode 3", "close code"])
    def test_a_failed_connection_drains(self, client: bool, way: str, breach: str) -> None:
        side = Side(client=client)
        side.feed(BREACHES[breach][1](side))
        events, timer = list(side.events), side.connection.timer
        for data in (side.frame(TEXT, b"x"), side.frame(PING), side.frame(CLOSE), side.frame(3), b"\xff" * 5000):
            assert getattr(side, way)(data) == []
        assert side.messages == []
        assert side.events == events
        assert side.connection.timer is timer
        assert side.connection.close(1000) == b""
        assert side.hang_up() == []
        assert side.events == [*events, HangUp.CLOSE]
        assert side.connection.state is State.HUNG_UP
        assert side.connection.timer is timer
        side.lose()
        assert side.events == [*events, HangUp.CLOSE]
        assert side.connection.state is State.GONE
        assert side.connection.timer is None

    @BOTH
    def test_a_breach_after_our_close_frame_sends_no_second_one(self, client: bool) -> None:
        side = Side(client=client)
        side.connection.close(1000)
        timer = side.connection.timer
        assert side.feed(side.frame(3)) == []
        assert side.connection.state is State.FAILED
        assert isinstance(side.ends[0].error, ProtocolError)
        assert side.hang_ups == [HangUp.HALF_CLOSE]
        assert side.connection.timer is timer

    @BOTH
    def test_closing_while_a_breach_is_held_sends_our_close_frame_only(self, client: bool) -> None:
        side = Side(client=client)
        side.feed(side.frame(TEXT, b"a") + side.frame(3))
        assert side.sent(side.connection.close(1000)) == [(CLOSE, close_body(1000))]
        side.take()
        assert side.connection.state is State.FAILED
        assert side.hang_ups == [HangUp.HALF_CLOSE]
        assert isinstance(side.ends[0].error, ProtocolError)


def test_frames_are_taken_apart_as_they_were_made() -> None:
    side = Side(client=False)
    assert frames(side.frame(TEXT, b"a" * 300) + side.frame(CLOSE)) == [(TEXT, b"a" * 300), (CLOSE, b"")]

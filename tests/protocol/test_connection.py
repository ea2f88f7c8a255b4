"""An open connection: messages, fragments, pings and pongs, options (RFC 6455 sections 5 and 6)."""

from __future__ import annotations

import array
from typing import Any

import pytest

from cwschannel.exceptions import ConnectionClosed
from cwschannel.kernels import ReadBuffer
from cwschannel.protocol.closing import State
from cwschannel.protocol.connection import Connection, ConnectionOptions, End, HangUp, Pong, copy_message

from .wire import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Pair, Side, frame, pieces

BOTH = pytest.mark.parametrize("client", [True, False], ids=["client", "server"])
SIZES = [0, 1, 125, 126, 127, 65535, 65536, 100_000]


class TestMessages:
    def test_messages_travel_both_ways_in_order(self) -> None:
        pair = Pair(size=1000)
        sent: list[str | bytes] = [kind * size for size in SIZES for kind in ("\u00e9", b"\xff")]
        for message in sent:
            pair.to_server += pair.client.connection.send_message(message)
            pair.to_client += pair.server.connection.send_message(message)
        pair.travel()
        assert pair.client.messages == pair.server.messages == sent
        assert pair.client.events == pair.server.events == []
        assert pair.client.connection.state is pair.server.connection.state is State.OPEN

    @BOTH
    def test_text_is_str_and_anything_else_is_bytes(self, client: bool) -> None:
        side = Side(client=client)
        assert side.read(side.frame(TEXT, "\u20ac".encode()) + side.frame(BINARY, b"\x00")) == []
        assert side.messages == ["\u20ac", b"\x00"]
        assert [type(message) for message in side.messages] == [str, bytes]

    @BOTH
    @pytest.mark.parametrize(
        ("message", "opcode", "payload"),
        [
            ("\u20ac", TEXT, b"\xe2\x82\xac"),
            ("", TEXT, b""),
            (b"", BINARY, b""),
            (b"abc", BINARY, b"abc"),
            (bytearray(b"abc"), BINARY, b"abc"),
            (memoryview(b"xabcx")[1:4], BINARY, b"abc"),
            (array.array("H", [1, 2]), BINARY, array.array("H", [1, 2]).tobytes()),
        ],
    )
    def test_a_message_is_one_frame_masked_by_the_client(
        self, client: bool, message: Any, opcode: int, payload: bytes
    ) -> None:
        side = Side(client=client)
        assert side.sent(side.connection.send_message(message)) == [(opcode, payload)]

    def test_what_the_caller_gave_is_not_masked_in_place(self) -> None:
        data = bytearray(b"abcdefgh")
        Side(client=True).connection.send_message(data)
        assert data == b"abcdefgh"

    @pytest.mark.parametrize("message", [None, 5, ["a"], object()])
    def test_a_message_is_str_or_bytes_like(self, message: Any) -> None:
        with pytest.raises(TypeError, match=f"not {type(message).__name__}$"):
            Side(client=True).connection.send_message(message)

    def test_text_with_a_lone_surrogate_is_not_sent(self) -> None:
        with pytest.raises(UnicodeEncodeError):
            Side(client=True).connection.send_message("\ud800")

    @BOTH
    @pytest.mark.parametrize("way", ["feed", "read"])
    def test_messages_may_come_in_any_pieces(self, client: bool, way: str) -> None:
        whole = Side(client=client)
        data = b"".join(whole.frame(TEXT, b"x" * size) + whole.frame(PING, b"p") for size in (0, 3, 200))
        for size in (1, 2, 3, 5, 100):
            side = Side(client=client)
            out = [reply for piece in pieces(data, size) for reply in getattr(side, way)(piece)]
            assert side.messages == ["", "xxx", "x" * 200]
            assert out == [(PONG, b"p")] * 3

    def test_what_was_read_before_the_connection_was_lost_and_is_taken_after_it_is_no_message(self) -> None:
        for more in (b"", frame(PING)):
            connection = Connection(ReadBuffer(64), client_side=True, options=ConnectionOptions())
            items = connection.reader.feed(frame(TEXT, b"a") + frame(TEXT, b"b") + more)
            connection.lost()
            assert connection.take(items) == b""
            assert connection.messages == []

    def test_connections_may_share_a_buffer(self) -> None:
        buffer = ReadBuffer(64)
        both = [Connection(buffer, client_side=True, options=ConnectionOptions()) for _ in range(2)]
        data = frame(BINARY, b"a" * 40)
        for part in (data[:21], data[21:]):
            for connection in both:
                view = connection.get_buffer(-1)
                view[: len(part)] = part
                assert connection.take(connection.reader.received(len(part))) == b""
        assert [connection.messages for connection in both] == [[b"a" * 40]] * 2


class TestCopies:
    """Of messages that are to be sent later."""

    @pytest.mark.parametrize("message", ["\u20ac", "", b"abc", b""])
    def test_what_cannot_change_is_not_copied(self, message: str | bytes) -> None:
        assert copy_message(message) is message

    @pytest.mark.parametrize(
        "kind", [bytearray, lambda data: memoryview(bytearray(data)), lambda data: array.array("B", data)]
    )
    def test_what_can_change_is_copied(self, kind: Any) -> None:
        message = kind(b"abc")
        copy = copy_message(message)
        message[0] = 0
        assert copy == b"abc"
        assert type(copy) is bytes

    @pytest.mark.parametrize(("message", "error"), [(None, TypeError), (5, TypeError), ("\ud800", UnicodeEncodeError)])
    def test_what_cannot_be_sent_is_refused_as_by_sending(self, message: Any, error: type[Exception]) -> None:
        with pytest.raises(error) as early:
            copy_message(message)
        with pytest.raises(error) as late:
            Side(client=True).connection.send_message(message)
        assert str(early.value) == str(late.value)


class TestFragments:
    @BOTH
    def test_fragments_are_put_together_around_pings(self, client: bool) -> None:
        side = Side(client=client)
        euro = "\u20ac".encode()
        assert side.read(side.frame(TEXT, b"a" + euro[:1], fin=False)) == []
        assert side.read(side.frame(PING, b"1")) == [(PONG, b"1")]
        assert side.read(side.frame(CONTINUATION, euro[1:2], fin=False) + side.frame(PING, b"2")) == [(PONG, b"2")]
        assert side.messages == []
        assert side.read(side.frame(PONG, b"3") + side.frame(CONTINUATION, euro[2:] + b"b")) == []
        assert side.messages == ["a\u20acb"]
        assert side.events == [Pong(b"3", False)]

    @BOTH
    def test_empty_fragments_are_fragments(self, client: bool) -> None:
        side = Side(client=client)
        for opcode, fin in ((TEXT, False), (CONTINUATION, False), (CONTINUATION, True)):
            side.feed(side.frame(opcode, b"", fin=fin))
        for opcode, data, fin in ((BINARY, b"", False), (CONTINUATION, b"x", False), (CONTINUATION, b"", True)):
            side.feed(side.frame(opcode, data, fin=fin))
        assert side.messages == ["", b"x"]

    def test_messages_after_a_fragmented_one_are_as_before(self) -> None:
        side = Side(client=True)
        side.read(frame(BINARY, b"\xff", fin=False) + frame(CONTINUATION, b"\xfe") + frame(TEXT, b"t") + frame(BINARY, b"b"))
        assert side.messages == [b"\xff\xfe", "t", b"b"]

    @pytest.mark.parametrize("end", ["hang_up", "lose"])
    def test_fragments_of_a_lost_connection_are_no_message(self, end: str) -> None:
        side = Side(client=True)
        side.read(frame(TEXT, b"abc", fin=False))
        getattr(side, end)()
        assert side.messages == []


class TestPings:
    @BOTH
    @pytest.mark.parametrize("payload", [b"", b"x", b"\xff" * 125])
    def test_a_ping_is_answered_with_its_payload(self, client: bool, payload: bytes) -> None:
        side = Side(client=client)
        assert side.read(side.frame(PING, payload)) == [(PONG, payload)]
        assert side.messages == side.events == []

    @BOTH
    def test_each_ping_of_a_read_is_answered_in_order(self, client: bool) -> None:
        side = Side(client=client)
        data = b"".join(side.frame(PING, bytes([number])) for number in range(50))
        assert side.feed(data) == [(PONG, bytes([number])) for number in range(50)]

    def test_a_ping_of_ours_is_answered_by_a_pong_event(self) -> None:
        pair = Pair()
        pair.to_server += pair.client.connection.send_ping(b"abc")
        pair.to_client += pair.server.connection.send_ping()
        pair.travel()
        assert pair.client.events == [Pong(b"abc", False)]
        assert pair.server.events == [Pong(b"", False)]

    @BOTH
    def test_an_unsolicited_pong_is_not_answered(self, client: bool) -> None:
        side = Side(client=client)
        timer = side.connection.timer
        assert side.read(side.frame(PONG, b"x")) == []
        assert side.events == [Pong(b"x", False)]
        assert side.connection.timer is timer

    def test_a_ping_has_at_most_125_bytes(self) -> None:
        side = Side(client=True)
        assert side.sent(side.connection.send_ping(b"x" * 125)) == [(PING, b"x" * 125)]
        with pytest.raises(ValueError, match="at most 125 bytes of payload, this one has 126"):
            side.connection.send_ping(b"x" * 126)
        with pytest.raises(ValueError, match="has 128"):
            side.connection.send_ping(array.array("Q", range(16)))  # type: ignore[arg-type]

    def test_the_payload_of_a_ping_is_bytes_like(self) -> None:
        with pytest.raises(TypeError):
            Side(client=True).connection.send_ping("x")  # type: ignore[arg-type]

    @BOTH
    def test_pings_after_our_close_frame_are_not_answered(self, client: bool) -> None:
        side = Side(client=client)
        side.connection.close(1000)
        assert side.read(side.frame(PING, b"x")) == []

    @BOTH
    def test_pings_after_the_peers_close_frame_are_not_answered(self, client: bool) -> None:
        side = Side(client=client)
        assert side.feed(side.frame(CLOSE) + side.frame(PING, b"x")) == [(CLOSE, b"")]
        assert side.feed(side.frame(PING, b"x")) == []


class TestLimits:
    @BOTH
    def test_a_message_of_the_largest_size_passes(self, client: bool) -> None:
        side = Side(client=client, max_message_size=200)
        side.read(side.frame(BINARY, bytes(200)))
        side.read(side.frame(BINARY, bytes(150), fin=False) + side.frame(CONTINUATION, bytes(50)))
        assert side.messages == [bytes(200)] * 2

    def test_no_limits_means_none(self) -> None:
        side = Side(client=True, max_message_size=None, max_fragments=None)
        side.feed(frame(BINARY, bytes(2**20 + 1)))
        side.feed(frame(BINARY, b"", fin=False) + frame(CONTINUATION, b"", fin=False) * 5000 + frame(CONTINUATION, b"x"))
        assert side.messages == [bytes(2**20 + 1), b"x"]

    def test_so_many_fragments_may_wait_for_the_last_one(self) -> None:
        side = Side(client=True, max_fragments=3)
        side.feed(frame(BINARY, b"a", fin=False) + frame(CONTINUATION, b"a", fin=False) * 2 + frame(CONTINUATION, b"a"))
        assert side.messages == [b"aaaa"]

    def test_the_defaults_are_those_of_the_documentation(self) -> None:
        assert ConnectionOptions() == ConnectionOptions(
            max_message_size=1048576, max_fragments=4096, ping_interval=20, ping_timeout=20, close_timeout=10
        )

    @pytest.mark.parametrize(
        ("options", "match"),
        [
            ({"max_message_size": 0}, "max_message_size must be at least 1"),
            ({"max_message_size": -1}, "max_message_size"),
            ({"max_message_size": 2**63}, "max_message_size"),
            ({"max_fragments": 0}, "max_fragments must be at least 1"),
            ({"max_fragments": 2**63}, "max_fragments"),
            ({"ping_interval": 0}, "ping_interval must be more than 0"),
            ({"ping_interval": -1.5}, "ping_interval"),
            ({"ping_timeout": 0}, "ping_timeout must be more than 0"),
            ({"ping_timeout": float("nan")}, "ping_timeout"),
            ({"close_timeout": 0}, "close_timeout must be more than 0"),
            ({"close_timeout": None}, "close_timeout must be a number"),
        ],
    )
    def test_wrong_options_are_value_errors(self, options: dict[str, Any], match: str) -> None:
        with pytest.raises(ValueError, match=match):
            ConnectionOptions(**options)

    def test_the_smallest_options_pass(self) -> None:
        ConnectionOptions(max_message_size=1, max_fragments=1, ping_interval=1e-9, ping_timeout=1e-9, close_timeout=1e-9)
        ConnectionOptions(max_message_size=2**63 - 1, max_fragments=None, ping_interval=None, ping_timeout=None)


@BOTH
@pytest.mark.parametrize("way", ["ours", "theirs", "breach", "hung up", "lost"])
def test_nothing_can_be_sent_once_closing_has_begun(client: bool, way: str) -> None:
    side = Side(client=client)
    connection = side.connection
    if way == "ours":
        connection.close(4000, "bye")
    elif way == "theirs":
        side.feed(side.frame(CLOSE, b"\x0f\xa0bye"))
    elif way == "breach":
        side.feed(side.frame(3))
    elif way == "hung up":
        side.hang_up()
    else:
        side.lose()
    expected = (4000, "bye") if way in ("ours", "theirs") else (1006, "")
    for send in (lambda: connection.send_message("x"), lambda: connection.send_message(None), connection.send_ping):
        with pytest.raises(ConnectionClosed) as caught:
            send()  # type: ignore[no-untyped-call]
        assert (caught.value.code, caught.value.reason) == expected
        assert ("this side is closing it" in str(caught.value)) is (way == "ours")


@BOTH
@pytest.mark.parametrize("way", ["feed", "read"])
def test_what_comes_after_the_peers_close_frame_is_thrown_away(client: bool, way: str) -> None:
    side = Side(client=client)
    take = getattr(side, way)
    assert take(side.frame(CLOSE) + side.frame(TEXT, b"late")) == [(CLOSE, b"")]
    assert take(side.frame(TEXT, b"later") + side.frame(CLOSE) + side.frame(3)) == []
    assert side.messages == []
    assert side.ends == [End(None)]
    assert side.hang_ups == ([] if client else [HangUp.CLOSE])

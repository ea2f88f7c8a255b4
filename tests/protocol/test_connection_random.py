"""Two connections exchange whatever comes to mind, in pieces of any size; and every parser is fed whatever comes to mind."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from cwschannel.exceptions import HandshakeRejected, InvalidHandshake, ProtocolError
from cwschannel.kernels import encode_frame
from cwschannel.protocol.closing import State
from cwschannel.protocol.connection import End, HangUp, Pong
from cwschannel.protocol.opening import ServerOpening

from .heads import CHROME, answer, client, request
from .wire import CLOSE, Side, examples, frame, frames, pieces

MESSAGES = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=50),
    st.binary(max_size=200),
    st.sampled_from(["", b"", "x" * 126, b"y" * 65536, "\u20ac" * 30000]),
)
WHO = st.sampled_from([0, 1])


class Exchange(RuleBasedStateMachine):
    """A client and a server, and a wire between them on which bytes take their time."""

    def __init__(self) -> None:
        super().__init__()
        self.sides = [Side(client=True, size=500), Side(client=False, size=500)]
        self.wires = [b"", b""]  # what each side has written and the other has not read
        self.sent: list[list[object]] = [[], []]
        self.closed: list[Any] = [None, None]

    def write(self, who: int, data: bytes) -> None:
        self.wires[who] += data
        assert not data or self.closed[who] is None or self.sides[who].connection.state is not State.OPEN

    def is_open(self, who: int) -> bool:
        return self.sides[who].connection.state is State.OPEN

    @precondition(lambda self: self.is_open(0) or self.is_open(1))
    @rule(who=WHO, message=MESSAGES)
    def send(self, who: int, message: str | bytes) -> None:
        if self.is_open(who):
            self.write(who, self.sides[who].connection.send_message(message))
            self.sent[who].append(message)

    @rule(who=WHO, message=MESSAGES.filter(lambda message: len(message) > 2), cut=st.integers(1, 40))
    def send_fragments(self, who: int, message: str | bytes, cut: int) -> None:
        if self.is_open(who):
            side = self.sides[who]
            data = message.encode() if isinstance(message, str) else message
            opcode = 1 if isinstance(message, str) else 2
            for part in pieces(data, max(1, len(data) // cut)):
                self.write(who, encode_frame(opcode, part, side.client, fin=False) + side.connection.send_ping(b"within"))
                opcode = 0
            self.write(who, encode_frame(0, b"", side.client))
            self.sent[who].append(message)

    @rule(who=WHO, payload=st.binary(max_size=125))
    def ping(self, who: int, payload: bytes) -> None:
        if self.is_open(who):
            self.write(who, self.sides[who].connection.send_ping(payload))

    @rule(who=WHO, share=st.floats(0, 1))
    def deliver(self, who: int, share: float) -> None:
        size = max(1, int(len(self.wires[who]) * share))
        data, self.wires[who] = self.wires[who][:size], self.wires[who][size:]
        other = 1 - who
        if data:
            self.write(other, self.sides[other].read_raw(data))

    @rule(who=WHO)
    def pass_time(self, who: int) -> None:
        side = self.sides[who]
        if side.waits_for in ("ping", "held"):
            out = side.connection.on_timer()
            side.take()
            self.write(who, out)

    @rule(who=WHO, code=st.sampled_from([None, 1000, 4999]))
    @precondition(lambda self: sum(map(len, self.sent)) > 3)
    def close(self, who: int, code: int | None) -> None:
        side = self.sides[who]
        before = side.connection.state
        out = side.connection.close(code)
        side.take()
        self.write(who, out)
        if before is State.OPEN:
            self.closed[who] = code or 1005

    @invariant()
    def nothing_is_lost_or_out_of_order(self) -> None:
        for who in (0, 1):
            got = self.sides[1 - who].messages
            assert got == self.sent[who][: len(got)]
            assert all(type(one) is type(other) for one, other in zip(got, self.sent[who], strict=False))

    def teardown(self) -> None:
        self.close(0, 1000)
        for _ in range(10):
            for who in (0, 1):
                self.deliver(who, 1.0)
                if self.sides[who].waits_for == "held":
                    self.pass_time(who)
        for who, side in enumerate(self.sides):
            assert side.messages == self.sent[1 - who]
            assert side.connection.state is State.CLOSED_CLEANLY
            assert side.connection.close_code in (1000, 1005, 4999)
            assert side.ends == [End(None)]
            timer = side.connection.timer
            assert side.hang_up() == []
            assert side.connection.state is State.HUNG_UP
            assert side.connection.timer is timer
            assert side.hang_ups[-1] is HangUp.CLOSE
            events = list(side.events)
            side.lose()
            assert side.connection.state is State.GONE
            assert side.connection.timer is None
            assert side.events == events


def test_nothing_is_lost_between_two_connections() -> None:
    run_state_machine_as_test(Exchange, settings=examples(40))  # type: ignore[no-untyped-call]


FRAMES = st.builds(
    lambda opcode, payload, masked, fin, rsv: frame(opcode, payload, masked=masked, fin=fin, rsv=rsv),
    st.one_of(st.sampled_from([0, 1, 2, 8, 9, 10]), st.integers(0, 15)),
    st.binary(max_size=130),
    st.booleans(),
    st.booleans(),
    st.sampled_from([0, 0, 0, 0x40, 0x20, 0x10]),
)
BYTES = st.one_of(st.lists(st.one_of(FRAMES, st.binary(max_size=20)), max_size=8).map(b"".join), st.binary(max_size=300))


@examples(400)
@given(BYTES, st.booleans(), st.booleans(), st.booleans(), st.booleans(), st.integers(1, 100), st.integers(0, 6))
def test_a_connection_takes_any_bytes(
    data: bytes, is_client: bool, by_read: bool, waits: bool, hangs_up: bool, size: int, moment: int
) -> None:
    """At most one close frame goes out, the stream ends once, and nothing undocumented is raised."""
    side = Side(client=is_client, max_message_size=300, max_fragments=3)
    out = []
    for index, piece in enumerate(pieces(data, size)):
        if index == moment:
            out += side.sent(side.connection.close(1000))
            side.take()
        elif index == 2 * moment and side.waits_for == "held":
            out += side.tick()
        out += side.read(piece) if by_read else side.feed(piece)
    if side.waits_for == "held" and waits:
        out += side.tick()
    assert all(type(message) in (str, bytes) for message in side.messages)
    assert all(isinstance(event, (Pong, End, HangUp)) for event in side.events)
    if hangs_up:
        out += side.hang_up()
        assert side.connection.state is State.HUNG_UP
        assert side.waits_for == "close"
        assert side.hang_ups[-1] is HangUp.CLOSE
        assert len(side.ends) == 1
    side.lose()
    opcodes = [opcode for opcode, _ in out]
    assert set(opcodes) <= {CLOSE, 10}
    assert CLOSE not in opcodes[:-1]
    ((error,),) = side.ends
    assert error is None or isinstance(error, (ProtocolError, ConnectionResetError))
    assert side.connection.state is State.GONE
    assert side.connection.timer is None
    assert isinstance(side.connection.close_code, int)
    assert isinstance(side.connection.close_reason, str)


def mutated(head: bytes) -> st.SearchStrategy[bytes]:
    """A head with a few bytes replaced, removed or added."""
    place = st.integers(0, len(head))
    change = st.tuples(
        place, place.map(lambda n: n % 4), st.one_of(st.binary(max_size=3), st.sampled_from([b"\r\n", b":", b",", b"\n"]))
    )

    def apply(changes: list[tuple[int, int, bytes]]) -> bytes:
        data = head
        for start, length, new in changes:
            data = data[:start] + new + data[start + length :]
        return data

    return st.lists(change, min_size=1, max_size=3).map(apply)


def opening_by(data: bytes, size: int) -> tuple[object, ...]:
    opening = ServerOpening()
    try:
        for piece in pieces(data, size):
            if opening.received(piece) is not None:
                break
        else:
            return ("waits",)
        assert opening.request is not None
        out, response, protocol = opening.accept(protocols=["chat"])
    except InvalidHandshake as error:
        assert 400 <= error.status <= 599  # noqa: PT017
        return ("refused",)
    assert out.startswith(b"HTTP/1.1 101 ")
    assert response.status == 101
    return opening.request.headers.pairs(), protocol


@examples(300)
@given(st.one_of(mutated(CHROME), mutated(request()), st.binary(max_size=300)), st.integers(1, 50))
def test_a_server_takes_any_bytes_for_a_request_and_in_pieces_all_the_same(data: bytes, size: int) -> None:
    whole = opening_by(data, 2**20)
    if data.endswith(b"\r\n\r\n") and data.count(b"\r\n\r\n") == 1:
        assert opening_by(data, size) == whole
    else:
        opening_by(data, size)


@examples(300)
@given(st.data(), st.integers(1, 50))
def test_a_client_takes_any_bytes_for_an_answer(source: st.DataObject, size: int) -> None:
    us = client(protocols=["chat"])
    refused = b"HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    right = answer(us, more="Sec-WebSocket-Protocol: chat")
    data = source.draw(
        st.one_of(mutated(right), mutated(refused), mutated(b"HTTP/1.1 100 \r\n\r\n" + right), st.binary(max_size=300))
    )
    try:
        for piece in pieces(data, size):
            if us.received(piece):
                assert us.response is not None
                assert us.response.status == 101
                assert us.protocol in ("chat", None)
                return
        us.eof()
    except HandshakeRejected as error:
        assert error.status != 101  # noqa: PT017
    except InvalidHandshake:
        pass
    else:
        raise AssertionError("the end of TCP raises")


def test_the_frames_of_these_tests_are_those_of_the_kernels() -> None:
    assert frames(encode_frame(2, b"x" * 70000, True)) == frames(frame(2, b"x" * 70000, masked=True))

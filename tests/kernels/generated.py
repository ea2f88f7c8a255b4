"""Generated streams of frames: sound ones, and ones with a frame or a byte changed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from hypothesis import strategies as st

from . import oracle


@dataclass(frozen=True)
class Spec:
    """A frame to be written, with whatever is wrong about it."""

    opcode: int
    payload: bytes
    fin: bool = True
    rsv: int = 0
    masked: bool = False
    key: bytes = b"\0\0\0\0"
    width: int | None = None

    def encode(self) -> bytes:
        key = self.key if self.masked else None
        head = oracle.header(self.opcode, len(self.payload), self.fin, self.rsv, key, self.width)
        return head + (oracle.mask(self.payload, self.key) if self.masked else self.payload)


@dataclass(frozen=True)
class Conversation:
    """Bytes for a reader, and the options of that reader."""

    data: bytes
    masked: bool
    max_message_size: int | None = None
    max_fragments: int | None = None
    rsv: int = 0

    def options(self) -> dict[str, Any]:
        limits = {"max_message_size": self.max_message_size, "max_fragments": self.max_fragments}
        return {"masked": self.masked, "rsv": self.rsv, **{k: v for k, v in limits.items() if v is not None}}

    def expected(self) -> tuple[list[tuple[object, ...]], list[int]]:
        """All items, and how many of them have come after each number of bytes."""
        parser = oracle.Parser(self.masked, self.max_message_size, self.max_fragments, self.rsv)
        counts = [0]
        for byte in self.data:
            parser.take(byte)
            counts.append(len(parser.items))
        return parser.items, counts


keys = st.one_of(st.just(b"\0\0\0\0"), st.binary(min_size=4, max_size=4))
texts = st.one_of(
    st.text(max_size=12),
    st.text(alphabet="a\x7f\x80\xff\u07ff\u0800\ud7ff\ue000\uffff\U00010000\U0010ffff", max_size=60),
    st.builds(lambda unit, n: unit * n, st.sampled_from(["a", "é", "漢", "🎉", "ab漢🎉"]), st.integers(30, 70)),
)
blobs = st.one_of(
    st.binary(max_size=20),
    st.builds(lambda unit, n: (unit * n)[:n], st.binary(min_size=1, max_size=5), st.integers(100, 300)),
)
nearly_texts = st.builds(
    lambda text, position, byte: text[: position % (len(text) + 1)] + byte + text[position % (len(text) + 1) :],
    texts.map(str.encode),
    st.integers(0, 300),
    st.binary(min_size=1, max_size=2),
)


@st.composite
def messages(draw: st.DrawFn, masked: bool, rsv: int) -> list[Spec]:
    """One message in some fragments, with control frames among them."""
    opcode = draw(st.sampled_from([1, 1, 2]))
    bits = draw(st.sampled_from([0, 0, rsv]))
    payload = draw(texts).encode() if opcode == 1 and not bits else draw(blobs)
    cuts = sorted(draw(st.lists(st.integers(0, len(payload)), max_size=3)))
    edges = [0, *cuts, len(payload)]
    frames = []
    for i, (first, last) in enumerate(pairwise(edges)):
        if draw(st.integers(0, 3)) == 0:
            control = draw(st.sampled_from([8, 9, 10]))
            frames.append(Spec(control, draw(st.binary(max_size=5)) * draw(st.sampled_from([1, 25]))))
        fin = i == len(edges) - 2
        frames.append(Spec(opcode if i == 0 else 0, payload[first:last], fin, bits if i == 0 else 0))
    return [replace(frame, masked=masked, key=draw(keys)) for frame in frames]


def spoiled(frame: Spec) -> st.SearchStrategy[Spec]:
    """The frame with one thing about it changed, which may or may not break a rule where it stands."""
    fields: list[st.SearchStrategy[dict[str, Any]]] = [
        st.fixed_dictionaries({"opcode": st.integers(0, 15)}),
        st.just({"fin": not frame.fin}),
        st.fixed_dictionaries({"rsv": st.sampled_from([0x10, 0x20, 0x40, 0x70])}),
        st.just({"masked": not frame.masked}),
        st.fixed_dictionaries({"width": st.sampled_from([2, 8])}),
        st.fixed_dictionaries({"payload": nearly_texts}),
    ]
    if frame.opcode >= 8:
        fields.append(st.just({"payload": bytes(126)}))
    return st.one_of(fields).map(lambda change: replace(frame, **change))


@st.composite
def conversations(draw: st.DrawFn) -> Conversation:
    masked = draw(st.booleans())
    rsv = draw(st.sampled_from([0, 0, 0x40, 0x70]))
    frames = [frame for message in draw(st.lists(messages(masked, rsv), min_size=1, max_size=4)) for frame in message]
    if draw(st.booleans()):
        place = draw(st.integers(0, len(frames) - 1))
        what = draw(st.sampled_from(["spoil", "drop", "repeat"]))
        if what == "spoil":
            frames[place] = draw(spoiled(frames[place]))
        elif what == "drop":
            del frames[place]
        else:
            frames.insert(place, frames[place])
    data = b"".join(frame.encode() for frame in frames)
    if data and draw(st.integers(0, 5)) == 0:
        place = draw(st.integers(0, len(data) - 1))
        data = data[:place] + bytes([draw(st.integers(0, 255))]) + data[place + 1 :]
    if draw(st.integers(0, 5)) == 0:
        data = data[: draw(st.integers(0, len(data)))]
    sizes = [0, *(len(frame.payload) for frame in frames)]
    # Never without a limit: a changed byte can claim more than there is memory for.
    limit = draw(st.sampled_from([2**20] * 6 + [max(sizes), sum(sizes), max(0, max(sizes) - 1)]))
    fragments = draw(st.sampled_from([None] * 6 + [0, 1, 2]))
    return Conversation(data, masked, limit, fragments, rsv)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    """`data` cut at these places."""
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[first:last] for first, last in pairwise(edges)]


cuts = st.lists(st.integers(0, 2000), max_size=12)

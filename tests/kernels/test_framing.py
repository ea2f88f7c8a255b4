"""Frames, written and read, against the oracle: in any pieces, by both ways in."""

from __future__ import annotations

import array
import ctypes
import enum
import gc
import mmap
import random
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from . import oracle
from .generated import Conversation, conversations, cuts, pieces
from .reading import Reading, check, give_by_feed, give_by_reads

if TYPE_CHECKING:
    from collections.abc import Callable

    from .twins import Kernels

SIZES = [0, 1, 2, 124, 125, 126, 127, 128, 255, 256, 65534, 65535, 65536, 65537, 70000, 2**20]
RAW = random.Random(5).randbytes(2**20)
KEY = b"\x37\xfa\x21\x3d"


def taken_apart(frame: bytes) -> tuple[bytes, bytes]:
    """The key of a masked frame, and the same frame as it would be without a mask."""
    size = len(oracle.header(0, 0, width={126: 2, 127: 8}.get(frame[1] & 127, 0)))
    assert frame[1] & 128
    key = frame[size : size + 4]
    body = frame[size + 4 :]
    if len(body) > 1000:  # the oracle takes its time
        pad = key * (len(body) // 4 + 1)
        body = (int.from_bytes(body, "big") ^ int.from_bytes(pad[: len(body)], "big")).to_bytes(len(body), "big")
    else:
        body = oracle.mask(body, key)
    return key, bytes([frame[0], frame[1] & 127]) + frame[2:size] + body


def check_encoded(kernels: Kernels, payload: Any, raw: bytes, opcode: int = 2, fin: bool = True, rsv: int = 0) -> None:
    expected = oracle.frame(opcode, raw, fin, rsv)
    frame = kernels.framing.encode_frame(opcode, payload, False, fin, rsv)
    assert type(frame) is bytes
    assert frame == expected
    masked = kernels.framing.encode_frame(opcode, payload, True, fin, rsv)
    assert type(masked) is bytes
    assert taken_apart(masked)[1] == expected


class TestEncodeFrame:
    @pytest.mark.parametrize("size", SIZES)
    def test_every_form_of_length(self, kernels: Kernels, size: int) -> None:
        check_encoded(kernels, RAW[:size], RAW[:size])
        check_encoded(kernels, bytearray(RAW[:size]), RAW[:size])
        check_encoded(kernels, memoryview(RAW)[3 : 3 + size], RAW[3 : 3 + size])

    @pytest.mark.parametrize("size", SIZES)
    @pytest.mark.parametrize("unit", ["a", "é", "漢", "🎉", "aé", "a漢", "é漢🎉\0"])
    def test_text_of_every_width(self, kernels: Kernels, unit: str, size: int) -> None:
        text = unit * (size // len(unit.encode()) + 1)
        text = text.encode()[:size].decode(errors="ignore")
        check_encoded(kernels, text, text.encode(), opcode=1)

    def test_the_first_and_last_character_of_each_length(self, kernels: Kernels) -> None:
        for text in ("\0\x7f", "\x80\xff", "\x80\u07ff", "\u0800\ud7ff\ue000\uffff", "\U00010000\U0010ffff"):
            for one in (text, *text):
                check_encoded(kernels, one, one.encode(), opcode=1)

    def test_every_character(self, kernels: Kernels) -> None:
        for first in range(0, 0x110000, 0x1000):
            if first != 0xD000:
                text = "".join(map(chr, range(first, first + 0x1000)))
            else:
                text = "".join(map(chr, range(first, 0xD800)))
            if not "\ud800" <= text[-1] <= "\udfff":
                check_encoded(kernels, text, text.encode(), opcode=1)

    @given(text=st.text(max_size=200), opcode=st.integers(0, 15), fin=st.booleans())
    def test_any_text(self, kernels: Kernels, text: str, opcode: int, fin: bool) -> None:
        check_encoded(kernels, text, text.encode(), opcode, fin)

    @given(data=st.binary(max_size=300), opcode=st.integers(0, 15), fin=st.booleans(), bits=st.integers(0, 7))
    def test_any_bytes(self, kernels: Kernels, data: bytes, opcode: int, fin: bool, bits: int) -> None:
        check_encoded(kernels, data, data, opcode, fin, bits << 4)

    def test_text_of_a_subclass_is_text(self, kernels: Kernels) -> None:
        class Word(enum.StrEnum):
            PLAIN = "plain"
            LATIN = "café"
            WIDE = "漢字"

        for word in Word:
            check_encoded(kernels, word, word.value.encode(), opcode=1)

    def test_any_contiguous_buffer(self, kernels: Kernels) -> None:
        raw = RAW[:240]
        area = mmap.mmap(-1, 240)
        area[:] = raw
        for buffer in (
            bytearray(raw),
            memoryview(raw),
            memoryview(raw).cast("B", (2, 10, 12)),
            array.array("I", raw),
            array.array("d", raw),
            memoryview(array.array("H", raw)),
            (ctypes.c_uint16 * 120).from_buffer_copy(raw),
            area,
        ):
            check_encoded(kernels, buffer, raw)
            assert bytes(memoryview(buffer)) == raw
        for empty in (b"", bytearray(), memoryview(b""), array.array("I"), ""):
            check_encoded(kernels, empty, b"")

    def test_a_buffer_is_let_go_of_and_never_modified(self, kernels: Kernels) -> None:
        buffer = bytearray(RAW[:5000])
        frames = [kernels.framing.encode_frame(2, buffer, masked) for masked in (False, True)]
        assert buffer == RAW[:5000]
        copies = [bytes(bytearray(frame)) for frame in frames]
        buffer[:] = bytes(6000)  # a BufferError while anybody still holds it
        assert frames == copies
        data = bytes(bytearray(RAW[:5000]))
        kernels.framing.encode_frame(2, data, True)
        assert data == RAW[:5000]

    def test_what_is_not_contiguous_is_refused(self, kernels: Kernels) -> None:
        for scattered in (memoryview(RAW)[:100:2], memoryview(RAW)[10:0:-1], memoryview(array.array("I", [1, 2]))[::-1]):
            for masked in (False, True):
                with pytest.raises(BufferError):
                    kernels.framing.encode_frame(2, scattered, masked)

    @pytest.mark.parametrize("payload", [None, 5, 1.5, ["a"], object()], ids=["None", "int", "float", "list", "object"])
    def test_what_is_no_payload_is_refused(self, kernels: Kernels, payload: object) -> None:
        for masked in (False, True):
            with pytest.raises(TypeError):
                kernels.framing.encode_frame(2, payload, masked)

    @pytest.mark.parametrize(
        "text", [chr(0xD800), chr(0xDFFF), "a\udc80", "é\ud800", "漢\udbff字", "🎉\udc00", "\ud83c\udf89"], ids=ascii
    )
    def test_a_lone_surrogate_is_refused(self, kernels: Kernels, text: str) -> None:
        for masked in (False, True):
            with pytest.raises(UnicodeEncodeError):
                kernels.framing.encode_frame(1, text, masked)
        check_encoded(kernels, "after", b"after", opcode=1)

    @pytest.mark.parametrize("opcode", [-1, 16, 17, 128, 255, 256, -(2**31), 2**31])
    def test_an_opcode_that_does_not_fit_is_refused(self, kernels: Kernels, opcode: int) -> None:
        with pytest.raises(ValueError, match=str(opcode)):
            kernels.framing.encode_frame(opcode, b"", False)

    @pytest.mark.parametrize("rsv", [-1, 1, 0x08, 0x0F, 0x41, 0x80, 0xF0, 0x100, 0x140, 2**31])
    def test_bits_that_are_not_reserved_are_refused(self, kernels: Kernels, rsv: int) -> None:
        with pytest.raises(ValueError, match="RSV"):
            kernels.framing.encode_frame(1, b"", False, True, rsv)

    def test_every_frame_has_a_fresh_key(self, kernels: Kernels) -> None:
        keys = [taken_apart(kernels.framing.encode_frame(2, b"x", True))[0] for _ in range(3000)]
        assert len(keys) - len(set(keys)) < 5

    def test_what_is_written_is_what_is_read(self, kernels: Kernels) -> None:
        for masked in (False, True):
            reading = Reading(kernels, masked=masked)
            for payload in ("", "text", "é漢🎉", b"", b"binary", RAW):
                opcode = 1 if isinstance(payload, str) else 2
                reading.feed(kernels.framing.encode_frame(opcode, payload, masked))
                assert reading.items[-1][1] == payload


class TestReadBuffer:
    def test_its_size(self, kernels: Kernels) -> None:
        for size in (1, 16, 4096):
            buffer = kernels.framing.ReadBuffer(size)
            assert buffer.size == size
            assert len(buffer.view) == size
            assert not buffer.view.readonly
        assert kernels.framing.ReadBuffer().size == 256 * 1024
        assert kernels.framing.ReadBuffer(size=7).size == 7

    @pytest.mark.parametrize("size", [0, -1])
    def test_a_size_of_nothing_is_refused(self, kernels: Kernels, size: int) -> None:
        with pytest.raises(ValueError, match=str(size)):
            kernels.framing.ReadBuffer(size)


def fragments(*parts: bytes, opcode: int = 1, key: bytes | None = None, rsv: int = 0) -> list[bytes]:
    """The frames of one message."""
    last = len(parts) - 1
    return [oracle.frame(0 if i else opcode, part, i == last, 0 if i else rsv, key) for i, part in enumerate(parts)]


def sequence(masked: bool) -> bytes:
    """Every kind of frame there is, one after the other."""
    key = KEY if masked else None
    ping = oracle.frame(9, b"ping", key=key)
    return b"".join(
        [
            oracle.frame(1, "é漢🎉!".encode(), key=key),
            oracle.frame(1, b"", key=key),
            oracle.frame(2, b"", key=key),
            ping,
            oracle.frame(2, RAW[:130], key=key),
            ping.join(fragments("漢".encode()[:1], b"", "漢字".encode()[1:], key=key)),
            *fragments(RAW[:5], RAW[:126], b"", opcode=2, key=key),
            oracle.frame(1, b"x" * 125, key=key),
            oracle.frame(10, b"y" * 125, key=key),
            *fragments(b"", b"", key=key),
            oracle.frame(1, b"z" * 126, key=key),
            oracle.frame(8, b"\x03\xe8bye", key=key),
        ]
    )


class TestPieces:
    """The same bytes give the same items, however they are cut, and as soon as they can be known."""

    @pytest.mark.parametrize("masked", [False, True])
    def test_every_single_split_point(self, kernels: Kernels, masked: bool) -> None:
        data = sequence(masked)
        case = Conversation(data, masked)
        expected = case.expected()[0]
        assert len(expected) == 19
        assert not any(item[0] == "breach" for item in expected)
        for give in (give_by_feed, give_by_reads):
            buffer = kernels.framing.ReadBuffer(4096)
            for i in range(len(data) + 1):
                reading = Reading(kernels, buffer, masked=masked)
                give(reading, data[:i])
                give(reading, data[i:])
                assert reading.items == expected, i

    @pytest.mark.parametrize("masked", [False, True])
    @pytest.mark.parametrize("step", [1, 2, 3, 5, 7, 13, 16, 17, 64, 100])
    def test_steps_of_one_size(self, kernels: Kernels, masked: bool, step: int) -> None:
        case = Conversation(sequence(masked), masked)
        parts = [case.data[i : i + step] for i in range(0, len(case.data), step)]
        check(kernels, case, parts)
        check(kernels, case, parts, give_by_reads, kernels.framing.ReadBuffer(16))

    @given(case=conversations(), cuts=cuts)
    def test_anything_by_feed(self, kernels: Kernels, case: Conversation, cuts: list[int]) -> None:
        check(kernels, case, pieces(case.data, cuts))

    @given(case=conversations(), cuts=cuts, size=st.sampled_from([1, 2, 5, 16, 100, 65536]))
    def test_anything_by_reads(self, kernels: Kernels, case: Conversation, cuts: list[int], size: int) -> None:
        check(kernels, case, pieces(case.data, cuts), give_by_reads, kernels.framing.ReadBuffer(size))

    @given(case=conversations())
    def test_anything_byte_by_byte(self, kernels: Kernels, case: Conversation) -> None:
        parts = [case.data[i : i + 1] for i in range(len(case.data))]
        check(kernels, case, parts)
        check(kernels, case, parts, give_by_reads)

    @given(
        cases=st.lists(conversations(), min_size=2, max_size=4),
        size=st.sampled_from([3, 16, 4096]),
        turns=st.lists(st.tuples(st.integers(0, 3), st.integers(1, 40)), max_size=60),
    )
    def test_readers_that_share_a_buffer(
        self, kernels: Kernels, cases: list[Conversation], size: int, turns: list[tuple[int, int]]
    ) -> None:
        buffer = kernels.framing.ReadBuffer(size)
        readings = [Reading(kernels, buffer, **case.options()) for case in cases]
        positions = [0] * len(cases)
        expected = [case.expected() for case in cases]
        waiting = [i for i, case in enumerate(cases) if case.data]
        while waiting:
            turn, most = turns.pop() if turns else (0, 2000)
            i = waiting[turn % len(waiting)]
            positions[i] += readings[i].read(cases[i].data[positions[i] :], most)
            items, counts = expected[i]
            assert readings[i].items == items[: counts[positions[i]]], i
            if positions[i] == len(cases[i].data):
                waiting.remove(i)

    def test_nothing_gives_nothing(self, kernels: Kernels) -> None:
        reading = Reading(kernels, masked=False)
        for _ in range(3):
            reading.feed(b"")
            reading.read(b"")
        reading.feed(b"\x81")
        reading.feed(b"")
        reading.read(b"")
        reading.feed(b"\x01a")
        assert reading.items == [("text", "a")]

    @pytest.mark.parametrize("masked", [False, True])
    def test_what_is_fed_is_neither_modified_nor_kept(self, kernels: Kernels, masked: bool) -> None:
        data = sequence(masked)
        for i in range(0, len(data), 3):
            reading = Reading(kernels, masked=masked)
            mine = [bytearray(data[:i]), bytearray(data[i:])]
            for part in mine:
                before = bytes(part)
                reading.feed(part)
                assert part == before
                part[:] = b"\xa5" * (len(part) + 1)  # a BufferError while anybody still holds it
            assert reading.items == Conversation(data, masked).expected()[0]

    def test_any_contiguous_buffer_is_fed(self, kernels: Kernels) -> None:
        data = oracle.frame(2, bytes(range(22)))
        for buffer in (data, bytearray(data), memoryview(data), array.array("I", data), memoryview(data).cast("B", (2, 12))):
            reading = Reading(kernels, masked=False)
            reading.feed(buffer)
            assert reading.items == [("binary", data[2:])]

    def test_what_is_no_buffer_is_refused_and_does_no_harm(self, kernels: Kernels) -> None:
        reading = Reading(kernels, masked=False)
        reading.feed(b"\x81")
        for wrong in ("text", None, 5):
            with pytest.raises(TypeError):
                reading.reader.feed(wrong)
        with pytest.raises(BufferError):
            reading.reader.feed(memoryview(b"\x01a\x01a")[::2])
        reading.feed(b"\x01a")
        assert reading.items == [("text", "a")]


class TestMessages:
    @pytest.mark.parametrize("masked", [False, True])
    @pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 200_000])
    def test_every_form_of_length(self, kernels: Kernels, masked: bool, size: int) -> None:
        text = ("aé漢🎉" * (size // 10 + 1)).encode()[:size].decode(errors="ignore")
        data = b"".join(
            kernels.framing.encode_frame(opcode, payload, masked) for opcode, payload in ((2, RAW[:size]), (1, text))
        )
        for step in (len(data), 1000, 65536):
            for give in (give_by_feed, give_by_reads):
                reading = Reading(kernels, kernels.framing.ReadBuffer(300_000), masked=masked)
                for i in range(0, len(data), step):
                    give(reading, data[i : i + step])
                assert reading.items == [("binary", RAW[:size]), ("text", text)]

    @pytest.mark.parametrize("key", [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\0\0\0\1", KEY], ids=bytes.hex)
    def test_any_key_masks(self, kernels: Kernels, key: bytes) -> None:
        data = oracle.frame(1, b"text", key=key) + oracle.frame(2, b"bytes", key=key) + oracle.frame(9, b"x", key=key)
        check(kernels, Conversation(data, True), [data])
        check(kernels, Conversation(data, True), pieces(data, list(range(len(data)))))

    def test_fragments_come_as_frames(self, kernels: Kernels) -> None:
        reading = Reading(kernels, masked=False)
        reading.feed(b"".join(fragments(b"Hel", b"", b"lo")) + oracle.frame(1, b"whole"))
        assert reading.items == [
            ("frame", 1, b"Hel", False, 0),
            ("frame", 0, b"", False, 0),
            ("frame", 0, b"lo", True, 0),
            ("text", "whole"),
        ]

    def test_control_frames_among_fragments_come_where_they_stood(self, kernels: Kernels) -> None:
        first, last = fragments(b"a", b"b", opcode=2)
        reading = Reading(kernels, masked=False)
        reading.feed(first + oracle.frame(9, b"?") + oracle.frame(10) + oracle.frame(8, b"\x03\xe9") + last)
        assert reading.items == [
            ("frame", 2, b"a", False, 0),
            ("frame", 9, b"?", True, 0),
            ("frame", 10, b"", True, 0),
            ("frame", 8, b"\x03\xe9", True, 0),
            ("frame", 0, b"b", True, 0),
        ]

    def test_what_a_close_frame_holds_is_not_the_reader_s_affair(self, kernels: Kernels) -> None:
        for payload in (b"", b"\x03", b"\0\0", b"\x03\xe8\xff"):
            reading = Reading(kernels, masked=False)
            reading.feed(oracle.frame(8, payload) + oracle.frame(1, b"after"))
            assert reading.items == [("frame", 8, payload, True, 0), ("text", "after")]

    def test_only_messages_is_true_of_the_list_returned_last(self, kernels: Kernels) -> None:
        reader = kernels.framing.FrameReader(kernels.framing.ReadBuffer(16), False)
        assert reader.only_messages is True
        message, ping = oracle.frame(1, b"a"), oracle.frame(9)
        for data, only in (
            (message, True),
            (ping, False),
            (b"", True),
            (message + ping, False),
            (ping + message, False),
            (message * 2, True),
            (oracle.frame(1, b"a", fin=False), False),
            (b"\x80", True),
            (b"\x00", False),
            (oracle.frame(2, b"a") + b"\xff\x00", False),
            (message, True),
        ):
            reader.feed(data)
            assert reader.only_messages is only, data


# Rule by rule: options of the reader, good frames, the frame that breaks the rule, and how many of its bytes tell.
GOOD = [(1, "good é".encode()), (9, b"ping"), (2, b"fine")]
BREACHES: dict[str, list[tuple[bytes, int, dict[str, Any]]]] = {
    "reserved-bits": [
        (oracle.frame(1, b"a", rsv=0x40), 2, {}),
        (oracle.frame(2, b"a", rsv=0x20), 2, {}),
        (oracle.frame(1, b"a", rsv=0x10), 2, {}),
        (oracle.frame(1, b"a", rsv=0x70), 2, {"rsv": 0x60}),
        (oracle.frame(1, b"a", rsv=0x20), 2, {"rsv": 0x40}),
        (oracle.frame(8, rsv=0x40), 2, {"rsv": 0x70}),
        (oracle.frame(9, rsv=0x40), 2, {"rsv": 0x70}),
        (oracle.frame(10, rsv=0x10), 2, {"rsv": 0x70}),
        (oracle.frame(0, rsv=0x40), 2, {"rsv": 0x70}),
    ],
    "reserved-opcode": [(oracle.frame(opcode, b"a"), 2, {}) for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)],
    "control-fragmented": [(oracle.frame(opcode, b"a", fin=False), 2, {}) for opcode in (8, 9, 10)],
    "control-too-long": [
        *((oracle.frame(opcode, bytes(126)), 2, {}) for opcode in (8, 9, 10)),
        (oracle.frame(9, bytes(65536)), 2, {}),
        (oracle.header(9, 0, width=2), 2, {}),
        (oracle.header(9, 0, width=8), 2, {}),
    ],
    "mask-missing": [(oracle.frame(opcode, b"a"), 2, {"masked": True}) for opcode in (1, 2, 8, 9, 10)],
    "mask-forbidden": [(oracle.frame(opcode, b"a", key=KEY), 2, {}) for opcode in (1, 2, 8, 9, 10)],
    "continuation-without-start": [
        (oracle.frame(0, b"a"), 2, {}),
        (oracle.frame(0, b"a", fin=False), 2, {}),
        (b"".join(fragments(b"a", b"b", b"c")) + oracle.frame(0, b"d"), 3 * 3 + 2, {}),
        (oracle.frame(1, b"whole") + oracle.frame(0, b"d"), 7 + 2, {}),
    ],
    "message-interrupted": [
        (fragments(b"a", b"b")[0] + oracle.frame(1, b"c"), 3 + 2, {}),
        (fragments(b"a", b"b")[0] + oracle.frame(2, b"c", fin=False), 3 + 2, {}),
        (fragments(b"a", b"b", opcode=2)[0] + oracle.frame(2, b"c"), 3 + 2, {}),
        (fragments(b"a", b"b")[0] + oracle.frame(9) + oracle.frame(1), 3 + 2 + 2, {}),
    ],
    "length-not-minimal": [
        (oracle.header(2, size, width=width), 2 + width, {})
        for size, width in ((0, 2), (125, 2), (0, 8), (125, 8), (126, 8), (65535, 8))
    ],
    "length-top-bit": [(oracle.header(2, size, width=8), 10, {}) for size in (2**63, 2**63 + 5, 2**64 - 1)],
    "message-too-big": [
        (oracle.frame(1, bytes(11)), 2, {"max_message_size": 10}),
        (oracle.frame(2, bytes(126)), 4, {"max_message_size": 125}),
        (oracle.frame(2, bytes(65536)), 10, {"max_message_size": 65535}),
        (oracle.header(2, 2**63 - 1, width=8), 10, {"max_message_size": 2**20}),
        (oracle.header(1, 2**62, width=8), 10, {"max_message_size": 2**62 - 1}),
        (oracle.frame(2, bytes(11), rsv=0x40), 2, {"max_message_size": 10, "rsv": 0x40}),
        (b"".join(fragments(bytes(6), bytes(4), b"x")), 8 + 6 + 2, {"max_message_size": 10}),
        (fragments(bytes(6), b"")[0] + oracle.header(0, 2**63 - 1, width=8), 8 + 10, {"max_message_size": 10}),
        (fragments(bytes(6), b"")[0] + oracle.frame(9, bytes(20)) + oracle.frame(0, bytes(5)), 32, {"max_message_size": 10}),
    ],
    "no-memory": [(oracle.header(opcode, size), 10, {}) for opcode in (1, 2) for size in (2**47 + 1, 2**62, 2**63 - 1)],
    "too-many-fragments": [
        (b"".join(fragments(b"a", b"b", b"c", b"d", b"e")), 3 * 3 + 2, {"max_fragments": 3}),
        (b"".join(fragments(b"", b"", b"", b"", b"")), 2 * 3 + 2, {"max_fragments": 3}),
        (b"".join(fragments(b"", b"", opcode=2)), 2, {"max_fragments": 0}),
        (oracle.frame(9).join(fragments(b"", b"", b"", b"")), 2 * 4 + 2, {"max_fragments": 2}),
    ],
    "invalid-utf-8": [
        (oracle.frame(1, b"\xff"), 3, {}),
        (oracle.frame(1, b"ab\xc0\xafcd" + bytes(200)), 4 + 3, {}),
        (oracle.frame(1, b"a\xed\xa0\x80"), 2 + 3, {}),
        (oracle.frame(1, b"a\xf4\x90\x80\x80"), 2 + 3, {}),
        (oracle.frame(1, "漢".encode()[:2]), 4, {}),
        (oracle.frame(1, b"\xff", fin=False), 3, {}),
        (b"".join(fragments(b"ab\xff", b"c")), 2 + 3, {}),
        (b"".join(fragments("漢".encode()[:2], b"a")), 4 + 3, {}),
        (b"".join(fragments("漢".encode()[:2], b"")), 4 + 2, {}),
        (b"".join(fragments("漢".encode()[:1], b"", "漢".encode()[1:2])), 3 + 2 + 3, {}),
        (oracle.frame(9, b"\xa2").join(fragments("漢".encode()[:2], b"b")), 4 + 3 + 3, {}),
        (b"".join(fragments(b"", b"\x80")), 2 + 3, {}),
    ],
}


def breaches() -> list[Any]:
    return [pytest.param(rule, *case, id=f"{rule}-{i}") for rule, cases in BREACHES.items() for i, case in enumerate(cases)]


class TestRules:
    """What a broken rule looks like from outside."""

    def test_every_rule_of_a_reader_is_tested(self) -> None:
        from cwschannel.kernels.rules import RULES

        of_the_connection = {rule for rule in RULES if rule.startswith("close-")}
        assert len(of_the_connection) == 3
        assert set(BREACHES) == set(RULES) - of_the_connection

    @pytest.mark.parametrize(("rule", "data", "telling", "options"), breaches())
    def test_is_broken(self, kernels: Kernels, rule: str, data: bytes, telling: int, options: dict[str, Any]) -> None:
        options = {"masked": False, **options}
        key = KEY if options["masked"] else None
        good = b"".join(oracle.frame(opcode, payload, key=key) for opcode, payload in GOOD)
        before = [("text", "good é"), ("frame", 9, b"ping", True, 0), ("binary", b"fine")]
        after = oracle.frame(1, b"after", key=key) * 2
        code = oracle.CODES[rule]
        buffer = kernels.framing.ReadBuffer(70_000)

        for give in (give_by_feed, give_by_reads):
            # all in one read: what came before is delivered, what comes after is not
            reading = Reading(kernels, buffer, **options)
            give(reading, good + data + after)
            assert reading.items[:3] == before
            assert reading.items[-1] == ("breach", rule, code)
            assert [item[0] for item in reading.items].count("breach") == 1
            assert ("text", "after") not in reading.items
            found = list(reading.items)
            give(reading, after)
            give(reading, b"")
            assert reading.items == found

            # byte by byte: the byte that tells is known
            slow = Reading(kernels, buffer, **options)
            give(slow, good)
            for i in range(telling):
                assert ("breach", rule, code) not in slow.items, i
                give(slow, data[i : i + 1])
            assert slow.items == found
            for i in range(telling, min(len(data), telling + 20)):
                give(slow, data[i : i + 1])
            give(slow, after)
            assert slow.items == found

            # the telling bytes are enough when they come together
            early = Reading(kernels, buffer, **options)
            give(early, good)
            give(early, data[:telling])
            assert early.items == found

    @pytest.mark.parametrize(("rule", "data", "telling", "options"), breaches())
    def test_the_error(self, kernels: Kernels, rule: str, data: bytes, telling: int, options: dict[str, Any]) -> None:
        from cwschannel.exceptions import ProtocolError

        reader = kernels.framing.FrameReader(kernels.framing.ReadBuffer(16), **{"masked": False, **options})
        error = reader.feed(data)[-1]
        assert type(error) is ProtocolError
        assert error.rule == rule
        assert error.code == oracle.CODES[rule]
        text = str(error)
        assert text
        assert "{" not in text
        if rule == "message-too-big":
            assert str(options["max_message_size"]) in text
        if rule == "too-many-fragments":
            assert str(options["max_fragments"]) in text
        if rule == "reserved-opcode":
            assert hex(data[0] & 15) in text
        if rule == "reserved-bits":
            assert hex(data[0] & 0x70) in text

    def test_a_failed_reader_still_takes_reads(self, kernels: Kernels) -> None:
        reading = Reading(kernels, masked=False)
        reading.read(b"\xff\x00")
        for _ in range(3):
            assert reading.read(oracle.frame(1, b"after")) == 7
            assert reading.reader.only_messages is True
        assert reading.items == [("breach", "reserved-bits", 1002)]


class TestLimits:
    @pytest.mark.parametrize("masked", [False, True])
    @pytest.mark.parametrize("limit", [0, 1, 125, 126, 65535, 65536])
    def test_the_limit_itself_is_allowed(self, kernels: Kernels, masked: bool, limit: int) -> None:
        key = KEY if masked else None
        allowed = oracle.frame(2, bytes(limit), key=key)
        refused = oracle.frame(2, bytes(limit + 1), key=key)
        reading = Reading(kernels, kernels.framing.ReadBuffer(70_000), masked=masked, max_message_size=limit)
        reading.feed(allowed)
        reading.read_all(allowed)
        reading.feed(refused)
        assert reading.items == [("binary", bytes(limit))] * 2 + [("breach", "message-too-big", 1009)]

    def test_fragments_count_together_and_each_message_by_itself(self, kernels: Kernels) -> None:
        message = b"".join(fragments(bytes(4), b"", bytes(6)))
        reading = Reading(kernels, masked=False, max_message_size=10)
        reading.feed(message + oracle.frame(9, bytes(100)) + message + oracle.frame(2, bytes(10)) + message)
        assert "breach" not in {item[0] for item in reading.items}
        assert len(reading.items) == 3 * 3 + 2
        reading.feed(b"".join(fragments(bytes(4), b"", bytes(7))))
        assert reading.items[-3:] == [
            ("frame", 1, bytes(4), False, 0),
            ("frame", 0, b"", False, 0),
            ("breach", "message-too-big", 1009),
        ]

    @pytest.mark.parametrize("masked", [False, True])
    def test_a_header_is_enough(self, kernels: Kernels, masked: bool) -> None:
        key = KEY if masked else None
        for size in (2**20 + 1, 2**31, 2**32 + 1, 2**62, 2**63 - 1):
            head = oracle.header(1, size, key=key)
            for give in (give_by_feed, give_by_reads):
                reading = Reading(kernels, masked=masked, max_message_size=2**20)
                give(reading, head[:-1])
                assert reading.items == []
                give(reading, head[-1:])
                assert reading.items == [("breach", "message-too-big", 1009)]

    def test_sizes_that_add_up_to_more_than_64_bits(self, kernels: Kernels) -> None:
        reading = Reading(kernels, masked=False)
        reading.feed(fragments(bytes(300), b"")[0])
        reading.feed(oracle.header(0, 2**63 - 1))
        assert reading.items[1:] == [("breach", "message-too-big", 1009)]

    def test_memory_that_is_not_there_is_no_crash(self, compiled: Kernels) -> None:
        """Without a limit. Only the compiled reader takes memory in advance."""
        reading = Reading(compiled, masked=False)
        reading.feed(oracle.frame(1, b"before") + oracle.header(2, 2**47) + oracle.frame(1, b"after"))
        assert reading.items == [("text", "before"), ("breach", "no-memory", 1009)]

    def test_the_largest_limit(self, kernels: Kernels) -> None:
        reading = Reading(kernels, masked=False, max_message_size=2**63 - 1, max_fragments=2**63 - 1)
        reading.feed(sequence(False))
        assert reading.items == Conversation(sequence(False), False).expected()[0]

    def test_as_many_fragments_as_allowed(self, kernels: Kernels) -> None:
        """Those that wait for the last one are counted, and not the last one."""
        for parts in ([b"a", b"b", b"c", b"d"], [b"", b"", b"", b""]):
            message = oracle.frame(9).join(fragments(*parts))
            reading = Reading(kernels, masked=False, max_fragments=3)
            reading.feed(message * 3 + oracle.frame(1, b"whole") + message)
            assert "breach" not in {item[0] for item in reading.items}
            reading.feed(b"".join(fragments(*parts, b"")))
            assert reading.items[-1] == ("breach", "too-many-fragments", 1009)

    def test_a_whole_message_is_no_fragment(self, kernels: Kernels) -> None:
        reading = Reading(kernels, masked=False, max_fragments=0)
        reading.feed(oracle.frame(1, b"a") * 5 + oracle.frame(9) * 5)
        assert len(reading.items) == 10
        assert "breach" not in {item[0] for item in reading.items}


class TestText:
    @pytest.mark.parametrize("masked", [False, True])
    @pytest.mark.parametrize("text", ["é", "漢", "🎉", "aé漢🎉b"])
    def test_a_character_over_fragments(self, kernels: Kernels, masked: bool, text: str) -> None:
        raw = text.encode()
        key = KEY if masked else None
        ping = oracle.frame(9, b"\xff\xfe", key=key)  # what it holds is no text
        for i in range(len(raw) + 1):
            for j in range(i, len(raw) + 1):
                data = ping.join(fragments(raw[:i], raw[i:j], raw[j:], key=key))
                for parts in ([data], pieces(data, list(range(len(data))))):
                    check(kernels, Conversation(data, masked), parts)
        for i in range(1, len(raw)):
            cut = oracle.utf8_complete(raw[:i])
            data = b"".join(fragments(raw[:i], b"", key=key))
            reading = Reading(kernels, masked=masked)
            reading.feed(data)
            assert (reading.items[-1] == ("breach", "invalid-utf-8", 1007)) is not cut

    @pytest.mark.parametrize("masked", [False, True])
    @pytest.mark.parametrize("opening", ["whole", "fragment", "second fragment"])
    def test_the_first_bad_byte_of_an_unfinished_frame(self, kernels: Kernels, masked: bool, opening: str) -> None:
        key = KEY if masked else None
        for bad in (b"\xff", b"\x80", b"\xc0", b"\xf5", b"\xed\xa0", b"\xe0\x80", b"\xf0\x8f", b"\xf4\x90", b"\xc3a"):
            for ahead in (0, 1, 15, 16, 17, 40):
                payload = b"a" * ahead + bad + b"b" * 200
                frame = oracle.frame(0 if opening == "second fragment" else 1, payload, fin=opening == "whole", key=key)
                start = oracle.frame(1, "é".encode(), fin=False, key=key) if opening == "second fragment" else b""
                end = len(frame) - 200
                for give in (give_by_feed, give_by_reads):
                    reading = Reading(kernels, masked=masked)
                    give(reading, start)
                    before = list(reading.items)
                    give(reading, frame[: end - 1])
                    assert reading.items == before, (bad, ahead)
                    give(reading, frame[end - 1 : end])
                    assert reading.items == [*before, ("breach", "invalid-utf-8", 1007)], (bad, ahead)

    def test_binary_is_not_checked(self, kernels: Kernels) -> None:
        data = oracle.frame(2, b"\xff" * 50) + b"".join(fragments(b"\xff", b"\xfe" * 50, b"", opcode=2))
        for parts in ([data], pieces(data, list(range(len(data))))):
            check(kernels, Conversation(data, False), parts)

    def test_binary_after_text_and_text_after_binary(self, kernels: Kernels) -> None:
        texts, blobs = b"".join(fragments(b"a", b"b")), b"".join(fragments(b"\xff", b"\xff", opcode=2))
        data = texts + blobs + texts + oracle.frame(2, b"\xff") + blobs + oracle.frame(1, b"x") + blobs + texts
        for parts in ([data], pieces(data, list(range(len(data))))):
            check(kernels, Conversation(data, False), parts)
        reading = Reading(kernels, masked=False)
        reading.feed(data + b"".join(fragments(b"a", b"\xff")))
        assert reading.items[-1] == ("breach", "invalid-utf-8", 1007)


class TestReservedBits:
    """RSV1 where an extension was negotiated, such as that of RFC 7692."""

    @pytest.mark.parametrize("masked", [False, True])
    def test_a_frame_with_rsv1_is_handed_over_unchecked(self, kernels: Kernels, masked: bool) -> None:
        key = KEY if masked else None
        for opcode in (1, 2):
            for payload in (b"", b"\xff\xfe compressed", b"\xed\xa0" * 100):
                data = oracle.frame(opcode, payload, rsv=0x40, key=key) + oracle.frame(1, b"plain", key=key)
                for parts in ([data], pieces(data, list(range(len(data))))):
                    check(kernels, Conversation(data, masked, rsv=0x40), parts)
                reading = Reading(kernels, masked=masked, rsv=0x40)
                reading.feed(data)
                assert reading.items == [("frame", opcode, payload, True, 0x40), ("text", "plain")]

    def test_the_fragments_that_follow_are_not_checked_either(self, kernels: Kernels) -> None:
        data = b"".join(fragments(b"\xff", b"\xfe\xe6", b"\xff", rsv=0x40)) + b"".join(fragments(b"a", b"b"))
        for parts in ([data], pieces(data, list(range(len(data))))):
            check(kernels, Conversation(data, False, rsv=0x40), parts)
        reading = Reading(kernels, masked=False, rsv=0x40)
        reading.feed(data + oracle.frame(1, b"\xff"))
        assert reading.items == [
            ("frame", 1, b"\xff", False, 0x40),
            ("frame", 0, b"\xfe\xe6", False, 0),
            ("frame", 0, b"\xff", True, 0),
            ("frame", 1, b"a", False, 0),
            ("frame", 0, b"b", True, 0),
            ("breach", "invalid-utf-8", 1007),
        ]

    def test_text_without_the_bit_is_checked_all_the_same(self, kernels: Kernels) -> None:
        reading = Reading(kernels, masked=False, rsv=0x40)
        reading.feed(oracle.frame(1, b"\xff"))
        assert reading.items == [("breach", "invalid-utf-8", 1007)]

    @pytest.mark.parametrize("negotiated", [0x10, 0x20, 0x40, 0x30, 0x50, 0x60, 0x70])
    def test_only_the_negotiated_bits_are_allowed(self, kernels: Kernels, negotiated: int) -> None:
        for bits in range(0x10, 0x80, 0x10):
            reading = Reading(kernels, masked=False, rsv=negotiated)
            reading.feed(oracle.frame(2, b"x", rsv=bits))
            if bits & ~negotiated:
                assert reading.items == [("breach", "reserved-bits", 1002)]
            else:
                assert reading.items == [("frame", 2, b"x", True, bits)]

    def test_the_limits_hold_for_what_was_received(self, kernels: Kernels) -> None:
        reading = Reading(kernels, masked=False, rsv=0x40, max_message_size=5)
        reading.feed(oracle.frame(1, bytes(5), rsv=0x40) + b"".join(fragments(bytes(3), bytes(3), rsv=0x40)))
        assert [item[0] for item in reading.items] == ["frame", "frame", "breach"]


MIB = 2**20
LONG_TEXT = ("aé漢🎉" * (MIB // 10 + 1)).encode()[:MIB]
LONG_TEXT = LONG_TEXT.decode(errors="ignore").encode().ljust(MIB, b"~")


def masked_fast(data: bytes) -> bytes:
    pad = KEY * (len(data) // 4 + 1)
    return (int.from_bytes(data, "big") ^ int.from_bytes(pad[: len(data)], "big")).to_bytes(len(data), "big")


def long_frame(opcode: int, payload: bytes, masked: bool, fin: bool = True, rsv: int = 0) -> bytes:
    if not masked:
        return oracle.header(opcode, len(payload), fin, rsv) + payload
    return oracle.header(opcode, len(payload), fin, rsv, KEY) + masked_fast(payload)


@pytest.mark.parametrize("masked", [False, True])
class TestLargePayloads:
    """Payloads larger than a read buffer, which the compiled reader reads without a copy."""

    def frames(self, kernels: Kernels, masked: bool) -> tuple[bytes, list[tuple[object, ...]]]:
        first, second = RAW[: MIB // 2 + 5], RAW[MIB // 2 + 5 :]
        cut = LONG_TEXT.index("漢".encode(), MIB // 2) + 1
        data = b"".join(
            [
                long_frame(1, b"before", masked),
                long_frame(2, RAW, masked),
                long_frame(1, LONG_TEXT, masked),
                long_frame(2, first, masked, fin=False),
                long_frame(9, b"ping", masked),
                long_frame(0, second, masked),
                long_frame(1, LONG_TEXT[:cut], masked, fin=False),
                long_frame(0, LONG_TEXT[cut:], masked),
                long_frame(1, RAW[:300_000], masked, rsv=0x40),
                long_frame(1, b"after", masked),
            ]
        )
        return data, [
            ("text", "before"),
            ("binary", RAW),
            ("text", LONG_TEXT.decode()),
            ("frame", 2, first, False, 0),
            ("frame", 9, b"ping", True, 0),
            ("frame", 0, second, True, 0),
            ("frame", 1, LONG_TEXT[:cut], False, 0),
            ("frame", 0, LONG_TEXT[cut:], True, 0),
            ("frame", 1, RAW[:300_000], True, 0x40),
            ("text", "after"),
        ]

    @pytest.mark.parametrize("size", [1000, 65536, 262144, 2 * MIB])
    def test_reads_as_long_as_there_is_room(self, kernels: Kernels, masked: bool, size: int) -> None:
        data, expected = self.frames(kernels, masked)
        reading = Reading(kernels, kernels.framing.ReadBuffer(size), masked=masked, rsv=0x40)
        reading.read_all(data)
        assert reading.items == expected
        # Otherwise this tests nothing that the other tests do not.
        assert (reading.windows > 0) is (kernels.name == "compiled")

    @pytest.mark.parametrize("seed", range(4))
    def test_reads_of_any_size(self, kernels: Kernels, masked: bool, seed: int) -> None:
        data, expected = self.frames(kernels, masked)
        chance = random.Random(seed)
        reading = Reading(kernels, kernels.framing.ReadBuffer(chance.choice([100, 4096, 70_000])), masked=masked, rsv=0x40)
        position = 0
        while position < len(data):
            most = chance.choice([0, 1, 3, 1000, 1448, 65536, 131071, 131072, 131073, 10**6])
            chunk = data[position : position + most]
            if chance.random() < 0.2:
                reading.feed(chunk)
                position += len(chunk)
            else:
                position += reading.read(chunk)
        assert reading.items == expected

    def test_two_readers_by_turns(self, kernels: Kernels, masked: bool) -> None:
        data, expected = self.frames(kernels, masked)
        buffer = kernels.framing.ReadBuffer(50_000)
        readings = [Reading(kernels, buffer, masked=masked, rsv=0x40) for _ in range(2)]
        positions = [0, 0]
        while min(positions) < len(data):
            for i, reading in enumerate(readings):
                positions[i] += reading.read(data[positions[i] : positions[i] + 100_000 + 7 * i])
        assert [reading.items for reading in readings] == [expected] * 2

    def test_what_is_missing_is_all_that_is_asked_for(self, kernels: Kernels, masked: bool) -> None:
        """A window never reaches beyond the payload, or the next frame would be lost in it."""
        data = long_frame(2, RAW[:200_000], masked)
        header = len(data) - 200_000
        reading = Reading(kernels, kernels.framing.ReadBuffer(64), masked=masked)
        reading.feed(data[: header + 1])
        view = reading.reader.get_buffer()
        if kernels.name == "compiled":
            assert len(view) == 199_999
        view[:] = data[header + 1 : header + 1 + len(view)]
        reading.feed(b"")  # a feed in between: what was in the buffer then is not taken
        reading.read_all(data[header + 1 :] + long_frame(1, b"next", masked))
        assert reading.items == [("binary", RAW[:200_000]), ("text", "next")]

    def test_a_bad_byte_is_found_in_the_read_that_brings_it(self, kernels: Kernels, masked: bool) -> None:
        bad = 700_000
        while LONG_TEXT[bad] >= 0x80:
            bad += 1
        payload = LONG_TEXT[:bad] + b"\xff" + LONG_TEXT[bad + 1 :]
        data = long_frame(1, payload, masked)
        end = len(data) - MIB + bad
        reading = Reading(kernels, kernels.framing.ReadBuffer(50_000), masked=masked)
        reading.read_all(data[:end])
        assert reading.items == []
        reading.read(data[end : end + 1])
        assert reading.items == [("breach", "invalid-utf-8", 1007)]
        reading.read_all(data[end + 1 :])
        assert len(reading.items) == 1
        assert reading.reader.get_buffer().obj is reading.buffer.view.obj

    def test_text_that_ends_within_a_character(self, kernels: Kernels, masked: bool) -> None:
        data = long_frame(1, LONG_TEXT[:-1] + b"\xc3", masked)
        reading = Reading(kernels, kernels.framing.ReadBuffer(50_000), masked=masked)
        reading.read_all(data[:-1])
        assert reading.items == []
        reading.read_all(data[-1:])
        assert reading.items == [("breach", "invalid-utf-8", 1007)]


def taken(work: Callable[[], object]) -> tuple[int, int]:
    """How much more memory is in use after some work than before, and how much more there was at most."""
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        work()
        gc.collect()
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return after - before, peak - before


SMALL = 64 * 1024


class TestMemory:
    def test_that_it_is_measured(self, kernels: Kernels) -> None:
        kept: list[Reading] = []

        def work() -> None:
            reading = Reading(kernels, masked=False)
            reading.feed(long_frame(2, RAW, False)[: MIB // 2])
            kept.append(reading)

        assert taken(work)[0] > MIB // 2

    @pytest.mark.parametrize("give", [give_by_feed, give_by_reads])
    @pytest.mark.parametrize("masked", [False, True])
    def test_a_large_message_leaves_nothing_behind(
        self, kernels: Kernels, masked: bool, give: Callable[[Reading, bytes], None]
    ) -> None:
        reading = Reading(kernels, kernels.framing.ReadBuffer(70_000), masked=masked)
        messages = [
            long_frame(2, RAW, masked) + long_frame(1, LONG_TEXT, masked),
            long_frame(2, RAW, masked, fin=False) + long_frame(0, RAW, masked),
        ]

        def work() -> None:
            for data in messages * 2:
                give(reading, data[: MIB // 2])
                give(reading, data[MIB // 2 :])
                assert len(reading.items) == 2
                reading.items.clear()

        assert taken(work)[0] < SMALL

    @pytest.mark.parametrize("masked", [False, True])
    def test_a_broken_rule_lets_go_of_what_was_read(self, kernels: Kernels, masked: bool) -> None:
        reading = Reading(kernels, kernels.framing.ReadBuffer(70_000), masked=masked)
        data = long_frame(1, LONG_TEXT[: MIB // 2] + b"\xff" + bytes(MIB // 2), masked)

        def work() -> None:
            reading.read_all(data)
            assert reading.items == [("breach", "invalid-utf-8", 1007)]

        assert taken(work)[0] < SMALL

    def test_no_memory_is_taken_for_what_is_refused(self, kernels: Kernels) -> None:
        for size in (2**21, 2**31, 2**62):
            reading = Reading(kernels, masked=False, max_message_size=2**20)
            head = oracle.header(2, size)
            assert taken(lambda: reading.feed(head))[1] < SMALL  # noqa: B023 - called at once
            assert reading.items == [("breach", "message-too-big", 1009)]

    def test_an_idle_reader_is_small(self, kernels: Kernels) -> None:
        buffer = kernels.framing.ReadBuffer()
        readers = []

        def work() -> None:
            for _ in range(100):
                reader = kernels.framing.FrameReader(buffer, True)
                reader.feed(oracle.frame(1, b"x" * 1000, key=KEY))
                readers.append(reader)

        assert taken(work)[0] < 100 * 2048

    @pytest.mark.parametrize("masked", [False, True])
    def test_nothing_leaks(self, kernels: Kernels, masked: bool) -> None:
        """What stays in use does not grow with the number of messages, frames, windows and errors."""
        buffer = kernels.framing.ReadBuffer(4096)
        stream = sequence(masked) + long_frame(2, RAW[:200_000], masked)

        def work() -> None:
            for ending in (b"\xff\xff", b"\x81\xff" + bytes(12), long_frame(1, b"\xff" * 300, masked)):
                reading = Reading(kernels, buffer, masked=masked)
                reading.read_all(stream)
                reading.feed(stream)
                reading.feed(ending)
                assert reading.items[-1][0] == "breach"
            for payload in ("é漢", "text", b"x" * 500, bytearray(500), memoryview(RAW)[:500]):
                kernels.framing.encode_frame(1, payload, masked)
            for wrong in ("\ud800", 5):
                with pytest.raises((UnicodeEncodeError, TypeError)):
                    kernels.framing.encode_frame(1, wrong, masked)

        def repeatedly() -> None:
            for _ in range(10):
                work()

        work()
        assert taken(repeatedly)[0] < SMALL


class TestReceived:
    @pytest.mark.parametrize("size", [-1, 65, 2**31, -(2**31)])
    def test_more_than_there_is_room_for_is_refused(self, kernels: Kernels, size: int) -> None:
        reading = Reading(kernels, kernels.framing.ReadBuffer(64), masked=False)
        reading.feed(b"\x81")
        reading.reader.get_buffer()
        with pytest.raises(ValueError, match=f"{size} bytes"):
            reading.reader.received(size)
        reading.read(b"\x01a")
        assert reading.items == [("text", "a")]

    def test_a_whole_buffer_is_taken(self, kernels: Kernels) -> None:
        reading = Reading(kernels, kernels.framing.ReadBuffer(64), masked=False)
        assert reading.read(oracle.frame(2, bytes(62))) == 64
        assert reading.items == [("binary", bytes(62))]

    @pytest.mark.parametrize("wrong", [-1, "one too many", 2**40])
    def test_more_than_a_window_holds_is_refused(self, kernels: Kernels, wrong: int | str) -> None:
        reading = Reading(kernels, kernels.framing.ReadBuffer(64), masked=False)
        data = long_frame(2, RAW, False)
        reading.feed(data[:1000])
        view = reading.reader.get_buffer()
        size = len(view) + 1 if isinstance(wrong, str) else wrong
        with pytest.raises(ValueError, match=f"{size} bytes"):
            reading.reader.received(size)
        reading.read_all(data[1000:])
        assert reading.items == [("binary", RAW)]

    def test_the_hint_does_not_matter(self, kernels: Kernels) -> None:
        buffer = kernels.framing.ReadBuffer(64)
        reader = kernels.framing.FrameReader(buffer, False)
        for hint in (-1, 0, 1, 10**9):
            assert len(reader.get_buffer(hint)) == 64
        assert len(reader.get_buffer()) == 64

    def test_the_buffer_is_the_one_that_was_given(self, kernels: Kernels) -> None:
        buffer = kernels.framing.ReadBuffer(64)
        reader = kernels.framing.FrameReader(buffer, False)
        buffer.view[:3] = b"\x81\x01a"
        assert reader.received(3) == ["a"]

    def test_whatever_is_no_buffer_is_refused(self, kernels: Kernels) -> None:
        for wrong in (bytearray(64), memoryview(bytearray(64)), None, 64):
            with pytest.raises(TypeError):
                kernels.framing.FrameReader(wrong, False)

"""Frames, read, against the oracle: in any pieces, by both ways in."""

from __future__ import annotations

import array
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from . import oracle
from .generated import Conversation, conversations, cuts, pieces
from .reading import Reading, check, give_by_feed, give_by_reads
from .samples import KEY, RAW, fragments, sequence

if TYPE_CHECKING:
    from .twins import Kernels


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

    def test_heard_tells_whether_anything_came_since(self, kernels: Kernels) -> None:
        reader = kernels.framing.FrameReader(kernels.framing.ReadBuffer(16), False)
        assert reader.heard is False
        reader.feed(b"\x81")
        assert reader.heard is True
        reader.heard = False
        reader.get_buffer()
        assert reader.heard is False
        reader.received(0)
        assert reader.heard is True

    @pytest.mark.parametrize(
        "begun", [b"", b"\x81", b"\x81\x05ab", oracle.frame(1, b"a", fin=False), b"\x82\x7f" + (2**18).to_bytes(8, "big")]
    )
    def test_a_reader_that_discards_still_takes_reads(self, kernels: Kernels, begun: bytes) -> None:
        reader = kernels.framing.FrameReader(kernels.framing.ReadBuffer(16), False)
        assert reader.feed(oracle.frame(1, b"before") + begun)[0] == "before"
        size = len(reader.get_buffer())  # perhaps of the payload itself, which is thrown away now
        reader.discard()
        assert reader.received(size) == []
        assert reader.feed(b"cde" + oracle.frame(1, b"after") + b"\xff\x00") == []
        assert reader.only_messages is True
        reader.discard()
        assert len(reader.get_buffer()) == 16

    def test_another_thread_may_have_the_pure_reader_discard_in_the_middle_of_a_read(
        self, pure: Kernels, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        whole = oracle.frame(1, b"abcdef", key=b"1234")
        mask = pure.framing.mask
        reader = pure.framing.FrameReader(pure.framing.ReadBuffer(16), True)
        monkeypatch.setattr(pure.framing, "mask", lambda *args: (reader.discard(), mask(*args))[1])
        assert reader.feed(whole[:8]) == []
        assert reader.feed(whole[8:]) == []

        reader = pure.framing.FrameReader(pure.framing.ReadBuffer(16), True)
        monkeypatch.setattr(pure.framing, "mask", mask)
        reader.feed(whole[:8])
        monkeypatch.setattr(pure.framing, "mask", lambda *args: (reader.discard(), mask(*args))[1])
        assert reader.feed(whole[8:]) == ["abcdef"]
        assert reader.feed(whole) == []

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

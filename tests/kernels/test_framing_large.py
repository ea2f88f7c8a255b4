"""Large payloads, which are read into their final object, and the memory that readers hold."""

from __future__ import annotations

import gc
import random
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from . import oracle
from .reading import Reading, give_by_feed, give_by_reads
from .samples import KEY, RAW, sequence

if TYPE_CHECKING:
    from collections.abc import Callable

    from .twins import Kernels


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

"""Frames, written, against the oracle."""

from __future__ import annotations

import array
import ctypes
import enum
import mmap
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from . import oracle
from .reading import Reading
from .samples import RAW

if TYPE_CHECKING:
    from .twins import Kernels


SIZES = [0, 1, 2, 124, 125, 126, 127, 128, 255, 256, 65534, 65535, 65536, 65537, 70000, 2**20]


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

    @pytest.mark.parametrize(
        ("message", "opcode", "raw"),
        [
            ("", 1, b""),
            ("abc", 1, b"abc"),
            ("é漢🎉", 1, "é漢🎉".encode()),
            (type("Text", (str,), {})("sub"), 1, b"sub"),
            (b"", 2, b""),
            (RAW[:300], 2, RAW[:300]),
            (type("Bytes", (bytes,), {})(b"sub"), 2, b"sub"),
            (bytearray(b"abc"), 2, b"abc"),
            (memoryview(RAW)[1:70000], 2, RAW[1:70000]),
            (array.array("H", [1, 2]), 2, array.array("H", [1, 2]).tobytes()),
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_a_message_of_its_own_kind(self, kernels: Kernels, message: Any, opcode: int, raw: bytes) -> None:
        expected = oracle.frame(opcode, raw, True, 0)
        assert kernels.framing.encode_message(message) == expected
        assert taken_apart(kernels.framing.encode_masked_message(message))[1] == expected

    def test_what_is_no_message_is_refused(self, kernels: Kernels) -> None:
        for encode in (kernels.framing.encode_message, kernels.framing.encode_masked_message):
            for message in (None, 5, ["a"], object()):
                with pytest.raises(TypeError, match=f"bytes-like.*not {type(message).__name__}") as caught:
                    encode(message)
                assert caught.value.__suppress_context__
            with pytest.raises(UnicodeEncodeError):
                encode("a\ud800")
            with pytest.raises(BufferError):
                encode(memoryview(RAW)[:10:2])

    def test_a_header_alone_is_that_of_the_frame(self, kernels: Kernels) -> None:
        for opcode in (1, 2, 15):
            for size in (0, 1, 125, 126, 127, 255, 256, 65535, 65536, 100_000):
                frame = kernels.framing.encode_frame(opcode, bytes(size), False)
                assert kernels.framing.encode_header(opcode, size) == frame[: len(frame) - size]
        assert kernels.framing.encode_header(2, 2**63 - 1) == bytes.fromhex("827f7fffffffffffffff")

    @pytest.mark.parametrize(("opcode", "size"), [(-1, 0), (16, 0), (2**70, 0), (2, -1), (2, 2**63), (2, 2**70)])
    def test_a_header_that_cannot_be_is_refused(self, kernels: Kernels, opcode: int, size: int) -> None:
        with pytest.raises(ValueError, match="no frame has"):
            kernels.framing.encode_header(opcode, size)

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

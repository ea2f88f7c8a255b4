"""UTF-8 in pieces: against `bytes.decode` for the verdict, against the oracle for the byte at which it is known."""

from __future__ import annotations

import array
from itertools import product
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from . import oracle
from .generated import cuts, nearly_texts, pieces, texts

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .twins import Kernels

# The first and the last of every kind of byte in RFC 3629's grammar, and one within.
EDGES = (0x00, 0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC2, 0xDF, 0xE0, 0xED, 0xEF, 0xF0, 0xF4, 0xFF)
LEADS = (0xC1, 0xC2, 0xDF, 0xE0, 0xE1, 0xEC, 0xED, 0xEE, 0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xF8, 0xFF)


def decodes(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def check(kernels: Kernels, data: bytes, parts: Iterable[bytes]) -> None:
    """Feed the parts of `data`, and compare each answer."""
    good = oracle.utf8_good(data)
    validator = kernels.utf8.Utf8Validator()
    position = 0
    for part in parts:
        position += len(part)
        assert validator.feed(part) is (position <= good), (data, position)
    assert validator.is_complete() is decodes(data), data


def every_split(data: bytes) -> Iterable[tuple[bytes, ...]]:
    yield (data,)
    for i in range(1, len(data)):
        yield data[:i], data[i:]
    if len(data) > 2:
        yield tuple(data[i : i + 1] for i in range(len(data)))


def test_nothing_is_valid(kernels: Kernels) -> None:
    validator = kernels.utf8.Utf8Validator()
    assert validator.is_complete() is True
    assert validator.feed(b"") is True
    assert validator.is_complete() is True


def test_every_byte(kernels: Kernels) -> None:
    for byte in range(256):
        check(kernels, bytes([byte]), [bytes([byte])])


def test_every_pair_of_bytes(kernels: Kernels) -> None:
    for data in map(bytes, product(range(256), repeat=2)):
        for parts in every_split(data):
            check(kernels, data, parts)


def test_three_bytes(kernels: Kernels) -> None:
    for data in map(bytes, product(LEADS, EDGES, EDGES)):
        for parts in every_split(data):
            check(kernels, data, parts)


def test_every_second_byte_of_three(kernels: Kernels) -> None:
    for lead in range(0xE0, 0xF0):
        for second in range(256):
            data = bytes([lead, second, 0x80])
            check(kernels, data, [data])


def test_four_bytes(kernels: Kernels) -> None:
    edges = (0x41, 0x7F, 0x80, 0x8F, 0x90, 0xBF, 0xC2, 0xF0)
    for data in map(bytes, product((0xE0, 0xED, 0xEF, 0xF0, 0xF1, 0xF4, 0xF5), edges, edges, edges)):
        for parts in every_split(data):
            check(kernels, data, parts)


def test_every_second_byte_of_four(kernels: Kernels) -> None:
    for lead in range(0xF0, 0x100):
        for second in range(256):
            data = bytes([lead, second, 0x80, 0x80])
            check(kernels, data, [data])


def test_every_character(kernels: Kernels) -> None:
    validator = kernels.utf8.Utf8Validator()
    for first in range(0, 0x110000, 256):
        if not 0xD800 <= first < 0xE000:
            assert validator.feed("".join(map(chr, range(first, first + 256))).encode()), hex(first)
            assert validator.is_complete()


def test_every_surrogate(kernels: Kernels) -> None:
    for code in range(0xD800, 0xE000):
        data = chr(code).encode(errors="surrogatepass")
        assert kernels.utf8.Utf8Validator().feed(data[:1]) is True
        assert kernels.utf8.Utf8Validator().feed(data[:2]) is False
        assert kernels.utf8.Utf8Validator().feed(data) is False


@pytest.mark.parametrize("before", [*range(34), 63, 64, 65, 1000])
def test_after_any_run_of_ascii(kernels: Kernels, before: int) -> None:
    run = b"x" * before
    for tail in (b"\xc3\xa9", b"\xed\x9f\xbf", b"\xf4\x8f\xbf\xbf", b"\x80", b"\xc0\x80", b"\xed\xa0\x80", b"\xff"):
        for after in (b"", b"y" * 40):
            data = run + tail + after
            check(kernels, data, [data])
            check(kernels, data, [run + tail[:1], tail[1:] + after])


@pytest.mark.parametrize("unit", ["é", "漢", "🎉", "aé", "éa漢", "漢🎉ab", "🎉éaaaaaaa"])
@pytest.mark.parametrize(
    "tail", ["ff", "80", "c0", "c3", "c3a9", "e08080", "eda080", "ed9fbf", "e6bc", "f09f8e", "f4908080"]
)
def test_after_any_run_of_other_characters(kernels: Kernels, unit: str, tail: str) -> None:
    """A bad, a good and an unfinished character at every place in long text, and at every distance from its end."""
    for count in range(45):
        for after in (0, 1, 2, 3, 4, 5, 17, 70):
            data = (unit * 45)[:count].encode() + bytes.fromhex(tail) + b"y" * after
            check(kernels, data, [data])


def test_every_bad_byte_in_long_text(kernels: Kernels) -> None:
    text = "漢字é and 🎉! ".encode() * 9
    for place in range(len(text)):
        for bad in (0x00, 0x80, 0xBF, 0xC0, 0xC3, 0xE0, 0xED, 0xF0, 0xF4, 0xFF):
            data = text[:place] + bytes([bad]) + text[place + 1 :]
            check(kernels, data, [data])


def test_nothing_beyond_the_end_matters(kernels: Kernels) -> None:
    """The bytes that lie behind the piece in memory would go on with it, or spoil it."""
    for unit in ("é", "漢", "🎉", "aé漢🎉"):
        for rest in (unit.encode() * 3, b"\xff" * 8, b"\x80" * 8, b"abcdefgh"):
            for size in range(140):
                text = (unit * 140).encode()[:size]
                view = memoryview(text + rest)[:size]
                validator = kernels.utf8.Utf8Validator()
                assert validator.feed(view) is True
                assert validator.is_complete() is decodes(text)


def test_what_comes_after_a_bad_byte_does_not_mend_it(kernels: Kernels) -> None:
    validator = kernels.utf8.Utf8Validator()
    assert validator.feed(b"\xff") is False
    for more in (b"", b"a", b"\x80", b"a" * 100):
        assert validator.feed(more) is False
        assert validator.is_complete() is False


def test_an_unfinished_character_is_not_complete(kernels: Kernels) -> None:
    for character in ("é", "漢", "🎉"):
        validator = kernels.utf8.Utf8Validator()
        raw = character.encode()
        for i in range(len(raw)):
            assert validator.is_complete() is (i == 0)
            assert validator.feed(raw[i : i + 1]) is True
        assert validator.is_complete() is True


@given(data=st.one_of(texts.map(str.encode), nearly_texts, st.binary(max_size=40)), cuts=cuts)
def test_anything_in_any_pieces(kernels: Kernels, data: bytes, cuts: list[int]) -> None:
    check(kernels, data, pieces(data, cuts))
    check(kernels, data, [data[i : i + 1] for i in range(len(data))])


@pytest.mark.parametrize("unit", ["ж", "漢", "😀", "a漢", "é😀aa"])
def test_pieces_that_are_long_enough_for_vectors(kernels: Kernels, unit: str) -> None:
    raw = (unit * 80).encode()
    for size in (*range(30, 42), *range(62, 70), 97, 131):
        check(kernels, raw, [raw[i : i + size] for i in range(0, len(raw), size)])
        for place in range(0, len(raw), 5):
            for byte in (0x80, 0xC3, 0xED, 0xF4, 0xFF, 0x41):
                spoiled = raw[:place] + bytes([byte]) + raw[place + 1 :]
                check(kernels, spoiled, [spoiled[i : i + size] for i in range(0, len(raw), size)])


def test_two_validators_know_nothing_of_each_other(kernels: Kernels) -> None:
    one, other = kernels.utf8.Utf8Validator(), kernels.utf8.Utf8Validator()
    assert one.feed(b"\xe6\xbc")
    assert other.feed(b"a")
    assert other.is_complete()
    assert other.feed(b"\xff") is False
    assert one.feed(b"\xa2")
    assert one.is_complete()


def test_any_contiguous_buffer(kernels: Kernels) -> None:
    raw = "漢字!!".encode()
    for buffer in (raw, bytearray(raw), memoryview(raw), memoryview(raw).cast("B", (2, 4)), array.array("I", raw)):
        validator = kernels.utf8.Utf8Validator()
        assert validator.feed(buffer) is True
        assert validator.is_complete() is True
    buffer = bytearray(raw)
    kernels.utf8.Utf8Validator().feed(buffer)
    buffer.append(0)  # a BufferError while anybody still holds it


def test_what_is_no_buffer_is_refused(kernels: Kernels) -> None:
    validator = kernels.utf8.Utf8Validator()
    with pytest.raises(BufferError):
        validator.feed(memoryview(b"abcdef")[::2])
    for wrong in ("text", None, 5, [1]):
        with pytest.raises(TypeError):
            validator.feed(wrong)
    assert validator.feed(b"a") is True
    assert validator.is_complete() is True

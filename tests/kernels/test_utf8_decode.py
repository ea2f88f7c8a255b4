"""Whole texts, at every width of vectors and through both readers: against `bytes.decode`, near every edge of a vector."""

from __future__ import annotations

import ctypes
import mmap
import random
import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cwschannel.exceptions import ProtocolError

from . import oracle
from .generated import nearly_texts, texts
from .samples import KEY

if TYPE_CHECKING:
    from .twins import Kernels

# One character of each length in UTF-8 and each width in which CPython stores text, and of mixed ones.
UNITS = (*"aé\x80ж漢\uffff😀\U0010ffff", "aж", "é漢", "a😀", "aé漢😀", "😀aaaaaaaaaaaaaaaaaaaaaaa")
# Where a vector ends, or the step in which it is looked at, and some bytes around.
EDGES = [place for edge in (32, 64, 128) for place in range(edge - 4, edge + 2)]
# From RFC 3629: not one of these may be in a text. In hexadecimal.
BROKEN = """
80 bf c080 c1bf c2 c2c280 df7f e09fbf e08080 eda080 edbfbf e6bc e64180 efbfbfbf f08fbfbf f0808080 f4908080 f5808080
f888808080 f09f98 f09f4180 fe ff f09f988080 c3a9a9 f180c280 e180e18080
"""
NO_ACCESS = 0  # PROT_NONE, which mmap does not name

Decode = Callable[[bytes], Any]


def levels(kernels: Kernels) -> dict[str, Decode]:
    """Straight to the decoder, at every level that the processor has."""
    if kernels.name == "pure":
        return {}
    decode = kernels.utf8._decode_at_level
    found = {}
    for level in range(kernels.utf8._best_level() + 1):
        found[f"level {level}"] = lambda data, level=level: decode(level, data)
        found[f"level {level}, masked"] = lambda data, level=level: decode(level, bytearray(oracle.mask(data, KEY)), KEY)
    return found


def readers(kernels: Kernels) -> dict[str, Decode]:
    """Through a reader, from a buffer of its own and from elsewhere, masked and plain."""

    def read(data: bytes, key: bytes | None, own: bool) -> str:
        reader = kernels.framing.FrameReader(buffer, masked=key is not None)
        frame = oracle.frame(1, data, key=key)
        if own:
            buffer.view[: len(frame)] = frame
        (item,) = reader.received(len(frame)) if own else reader.feed(frame)
        if isinstance(item, ProtocolError):
            raise item
        assert reader.only_messages
        return item

    buffer = kernels.framing.ReadBuffer(65536)
    return {
        f"{'read' if own else 'fed'}, {'masked' if key else 'plain'}": lambda data, key=key, own=own: read(data, key, own)
        for own in (True, False)
        for key in (KEY, None)
    }


def check(ways: dict[str, Decode], data: bytes) -> None:
    try:
        expected = data.decode()
    except UnicodeDecodeError:
        for way, decode in ways.items():
            with pytest.raises(ProtocolError) as caught:
                pytest.fail(f"{way}: {data!r} gives {decode(data)!r}")
            assert (caught.value.rule, caught.value.code) == ("invalid-utf-8", 1007), (way, data)
        return
    for way, decode in ways.items():
        text = decode(data)
        assert type(text) is str
        assert text == expected, (way, data)
        # the same width of characters too, without which Python takes equal texts for different ones
        assert sys.getsizeof(text) == sys.getsizeof(expected), (way, data)
        assert hash(text) == hash(expected)


def verdicts(ways: dict[str, Decode], many: Iterable[bytes]) -> None:
    """The same for very many texts that are nearly all wrong, without more work for each than there must be."""
    for data in many:
        try:
            expected = data.decode()
        except UnicodeDecodeError:
            expected = None
        for way, decode in ways.items():
            try:
                text = decode(data)
            except ProtocolError:
                text = None
            assert text == expected, (way, data)


@pytest.fixture(scope="module")
def ways(kernels: Kernels) -> dict[str, Decode]:
    return levels(kernels) | readers(kernels)


@pytest.fixture(scope="module")
def plain(compiled: Kernels) -> dict[str, Decode]:
    """Only the decoder itself, for what is exhaustive."""
    return {way: decode for way, decode in levels(compiled).items() if "masked" not in way}


@pytest.mark.parametrize("unit", UNITS)
def test_every_length(ways: dict[str, Decode], unit: str) -> None:
    for before in ("", "x", "xyz", "x" * 61):
        for n in range(150 // len(unit)):
            check(ways, (before + unit * n).encode())


@pytest.mark.parametrize("unit", [unit for unit in UNITS if unit != "a"])
def test_text_that_stops_anywhere(ways: dict[str, Decode], unit: str) -> None:
    data = (unit * 50).encode()
    for n in range(min(len(data), 145)):
        check(ways, data[:n])


def test_every_character_alone(plain: dict[str, Decode]) -> None:
    for decode in plain.values():
        for code in range(0x110000):
            if not 0xD800 <= code < 0xE000:
                character = chr(code)
                assert decode(character.encode()) == character


def test_every_character_among_others(ways: dict[str, Decode]) -> None:
    for first in range(0, 0x110000, 1024):
        if not 0xD800 <= first < 0xE000:
            check(ways, "".join(map(chr, range(first, first + 1024))).encode())


def test_every_surrogate(plain: dict[str, Decode]) -> None:
    for before in (b"", b"x" * 31, b"x" * 62):
        verdicts(plain, (before + chr(code).encode(errors="surrogatepass") for code in range(0xD800, 0xE000)))


def test_every_pair_of_bytes_at_the_edges(plain: dict[str, Decode]) -> None:
    for place in (0, 30, 31, 63):
        before, after = b"x" * place, b"x" * 40
        verdicts(plain, (before + bytes(pair) + after for pair in product(range(0x80, 256), range(256))))


def bytes_of_each_kind(count: int) -> Iterator[bytes]:
    leads = (0x41, 0x80, 0xC1, 0xC2, 0xE0, 0xE1, 0xED, 0xEF, 0xF0, 0xF1, 0xF4, 0xF5)
    others = (0x41, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC2, 0xE1, 0xF1)
    return map(bytes, product(leads, *[others] * (count - 1)))


@pytest.mark.parametrize("place", EDGES)
def test_three_and_four_bytes_at_the_edges(plain: dict[str, Decode], place: int) -> None:
    before = b"x" * place
    verdicts(plain, (before + data for data in bytes_of_each_kind(3)))
    verdicts(plain, (before + data + b"x" * 33 for data in bytes_of_each_kind(3)))
    if place in (29, 30, 31, 62):
        verdicts(plain, (before + data for data in bytes_of_each_kind(4)))


@pytest.mark.parametrize("unit", ["x", "ж", "漢", "😀"])
def test_what_is_broken_is_found_at_every_place(ways: dict[str, Decode], unit: str) -> None:
    around = (unit * 140).encode()
    width = len(unit.encode())
    for broken in map(bytes.fromhex, BROKEN.split()):
        for place in range(0, 140, width):
            check(ways, around[:place] + broken)
            if place % 7 == 0:
                check(ways, around[:place] + broken + around[: 8 * width])


def test_large_mixtures(ways: dict[str, Decode]) -> None:
    chance = random.Random(3629)
    pools = [range(0x80), range(0x80, 0x100), range(0x400, 0x500), range(0x800, 0xD800), range(0xE000, 0x10000)]
    pools.append(range(0x10000, 0x110000))
    for _ in range(150):
        some = chance.sample(pools, chance.choice((1, 2, 3, 6)))
        codes = [code for _ in range(chance.randrange(1, 60)) for code in chance.choices(chance.choice(some), k=30)]
        data = bytearray("".join(map(chr, codes)).encode())
        check(ways, bytes(data))
        for _ in range(3):
            data[chance.randrange(len(data))] = chance.randrange(256)
            check(ways, bytes(data))


@given(data=st.one_of(texts.map(str.encode), nearly_texts, st.binary(max_size=200)), before=st.integers(0, 70))
def test_anything(ways: dict[str, Decode], data: bytes, before: int) -> None:
    data = b"x" * before + data
    check(ways, data)
    for decode in ways.values():
        try:
            decode(data)
        except ProtocolError:
            assert not oracle.utf8_complete(data)
        else:
            assert oracle.utf8_complete(data)


@pytest.fixture(scope="module")
def last_page() -> Iterator[memoryview]:
    """A page of memory behind which there is none."""
    protect = getattr(ctypes.CDLL(None), "mprotect", None) if sys.platform != "win32" else None
    if protect is None:
        pytest.skip("this system has no mprotect")
    area = mmap.mmap(-1, 2 * mmap.PAGESIZE)
    second = ctypes.addressof(ctypes.c_char.from_buffer(area)) + mmap.PAGESIZE
    assert protect(ctypes.c_void_p(second), mmap.PAGESIZE, NO_ACCESS) == 0
    yield memoryview(area)[: mmap.PAGESIZE]
    assert protect(ctypes.c_void_p(second), mmap.PAGESIZE, mmap.PROT_READ | mmap.PROT_WRITE) == 0


def test_nothing_is_read_behind_the_end(compiled: Kernels, last_page: memoryview) -> None:
    """A text may end where the process has no more memory: one byte too many and this process is gone."""
    decode = compiled.utf8._decode_at_level
    for unit in UNITS:
        text = unit * 200
        for n in range(min(len(text), 160)):
            data = text[:n].encode()
            last_page[mmap.PAGESIZE - len(data) :] = data
            for level in range(compiled.utf8._best_level() + 1):
                assert decode(level, last_page[mmap.PAGESIZE - len(data) :]) == text[:n]
                masked = last_page[mmap.PAGESIZE - len(data) :]
                masked[:] = oracle.mask(data, KEY)
                assert decode(level, masked, KEY) == text[:n]
                assert masked == data
            validator = compiled.utf8.Utf8Validator()
            assert validator.feed(last_page[mmap.PAGESIZE - len(data) :])
            assert validator.is_complete()

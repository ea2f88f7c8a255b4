"""Text into frames, at every width of vectors and on both twins: against `str.encode`."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from . import oracle

if TYPE_CHECKING:
    from .twins import Kernels

UNITS = (*"é\x80ж漢\uffff😀\U0010ffff", "ÿa", "\u07ff\u0800", "aж", "é漢", "a😀", "aé漢😀", "ж" + 30 * "a")

Encode = Callable[[str], bytes]


@pytest.fixture(scope="module")
def ways(kernels: Kernels) -> dict[str, Encode]:
    """Ways to make the plain frame of a text."""
    encode_frame = kernels.framing.encode_frame

    def unmasked(text: str) -> bytes:
        frame = encode_frame(1, text, True)
        header = 8 if frame[1] == 254 else 14 if frame[1] == 255 else 6
        body = oracle.mask(frame[header:], frame[header - 4 : header])
        return bytes([frame[0], frame[1] & 0x7F]) + frame[2 : header - 4] + body

    found: dict[str, Encode] = {"plain": lambda text: encode_frame(1, text, False), "masked": unmasked}
    if kernels.name == "compiled":
        at_level = kernels.framing._text_frame_at_level
        for level in range(kernels.framing._best_level() + 1):
            found[f"level {level}"] = lambda text, level=level: at_level(level, text)
    return found


def check(ways: dict[str, Encode], text: str) -> None:
    expected = oracle.frame(1, text.encode())
    for way, encode in ways.items():
        assert encode(text) == expected, (way, text)


@pytest.mark.parametrize("unit", UNITS)
def test_every_length(ways: dict[str, Encode], unit: str) -> None:
    for before in ("", "x", "x" * 13):
        for n in range(110 // len(unit)):
            check(ways, before + unit * n)
    check(ways, unit * 25000)  # the longest form of a length


def test_every_character(ways: dict[str, Encode]) -> None:
    for first in range(0, 0x110000, 1024):
        if not 0xD800 <= first < 0xE000:
            check(ways, "".join(map(chr, range(first, first + 1024))))


def test_every_character_alone(compiled: Kernels) -> None:
    """Where it is the last of many, as the widest or as the only one that is not ASCII."""
    encode = compiled.framing._text_frame_at_level
    for level in range(compiled.framing._best_level() + 1):
        for code in range(0x80, 0x110000):
            if not 0xD800 <= code < 0xE000:
                assert encode(level, "a" * 16 + chr(code))[18:] == chr(code).encode()


@pytest.mark.parametrize("around", ["x", "漢", "😀"])
def test_a_lone_surrogate_at_every_place(ways: dict[str, Encode], around: str) -> None:
    for surrogate in ("\ud800", "\udbff", "\udc00", "\udfff", "\ud83d\ude00"):
        for place in range(70):
            for after in (0, 1, 40):
                for encode in ways.values():
                    with pytest.raises(UnicodeEncodeError):
                        encode(around * place + surrogate + around * after)


def test_large_mixtures(ways: dict[str, Encode]) -> None:
    chance = random.Random(3629)
    pools = [range(0x80), range(0x80, 0x100), range(0x400, 0x500), range(0x800, 0xD800), range(0x10000, 0x110000)]
    for _ in range(150):
        some = chance.sample(pools, chance.choice((1, 2, 3, 5)))
        check(ways, "".join(chr(chance.choice(chance.choice(some))) for _ in range(chance.randrange(1, 3000))))


@given(text=st.text(max_size=80), before=st.integers(0, 40))
def test_anything(ways: dict[str, Encode], text: str, before: int) -> None:
    check(ways, "x" * before + text)

"""The accept value of the opening handshake."""

from __future__ import annotations

import base64
import hashlib
import random
import re
import string
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

if TYPE_CHECKING:
    from .twins import Kernels

ALPHABET = string.ascii_letters + string.digits + "+/"
KEYS = [base64.b64encode(random.Random(i).randbytes(16)).decode() for i in range(2000)]


def expected(key: str) -> str:
    digest = hashlib.sha1(key.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
    return base64.b64encode(digest).decode()


def test_the_example_of_the_rfc(kernels: Kernels) -> None:
    """Section 1.3."""
    assert kernels.signing.sign_key("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def test_many_keys(kernels: Kernels) -> None:
    for key in KEYS:
        accept = kernels.signing.sign_key(key)
        assert type(accept) is str
        assert accept == expected(key), key


def test_many_keys_without_the_instructions_of_the_processor(compiled: Kernels) -> None:
    assert compiled.signing._sign_key_portable("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    for key in KEYS:
        assert compiled.signing._sign_key_portable(key) == expected(key), key


@given(raw=st.binary(min_size=16, max_size=16))
def test_any_key(kernels: Kernels, raw: bytes) -> None:
    key = base64.b64encode(raw).decode()
    assert kernels.signing.sign_key(key) == expected(key)


@pytest.mark.parametrize("last", ALPHABET)
def test_bits_that_are_not_used_do_not_matter(kernels: Kernels, last: str) -> None:
    """Base64 of 16 bytes leaves four bits of its last character over."""
    key = f"dGhlIHNhbXBsZSBub25jZ{last}=="
    assert kernels.signing.sign_key(key) == expected(key)


@pytest.mark.parametrize(
    "key",
    [
        "",
        "=" * 24,
        "A" * 24,
        "A" * 23 + "=",
        "A" * 21 + "===",
        "A" * 20 + "====",
        "A" * 22 + "=",
        "A" * 21 + "==",
        "A" * 23 + "==",
        "A" * 26 + "==",
        "A" * 22 + "==\n",
        "A" * 22 + "== ",
        " " + "A" * 21 + "==",
        "A" * 10 + "\n" + "A" * 11 + "==",
        "A" * 10 + "=" + "A" * 11 + "==",
        "A" * 21 + "-==",
        "A" * 21 + "_==",
        "A" * 21 + "\0==",
        "A" * 21 + "\x7f==",
        "A" * 21 + "é==",
        "A" * 21 + "Ａ==",  # noqa: RUF001 - the fullwidth letter is what is to be refused
        "A" * 21 + "\ud800==",
        "é" * 12,
    ],
    ids=ascii,
)
def test_what_is_no_key_is_refused(kernels: Kernels, key: str) -> None:
    with pytest.raises(ValueError, match="24 characters"):
        kernels.signing.sign_key(key)


@pytest.mark.parametrize("place", range(24))
def test_one_wrong_character_anywhere_is_refused(kernels: Kernels, place: int) -> None:
    key = "dGhlIHNhbXBsZSBub25jZQ=="
    for character in map(chr, range(0x180)):
        changed = key[:place] + character + key[place + 1 :]
        if re.fullmatch("[A-Za-z0-9+/]{22}==", changed):
            assert kernels.signing.sign_key(changed) == expected(changed)
        else:
            with pytest.raises(ValueError, match="24 characters"):
                kernels.signing.sign_key(changed)


@given(key=st.text(alphabet=ALPHABET + "==-_ \n\0é", min_size=22, max_size=26))
def test_anything_like_a_key(kernels: Kernels, key: str) -> None:
    if re.fullmatch("[A-Za-z0-9+/]{22}==", key):
        assert kernels.signing.sign_key(key) == expected(key)
    else:
        with pytest.raises(ValueError, match="24 characters"):
            kernels.signing.sign_key(key)


@pytest.mark.parametrize("key", [b"dGhlIHNhbXBsZSBub25jZQ==", None, 24, ["A" * 22 + "=="]], ids=repr)
def test_a_key_that_is_no_text_is_refused(kernels: Kernels, key: object) -> None:
    with pytest.raises(TypeError):
        kernels.signing.sign_key(key)

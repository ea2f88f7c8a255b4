"""Masking against the oracle: every size, offset, alignment and width of vectors; and keys that never come twice."""

from __future__ import annotations

import array
import ctypes
import mmap
import os
import random
import subprocess
import sys
import threading
import warnings
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import cwschannel

from . import oracle

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .twins import Kernels

KEY = b"\x37\xfa\x21\x3d"
SIZES = range(301)
LARGE = [4095, 4096, 4097, 4099, 65535, 65536, 65543, 262144 + 3, 1000003]
OFFSETS = [*range(9), 126, 2**31 + 1, 2**32 + 2, 2**63 - 1]
DATA = random.Random(6455).randbytes(1_000_100)


@cache
def masked(first: int, size: int, offset: int) -> bytes:
    return oracle.mask(DATA[first : first + size], KEY, offset)


@pytest.mark.parametrize("offset", OFFSETS)
def test_every_size_at_every_offset(kernels: Kernels, offset: int) -> None:
    for size in SIZES:
        assert kernels.masking.mask(DATA[:size], KEY, offset) == masked(0, size, offset % 4), size


@pytest.mark.parametrize("size", LARGE)
def test_large(kernels: Kernels, size: int) -> None:
    for offset in range(4):
        out = kernels.masking.mask(DATA[:size], KEY, offset)
        assert type(out) is bytes
        assert out == masked(0, size, offset)
        buffer = bytearray(DATA[:size])
        kernels.masking.mask_in_place(buffer, KEY, offset)
        assert buffer == masked(0, size, offset)


def test_every_alignment(kernels: Kernels) -> None:
    view = memoryview(DATA)
    for first in range(65):
        for size in (0, 1, 7, 8, 15, 16, 31, 33, 63, 64, 65, 127, 129, 300):
            assert kernels.masking.mask(view[first : first + size], KEY) == masked(first, size, 0), (first, size)


def test_every_alignment_in_place_and_nothing_beside_it(kernels: Kernels) -> None:
    whole = DATA[:400]
    for first in range(65):
        for size in (0, 1, 7, 8, 15, 16, 31, 33, 63, 64, 65, 127, 129, 300):
            buffer = bytearray(whole)
            assert kernels.masking.mask_in_place(memoryview(buffer)[first : first + size], KEY) is None
            assert buffer == whole[:first] + masked(first, size, 0) + whole[first + size :], (first, size)


def test_large_at_every_alignment(kernels: Kernels) -> None:
    """From some size on, whole lines of the cache are written, with the key turned by what comes before the first."""
    view = memoryview(DATA)
    for first in range(65):
        for size in (8191, 8192, 8193, 8192 + 127, 8192 + 259):
            assert kernels.masking.mask(view[first : first + size], KEY, first) == masked(first, size, first % 4)
            buffer = bytearray(DATA[: first + size + 3])
            kernels.masking.mask_in_place(memoryview(buffer)[first : first + size], KEY, first)
            assert buffer == DATA[:first] + masked(first, size, first % 4) + DATA[first + size : first + size + 3]


def test_every_width_of_vectors(compiled: Kernels) -> None:
    best = compiled.masking._best_level()
    assert 0 <= best <= 2
    view = memoryview(DATA)
    for level in range(best + 1):
        for offset in range(4):
            for size in (*SIZES, *LARGE):
                out = compiled.masking._mask_at_level(level, DATA[:size], KEY, offset)
                assert out == masked(0, size, offset), (level, offset, size)
        for first in range(65):
            for size in (31, 64, 129, 300):
                out = compiled.masking._mask_at_level(level, view[first : first + size], KEY)
                assert out == masked(first, size, 0), (level, first, size)


def test_a_width_that_the_processor_lacks_is_replaced_by_one_it_has(compiled: Kernels) -> None:
    assert compiled.masking._mask_at_level(99, DATA[:300], KEY) == masked(0, 300, 0)
    assert compiled.masking._mask_at_level(-1, DATA[:300], KEY) == masked(0, 300, 0)


@given(data=st.binary(max_size=600), key=st.binary(min_size=4, max_size=4), offset=st.integers(0, 2**63 - 1))
def test_anything(kernels: Kernels, data: bytes, key: bytes, offset: int) -> None:
    out = kernels.masking.mask(data, key, offset)
    assert out == oracle.mask(data, key, offset)
    assert kernels.masking.mask(out, key, offset) == data


@given(data=st.binary(max_size=600), cuts=st.lists(st.integers(0, 600), max_size=5))
def test_pieces_with_their_offsets_make_the_whole(kernels: Kernels, data: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    parts = [kernels.masking.mask(data[a:b], KEY, a) for a, b in pairwise(edges)]
    assert b"".join(parts) == oracle.mask(data, KEY)


def buffers(raw: bytes) -> Iterator[tuple[str, Any]]:
    """Writable objects of many kinds that all hold these 48 bytes."""
    yield "bytearray", bytearray(raw)
    yield "memoryview", memoryview(bytearray(raw))
    yield "memoryview of three dimensions", memoryview(bytearray(raw)).cast("B", (2, 4, 6))
    yield "array of ints", array.array("I", raw)
    yield "array of doubles", array.array("d", raw)
    yield "memoryview of an array of ints", memoryview(array.array("I", raw))
    yield "ctypes array", (ctypes.c_uint16 * 24).from_buffer_copy(raw)
    area = mmap.mmap(-1, len(raw))
    area[:] = raw
    yield "mmap", area


def test_any_contiguous_buffer(kernels: Kernels) -> None:
    raw = DATA[:48]
    for name, buffer in buffers(raw):
        out = kernels.masking.mask(buffer, KEY, 1)
        assert type(out) is bytes
        assert out == masked(0, 48, 1), name
        assert bytes(memoryview(buffer)) == raw, name
        kernels.masking.mask_in_place(buffer, KEY, 1)
        assert bytes(memoryview(buffer)) == masked(0, 48, 1), name


def test_the_input_is_never_modified(kernels: Kernels) -> None:
    for size in (0, 1, 2, 3, 8, 64, 5000):
        data = bytes(bytearray(DATA[:size]))
        view = memoryview(bytearray(DATA[:size]))
        key = bytes(bytearray(KEY))
        out = kernels.masking.mask(data, key)
        kernels.masking.mask(view, key)
        assert data == DATA[:size]
        assert view == DATA[:size]
        assert key == KEY
        assert size == 0 or out is not data
    for value in range(256):  # objects that the interpreter shares
        kernels.masking.mask(bytes([value]), KEY)
    assert [bytes([value])[0] for value in range(256)] == list(range(256))


@pytest.mark.parametrize("function", ["mask", "mask_in_place"])
def test_what_is_not_contiguous_is_refused(kernels: Kernels, function: str) -> None:
    view = memoryview(bytearray(64))
    for scattered in (view[::2], view[::-1], view.cast("B", (4, 16))[::2], memoryview(array.array("I", range(8)))[::2]):
        with pytest.raises(BufferError):
            getattr(kernels.masking, function)(scattered, KEY)
    assert view == bytes(64)


def test_what_is_read_only_is_not_masked_in_place(kernels: Kernels) -> None:
    data = bytes(bytearray(DATA[:64]))
    for frozen in (data, memoryview(data), memoryview(bytearray(data)).toreadonly()):
        with pytest.raises(BufferError):
            kernels.masking.mask_in_place(frozen, KEY)
    assert data == DATA[:64]


def test_a_buffer_is_let_go_of(kernels: Kernels) -> None:
    buffer = bytearray(64)
    kernels.masking.mask(buffer, KEY)
    kernels.masking.mask_in_place(buffer, KEY)
    kernels.masking.mask_in_place(buffer, KEY)
    for bad in (b"abc", "abcd"):
        for function in (kernels.masking.mask, kernels.masking.mask_in_place):
            with pytest.raises((ValueError, TypeError)):
                function(buffer, bad)
    buffer.extend(b"x")  # a BufferError while anybody still holds it
    assert buffer == bytes(64) + b"x"


@pytest.mark.parametrize("function", ["mask", "mask_in_place"])
@pytest.mark.parametrize("key", [b"", b"abc", b"abcde", bytes(8)])
def test_a_key_of_another_size_is_refused(kernels: Kernels, function: str, key: bytes) -> None:
    buffer = bytearray(b"data")
    with pytest.raises(ValueError, match=str(len(key))):
        getattr(kernels.masking, function)(buffer, key)
    assert buffer == b"data"


@pytest.mark.parametrize("function", ["mask", "mask_in_place"])
@pytest.mark.parametrize(
    "key", [bytearray(4), memoryview(b"abcd"), "abcd", 4, None, [1, 2, 3, 4]], ids=lambda key: type(key).__name__
)
def test_a_key_that_is_not_bytes_is_refused(kernels: Kernels, function: str, key: object) -> None:
    with pytest.raises(TypeError):
        getattr(kernels.masking, function)(bytearray(b"data"), key)


@pytest.mark.parametrize("data", ["text", 5, None, [1, 2]], ids=repr)
def test_data_that_is_no_buffer_is_refused(kernels: Kernels, data: object) -> None:
    for function in (kernels.masking.mask, kernels.masking.mask_in_place):
        with pytest.raises(TypeError):
            function(data, KEY)


def test_keys_are_four_bytes_and_look_random(kernels: Kernels) -> None:
    keys = [kernels.masking.mask_key() for _ in range(20_000)]
    assert {type(key) for key in keys} == {bytes}
    assert {len(key) for key in keys} == {4}
    for bit in range(32):  # 7 standard deviations
        ones = sum(int.from_bytes(key, "big") >> bit & 1 for key in keys)
        assert abs(ones - 10_000) < 500, bit
    # Two bytes that go over from one key to the next: a 65536th of them by chance, hence one in three such lists.
    assert sum(a[2:] == b[:2] for a, b in pairwise(keys)) < 20


def test_no_key_comes_twice(kernels: Kernels) -> None:
    count = 60_000
    keys = [kernels.masking.mask_key() for _ in range(count)]
    # By chance, 0.4 pairs of equal keys are to be expected, and no two equal keys that follow one another twice.
    assert count - len(set(keys)) < 12
    triples = list(zip(keys, keys[1:], keys[2:], strict=False))
    assert len(set(triples)) == len(triples)


def test_frames_and_bare_keys_come_from_one_source(kernels: Kernels) -> None:
    keys = []
    for _ in range(3000):
        keys.append(kernels.masking.mask_key())
        keys.append(kernels.framing.encode_frame(2, b"", True)[2:])
    assert len(keys) - len(set(keys)) < 6


def test_threads_never_share_a_key(kernels: Kernels) -> None:
    found: list[list[bytes]] = []
    start = threading.Barrier(8)

    def draw() -> None:
        start.wait()
        mine = [kernels.masking.mask_key() for _ in range(4000)]
        found.append(mine)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=draw) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    keys = [key for mine in found for key in mine]
    assert len(keys) == 32_000
    assert len(keys) - len(set(keys)) < 10  # 0.1 are to be expected by chance


def draw_in_child(kernels: Kernels, count: int) -> list[bytes]:
    """The keys that a forked child draws."""
    ours, theirs = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of a fork while other threads run
        child = os.fork()
    if child == 0:
        status = 1
        try:
            keys = b"".join(kernels.masking.mask_key() for _ in range(count))
            with os.fdopen(theirs, "wb") as pipe:
                pipe.write(keys)
            status = 0
        finally:
            os._exit(status)
    os.close(theirs)
    with os.fdopen(ours, "rb") as pipe:
        raw = pipe.read()
    assert os.waitpid(child, 0)[1] == 0
    keys = [raw[i : i + 4] for i in range(0, len(raw), 4)]
    assert len(keys) == count
    return keys


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize("where", ["main thread", "other thread"])
def test_a_forked_child_does_not_repeat_keys(kernels: Kernels, where: str) -> None:
    found: list[list[bytes]] = []

    def draw() -> None:
        kernels.masking.mask_key()  # so that there is something left over in the pool
        found.append(draw_in_child(kernels, 1500))
        found.append(draw_in_child(kernels, 1500))
        found.append([kernels.masking.mask_key() for _ in range(1500)])

    if where == "main thread":
        draw()
    else:
        thread = threading.Thread(target=draw)
        thread.start()
        thread.join()
    first, second, parent = map(set, found)
    assert len(first & parent) < 4
    assert len(second & parent) < 4
    assert len(first & second) < 4


def test_processes_do_not_draw_the_same_keys(kernels: Kernels) -> None:
    code = (
        f"from cwschannel.kernels.{kernels.name} import masking\n"
        "print(b''.join(masking.mask_key() for _ in range(300)).hex())"
    )
    root = str(Path(cwschannel.__file__).resolve().parents[1])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    found = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-P", "-c", code],
            env={**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": "0"},
            capture_output=True,
            check=True,
            timeout=60,
        )
        raw = bytes.fromhex(done.stdout.decode())
        found.append({raw[i : i + 4] for i in range(0, len(raw), 4)})
    assert len(found[0]) > 297
    assert len(found[0] & found[1]) < 3

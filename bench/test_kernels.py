"""The kernels, compiled and pure, beside those of other libraries and what plain copying or decoding costs."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp._websocket.helpers import websocket_mask
from pytest_benchmark.fixture import BenchmarkFixture
from websockets import frames as websockets_frames
from websockets import speedups as websockets_speedups
from websockets import utils as websockets_utils
from websockets.protocol import CLIENT, SERVER, Protocol

from cwschannel.kernels.frame import BINARY, TEXT

from .report import KERNELS

pytestmark = pytest.mark.benchmark(max_time=0.2, min_rounds=20, warmup=True, warmup_iterations=100)

TWINS = ("compiled", "pure")
KEY = b"\x37\xfa\x21\x3d"
SIZES = {"16 B": 16, "1 KiB": 1024, "64 KiB": 65536, "1 MiB": 2**20}
MESSAGES = {"32 B": 32, "1 KiB": 1024}
SCRIPTS = {"ASCII": "x", "Cyrillic": "\u0436", "CJK": "\u6f22", "emoji": "\U0001f600"}

Measure = Callable[..., None]


def kernel(twin: str, module: str) -> Any:
    return importlib.import_module(f"cwschannel.kernels.{twin}.{module}")


@pytest.fixture
def measure(benchmark: BenchmarkFixture, pytestconfig: pytest.Config) -> Measure:
    """Return ``measure(group, case, candidate, function, *arguments)``."""

    def measure(group: str, case: str, candidate: str, function: Callable[..., object], *arguments: object) -> None:
        benchmark.group = f"{group}, {case}"
        benchmark(function, *arguments)
        if benchmark.stats is not None:
            pytestconfig.stash[KERNELS].setdefault(group, {}).setdefault(case, {})[candidate] = benchmark.stats.stats.min

    return measure


@pytest.mark.parametrize("candidate", [*TWINS, "websockets", "websockets pure", "limit"])
@pytest.mark.parametrize("size", SIZES)
def test_mask(measure: Measure, size: str, candidate: str) -> None:
    data = os.urandom(SIZES[size])
    group = "mask (limit: bytes(memoryview), a copy)"
    if candidate in TWINS:
        measure(group, size, candidate, kernel(candidate, "masking").mask, data, KEY)
    elif candidate == "limit":
        measure(group, size, candidate, bytes, memoryview(data))
    else:
        module = websockets_speedups if candidate == "websockets" else websockets_utils
        measure(group, size, candidate, module.apply_mask, data, KEY)


@pytest.mark.parametrize("candidate", [*TWINS, "aiohttp"])
@pytest.mark.parametrize("size", SIZES)
def test_mask_in_place(measure: Measure, size: str, candidate: str) -> None:
    data = bytearray(os.urandom(SIZES[size]))
    if candidate in TWINS:
        measure("mask in place", size, candidate, kernel(candidate, "masking").mask_in_place, data, KEY)
    else:
        measure("mask in place", size, candidate, websocket_mask, KEY, data)


@pytest.mark.parametrize("candidate", [*TWINS, "websockets"])
@pytest.mark.parametrize("kind", ["text", "binary"])
@pytest.mark.parametrize("size", MESSAGES)
def test_encode_frame(measure: Measure, size: str, kind: str, candidate: str) -> None:
    payload: str | bytes = "x" * MESSAGES[size] if kind == "text" else os.urandom(MESSAGES[size])
    opcode = TEXT if kind == "text" else BINARY

    def websockets(payload: str | bytes) -> bytes:
        body = payload.encode() if isinstance(payload, str) else payload
        return websockets_frames.Frame(websockets_frames.Opcode(opcode), body).serialize(mask=True)

    group, case = "encode_frame, masked", f"{size} {kind}"
    if candidate in TWINS:
        measure(group, case, candidate, kernel(candidate, "framing").encode_frame, opcode, payload, True)
    else:
        measure(group, case, candidate, websockets, payload)


@pytest.mark.parametrize("candidate", [*TWINS, "websockets"])
@pytest.mark.parametrize("side", ["client", "server"])
@pytest.mark.parametrize("count", [1, 64])
@pytest.mark.parametrize("size", MESSAGES)
def test_read_frames(measure: Measure, size: str, count: int, side: str, candidate: str) -> None:
    masked = side == "server"
    encode_frame = kernel("pure", "framing").encode_frame
    data = b"".join(encode_frame(BINARY, os.urandom(MESSAGES[size]), masked) for _ in range(count))
    group, case = "reading binary frames", f"{count} of {size}, {side}"
    if candidate in TWINS:
        framing = kernel(candidate, "framing")
        buffer = framing.ReadBuffer()
        buffer.view[: len(data)] = data
        reader = framing.FrameReader(buffer, masked, 2**20, 4096)
        assert len(reader.received(len(data))) == count
        measure(group, case, candidate, reader.received, len(data))
        return
    protocol = Protocol(SERVER if masked else CLIENT)

    def receive(data: bytes) -> int:
        protocol.receive_data(data)
        return len(protocol.events_received())

    assert receive(data) == count
    measure(group, case, candidate, receive, data)


@pytest.mark.parametrize("candidate", [*TWINS, "limit"])
@pytest.mark.parametrize("script", SCRIPTS)
def test_utf8(measure: Measure, script: str, candidate: str) -> None:
    text = (SCRIPTS[script] * 1024).encode()[:1020]  # which ends where a character ends
    group, case = "UTF-8 validation (limit: bytes.decode(), which also makes a str)", f"1020 B {script}"
    if candidate == "limit":
        measure(group, case, candidate, bytes.decode, text)
        return
    validator = kernel(candidate, "utf8").Utf8Validator()
    assert validator.feed(text)
    assert validator.is_complete()
    measure(group, case, candidate, validator.feed, text)


@pytest.mark.parametrize("candidate", [*TWINS, "limit"])
@pytest.mark.parametrize("size", [1020, 65532])
@pytest.mark.parametrize("script", SCRIPTS)
def test_read_text(measure: Measure, script: str, size: int, candidate: str) -> None:
    text = (SCRIPTS[script] * size).encode()[:size]
    group, case = "reading a text frame, client (limit: bytes.decode() of its payload)", f"{size} B {script}"
    if candidate == "limit":
        measure(group, case, candidate, bytes.decode, text)
        return
    framing = kernel(candidate, "framing")
    frame = kernel("pure", "framing").encode_frame(TEXT, text, False)
    buffer = framing.ReadBuffer()
    buffer.view[: len(frame)] = frame
    reader = framing.FrameReader(buffer, False, 2**20, 4096)
    assert reader.received(len(frame)) == [text.decode()]
    measure(group, case, candidate, reader.received, len(frame))


@pytest.mark.parametrize("candidate", [*TWINS, "limit"])
@pytest.mark.parametrize("size", [1020, 65532])
@pytest.mark.parametrize("script", SCRIPTS)
def test_encode_text(measure: Measure, script: str, size: int, candidate: str) -> None:
    text = (SCRIPTS[script] * size).encode()[:size].decode()
    group, case = "encode_frame of text, masked (limit: str.encode() and websockets' mask)", f"{size} B {script}"
    if candidate == "limit":
        measure(group, case, candidate, lambda: websockets_speedups.apply_mask(text.encode(), KEY))
        return
    measure(group, case, candidate, kernel(candidate, "framing").encode_frame, TEXT, text, True)


@pytest.mark.parametrize("candidate", [*TWINS, "websockets"])
def test_sign_key(measure: Measure, candidate: str) -> None:
    function = websockets_utils.accept_key if candidate == "websockets" else kernel(candidate, "signing").sign_key
    assert function("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    measure("sign_key", "", candidate, function, "dGhlIHNhbXBsZSBub25jZQ==")

"""Text messages, out of a frame into a ``str``, beside what ``bytes.decode()`` takes for the payload alone."""

from __future__ import annotations

import pytest

from cwschannel.kernels.frame import TEXT

from .test_kernels import SCRIPTS, TWINS, Measure, kernel, measure

__all__ = ["measure"]  # the fixture

pytestmark = pytest.mark.benchmark(max_time=0.2, min_rounds=20, warmup=True, warmup_iterations=100)

SIZES = {"1 KiB": 1024, "64 KiB": 65536}


@pytest.mark.parametrize("candidate", [*TWINS, "limit"])
@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("size", SIZES)
def test_decode(measure: Measure, size: str, script: str, candidate: str) -> None:
    one = SCRIPTS[script].encode()
    payload = one * (SIZES[size] // len(one))
    group, case = "decode a text frame (limit: bytes.decode() of its payload)", f"{size} {script}"
    if candidate == "limit":
        measure(group, case, candidate, bytes.decode, payload)
        return
    framing = kernel(candidate, "framing")
    data = kernel("pure", "framing").encode_frame(TEXT, payload, False)
    buffer = framing.ReadBuffer()
    buffer.view[: len(data)] = data
    reader = framing.FrameReader(buffer, False, 2**20, 4096)
    assert reader.received(len(data)) == [payload.decode()]
    measure(group, case, candidate, reader.received, len(data))

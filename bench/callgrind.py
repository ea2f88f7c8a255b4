"""Instructions for each call of the compiled kernels, which do not depend on how busy the machine is.

``python -m bench.callgrind`` runs each case some times under valgrind's callgrind, then twice as often, and divides the
difference. ``python -m bench.callgrind WORD ...`` does so for the cases that have a word in their name. The loop around the
call is counted with it. Valgrind knows no AVX-512, so the kernels show their AVX2 side; SHA instructions it knows neither.
"""

from __future__ import annotations

import importlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

LONGEST = 300  # seconds that one run may take
KEY = b"\x37\xfa\x21\x3d"
SIZES = {"32 B": 32, "1 KiB": 1024}
SCRIPTS = {"ASCII": "x", "Cyrillic": "\u0436", "CJK": "\u6f22", "emoji": "\U0001f600"}

Call = tuple[Callable[..., object], tuple[object, ...]]


def kernel(module: str) -> Any:
    return importlib.import_module(f"cwschannel.kernels.compiled.{module}")


def reading(frame: bytes, count: int, masked: bool) -> Call:
    """A call that reads ``count`` frames, which are in the reader's buffer."""
    framing = kernel("framing")
    buffer = framing.ReadBuffer()
    size = count * len(frame)
    buffer.view[:size] = frame * count
    reader = framing.FrameReader(buffer, masked, 2**20, 4096)
    assert len(reader.received(size)) == count
    return reader.received, (size,)


def cases() -> Iterator[tuple[str, int, Callable[[], Call]]]:
    """Name, repetitions, and what makes the call to be counted."""
    for name, size in SIZES.items():
        data = bytes(size)
        yield f"mask {name}", 5000, lambda data=data: (kernel("masking").mask, (data, KEY))
        yield f"mask in place {name}", 5000, lambda data=data: (kernel("masking").mask_in_place, (bytearray(data), KEY))
        for opcode, kind in ((1, "text"), (2, "binary")):
            payload = "x" * size if kind == "text" else data
            for masked in (False, True):
                case = f"{name} {kind} {'masked' if masked else 'plain'}"
                # The key is zero, because a reader unmasks text within its buffer, where it is read again.
                head = bytes((0x80 | opcode, (128 if masked else 0) | min(size, 126)))
                frame = head + (size.to_bytes(2) if size > 125 else b"") + bytes(4 * masked) + bytes(size)
                yield (
                    f"encode {case}",
                    5000,
                    lambda opcode=opcode, payload=payload, masked=masked: (
                        kernel("framing").encode_frame,
                        (opcode, payload, masked),
                    ),
                )
                for count, repetitions in ((1, 5000), (64, 500)):
                    yield (
                        f"parse {count} of {case}",
                        repetitions,
                        lambda frame=frame, count=count, masked=masked: reading(frame, count, masked),
                    )
    for script, character in SCRIPTS.items():
        text = (character * 1024).encode()[:1020]  # which ends where a character ends
        frame = bytes((0x81, 126)) + len(text).to_bytes(2) + text
        yield f"parse 1 of 1020 B {script}", 2000, lambda frame=frame: reading(frame, 1, masked=False)
        yield f"encode 1020 B {script}", 2000, lambda text=text: (kernel("framing").encode_frame, (1, text.decode(), False))
        yield f"validate 1020 B {script}", 2000, lambda text=text: (kernel("utf8").Utf8Validator().feed, (text,))
    yield "sign_key", 5000, lambda: (kernel("signing").sign_key, ("dGhlIHNhbXBsZSBub25jZQ==",))


def run(case: str, repetitions: int) -> None:
    """What runs under callgrind."""
    function, arguments = next(make for name, _, make in cases() if name == case)()
    for _ in range(repetitions):
        function(*arguments)


def count(valgrind: str, case: str, repetitions: int) -> int:
    """Return the instructions of a process that makes a call so many times."""
    command = [valgrind, "--tool=callgrind", "--callgrind-out-file=/dev/null", sys.executable, "-m", __spec__.name]
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    result = subprocess.run(
        [*command, "--run", case, str(repetitions)],
        capture_output=True,
        text=True,
        timeout=LONGEST,
        env=environment,
        check=False,
    )
    found = re.search(r"Collected : (\d+)", result.stderr)
    if result.returncode or found is None:
        raise SystemExit(f"callgrind could not count {case!r}:\n{result.stderr}")
    return int(found[1])


def main(words: list[str]) -> None:
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        raise SystemExit("bench.callgrind needs valgrind (https://valgrind.org/), which is not on this machine's PATH")
    print(f"{'instructions per call':38}")
    for case, repetitions, _ in cases():
        if not words or any(word in case for word in words):
            once, twice = (count(valgrind, case, repetitions * times) for times in (1, 2))
            print(f"{case:38}{(twice - once) / repetitions:10,.0f}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--run"]:
        run(sys.argv[2], int(sys.argv[3]))
    else:
        main(sys.argv[1:])

"""Sub-interpreters: Cython's modules load into one interpreter only, so the others run the pure kernels."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import cwschannel

INSIDE = """
import sys
sys.path[:] = {path!r}
from cwschannel import kernels
reader = kernels.FrameReader(kernels.ReadBuffer(), False)
assert reader.feed(kernels.encode_frame(1, "hello", False)) == ["hello"]
assert len(kernels.mask_key()) == 4
assert not kernels.COMPILED
assert kernels.WHY_PURE
"""

PROGRAM = """
import sys
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
import cwschannel.kernels
run = getattr(interpreters, "exec", None) or interpreters.run_string
number = interpreters.create()
print(run(number, sys.argv[1].format(path=sys.path)))
interpreters.destroy(number)
"""


def run_inside(source: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(filter(None, [str(Path(cwschannel.__file__).parents[1]), os.environ.get("PYTHONPATH")]))
    return subprocess.run(
        [sys.executable, "-P", "-c", PROGRAM, source],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="CPython's own modules")
def test_the_kernels_work_in_a_sub_interpreter() -> None:
    if run_inside("import hashlib").returncode:
        pytest.skip("this Python aborts at its end once hashlib was imported into a sub-interpreter (3.12.1 does)")
    done = run_inside(INSIDE)
    assert (done.returncode, done.stdout.strip()) == (0, "None"), done.stderr

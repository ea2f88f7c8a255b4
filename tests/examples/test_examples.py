"""The examples, and the programs in the README, run as a user would run them."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 60.0


@pytest.fixture
def server() -> Iterator[str]:
    """The URI of a running ``examples/echo_server.py``."""
    command = [sys.executable, "-P", str(ROOT / "examples" / "echo_server.py"), "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("listening on ws://localhost:")
            yield line.split()[-1]
        finally:
            process.kill()


def run(*command: str) -> str:
    result = subprocess.run([sys.executable, "-P", *command], capture_output=True, text=True, timeout=LIMIT, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    return result.stdout


def test_client_prints_the_answer_and_the_close_code(server: str) -> None:
    assert run(str(ROOT / "examples" / "client.py"), server) == "hello\n1001 bye\n"


def test_listen_prints_the_answer_and_the_end(server: str) -> None:
    assert run(str(ROOT / "examples" / "listen.py"), server) == "hello\nclosed\n"


def readme_programs() -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)


def test_the_readme_shows_a_client_a_server_callbacks_and_the_blocking_side() -> None:
    assert len(readme_programs()) == 4


@pytest.mark.parametrize(
    ("number", "expected"), [(0, "hello\n1001 bye\n"), (2, "hello\nclosed\n"), (3, "hello\n1001 bye\n")]
)
def test_the_readme_clients_run(server: str, number: int, expected: str) -> None:
    program = readme_programs()[number].replace("ws://localhost:8765", server)
    assert run("-c", program) == expected


def test_the_readme_server_runs() -> None:
    program = readme_programs()[1].replace("8765", "0").replace("await server.serve_forever()", "print(server.port)")
    assert int(run("-c", program)) > 0

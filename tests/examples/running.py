"""Programs run as a user would run them: as processes of their own, away from the sources, for a limited time."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
LIMIT = 60.0


def run(*command: str, given: str = "") -> str:
    """Run Python with these arguments until it ends well and quietly; return what it printed."""
    result = subprocess.run(
        [sys.executable, "-P", *command], input=given, capture_output=True, text=True, timeout=LIMIT, check=False
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    return result.stdout


def run_example(name: str, *arguments: str) -> str:
    """Run an example until it ends well and quietly; return what it printed."""
    return run(str(EXAMPLES / name), *arguments)


class Running:
    """An example that runs beside the test.

    Attributes:
        process: its process, with pipes to its standard input and output.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def line(self) -> str:
        """Return the next line that it prints; an empty string if it has ended."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip("\n")

    def type(self, line: str) -> None:
        """Type a line on its standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def end_of_input(self) -> str:
        """End its standard input; return what else it prints until it ends well."""
        rest, _ = self.process.communicate(timeout=LIMIT)
        assert self.process.returncode == 0
        return rest


@contextmanager
def running(name: str, *arguments: str) -> Iterator[Running]:
    """Run an example while the test does other things. pytest's time limit is also that of its lines."""
    command = [sys.executable, "-P", str(EXAMPLES / name), *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Running(process)
        finally:
            process.kill()


@contextmanager
def serving(name: str, *arguments: str) -> Iterator[tuple[str, Running]]:
    """Run an example that says on which URI it listens; the first value is that URI."""
    with running(name, *arguments) as example:
        line = example.line()
        assert line.startswith("listening on ws://localhost:"), line
        yield line.split()[-1], example

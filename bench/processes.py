"""The processes of a run: started, pinned, asked, and ended whatever happens."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from .lines import Unavailable

HERE = Path(__file__).parent
PEER_LOOP = "uvloop" if importlib.util.find_spec("uvloop") else "asyncio"
RESERVED = 200  # files that a process has open besides


class Failed(Exception):
    """A candidate did not do what it was asked for."""


class Process:
    """A process that answers a line on its standard input with a line on its standard output."""

    def __init__(self, script: str, *arguments: str, environment: dict[str, str] | None = None, core: int) -> None:
        self._complaints = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115  # lives as long as the process
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(HERE / script), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            text=True,
            env=os.environ | (environment or {}),
        )
        self.pid = self._process.pid
        self.pin(core)

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def pin(self, core: int) -> None:
        os.sched_setaffinity(self.pid, {core})

    def read(self) -> dict[str, Any]:
        """Return the next answer.

        Raises:
            Unavailable: the candidate says that it cannot do it.
            Failed: it raised, or the process ended.
        """
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            self.kill()
            self._complaints.seek(0)
            last = self._complaints.read().strip().splitlines()[-1:]
            raise Failed(f"the process ended with {self._process.returncode}: {' '.join(last)[:200]}")
        answer: dict[str, Any] = json.loads(line)
        if "unavailable" in answer:
            raise Unavailable(answer["unavailable"])
        if "error" in answer:
            raise Failed(answer["error"])
        return answer

    def ask(self, op: str, **arguments: Any) -> dict[str, Any]:
        if not self.is_alive:
            raise Failed("the process ended before")
        assert self._process.stdin
        self._process.stdin.write(json.dumps({"op": op, **arguments}) + "\n")
        self._process.stdin.flush()
        return self.read()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


def cores() -> tuple[int, int | None]:
    """Return the core that is measured on, and another one, if there is one."""
    allowed = sorted(os.sched_getaffinity(0), reverse=True)
    return allowed[0], allowed[1] if len(allowed) > 1 else None


def most_connections() -> int:
    """Return how many connections a process can have: each child raises its limit of open files as far as it may."""
    import resource  # which not every system has

    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return sys.maxsize if hard == resource.RLIM_INFINITY else hard - RESERVED

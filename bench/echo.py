"""Runs the candidates of ``candidates.py`` against the peer, each in its own process, all of them on one core.

On one core there are no wake-ups from one core to another, which on a shared machine vary more than all that is measured.
The candidates take turns, in a new order each round, so that what disturbs the machine meets all of them. Lower quartiles
are taken: whatever else runs, on this core or on one that shares its caches and arithmetic units, only ever adds.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import json
import os
import random
import subprocess
import sys
from pathlib import Path
from statistics import quantiles
from typing import NamedTuple, Self

import cwschannel

from .candidates import CANDIDATES, Work

HERE = Path(__file__).parent
LOOPS = ("asyncio", "uvloop") if importlib.util.find_spec("uvloop") else ("asyncio",)
# asyncio allocates 256 KiB for each read of a plain Protocol, and glibc asks the system for so much each time, until a
# program happens to free it. That doubles the CPU time of websockets in some programs and not in others: here, in none.
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": "16777216", "MALLOC_TRIM_THRESHOLD_": "33554432"}
ROUNDS = 20
SAMPLE = 0.008  # seconds of the candidate's CPU time, at least
PEER_LIFETIME = 900


class Pattern(NamedTuple):
    """An exchange: ``take`` messages to the peer, then ``give`` from it."""

    name: str
    size: int
    take: int = 1
    give: int = 1

    @property
    def messages(self) -> int:
        """By how many the figures of one exchange are divided."""
        return max(self.take, self.give)


PATTERNS = (
    Pattern("echo 32 B", 32),
    Pattern("echo 1 KiB", 1024),
    Pattern("echo 64 KiB", 65536),
    Pattern("send 32 B, 500 in a row", 32, take=500),
    Pattern("send 1 KiB, 500 in a row", 1024, take=500),
    Pattern("receive 32 B, 500 in a row", 32, give=500),
    Pattern("receive 1 KiB, 500 in a row", 1024, give=500),
)


class Key(NamedTuple):
    loop: str
    candidate: str


KEYS = [Key(loop, candidate) for loop in LOOPS for candidate in CANDIDATES]


class Sample(NamedTuple):
    """Seconds per message: that passed, and that the candidate's process took, user and system."""

    wall: float
    cpu: float


class Child:
    """A process that answers a line on its standard input with a line on its standard output."""

    def __init__(
        self, script: str, *arguments: str, environment: dict[str, str] | None = None, core: int | None = None
    ) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(HERE / script), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | (environment or {}),
        )
        if core is not None:
            os.sched_setaffinity(self._process.pid, {core})

    def ask(self, line: str = "") -> str:
        assert self._process.stdin
        assert self._process.stdout
        if line:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{' '.join(map(str, self._process.args))} ended with {self._process.wait(10)}")  # type: ignore[arg-type]
        return answer

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()


class Field:
    """The candidates, each on each loop, and the peer. Use it with ``with``, so that no process is left behind."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self._children: dict[Key, Child] = {}
        self._random = random.Random(6455)

    def __enter__(self) -> Self:
        with self._stack:  # kills what was started, should the rest fail
            core = max(os.sched_getaffinity(0)) if hasattr(os, "sched_setaffinity") else None
            peer = Child("peer.py", LOOPS[-1], str(PEER_LIFETIME), core=core)
            self._stack.callback(peer.kill)
            port = peer.ask().strip()
            ours = str(Path(cwschannel.__file__).parent.parent)
            for key in KEYS:
                pure = "1" if CANDIDATES[key.candidate].compiled is False else "0"
                environment = {"PYTHONPATH": ours, "CWSCHANNEL_PURE": pure} | ALLOCATOR
                child = Child("candidates.py", key.candidate, key.loop, port, environment=environment, core=core)
                self._stack.callback(child.kill)
                self._children[key] = child
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def measure(self, pattern: Pattern) -> dict[Key, list[Sample]]:
        """Let the candidates take turns."""
        trips = {key: self._calibrate(key, pattern) for key in self._children}
        samples: dict[Key, list[Sample]] = {key: [] for key in self._children}
        for _ in range(ROUNDS):
            for key in self._random.sample(KEYS, len(KEYS)):
                samples[key].append(self._run(key, pattern, trips[key]))
        return samples

    def _calibrate(self, key: Key, pattern: Pattern) -> int:
        """Return how many exchanges take long enough, by CPU time, on which nothing else has much influence."""
        trips = 2
        while self._run(key, pattern, trips).cpu * trips * pattern.messages < SAMPLE:
            trips *= 2
        return trips

    def _run(self, key: Key, pattern: Pattern, trips: int) -> Sample:
        work = Work(pattern.size, pattern.take, pattern.give, trips)
        answer = json.loads(self._children[key].ask(json.dumps(dataclasses.asdict(work))))
        messages = trips * pattern.messages
        return Sample(answer["wall"] / messages, answer["cpu"] / messages)


def typical(samples: list[Sample]) -> Sample:
    """Return the lower quartiles."""
    return Sample._make(quantiles(values, n=4)[0] for values in zip(*samples, strict=True))

"""Lets the candidates take turns, each in a process of its own, all of them on one core with the peer.

On one core there are no wake-ups from one core to another, which on a shared machine vary more than all that is measured.
The candidates take turns, in a new order each round, so that what disturbs the machine meets all of them.
"""

from __future__ import annotations

import contextlib
import random
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from . import memory, tls
from .adaptor import ALLOCATOR, Adaptor
from .candidates import load
from .lines import Unavailable
from .plan import Case, joins
from .processes import PEER_LOOP, Failed, Process, cores, most_connections
from .stats import FEWEST

SAMPLE = 0.008  # seconds of the candidate's CPU time that one round takes, at least
BUDGET = 0.5  # seconds that the rounds of one candidate in one case may take; the slow ones have fewer rounds, but 3


@dataclass(frozen=True)
class Entrant:
    """A candidate on a loop. ``build`` is a directory to take cwschannel from, if it is not the one that is installed."""

    candidate: str
    loop: str
    build: str = ""

    @property
    def id(self) -> str:
        return f"{self.loop}/{self.candidate}/{self.build}"


@dataclass
class Row:
    """What one entrant needed in one case.

    Attributes:
        cpu, wall: seconds for each message, delivery or connection, round by round, for each generation of processes.
        value: what there is in place of them: bytes of memory.
        why: why there is nothing.
    """

    case: Case
    entrant: Entrant
    cpu: list[list[float]] = field(default_factory=list)
    wall: list[list[float]] = field(default_factory=list)
    value: float | None = None
    why: str = ""

    def join(self, other: Row) -> None:
        """Add the rounds of another generation. Who failed in one has failed."""
        self.why = self.why or other.why
        self.cpu = [] if self.why else self.cpu + other.cpu
        self.wall = [] if self.why else self.wall + other.wall


def entrants(names: Iterable[str] = (), loops: Iterable[str] = ("asyncio", "uvloop", "blocking")) -> list[Entrant]:
    kinds, loops = load(), list(loops)
    names = list(names) or list(kinds)
    return [Entrant(name, loop) for loop in loops for name in names if loop in kinds[name].loops]


class Field:
    """The processes of a run. Use it with ``with``, so that none is left behind."""

    def __init__(self, chosen: list[Entrant], rounds: int, seed: int = 6455) -> None:
        self.entrants = chosen
        self.versions: dict[str, str] = {}
        self.absent: dict[Entrant, str] = {}
        self._kinds = load()
        self._rounds = rounds
        self._stack = contextlib.ExitStack()
        self._random = random.Random(seed)
        self._children: dict[Entrant, Process] = {}

    def __enter__(self) -> Self:
        with self._stack:  # ends what was started, should the rest fail
            self._core, self._other = cores()
            directory = self._stack.enter_context(tempfile.TemporaryDirectory())
            self.why_no_tls = tls.make(Path(directory))
            self._certificates = "" if self.why_no_tls else directory
            self.peer = Process("peer.py", PEER_LOOP, self._certificates, core=self._core)
            self._stack.callback(self.peer.kill)
            self.ports = self.peer.read()
            for entrant in self.entrants:
                self._introduce(entrant)
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def kind(self, entrant: Entrant) -> type[Adaptor]:
        return self._kinds[entrant.candidate]

    def spawn(self, entrant: Entrant, allocator: dict[str, str]) -> Process:
        """Start the process of a candidate. It is to be asked for its introduction first."""
        environment = self.kind(entrant).environment | allocator
        if entrant.build:
            environment |= {"PYTHONPATH": entrant.build}
        arguments = (entrant.candidate, entrant.loop, self._certificates)
        child = Process("child.py", *arguments, environment=environment, core=self._core)
        self._stack.callback(child.kill)
        return child

    def _introduce(self, entrant: Entrant) -> None:
        child = self.spawn(entrant, ALLOCATOR)
        try:
            introduction = child.read()
        except (Unavailable, Failed) as error:
            child.kill()
            self.absent[entrant] = str(error)
            return
        self._children[entrant] = child
        self.versions = introduction["versions"] | self.versions

    def measure(self, case: Case) -> list[Row]:
        """Let those that take part in this case take turns. Rows without figures say why."""
        rows = [Row(case, entrant, why=self.absent.get(entrant, "")) for entrant in self.entrants]
        rows = [row for row in rows if joins(self.kind(row.entrant), case)]
        why = self.why_no_tls if case.tls else ""
        if case.cores == 2 and self._other is None:
            why = "this process may use one core only"
        if case.count > most_connections():
            why = f"the limit of open files allows {most_connections():,} connections"
        for row in rows:
            row.why = row.why or why
        if case.group == "memory":
            for row in rows:
                memory.measure(self, row)
            return rows
        self.peer.pin(self._core if case.cores == 1 or self._other is None else self._other)
        turns = [Turn(self, row) for row in rows if not row.why]
        for turn in turns:
            turn.row.cpu, turn.row.wall = [[]], [[]]
            turn.guarded(turn.calibrate)
        for number in range(self._rounds):
            for turn in self._random.sample(turns, len(turns)):
                if turn.is_due(number):
                    turn.guarded(turn.play)
        for turn in turns:
            turn.guarded(turn.close)
        if not self.peer.is_alive:
            raise RuntimeError("the peer ended, and without it nothing can be measured")
        return rows

    def exchange(self, entrant: Entrant, case: Case) -> Exchange:
        kind = {"client": ClientOpening, "server": ServerOpening} if case.group == "opening" else EXCHANGES
        return kind[case.side](self, self._children[entrant], entrant, case)


class Turn:
    """One entrant's part in the rounds of one case."""

    def __init__(self, field: Field, row: Row) -> None:
        self._field = field
        self.row = row
        self._all = field._rounds
        self._own = self._all
        self._count = 1
        self._exchange: Exchange | None = None

    def guarded(self, step: Callable[[], None]) -> None:
        """Take a step. If the candidate fails in it, its row says so, and the others go on."""
        if self.row.why:
            return
        try:
            step()
        except (Unavailable, Failed) as error:
            self.row.why = str(error)
            self.row.cpu.clear()
            self.row.wall.clear()
            with contextlib.suppress(Unavailable, Failed):
                self.close()

    def calibrate(self) -> None:
        """Find out how many exchanges take long enough, by CPU time, on which nothing else has much influence."""
        self._exchange = self._field.exchange(self.row.entrant, self.row.case)
        self._exchange.open()
        self._exchange.run(1)  # what is done but once is not counted: imports, caches
        times = self._exchange.run(self._count)
        while times["cpu"] < SAMPLE:
            self._count *= 2 if times["cpu"] > SAMPLE / 4 else 4
            times = self._exchange.run(self._count)
        self._own = max(FEWEST, min(self._all, int(BUDGET / times["wall"])))

    def is_due(self, number: int) -> bool:
        """Whether to play in this round: those with fewer rounds have them spread over all."""
        return self._own >= self._all or number * self._own // self._all != (number + 1) * self._own // self._all

    def play(self) -> None:
        assert self._exchange
        times = self._exchange.run(self._count)
        units = self._count * self.row.case.units
        self.row.cpu[-1].append(times["cpu"] / units)
        self.row.wall[-1].append(times["wall"] / units)

    def close(self) -> None:
        if self._exchange is not None:
            self._exchange.close()


class Exchange:
    """What a turn asks of the two processes: here, with the candidate as the client."""

    def __init__(self, field: Field, child: Process, entrant: Entrant, case: Case) -> None:
        self.peer = field.peer
        self.child = child
        self.id = entrant.id
        self.case = case
        self.work = asdict(case.work)
        scheme, port = ("wss", field.ports.get("secure")) if case.tls else ("ws", field.ports["port"])
        self.uri = f"{scheme}://127.0.0.1:{port}{case.work.path}"

    def open(self) -> None:
        self.child.ask("connect", uri=self.uri, secure=self.case.tls, work=self.work)

    def run(self, count: int) -> dict[str, Any]:
        return self.child.ask("run", count=count)

    def close(self) -> None:
        self.child.ask("close")


class ServerExchange(Exchange):
    """With the candidate as the server."""

    def open(self) -> None:
        self.port = self.child.ask("serve", secure=self.case.tls, work=self.work)["port"]
        if self.case.count > 1:
            self.peer.ask("crowd", id=self.id, port=self.port, count=self.case.count, work=self.work)
        else:
            self.peer.ask("connect", id=self.id, port=self.port, secure=self.case.tls, work=self.work)

    def run(self, count: int) -> dict[str, Any]:
        return self.peer.ask("run", id=self.id, pid=self.child.pid, count=count)

    def close(self) -> None:
        self.peer.ask("close", id=self.id)


class ClientOpening(Exchange):
    def open(self) -> None: ...

    def run(self, count: int) -> dict[str, Any]:
        return self.child.ask("open", uri=self.uri, count=count, work=self.work)

    def close(self) -> None: ...


class ServerOpening(ServerExchange):
    def open(self) -> None:
        self.port = self.child.ask("serve", secure=False, work=self.work)["port"]

    def run(self, count: int) -> dict[str, Any]:
        return self.peer.ask("open", port=self.port, pid=self.child.pid, count=count, work=self.work)

    def close(self) -> None: ...


EXCHANGES: dict[str, type[Exchange]] = {"client": Exchange, "server": ServerExchange}

"""What is measured: the cases, and who takes part in each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .adaptor import Adaptor
from .wire import Work

GROUPS = ("roundtrip", "pipelined", "fanout", "opening", "memory", "kernels")
TITLES = {
    "roundtrip": "Round trips",
    "pipelined": "Pipelined",
    "fanout": "Fan-out",
    "opening": "Connect, handshake, close",
    "memory": "Resident memory",
    "kernels": "Kernels",
}
KIB, MIB = 2**10, 2**20
SIZES = (32, 256, KIB, 8 * KIB, 64 * KIB, MIB, 16 * MIB)
FEW_SIZES = (32, KIB, 64 * KIB)
BURSTS = {32: 500, KIB: 500, 64 * KIB: 64, MIB: 8}  # messages in a burst: no more than a few MiB, which any buffer may hold
FAN_SIZE = 256
CROWDS = (1_000, 10_000)
THREADED = 200  # idle connections of clients that block, some of which have two threads each


@dataclass(frozen=True)
class Case:
    """One line of what is measured.

    Attributes:
        group: one of ``GROUPS``.
        what: the exchange: "echo", "send" and "receive" as seen from the side that is measured, "broadcast", "open", "idle".
        side: "client" or "server": which end is the candidate.
        size: bytes in a message.
        cores: 1 if both ends share a core, 2 if each has its own.
        count: connections.
    """

    group: str
    what: str
    side: str
    size: int = 0
    text: bool = False
    tls: bool = False
    cores: int = 1
    count: int = 1

    @property
    def work(self) -> Work:
        burst = BURSTS[self.size] if self.group == "pipelined" else 1
        to_server = self.what == "echo" or (self.what == "send") == (self.side == "client")
        take = burst if to_server or burst == 1 else 1
        give = burst if not to_server or self.what == "echo" else 1
        return Work(self.size, take, give, self.text, fan=self.group == "fanout")

    @property
    def units(self) -> int:
        """By how much the figures of one exchange are divided: messages, deliveries, connections."""
        return self.count if self.group == "fanout" else max(self.work.take, self.work.give)

    @property
    def kind(self) -> str:
        """What tables have in common."""
        words = [self.what, self.side]
        if self.group == "roundtrip":
            words = [self.side, "text" if self.text else "binary", *(["TLS"] if self.tls else [])]
        words += ["two cores"] if self.cores == 2 else []
        return ", ".join(words)

    @property
    def column(self) -> str:
        if self.what in ("given back", "threads"):
            return "16 MiB kept" if self.what == "given back" else "threads"
        if self.group in ("fanout", "memory"):
            return f"{self.count:,} connections"
        return amount(self.size) if self.group != "opening" else "a connection"


def amount(size: int) -> str:
    for unit, name in ((MIB, "MiB"), (KIB, "KiB")):
        if size >= unit:
            return f"{size // unit} {name}"
    return f"{size} B"


def round_trips(quick: bool) -> Iterator[Case]:
    for side in ("client", "server"):
        for size in FEW_SIZES if quick else SIZES:
            yield Case("roundtrip", "echo", side, size)
        for size in (KIB,) if quick else SIZES:
            yield Case("roundtrip", "echo", side, size, text=True)
        for size in (KIB,) if quick else (*FEW_SIZES, MIB):
            yield Case("roundtrip", "echo", side, size, tls=True)
        for size in () if quick else FEW_SIZES:
            yield Case("roundtrip", "echo", side, size, cores=2)


def pipelined(quick: bool) -> Iterator[Case]:
    for side in ("client", "server"):
        for what in ("send", "receive", "echo"):
            for size in (32, KIB) if quick else BURSTS:
                yield Case("pipelined", what, side, size)
            for size in (32, KIB):  # where a write has to wake the reader, it costs more
                yield Case("pipelined", what, side, size, cores=2)


def plan(groups: tuple[str, ...], quick: bool) -> list[Case]:
    """Return what is to be measured, but for the kernels, which pytest-benchmark measures."""
    cases: list[Case] = []
    if "roundtrip" in groups:
        cases += round_trips(quick)
    if "pipelined" in groups:
        cases += pipelined(quick)
    if "fanout" in groups:
        cases += [Case("fanout", "broadcast", "server", FAN_SIZE, cores=cores, count=CROWDS[0]) for cores in (1, 2)]
    if "opening" in groups:
        cases += [Case("opening", "open", side, 32) for side in ("client", "server")]
    if "memory" in groups:
        cases += [Case("memory", "idle", "server", 32, count=count) for count in CROWDS[: 1 if quick else 2]]
        cases.append(Case("memory", "given back", "server", SIZES[-1]))
        cases += [Case("memory", what, "client", 32, count=THREADED) for what in ("idle", "threads")]
    return cases


def joins(kind: type[Adaptor], case: Case) -> bool:
    """Whether a candidate takes part."""
    if case.side == "server" and not kind.server:
        return False
    if case.group == "fanout":
        return kind.fans
    if case.group == "memory" and case.side == "client":  # what a server has of them is what it is asked for elsewhere
        return kind.loops == ("blocking",)
    if kind.pure:  # pure Python masks 60 times slower than C, and in large messages masking is all there is
        return case.group == "roundtrip" and case.cores == 1 and not case.tls and not case.text and case.size <= MIB
    return True

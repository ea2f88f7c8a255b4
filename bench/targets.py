"""What is aimed at, row by row, and whether it is reached."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from .plan import KIB, MIB, Case, amount
from .results import Results, cpu_ratio, raw, rivals

BEST = ("the best rival",)
RAW = ("the bare protocol",)
LOOPS = ("asyncio", "uvloop")

MET, NOISE, MISSED, UNKNOWN = "met", "met within the noise", "MISSED", "not measured"


class Finding(NamedTuple):
    """One figure beside the target."""

    where: str
    figure: str
    state: str


class Verdict(NamedTuple):
    """What became of a target: its worst state, and all there is behind it."""

    text: str
    bound: str
    state: str
    findings: list[Finding]
    why: str = ""


class Target:
    """A row. Derived classes know where the figures are."""

    text: str
    limit: float
    at_least: bool

    def findings(self, results: Results) -> Iterator[Finding]:
        raise NotImplementedError

    def missing(self, results: Results) -> str:
        """Say why there are no findings."""
        raise NotImplementedError

    @property
    def bound(self) -> str:
        return f"{'>=' if self.at_least else '<='} {self.limit:g}"

    def state(self, value: float, tolerance: float = 0.0) -> str:
        """Compare. ``tolerance`` is by how much the figure may be wrong, where the target forgives it."""
        excess = self.limit - value if self.at_least else value - self.limit
        return MET if excess <= 0 else NOISE if excess <= tolerance else MISSED

    def verdict(self, results: Results) -> Verdict:
        found = list(self.findings(results))
        states = {finding.state for finding in found}
        state = next((one for one in (MISSED, NOISE, MET) if one in states), UNKNOWN)
        return Verdict(self.text, self.bound, state, found, "" if found else self.missing(results))


@dataclass(frozen=True)
class Exchanged(Target):
    """The CPU time of ours divided by that of the best of others; with ``at_least`` the other way round.

    Attributes:
        ours, others: names of candidates; ``BEST`` and ``RAW`` stand for several.
        cases: which cases it is about.
        forgiving: whether the noise of the run is allowed for.
    """

    text: str
    ours: str
    others: tuple[str, ...]
    limit: float
    cases: Callable[[Case], bool]
    at_least: bool = False
    forgiving: bool = False
    loops: tuple[str, ...] = LOOPS

    def _others(self, loop: str) -> tuple[str, ...]:
        if self.others == BEST:
            return tuple(rivals())
        return (raw(loop),) if self.others == RAW else self.others

    def findings(self, results: Results) -> Iterator[Finding]:
        for case in filter(self.cases, results.cases()):
            for loop in self.loops:
                ours, theirs = results.get(case, loop, self.ours), results.best(case, loop, self._others(loop))
                if ours is None or not ours.cpu or theirs is None:
                    continue
                value, noise = cpu_ratio(theirs, ours) if self.at_least else cpu_ratio(ours, theirs)
                name = f" ({theirs.entrant.candidate})" if self.others == BEST else ""
                where = f"{case.kind}, {case.column}, {loop}{name}"
                state = self.state(value, noise if self.forgiving else 0)
                yield Finding(where, f"{value:.2f} ±{noise:.2f}", state)

    def missing(self, results: Results) -> str:
        cases = list(filter(self.cases, results.cases()))
        if not cases:
            return "this run does not have it: see --only and --quick"
        for name in (self.ours, *(self.others if self.others not in (BEST, RAW) else ())):
            rows = [results.get(case, loop, name) for case in cases for loop in self.loops]
            whys = [row.why for row in rows if row is not None and row.why]
            if whys:
                return f"{name}: {whys[0]}"
        return f"{self.ours} was not measured"


@dataclass(frozen=True)
class Remembered(Target):
    """Memory, in KiB."""

    text: str
    limit: float
    what: str
    loop: str
    at_least: bool = False

    def findings(self, results: Results) -> Iterator[Finding]:
        for case in results.cases():
            row = results.get(case, self.loop, "cwschannel listen")
            if case.what == self.what and row is not None and row.value is not None:
                kib = row.value / KIB
                yield Finding(f"{case.column}, {self.loop}", f"{kib:.1f} KiB", self.state(kib))

    @property
    def bound(self) -> str:
        return f"<= {self.limit:g} KiB"

    def missing(self, results: Results) -> str:
        rows = [results.get(case, self.loop, "cwschannel listen") for case in results.cases() if case.what == self.what]
        whys = [row.why for row in rows if row is not None and row.why]
        return whys[0] if whys else "this run does not have it: see --only and --quick"


@dataclass(frozen=True)
class Kernel(Target):
    """Seconds a call of ours divided by another's; with ``at_least`` the other way round."""

    text: str
    group: str
    theirs: str
    limit: float
    cases: Callable[[str], bool]
    at_least: bool = False

    def findings(self, results: Results) -> Iterator[Finding]:
        for group, cases in results.kernels.items():
            for case, figures in cases.items() if group.startswith(self.group) else ():
                if self.cases(case) and "compiled" in figures and self.theirs in figures:
                    value = figures["compiled"] / figures[self.theirs]
                    value = 1 / value if self.at_least else value
                    yield Finding(case or self.group, f"{value:.2f}", self.state(value))

    def missing(self, results: Results) -> str:
        if not results.kernels:
            return results.about.get("no kernels", "this run does not have the kernels: see --only")
        return f"bench/test_kernels*.py measured no {self.group!r} of both"


def echo(low: int = 0, high: int = 2**40) -> Callable[[Case], bool]:
    """Round trips of binary messages of some sizes, without TLS, on one core."""
    return lambda case: (
        case.group == "roundtrip" and not case.text and not case.tls and case.cores == 1 and low <= case.size <= high
    )


def client_echo(*sizes: int) -> Callable[[Case], bool]:
    return lambda case: echo()(case) and case.side == "client" and case.size in sizes


def burst(what: str, side: str, size: int, cores: int) -> Callable[[Case], bool]:
    here = ("pipelined", what, side, size, cores)
    return lambda case: (case.group, case.what, case.side, case.size, case.cores) == here


def large(case: Case) -> bool:
    return case.group == "pipelined" and case.size in (64 * KIB, MIB)


def fan_out(cores: int) -> Callable[[Case], bool]:
    return lambda case: case.group == "fanout" and case.cores == cores


def opening(case: Case) -> bool:
    return case.group == "opening"


def at_least_a_kib(case: str) -> bool:
    return "KiB" in case or "MiB" in case


def not_ascii(case: str) -> bool:
    return at_least_a_kib(case) and "ASCII" not in case


def anything(_: str) -> bool:
    return True


LISTEN, FOR, RECV, SYNC = "cwschannel listen", "cwschannel for", "cwschannel recv", "cwschannel sync"
BARE = "cwschannel bare"
KEEPS = 1024  # KiB that may remain of a message of 16 MiB

# A write that has to wake the reader on another core costs several times as much as one that does not, and those are what
# writing together saves: each of these is a row for two cores, where the targets come from, and one for a single core.
ON_CORES = {2: "", 1: ", one core"}


def bursts(text: str, what: str, side: str, limits: dict[int, float]) -> Iterator[Target]:
    for size, limit in limits.items():
        for cores, where in ON_CORES.items():
            name = f"{text} / best rival, {amount(size)}{where}"
            yield Exchanged(name, LISTEN, BEST, limit, burst(what, side, size, cores))


def fans(others: tuple[str, ...], name: str, limit: float) -> Iterator[Target]:
    for cores, where in ON_CORES.items():
        yield Exchanged(f"fan-out per CPU second / {name}{where}", LISTEN, others, limit, fan_out(cores), at_least=True)


TARGETS: tuple[Target, ...] = (
    Exchanged("round trip, listen / picows, up to 8 KiB", LISTEN, ("picows",), 1.0, echo(0, 8 * KIB), forgiving=True),
    Exchanged("round trip, listen / picows, from 64 KiB", LISTEN, ("picows",), 0.85, echo(64 * KIB)),
    Exchanged("round trip, async for / picows.websockets", FOR, ("picows.websockets",), 0.8, echo()),
    Exchanged("round trip, recv / picows.websockets", RECV, ("picows.websockets",), 0.8, echo()),
    Exchanged("round trip, async for / websockets", FOR, ("websockets",), 0.5, echo()),
    Exchanged("round trip, recv / websockets", RECV, ("websockets",), 0.5, echo()),
    Exchanged("round trip, listen / bare protocol, up to 8 KiB", LISTEN, RAW, 1.15, echo(0, 8 * KIB)),
    Exchanged("round trip, listen / bare protocol, 64 KiB", LISTEN, RAW, 1.25, echo(64 * KIB, 64 * KIB)),
    Exchanged("round trip, listen / our bare protocol", LISTEN, (BARE,), 1.1, echo(), forgiving=True),
    Exchanged("round trip, async for / our bare protocol", FOR, (BARE,), 1.1, echo(), forgiving=True),
    Exchanged("round trip, over a channel of bytes / our bare protocol", "cwschannel bytes", (BARE,), 2.0, echo()),
    *bursts("pipelined sending", "send", "client", {32: 0.10, KIB: 0.20}),
    *bursts("pipelined echo, server", "echo", "server", {32: 0.10, KIB: 0.20}),
    *bursts("pipelined receiving, client", "receive", "client", {32: 0.45, KIB: 0.65}),
    *bursts("pipelined receiving, server", "receive", "server", {32: 0.35, KIB: 0.40}),
    Exchanged("pipelined, bytes per CPU second / bare protocol, 64 KiB and 1 MiB", LISTEN, RAW, 0.8, large, at_least=True),
    *fans(("websockets",), "websockets.broadcast", 1.9),
    *fans(BEST, "best rival", 1.05),
    Exchanged("connect, handshake, close / best rival", LISTEN, BEST, 0.9, opening),
    Remembered("resident memory of an idle connection, uvloop", 8, "idle", "uvloop"),
    Remembered("resident memory of an idle connection, asyncio", 10, "idle", "asyncio"),
    Remembered("kept of a message of 16 MiB, uvloop", KEEPS, "given back", "uvloop"),
    Remembered("kept of a message of 16 MiB, asyncio", KEEPS, "given back", "asyncio"),
    Kernel("masking / copying, from 1 KiB", "mask (", "limit", 1.1, at_least_a_kib),
    Kernel("masking / websockets, every size", "mask (", "websockets", 1.0, anything),
    Kernel("masking in place / aiohttp, every size", "mask in place", "aiohttp", 1.0, anything),
    Kernel(
        "decoding text that is not ASCII, from 1 KiB, times bytes.decode()", "decode", "limit", 3, not_ascii, at_least=True
    ),
    Kernel("sign_key, times hashlib and base64", "sign_key", "websockets", 2.5, anything, at_least=True),
    Exchanged("round trip, pure listen / pure websockets", "cwschannel listen, pure", ("websockets, pure",), 1.0, echo()),
    Exchanged("round trip, sync / bare socket", SYNC, RAW, 1.15, client_echo(32, KIB, 64 * KIB), loops=("blocking",)),
    Exchanged("round trip, sync / best rival", SYNC, BEST, 0.5, client_echo(32, KIB, 64 * KIB), loops=("blocking",)),
)


def verdicts(results: Results) -> list[Verdict]:
    return [target.verdict(results) for target in TARGETS]

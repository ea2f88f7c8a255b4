"""``python -m bench.check BASE``: fails if cwschannel became slower than it was at that revision.

Both are built alike, the base from ``git worktree``, each into a directory of its own, and measured in one run, in turns. A
run has several generations of processes, because a process may be lucky in where its memory lies: each generation gives one
ratio of present to base, from the lower quartiles of its rounds. The ratio of the run is their median. Its noise is what the
generations differ by (twice their standard deviation, by the square root of how many they are: about the 95 % interval of
their mean), and never less than ``FLOOR``. What is more than 1 + noise is measured once more, in new processes, because of a
hundred comparisons some look bad by chance; what is so again, has become slower.

``--noise`` measures the base against itself, under the same rules: what it prints is what no change looks like.
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median, stdev
from typing import NamedTuple

from .candidates import load
from .field import Entrant, Field
from .plan import KIB, Case, joins
from .stats import typical

GENERATIONS, QUICK_GENERATIONS, ROUNDS = 5, 3, 6
FLOOR = 0.03  # two builds of the same sources have differed by as much, whatever their rounds said
ROOT = Path(__file__).parent.parent
CASES = (
    *(Case("roundtrip", "echo", side, size) for side in ("client", "server") for size in (32, KIB, 64 * KIB)),
    *(Case("pipelined", what, side, 32) for side in ("client", "server") for what in ("send", "receive", "echo")),
    *(Case("pipelined", what, side, KIB) for side in ("client", "server") for what in ("send", "receive")),
    *(Case("opening", "open", side, 32) for side in ("client", "server")),
)
SYNC = "cwschannel sync"
CANDIDATES = ("cwschannel listen", "cwschannel for", "cwschannel recv", SYNC)


class Contest(NamedTuple):
    """What is compared."""

    candidate: str
    loop: str
    case: Case

    def __str__(self) -> str:
        return f"{self.candidate}, {self.loop}: {self.case.group}, {self.case.kind}, {self.case.column}"


@dataclass(frozen=True)
class Change:
    """What became of it: present divided by base, and by how much that may be wrong."""

    contest: Contest
    ratio: float
    noise: float

    @property
    def is_worse(self) -> bool:
        return self.ratio > 1 + self.noise


def change(contest: Contest, ratios: list[float]) -> Change:
    """Judge the ratios of the generations."""
    spread = 2 * stdev(ratios) / len(ratios) ** 0.5 if len(ratios) > 1 else 0.0
    return Change(contest, median(ratios), max(FLOOR, spread))


def run(*command: str | Path, cwd: Path) -> None:
    result = subprocess.run(
        [str(part) for part in command], cwd=cwd, capture_output=True, text=True, timeout=600, check=False
    )
    if result.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} failed:\n{result.stdout}{result.stderr}")


def build(sources: Path, target: Path) -> Path:
    """Install the package, and nothing that it needs, into a directory."""
    command = (sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", target, sources)
    run(*command, cwd=target.parent)
    return target


@contextlib.contextmanager
def builds(base: str, against_itself: bool) -> Iterator[tuple[Path, Path]]:
    """Build the base and the present sources, changes that are not committed among them."""
    with tempfile.TemporaryDirectory(prefix="bench-check-") as name:
        scratch = Path(name)
        sources = scratch / "sources"
        run("git", "worktree", "add", "--detach", sources, base, cwd=ROOT)
        try:
            old = build(sources, scratch / "base")
            new = build(sources if against_itself else copy(scratch / "copy"), scratch / "present")
        finally:
            run("git", "worktree", "remove", "--force", sources, cwd=ROOT)
        yield old, new


def copy(target: Path) -> Path:
    """Copy the present sources as git knows them, so that nothing is built into them."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        timeout=60,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        source = ROOT / name
        if source.is_file():
            path = target / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(source.read_bytes())
    return target


def measure(old: Path, new: Path, contests: list[Contest], generations: int) -> list[Change]:
    """Let both take turns, generation by generation."""
    ratios: dict[Contest, list[float]] = {}
    sides = dict.fromkeys((one.candidate, one.loop) for one in contests)
    chosen = [Entrant(*side, str(directory)) for directory in (old, new) for side in sides]
    for generation in range(generations):
        print(f"generation {generation + 1} of {generations}", file=sys.stderr, flush=True)
        with Field(chosen, ROUNDS, seed=generation) as field:
            for case in dict.fromkeys(one.case for one in contests):
                rows = {row.entrant: row.cpu for row in field.measure(case)}
                for candidate, loop in sides:
                    contest = Contest(candidate, loop, case)
                    base, present = (rows.get(Entrant(candidate, loop, str(directory))) for directory in (old, new))
                    if contest in contests and base and present:
                        ratios.setdefault(contest, []).append(typical(present) / typical(base))
    return [change(contest, found) for contest, found in ratios.items()]


def compare(old: Path, new: Path, contests: list[Contest], generations: int) -> list[Change]:
    """Measure, and measure what looks worse once more: what counts then is the second time."""
    changes = {one.contest: one for one in measure(old, new, contests, generations)}
    suspects = [one.contest for one in changes.values() if one.is_worse]
    if suspects:
        print(f"once more: {'; '.join(map(str, suspects))}", file=sys.stderr)
        changes |= {one.contest: one for one in measure(old, new, suspects, generations)}
    return list(changes.values())


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.check", description="Compare with an earlier revision.")
    parser.add_argument("base", help="a revision that git knows")
    parser.add_argument("--noise", action="store_true", help="compare the base with itself")
    parser.add_argument("--quick", action="store_true", help="three generations of a few cases")
    parser.add_argument("--loop", action="append", choices=["asyncio", "uvloop"], help="leave out the other one")
    return parser


def main() -> int:
    options = arguments().parse_args()
    cases = [case for case in CASES if case.group == "roundtrip" and case.size == KIB] if options.quick else [*CASES]
    loops = options.loop or ["asyncio", "uvloop"]
    contests = [
        Contest(name, loop, case)
        for case in cases
        for name in CANDIDATES
        for loop in (["blocking"] if name == SYNC else loops)
        if joins(load()[name], case)
    ]
    with builds(options.base, options.noise) as (old, new):
        changes = compare(old, new, contests, QUICK_GENERATIONS if options.quick else GENERATIONS)
    if not changes:
        raise SystemExit("nothing could be compared: neither build has compiled kernels")
    for one in sorted(changes, key=lambda one: one.ratio - one.noise, reverse=True):
        print(f"{'WORSE' if one.is_worse else 'ok':6} {one.ratio:6.3f} ±{one.noise:.3f}  {one.contest}")
    compared = {(one.contest.candidate, one.contest.loop) for one in changes}
    for candidate, loop in dict.fromkeys((one.candidate, one.loop) for one in contests):
        if (candidate, loop) not in compared:
            print(f"-      {candidate}, {loop}: not in both of them")
    worse = sum(one.is_worse for one in changes)
    print(f"{worse} of {len(changes)} got worse than {options.base} by more than the noise")
    return int(worse > 0)


if __name__ == "__main__":
    sys.exit(main())

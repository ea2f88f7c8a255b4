"""Read the suite's JSON reports and pronounce."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

GOOD = ("OK", "INFORMATIONAL")
FAILING = ("NON-STRICT", "FAILED")
COLUMNS = GOOD + FAILING


@dataclass
class Case:
    """How one case went: the exchange itself, then the closing of the connection."""

    id: str
    behavior: str
    close: str
    description: str
    details: str

    @property
    def failed(self) -> bool:
        return any(value in FAILING or not value for value in (self.behavior, self.close))

    @property
    def remarkable(self) -> bool:
        return self.behavior not in GOOD or self.close not in GOOD


@dataclass
class Run:
    """One run of the suite."""

    name: str
    expected: int
    cases: list[Case] = field(default_factory=list)
    seconds: float = 0.0
    trouble: str | None = None  # why the run did not come to its end
    left_out: str | None = None  # why there was no run

    @property
    def passed(self) -> int:
        return sum(not case.failed for case in self.cases)

    @property
    def failed(self) -> int:
        """The cases that failed and the ones that are missing; at least one if the run broke off."""
        if self.left_out:
            return 0
        failed = sum(case.failed for case in self.cases) + max(0, self.expected - len(self.cases))
        return max(failed, 1 if self.trouble else 0)


def _plain(text: object) -> str:
    """A report's text without its HTML tags and line breaks."""
    return " ".join(re.sub(r"<[^<>]+>", " ", str(text)).split())


def read_cases(reports: Path, agent: str) -> list[Case]:
    """The cases of one agent, in the suite's order; none if no report was written."""
    try:
        index = json.loads((reports / "index.json").read_text())[agent]
    except (FileNotFoundError, KeyError):
        return []
    cases = []
    for case_id, entry in sorted(index.items(), key=lambda item: [int(part) for part in item[0].split(".")]):
        try:
            report = json.loads((reports / entry["reportfile"]).read_text(errors="replace"))
        except (FileNotFoundError, ValueError):
            report = {}
        details = [report.get("result"), report.get("resultClose"), report.get("wasNotCleanReason")]
        cases.append(
            Case(
                id=case_id,
                behavior=entry.get("behavior", ""),
                close=entry.get("behaviorClose", ""),
                description=_plain(report.get("description", "")),
                details=" | ".join(_plain(detail) for detail in details if detail),
            )
        )
    return cases


def _row(name: str, values: Sequence[object]) -> str:
    return f"{name:<18}" + "".join(f"{value!s:>{width}}" for value, width in zip(values, WIDTHS, strict=True))


HEADINGS = ("cases", *COLUMNS, *(f"close:{column[:6]}" for column in COLUMNS), "other", "seconds")
WIDTHS = [len(heading) + 2 for heading in HEADINGS]


def print_verdict(runs: Sequence[Run]) -> bool:
    """Print the remarkable cases, the table and the sum; True if everything passed."""
    for run in runs:
        for case in filter(lambda case: case.remarkable, run.cases):
            print(f"\n{run.name} case {case.id}: {case.behavior}, close {case.close}: {case.description}")
            print(f"    {case.details}")
    print("\n" + _row("run", HEADINGS))
    for run in runs:
        if run.left_out:
            print(f"{run.name:<18}  left out: {run.left_out}")
            continue
        behaviors = Counter(case.behavior for case in run.cases)
        closes = Counter(case.close for case in run.cases)
        counts = [counter[column] for counter in (behaviors, closes) for column in COLUMNS]
        other = 2 * len(run.cases) - sum(counts)
        print(_row(run.name, (len(run.cases), *counts, other, round(run.seconds))))
    for run in runs:
        if run.trouble:
            print(f"{run.name}: {run.trouble}")
        if not run.left_out and len(run.cases) < run.expected:
            print(f"{run.name}: {len(run.cases)} cases reported, {run.expected} expected")
    failed = sum(run.failed for run in runs)
    passed = sum(run.passed for run in runs)
    print(f"{passed} passed, {failed} failed", flush=True)
    return failed == 0 and passed > 0

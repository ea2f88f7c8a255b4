"""The tables: what was measured, and what became of the targets; as text and as Markdown."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from .plan import KIB, TITLES, Case
from .results import KernelFigures, Results, cpu_ratio, ours, raw, rivals
from .stats import typical
from .targets import MISSED, Verdict, verdicts

if TYPE_CHECKING:
    from .field import Row

KERNELS = pytest.StashKey[KernelFigures]()

# Whose time is divided by whose.
KERNEL_RATIOS = (
    ("compiled", "websockets"),
    ("compiled", "aiohttp"),
    ("compiled", "limit"),
    ("pure", "websockets pure"),
    ("pure", "websockets"),
)
UNITS = {"roundtrip": "a round trip", "pipelined": "a message", "fanout": "a delivery", "opening": "a connection"}
RATED = ("fanout", "opening")


@dataclass(frozen=True)
class Table:
    """A title, what the cells are, and the cells; the first column holds names."""

    title: str
    note: str
    heads: list[str]
    rows: list[list[str]]

    def text(self) -> Iterator[str]:
        widths = [max(map(len, column)) for column in zip(self.heads, *self.rows, strict=True)]
        yield f"{self.title}: {self.note}"
        for row in (self.heads, *self.rows):
            _, *cells = (f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True))
            yield "  ".join((f"{row[0]:{widths[0]}}", *cells)).rstrip()
        yield ""

    def markdown(self) -> Iterator[str]:
        yield f"**{self.title}**: {self.note}"
        yield ""
        yield "| " + " | ".join(self.heads) + " |"
        yield "|---|" + "---:|" * (len(self.heads) - 1)
        for row in self.rows:
            yield "| " + " | ".join(row) + " |"
        yield ""


def tables(results: Results) -> Iterator[Table]:
    """Return the tables of all groups: one for each kind of exchange and each loop."""
    kinds: dict[tuple[str, str], list[Case]] = {}
    for case in results.cases():
        kind = case.side if case.group in ("memory", "opening") else case.kind
        kinds.setdefault((case.group, kind), []).append(case)
    for (group, kind), cases in kinds.items():
        for loop in dict.fromkeys(row.entrant.loop for case in cases for row in results.of(case)):
            title = ", ".join(filter(None, (TITLES[group], kind, loop)))
            if group == "memory":
                yield memory_table(title, results, cases, loop)
            else:
                yield exchange_table(title, results, cases, loop)
    yield from kernel_tables(results.kernels)


def names(results: Results, cases: list[Case], loop: str) -> list[str]:
    rows = [row for case in cases for row in results.of(case) if row.entrant.loop == loop]
    return list(dict.fromkeys(row.entrant.candidate for row in rows))


def exchange_table(title: str, results: Results, cases: list[Case], loop: str) -> Table:
    note = f"us of CPU time {UNITS[cases[0].group]} / wall time / times the CPU time of the raw limit"
    rated = [case for case in cases if case.group in RATED]
    rows = []
    for name in names(results, cases, loop):
        cells = [exchange_cell(results.get(case, loop, name), results.get(case, loop, raw(loop))) for case in cases]
        rows.append([name, *cells, *(rate_cell(results.get(case, loop, name)) for case in rated)])
        if name in ours() and any(cells):
            compared = [best_cell(results, case, loop, name) for case in cases]
            rows.append(["  CPU / best rival's", *compared, *("" for _ in rated)])
    return Table(title, note, ["", *(case.column for case in cases), *("a second" for _ in rated)], rows)


def exchange_cell(row: Row | None, limit: Row | None) -> str:
    if row is None:
        return ""
    if not row.cpu:
        return "-"
    ratio = f"{cpu_ratio(row, limit).value:.2f}" if limit is not None and limit.cpu else "-"
    return f"{microseconds(typical(row.cpu))} / {microseconds(typical(row.wall))} / {ratio}"


def rate_cell(row: Row | None) -> str:
    """Say how many there are in a second of wall time."""
    return f"{1 / typical(row.wall):,.0f}" if row is not None and row.wall else "-"


def best_cell(results: Results, case: Case, loop: str, name: str) -> str:
    row, best = results.get(case, loop, name), results.best(case, loop, rivals())
    if row is None or not row.cpu or best is None:
        return ""
    return f"{cpu_ratio(row, best)} {best.entrant.candidate}"


def microseconds(seconds: float) -> str:
    value = seconds * 1e6
    return f"{value:,.0f}" if value >= 1000 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def memory_table(title: str, results: Results, cases: list[Case], loop: str) -> Table:
    note = "KiB for each idle connection; KiB kept after a message of 16 MiB was echoed"
    if any(case.side == "client" for case in cases):
        note = "KiB and threads for each idle connection of a client"
    rows = []
    for name in names(results, cases, loop):
        found = [results.get(case, loop, name) for case in cases]
        cells = [memory_cell(row) for row in found]
        rows.append([name, *cells])
    return Table(title, note, ["", *(case.column for case in cases)], rows)


def memory_cell(row: Row | None) -> str:
    if row is None or row.value is None:
        return "-"
    return f"{row.value:g}" if row.case.what == "threads" else f"{row.value / KIB:,.1f}"


def kernel_tables(results: KernelFigures) -> Iterator[Table]:
    for group, cases in results.items():
        found = list(dict.fromkeys(name for case in cases.values() for name in case))
        ratios = [(ours, other) for ours, other in KERNEL_RATIOS if ours in found and other in found]
        heads = ["", *found, *(f"{ours} / {other}" for ours, other in ratios)]
        rows = []
        for case, figures in cases.items():
            cells = [f"{figures[name] * 1e9:,.0f}" if name in figures else "" for name in found]
            cells += [
                f"{figures[ours] / figures[other]:.2f}" if ours in figures and other in figures else ""
                for ours, other in ratios
            ]
            rows.append([case, *cells])
        yield Table(f"Kernels, {group}", "ns a call, the fastest round", heads, rows)


def verdict_table(found: list[Verdict]) -> Table:
    rows = []
    for verdict in found:
        missed = [finding for finding in verdict.findings if finding.state == MISSED]
        good = f"{len(verdict.findings) - len(missed)} of {len(verdict.findings)}" if verdict.findings else "-"
        rows.append([verdict.text, verdict.bound, good, verdict.state, detail(verdict)])
    return Table("Targets", "how many figures keep to it, and which do not", ["", "target", "kept", "verdict", ""], rows)


def detail(verdict: Verdict) -> str:
    """Say what missed, or how near the nearest came."""
    if not verdict.findings:
        return verdict.why
    missed = [finding for finding in verdict.findings if finding.state == MISSED]
    if missed:
        return "; ".join(f"{finding.figure} {finding.where}" for finding in missed)
    figures = sorted(float(finding.figure.split()[0]) for finding in verdict.findings)
    return f"{figures[0]:g} to {figures[-1]:g}" if len(figures) > 1 else f"{figures[0]:g}"


def absences(results: Results) -> Iterator[str]:
    """Say who did not take part, in what, and why."""
    whys: dict[tuple[str, str], list[str]] = {}
    for row in results.rows:
        if row.why:
            whys.setdefault((row.entrant.candidate, row.why), []).append(row.case.group)
    for (name, why), groups in whys.items():
        yield f"{name} did not take part in {', '.join(dict.fromkeys(groups))}: {why}"


def machine(results: Results) -> Iterator[str]:
    about = results.about
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    yield f"{about['when']}; {about['python']}; {about['system']}; {about['processor']}, {about['cores']} cores"
    rounds = f"{about['rounds']} rounds in {about['generations']} generations"
    yield f"load {' '.join(map(str, about['load']))} at the start; {about['mode']}, {rounds}; {versions}"


def page(results: Results, markdown: bool = False) -> Iterator[str]:
    """Return all of it, line by line: the verdicts last, where a terminal shows them, or first, on a page."""
    found = verdicts(results)
    if markdown:
        yield from (line + "  " for line in machine(results))
        yield ""
        yield from verdict_table(found).markdown()
        for table in tables(results):
            yield from table.markdown()
        yield from (f"- {line}" for line in absences(results))
        return
    yield from machine(results)
    yield ""
    for table in tables(results):
        yield from table.text()
    yield from verdict_lines(found)
    yield from absences(results)


def verdict_lines(found: list[Verdict]) -> Iterator[str]:
    """Return the targets as text, with what missed beneath each."""
    yield "Targets: how many figures keep to it"
    width = max(len(verdict.text) for verdict in found)
    for verdict in found:
        missed = [finding for finding in verdict.findings if finding.state == MISSED]
        good = f"{len(verdict.findings) - len(missed)} of {len(verdict.findings)}" if verdict.findings else ""
        says = "" if missed else detail(verdict)
        yield f"{verdict.text:{width}}  {verdict.bound:>11}  {good:>8}  {verdict.state:20}  {says}".rstrip()
        for finding in missed:
            yield f"    {finding.figure:>14}  {finding.where}"
    counts = {state: sum(one.state == state for one in found) for state in dict.fromkeys(one.state for one in found)}
    yield ""
    yield ", ".join(f"{count} {state}" for state, count in counts.items())
    yield ""

"""What a run found: kept as JSON, and asked for ratios."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .candidates import load
from .field import Entrant, Row
from .plan import Case
from .stats import Ratio, ratio, typical

KernelFigures = dict[str, dict[str, dict[str, float]]]
"""Group, case, candidate: seconds."""


@dataclass
class Results:
    """Rows, and seconds for the kernels; ``about`` says where, when and with what they were measured."""

    rows: list[Row] = field(default_factory=list)
    kernels: KernelFigures = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._index = {(row.case, row.entrant.loop, row.entrant.candidate): row for row in self.rows}

    def add(self, rows: Iterable[Row]) -> None:
        """Add rows, or their rounds to those of the same candidate in the same case."""
        for row in rows:
            known = self.get(row.case, row.entrant.loop, row.entrant.candidate)
            if known is not None:
                known.join(row)
                continue
            self.rows.append(row)
            self._index[row.case, row.entrant.loop, row.entrant.candidate] = row

    def cases(self) -> list[Case]:
        return list(dict.fromkeys(row.case for row in self.rows))

    def of(self, case: Case) -> list[Row]:
        return [row for row in self.rows if row.case == case]

    def get(self, case: Case, loop: str, candidate: str) -> Row | None:
        return self._index.get((case, loop, candidate))

    def best(self, case: Case, loop: str, candidates: Iterable[str]) -> Row | None:
        """Return the row of the one that needs the least CPU time."""
        rows = [self._index.get((case, loop, name)) for name in candidates]
        measured = [row for row in rows if row is not None and row.cpu]
        return min(measured, key=lambda row: typical(row.cpu), default=None)

    def as_json(self) -> str:
        rows = [
            {"case": asdict(row.case), "candidate": row.entrant.candidate, "loop": row.entrant.loop}
            | {"cpu": short(row.cpu), "wall": short(row.wall), "value": row.value, "why": row.why}
            for row in self.rows
        ]
        parts = {"about": json.dumps(self.about, indent=1), "kernels": json.dumps(self.kernels, indent=1)}
        parts["rows"] = "[\n" + ",\n".join(map(json.dumps, rows)) + "\n]"  # a line for each
        return "{" + ",\n".join(f'"{name}": {text}' for name, text in parts.items()) + "}\n"

    @classmethod
    def from_json(cls, text: str) -> Results:
        data = json.loads(text)
        rows = [Row(Case(**one.pop("case")), Entrant(one.pop("candidate"), one.pop("loop")), **one) for one in data["rows"]]
        return cls(rows, data["kernels"], data["about"])


def short(generations: list[list[float]]) -> list[list[float]]:
    """Leave out digits that say nothing."""
    return [[float(f"{one:.5g}") for one in rounds] for rounds in generations]


def cpu_ratio(ours: Row, theirs: Row) -> Ratio:
    return ratio(ours.cpu, theirs.cpu)


def rivals() -> list[str]:
    """Return the candidates that others have written, and that are measured at full strength."""
    return [name for name, kind in load().items() if not kind.ours and not kind.pure and not name.startswith("raw")]


def ours() -> list[str]:
    return [name for name, kind in load().items() if kind.ours]


def raw(loop: str) -> str:
    return "raw blocking" if loop == "blocking" else "raw"


def about(versions: dict[str, str], **settings: Any) -> dict[str, Any]:
    """Say what the figures were measured with and on."""
    return {
        "when": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)),
        "load": [round(load, 2) for load in os.getloadavg()],
        "versions": versions,
        **settings,
    }


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")

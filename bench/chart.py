"""Pictures: bar charts in SVG, drawn without a library. They follow the reader's light or dark colours."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

from .plan import FEW_SIZES, KIB, TITLES, Case
from .results import Results
from .results import ours as our_names
from .stats import typical

WIDTH, LABELS, VALUES = 760, 190, 90  # of the picture, of the names at the left, of the figures at the right
BAR, GAP, HEAD, PANEL = 16, 5, 58, 30  # heights: of a bar, between bars, of the title, of a panel's name
STYLE = """
text { font: 12px system-ui, sans-serif; fill: #24292f }
.title { font-size: 16px; font-weight: 600 }
.note, .value { fill: #57606a }
.ours { fill: #0969da } .rival { fill: #afb8c1 } .limit { fill: none; stroke: #8c959f; stroke-dasharray: 3 2 }
.own { font-weight: 600 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .note, .value { fill: #9198a1 } .ours { fill: #4493f8 } .rival { fill: #495059 }
  .limit { stroke: #818b98 }
}
""".strip()


@dataclass(frozen=True)
class Bar:
    """A name, a figure, and what it is: "ours", "rival" or "limit"."""

    name: str
    value: float
    kind: str


@dataclass(frozen=True)
class Panel:
    """Bars that share a scale."""

    name: str
    bars: list[Bar]


@dataclass(frozen=True)
class Chart:
    """A picture. Less is better in all of them."""

    file: str
    title: str
    note: str
    panels: list[Panel]


def draw(chart: Chart) -> str:
    """Return the SVG."""
    body = list(_panels(chart))
    height = HEAD + sum(PANEL + len(panel.bars) * (BAR + GAP) + GAP for panel in chart.panels)
    size = f'viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
    lines = (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{escape(chart.title)}">',
        f"<style>{STYLE}</style>",
        f'<text class="title" x="8" y="24">{escape(chart.title)}</text>',
        f'<text class="note" x="8" y="44">{escape(chart.note)}</text>',
        *body,
        "</svg>\n",
    )
    return "\n".join(lines)


def _panels(chart: Chart) -> Iterator[str]:
    top = float(HEAD)
    for panel in chart.panels:
        yield f'<text class="own" x="8" y="{top + 20:g}">{escape(panel.name)}</text>'
        top += PANEL
        largest = max((bar.value for bar in panel.bars), default=1) or 1
        for bar in panel.bars:
            width = max(1.0, bar.value / largest * (WIDTH - LABELS - VALUES))
            middle = top + BAR - 4
            bold = ' class="own"' if bar.kind == "ours" else ""
            yield f'<text{bold} x="{LABELS - 8}" y="{middle:g}" text-anchor="end">{escape(bar.name)}</text>'
            yield f'<rect class="{bar.kind}" x="{LABELS}" y="{top:g}" width="{width:.1f}" height="{BAR}" rx="2"/>'
            yield f'<text class="value" x="{LABELS + width + 6:.1f}" y="{middle:g}">{figure(bar.value)}</text>'
            top += BAR + GAP
        top += GAP


def figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def charts(results: Results) -> list[Chart]:
    """Return a chart for each kind of exchange, and one that shows a little of each."""
    loop = "uvloop" if any(row.entrant.loop == "uvloop" and not row.why for row in results.rows) else "asyncio"
    kinds: dict[tuple[str, ...], list[Case]] = {}
    for case in results.cases():
        if not case.text and not case.tls and case.cores == 1:
            kinds.setdefault((case.group, *([] if case.group == "memory" else [case.what, case.side])), []).append(case)
    drawn = [_chart(results, kind, cases, loop) for kind, cases in kinds.items()]
    drawn.append(Chart("overview", "cwschannel beside the alternatives", _note(loop), list(_overview(results, loop))))
    return [chart for chart in drawn if chart.panels]


def _note(loop: str) -> str:
    return f"CPU time on {loop}, both ends on one core; the dashed bar is the raw limit; shorter is better"


def _chart(results: Results, kind: tuple[str, ...], cases: list[Case], loop: str) -> Chart:
    sizes = [case for case in cases if case.group != "roundtrip" or case.size in FEW_SIZES]
    panels = [_panel(results, case, loop, f"{case.column}, {_unit(case)}") for case in sizes]
    title = TITLES[kind[0]] + (f": {', '.join(kind[1:])}" if len(kind) > 1 else "")
    return Chart("-".join(kind).replace(" ", "-"), title, _note(loop), [panel for panel in panels if panel.bars])


def _overview(results: Results, loop: str) -> Iterator[Panel]:
    wanted = (
        Case("roundtrip", "echo", "client", 32),
        Case("pipelined", "receive", "client", KIB),
        Case("pipelined", "send", "client", 32),
        Case("pipelined", "echo", "server", KIB),
        Case("fanout", "broadcast", "server", 256, count=1000),
        Case("opening", "open", "server", 32),
        Case("memory", "idle", "server", 32, count=1000),
    )
    for case in wanted:
        detail = f"{case.what}, {case.side}, {case.column}" if case.group in ("roundtrip", "pipelined") else case.column
        panel = _panel(results, case, loop, f"{TITLES[case.group]}: {detail}, {_unit(case)}")
        bars = [bar for bar in panel.bars if "pure" not in bar.name]
        if bars:
            yield Panel(panel.name, bars)


def _unit(case: Case) -> str:
    return "KiB" if case.group == "memory" else "us"


def _panel(results: Results, case: Case, loop: str, name: str) -> Panel:
    bars = []
    for row in results.of(case):
        value = row.value / KIB if row.value is not None else typical(row.cpu) * 1e6 if row.cpu else None
        if value is not None and row.entrant.loop == loop:
            candidate = row.entrant.candidate
            kind = "ours" if candidate in our_names() else "limit" if candidate.startswith("raw") else "rival"
            bars.append(Bar(candidate, max(value, 0.0), kind))
    return Panel(name, sorted(bars, key=lambda bar: bar.value))

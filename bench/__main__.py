"""``python -m bench``: measure, and print one page."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from . import report
from .candidates import load
from .chart import charts, draw
from .field import Field, entrants
from .plan import GROUPS, plan
from .results import KernelFigures, Results, about
from .stats import FEWEST
from .targets import MISSED, verdicts

ROUNDS, QUICK_ROUNDS = 15, 5
GENERATIONS = 3  # of processes: one may be lucky in where its memory lies, or not, and is so for as long as it lives
HERE = Path(__file__).parent
START, END = "<!-- results: python -m bench --docs -->\n", "<!-- end of results -->\n"


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure cwschannel beside its alternatives.")
    parser.add_argument("--quick", action="store_true", help="fewer sizes and rounds: minutes, and more noise")
    parser.add_argument("--only", metavar="GROUP", action="append", choices=GROUPS, help=f"one of {', '.join(GROUPS)}")
    parser.add_argument("--candidate", metavar="NAME", action="append", choices=[*load()], help="leave out all others")
    parser.add_argument("--loop", action="append", choices=["asyncio", "uvloop", "blocking"], help="leave out the others")
    parser.add_argument("--rounds", type=int, help=f"how many turns each has: {ROUNDS}, {QUICK_ROUNDS} with --quick")
    parser.add_argument("--json", metavar="FILE", type=Path, help="keep what was measured")
    parser.add_argument("--svg", metavar="DIR", type=Path, help="draw it")
    parser.add_argument("--docs", metavar="DIR", type=Path, help="put it into DIR/benchmarks.md, pictures and data beside")
    parser.add_argument("--load", metavar="FILE", type=Path, help="show what --json kept, and measure nothing")
    parser.add_argument("--strict", action="store_true", help="end with status 1 if a target is missed")
    return parser


def say(text: str) -> None:
    """Tell whoever waits; not a part of the page."""
    print(text, file=sys.stderr, flush=True)


def measure(options: argparse.Namespace) -> Results:
    groups = tuple(options.only or GROUPS)
    rounds = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
    chosen = entrants(options.candidate or (), options.loop or ("asyncio", "uvloop", "blocking"))
    results = Results()
    generations = min(GENERATIONS, max(1, rounds // FEWEST))
    rounds -= rounds % generations
    settings = {"mode": "quick" if options.quick else "full", "rounds": rounds, "generations": generations}
    start = time.monotonic()
    cases = plan(groups, options.quick)
    results.about = about({}, **settings)
    for generation in range(generations if cases else 0):
        with Field(chosen, rounds // generations, seed=generation) as field:
            results.about["versions"] = field.versions
            for number, case in enumerate(cases, 1):
                if generation and case.group == "memory":
                    continue  # for which there is a new process each time
                place = f"generation {generation + 1}/{generations}  {number}/{len(cases)}"
                say(f"{time.monotonic() - start:5.0f} s  {place}  {case.group}: {case.kind}, {case.column}")
                results.add(field.measure(case))
    if "kernels" in groups:
        say(f"{time.monotonic() - start:5.0f} s  kernels")
        results.kernels, results.about["no kernels"] = kernels(options.quick)
    results.about["seconds"] = round(time.monotonic() - start)
    return results


def kernels(quick: bool) -> tuple[KernelFigures, str]:
    """Let pytest-benchmark measure the kernels. Returns the figures, or why there are none."""
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory, "kernels.json")
        command = [sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", "--benchmark-quiet"]
        command += ["--kernels-json", str(file), *(["--kernels-quick"] if quick else []), str(HERE)]
        environment = os.environ | {"CWSCHANNEL_PURE": "0"}
        result = subprocess.run(
            command, cwd=HERE.parent, env=environment, capture_output=True, text=True, timeout=900, check=False
        )
        with contextlib.suppress(OSError):
            return json.loads(file.read_text()), ""
        lines = (result.stdout + result.stderr).strip().splitlines()
        return {}, f"pytest ended with {result.returncode}: {lines[-1] if lines else ''}"


def write_svg(results: Results, directory: Path) -> list[str]:
    directory.mkdir(parents=True, exist_ok=True)
    drawn = charts(results)
    for chart in drawn:
        (directory / f"{chart.file}.svg").write_text(draw(chart), encoding="utf-8")
    return [chart.file for chart in drawn]


def write_docs(results: Results, directory: Path) -> None:
    """Replace what is between the marks in benchmarks.md."""
    page = directory / "benchmarks.md"
    before, start, rest = page.read_text(encoding="utf-8").partition(START)
    _, end, after = rest.partition(END)
    if not start or not end:
        raise SystemExit(f"{page} has no {START.strip()} and {END.strip()} to put results between")
    files = write_svg(results, directory / "benchmarks")
    (directory / "benchmarks" / "results.json").write_text(results.as_json(), encoding="utf-8")
    pictures = [f"![{file}](benchmarks/{file}.svg)" for file in sorted(files, key=lambda file: file != "overview")]
    text = "\n".join(("", *pictures, "", *report.page(results, markdown=True), ""))
    page.write_text(before + start + text + end + after, encoding="utf-8")


def main() -> int:
    options = arguments().parse_args()
    if not sys.platform.startswith("linux"):
        say("python -m bench needs Linux: it pins processes to cores and reads their CPU time and memory from /proc")
        return 2
    results = Results.from_json(options.load.read_text()) if options.load else measure(options)
    for line in report.page(results):
        print(line)
    if options.json:
        options.json.write_text(results.as_json(), encoding="utf-8")
    if options.svg:
        write_svg(results, options.svg)
    if options.docs:
        write_docs(results, options.docs)
    return int(options.strict and any(verdict.state == MISSED for verdict in verdicts(results)))


if __name__ == "__main__":
    sys.exit(main())

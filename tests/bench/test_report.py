"""The tables, the pictures and the documentation, from figures that nobody measured."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench import report
from bench.__main__ import END, START, write_docs, write_svg
from bench.chart import Bar, Chart, Panel, charts, draw
from bench.results import Results
from bench.targets import TARGETS

from .made_up import results

SVG = "{http://www.w3.org/2000/svg}"


def test_the_page_has_figures_ratios_and_verdicts() -> None:
    page = "\n".join(report.page(results()))
    (line,) = [line for line in page.splitlines() if line.startswith("cwschannel listen  ") and "8.80" in line]
    assert line.split() == ["cwschannel", "listen", "8.80", "/", "17.6", "/", "1.10"]
    assert "CPU / best rival's" in page
    assert "1.10 picows" in page
    assert "MISSED" in page
    assert "cwschannel listen did not take part in fanout: this cwschannel has no broadcast()" in page
    assert "cwschannel 1.2.3" in page


def test_columns_stand_beneath_each_other() -> None:
    table = report.Table("t", "n", ["", "a"], [["long name", "1"], ["x", "1,000"]])
    assert list(table.text()) == ["t: n", "               a", "long name      1", "x          1,000", ""]


def test_markdown_tables_have_a_cell_for_each_column() -> None:
    for table in [*report.tables(results()), report.verdict_table(report.verdicts(results()))]:
        lines = [line for line in table.markdown() if line.startswith("|")]
        assert len({line.count("|") for line in lines}) == 1
        assert len(lines) == len(table.rows) + 2


def test_results_survive_json() -> None:
    again = Results.from_json(results().as_json())
    assert list(report.page(again)) == list(report.page(results()))


def test_a_picture_is_well_formed_and_drawn_to_scale() -> None:
    chart = Chart("f", "a < b & c", "note", [Panel("p", [Bar("one <x>", 5, "ours"), Bar("two", 10, "rival")])])
    tree = ElementTree.fromstring(draw(chart))
    bars = {bar.get("class"): float(bar.get("width", 0)) for bar in tree.iter(SVG + "rect")}
    assert bars["rival"] == pytest.approx(2 * bars["ours"])
    texts = [text.text for text in tree.iter(SVG + "text")]
    assert {"a < b & c", "one <x>", "two", "p", "note"} <= set(texts)
    lowest = max(float(bar.get("y", 0)) + float(bar.get("height", 0)) for bar in tree.iter(SVG + "rect"))
    assert lowest < float(tree.get("height", 0))


def test_there_is_a_picture_for_each_kind_and_one_of_all() -> None:
    drawn = {chart.file: chart for chart in charts(results())}
    assert {"roundtrip-echo-client", "pipelined-send-client", "memory", "overview"} <= set(drawn)
    names = [bar.name for bar in drawn["roundtrip-echo-client"].panels[0].bars]
    assert names == ["raw", "picows", "cwschannel listen", "websockets"]


def test_no_figures_make_an_empty_page(tmp_path: Path) -> None:
    nothing = Results(about=results().about)
    assert f"{len(TARGETS)} not measured" in "\n".join(report.page(nothing))
    assert write_svg(nothing, tmp_path) == []


def test_docs_are_replaced_between_the_marks(tmp_path: Path) -> None:
    page = tmp_path / "benchmarks.md"
    page.write_text(f"before\n{START}old\n{END}after\n", encoding="utf-8")
    for _ in range(2):
        write_docs(results(), tmp_path)
        text = page.read_text(encoding="utf-8")
        assert text.startswith(f"before\n{START}")
        assert text.endswith(f"{END}after\n")
        assert text.count("![overview](benchmarks/overview.svg)") == 1
        assert "old" not in text
    assert (tmp_path / "benchmarks" / "overview.svg").exists()
    assert Results.from_json((tmp_path / "benchmarks" / "results.json").read_text(encoding="utf-8")).rows


def test_docs_without_marks_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "benchmarks.md").write_text("mine", encoding="utf-8")
    with pytest.raises(SystemExit, match="results"):
        write_docs(results(), tmp_path)
    assert (tmp_path / "benchmarks.md").read_text(encoding="utf-8") == "mine"


def test_the_projects_own_page_has_the_marks() -> None:
    text = (Path(__file__).parents[2] / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    assert text.index(START) < text.index(END)

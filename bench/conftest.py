"""Prints the kernels' tables at the end, and writes them for ``python -m bench``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import cwschannel

from .report import KERNELS, kernel_tables

QUICK = pytest.mark.benchmark(max_time=0.05, min_rounds=10, warmup=True, warmup_iterations=100)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kernels-json", type=Path, help="where to write the kernels' figures")
    parser.addoption("--kernels-quick", action="store_true", help="look at each for a twentieth of a second")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[KERNELS] = {}


def pytest_report_header() -> str:
    return f"cwschannel: {Path(cwschannel.__file__).parent}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--kernels-quick"):
        for item in items:
            item.add_marker(QUICK, append=False)


def pytest_sessionfinish(session: pytest.Session) -> None:
    file: Path | None = session.config.getoption("--kernels-json")
    if file is not None and session.config.stash[KERNELS]:
        file.write_text(json.dumps(session.config.stash[KERNELS]))


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for table in kernel_tables(config.stash[KERNELS]):
        for line in table.text():
            terminalreporter.line(line)

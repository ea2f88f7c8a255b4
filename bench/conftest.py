"""Prints the report at the end, and lets the run fail if we are slower than we may be."""

from __future__ import annotations

from pathlib import Path

import pytest

import cwschannel

from .report import ECHO, KERNELS, echo_tables, kernel_tables, machine, verdicts


def pytest_configure(config: pytest.Config) -> None:
    config.stash[ECHO] = {}
    config.stash[KERNELS] = {}


def pytest_report_header() -> str:
    return f"cwschannel: {Path(cwschannel.__file__).parent}"


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if exitstatus == pytest.ExitCode.OK and not all(good for good, _ in verdicts(session.config.stash[ECHO])):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    kernels, echo = config.stash[KERNELS], config.stash[ECHO]
    if not kernels and not echo:
        return
    terminalreporter.section("cwschannel")
    terminalreporter.line(machine())
    for line in (*kernel_tables(kernels), *echo_tables(echo)):
        terminalreporter.line(line)
    for good, text in verdicts(echo):
        terminalreporter.line(f"{'ok    ' if good else 'BROKEN'}  {text}", green=good, red=not good)

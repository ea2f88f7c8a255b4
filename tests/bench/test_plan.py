"""What is measured."""

from __future__ import annotations

import pytest

from bench.candidates import load
from bench.plan import GROUPS, KIB, MIB, Case, amount, joins, plan


@pytest.mark.parametrize(
    ("what", "side", "take", "give"),
    [
        ("send", "client", 500, 1),
        ("receive", "client", 1, 500),
        ("echo", "client", 500, 500),
        ("send", "server", 1, 500),
        ("receive", "server", 500, 1),
        ("echo", "server", 500, 500),
    ],
)
def test_bursts_go_the_way_they_say(what: str, side: str, take: int, give: int) -> None:
    work = Case("pipelined", what, side, 32).work
    assert (work.take, work.give) == (take, give)


def test_other_cases_are_one_message_each_way() -> None:
    for case in plan(GROUPS, quick=False):
        if case.group != "pipelined":
            assert (case.work.take, case.work.give) == (1, 1)


def test_a_delivery_is_what_fan_out_counts() -> None:
    for case in plan(("fanout",), quick=True):
        assert case.units == 1000
        assert case.work.fan


def test_quick_is_a_part_of_the_whole() -> None:
    quick, full = plan(GROUPS, quick=True), plan(GROUPS, quick=False)
    assert set(quick) < set(full)
    assert len(set(full)) == len(full)
    assert {case.group for case in quick} == {*GROUPS} - {"kernels"}


def test_sizes_in_words() -> None:
    assert [amount(size) for size in (32, KIB, 64 * KIB, 16 * MIB)] == ["32 B", "1 KiB", "64 KiB", "16 MiB"]


def test_those_without_a_server_are_no_servers() -> None:
    kinds = load()
    server = Case("roundtrip", "echo", "server", 32)
    assert joins(kinds["picows"], server)
    assert not joins(kinds["websocket-client"], server)
    assert joins(kinds["cwschannel listen, pure"], server)
    assert not joins(kinds["cwschannel listen, pure"], Case("pipelined", "echo", "server", 32))

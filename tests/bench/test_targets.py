"""What becomes of the targets, with figures that nobody measured."""

from __future__ import annotations

import pytest

from bench.field import Entrant, Row
from bench.plan import Case
from bench.results import Results
from bench.targets import MET, MISSED, NOISE, TARGETS, UNKNOWN, Verdict, verdicts

from .made_up import ECHO_32, results


@pytest.fixture(scope="module")
def found() -> dict[str, Verdict]:
    return {verdict.text: verdict for verdict in verdicts(results())}


def test_each_target_has_its_verdict(found: dict[str, Verdict]) -> None:
    assert len(found) == len(TARGETS)


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("round trip, listen / picows, up to 8 KiB", MISSED),
        ("round trip, listen / picows, from 64 KiB", MET),
        ("round trip, listen / bare protocol, up to 8 KiB", MET),
        ("pipelined sending / best rival, 32 B", MET),
        ("pipelined sending / best rival, 1 KiB", UNKNOWN),
        ("fan-out per CPU second / websockets.broadcast", UNKNOWN),
        ("resident memory of an idle connection, uvloop", MET),
        ("resident memory of an idle connection, asyncio", MISSED),
        ("masking / copying, from 1 KiB", MISSED),
        ("masking / websockets, every size", MISSED),
        ("masking in place / aiohttp, every size", UNKNOWN),
        ("sign_key, times hashlib and base64", MET),
    ],
)
def test_verdicts(found: dict[str, Verdict], text: str, state: str) -> None:
    assert found[text].state == state


def test_the_best_rival_is_the_one_that_needs_least(found: dict[str, Verdict]) -> None:
    (finding,) = found["pipelined sending / best rival, 32 B"].findings
    assert finding.figure.startswith("0.08")
    assert "aiohttp" in finding.where


def test_what_is_not_measured_says_why(found: dict[str, Verdict]) -> None:
    assert "has no broadcast()" in found["fan-out per CPU second / websockets.broadcast"].why
    assert "--only" in found["pipelined sending / best rival, 1 KiB"].why


def test_noise_is_forgiven_where_the_target_says_so() -> None:
    shaky = [[8.0e-6, 8.6e-6, 9.2e-6, 8.1e-6, 8.9e-6]]
    steady = [[8.0e-6] * 5]
    rows = [
        Row(ECHO_32, Entrant("cwschannel listen", "uvloop"), shaky, shaky),
        Row(ECHO_32, Entrant("picows", "uvloop"), steady, steady),
    ]
    verdict = TARGETS[0].verdict(Results(rows))
    assert [finding.state for finding in verdict.findings] == [NOISE]
    assert verdict.state == NOISE


def test_at_least_is_the_other_way_round() -> None:
    case = Case("fanout", "broadcast", "server", 256, cores=2, count=1000)
    rows = [
        Row(case, Entrant("cwschannel listen", "uvloop"), [[5e-6] * 5], [[5e-6] * 5]),
        Row(case, Entrant("websockets", "uvloop"), [[1e-5] * 5], [[1e-5] * 5]),
    ]
    found = {verdict.text: verdict for verdict in verdicts(Results(rows))}
    verdict = found["fan-out per CPU second / websockets.broadcast"]
    assert verdict.state == MET
    assert verdict.findings[0].figure.startswith("2.00")

"""Messages to and from a server over loopback. pytest-benchmark's figures are the client's CPU time for each message."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from .echo import KEYS, PATTERNS, Field, Key, Pattern, Sample, typical
from .report import ECHO

replayed = 0.0


def replayed_clock() -> float:
    return replayed


class Measurements:
    """What was measured, pattern by pattern: candidates that take turns are measured together."""

    def __init__(self, field: Field) -> None:
        self._field = field
        self._done: dict[Pattern, dict[Key, list[Sample]]] = {}

    def get(self, pattern: Pattern, key: Key) -> list[Sample]:
        if pattern not in self._done:
            self._done[pattern] = self._field.measure(pattern)
        return self._done[pattern][key]


@pytest.fixture(scope="module")
def measurements() -> Iterator[Measurements]:
    with Field() as field:
        yield Measurements(field)


@pytest.mark.parametrize("key", KEYS, ids=" ".join)
@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda pattern: pattern.name)
@pytest.mark.benchmark(timer=replayed_clock)
def test_echo(
    benchmark: BenchmarkFixture,
    measurements: Measurements,
    pytestconfig: pytest.Config,
    pattern: Pattern,
    key: Key,
) -> None:
    samples = measurements.get(pattern, key)
    benchmark.group = f"{pattern.name}, {key.loop}"
    benchmark.extra_info = {"wall": [sample.wall for sample in samples]}
    remaining = iter(samples)

    def replay() -> None:
        global replayed  # noqa: PLW0603
        replayed += next(remaining).cpu

    benchmark.pedantic(replay, rounds=len(samples))  # type: ignore[no-untyped-call]
    pytestconfig.stash[ECHO].setdefault(pattern, {})[key] = typical(samples)

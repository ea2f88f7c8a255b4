"""When something counts as slower."""

from __future__ import annotations

import pytest

from bench.check import FLOOR, Contest, change
from bench.plan import Case

ECHO = Contest("cwschannel listen", "uvloop", Case("roundtrip", "echo", "client", 32))


def test_a_clear_loss_is_worse() -> None:
    found = change(ECHO, [1.10, 1.11, 1.09, 1.10, 1.10])
    assert found.ratio == pytest.approx(1.10)
    assert found.is_worse


def test_a_loss_below_the_floor_is_not() -> None:
    assert not change(ECHO, [1.02] * 5).is_worse
    assert change(ECHO, [1.02] * 5).noise == FLOOR


def test_generations_that_disagree_are_noise() -> None:
    found = change(ECHO, [0.9, 1.3, 1.0, 1.25, 1.06])
    assert found.noise > 0.06
    assert not found.is_worse


def test_a_gain_is_not_worse() -> None:
    assert not change(ECHO, [0.5] * 5).is_worse


def test_what_is_compared_has_a_name() -> None:
    assert str(ECHO) == "cwschannel listen, uvloop: roundtrip, client, binary, 32 B"

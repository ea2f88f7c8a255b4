"""From rounds to figures."""

from __future__ import annotations

import pytest

from bench.stats import Ratio, ratio, typical


def test_the_lower_quartile_is_typical() -> None:
    assert typical([[1, 2, 3, 4, 5]]) == 2
    assert typical([[1, 2, 3, 4, 500]]) == 2
    assert typical([[7]]) == 7


def test_of_generations_the_median_counts() -> None:
    assert typical([[1, 2, 3, 4, 5], [7, 8, 9, 10, 11], [3, 4, 5, 6, 7]]) == 4
    slow_for_all = ratio([[1.0] * 5, [2.0] * 5, [1.0] * 5], [[2.0] * 5, [4.0] * 5, [2.0] * 5])
    assert slow_for_all == (0.5, 0)
    lucky_once = ratio([[2.0] * 5, [1.0] * 5, [2.0] * 5], [[4.0] * 5] * 3)
    assert lucky_once.value == 0.5
    assert lucky_once.noise > 0.1


def test_rounds_that_agree_have_no_noise() -> None:
    assert ratio([[2.0] * 5], [[4.0] * 5]) == (0.5, 0)


def test_rounds_that_differ_have_noise() -> None:
    steady = ratio([[2.0, 2.01, 2.02, 2.03, 2.04]], [[4.0] * 5])
    shaky = ratio([[2.0, 2.5, 3.0, 3.5, 4.0]], [[4.0] * 5])
    assert steady.value == pytest.approx(0.5025)
    assert 0 < steady.noise < shaky.noise


def test_the_same_rounds_always_give_the_same_noise() -> None:
    rounds = [[2.0, 2.5, 3.0, 3.5, 4.0]], [[4.0, 4.5, 4.1, 4.4, 4.2]]
    assert ratio(*rounds) == ratio(*rounds)


def test_two_rounds_say_nothing_about_noise() -> None:
    assert ratio([[1.0, 2.0]], [[1.0, 9.0]]).noise == 0


def test_a_ratio_in_words() -> None:
    assert str(Ratio(0.987, 0)) == "0.99"
    assert str(Ratio(0.987, 0.012)) == "0.99 ±0.01"

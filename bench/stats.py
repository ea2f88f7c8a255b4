"""From rounds to figures.

Of the rounds of one process the lower quartile is taken: whatever else runs on the machine only ever adds, so that the lower
half of the rounds says more about the candidate than the upper; and the lowest of all would say more about luck. Several
generations of processes give as many figures, of which the median counts: a process may be lucky in where its memory lies,
and all of a generation may be slower than the next. So a ratio is one of each generation, too, and the median of these. How
much to believe it is asked of the generations and their rounds: they are drawn again, with replacement, and the middle nine
tenths of the ratios that come out are its noise (a percentile bootstrap).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from statistics import median, quantiles
from typing import NamedTuple

DRAWS = 200
FEWEST = 3  # rounds in a generation, for them to say something about noise


def lower_quartile(values: Sequence[float]) -> float:
    return quantiles(values, n=4, method="inclusive")[0] if len(values) > 1 else values[0]


def typical(generations: Sequence[Sequence[float]]) -> float:
    """Return the median of what is typical of each generation."""
    return median(map(lower_quartile, generations))


class Ratio(NamedTuple):
    """What one figure is of another, and by how much that may be wrong."""

    value: float
    noise: float

    def __str__(self) -> str:
        return f"{self.value:.2f}" if not self.noise else f"{self.value:.2f} ±{self.noise:.2f}"


def ratio(ours: Sequence[Sequence[float]], theirs: Sequence[Sequence[float]]) -> Ratio:
    """Return ``ours / theirs``, generation by generation."""
    pairs = list(zip(ours, theirs, strict=False))
    value = median(lower_quartile(one) / lower_quartile(other) for one, other in pairs)
    if min(map(len, [*ours, *theirs])) < FEWEST:
        return Ratio(value, 0)
    draw = random.Random(6455)
    drawn = sorted(
        median(
            lower_quartile(draw.choices(one, k=len(one))) / lower_quartile(draw.choices(other, k=len(other)))
            for one, other in draw.choices(pairs, k=len(pairs))
        )
        for _ in range(DRAWS)
    )
    return Ratio(value, (drawn[DRAWS * 95 // 100] - drawn[DRAWS * 5 // 100]) / 2)

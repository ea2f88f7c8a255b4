"""From rounds to figures.

The lower quartile of the rounds is taken: whatever else runs on the machine only ever adds, so that the lower half of the
rounds says more about the candidate than the upper; and the lowest of all would say more about luck. How much to believe a
ratio is asked of the rounds themselves: they are drawn again, with replacement, and the middle nine tenths of the ratios
that come out are its noise (a percentile bootstrap).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from statistics import quantiles
from typing import NamedTuple

DRAWS = 200


def typical(values: Sequence[float]) -> float:
    """Return the lower quartile."""
    return quantiles(values, n=4, method="inclusive")[0] if len(values) > 1 else values[0]


class Ratio(NamedTuple):
    """What one figure is of another, and by how much that may be wrong."""

    value: float
    noise: float

    def __str__(self) -> str:
        return f"{self.value:.2f}" if not self.noise else f"{self.value:.2f} ±{self.noise:.2f}"


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Ratio:
    """Return ``ours / theirs``, by their lower quartiles."""
    draw = random.Random(6455)
    value = typical(ours) / typical(theirs)
    if len(ours) < 3 or len(theirs) < 3:
        return Ratio(value, 0)
    drawn = sorted(
        typical(draw.choices(ours, k=len(ours))) / typical(draw.choices(theirs, k=len(theirs))) for _ in range(DRAWS)
    )
    return Ratio(value, (drawn[DRAWS * 95 // 100] - drawn[DRAWS * 5 // 100]) / 2)

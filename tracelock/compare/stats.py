"""Intervals that need no assumption about how times are distributed."""

from __future__ import annotations

from collections.abc import Sequence
from math import comb, sqrt
from statistics import median
from typing import Any, Final

Z: Final = 1.959963984540054  # of a two-sided 95 per cent


def wilson(seen: int, runs: int) -> tuple[float, float]:
    """The 95 % score interval of a share (Wilson 1927): honest for 0 of N too."""
    if runs == 0:
        return 0.0, 1.0
    share = seen / runs
    centre = share + Z * Z / (2 * runs)
    spread = Z * sqrt(share * (1 - share) / runs + Z * Z / (4 * runs * runs))
    scale = 1 + Z * Z / runs
    low = 0.0 if seen == 0 else max(0.0, (centre - spread) / scale)
    return low, 1.0 if seen == runs else min(1.0, (centre + spread) / scale)


def median_interval(values: Sequence[float]) -> tuple[float, float]:
    """The 95 % interval of the median by order statistics (binomial); all values where there are
    fewer than six, which cannot say as much."""
    ordered = sorted(values)
    n = len(ordered)
    rank, tail = 0, 0.0
    while rank < n // 2:
        tail += comb(n, rank) * 0.5**n
        if 2 * tail > 0.05:
            break
        rank += 1
    low = max(rank - 1, 0)
    return ordered[low], ordered[n - 1 - low]


def spread(values: Sequence[float]) -> dict[str, Any] | None:
    """``{"median", "low", "high", "n", "all"}``: the median and its 95 % interval; None for no
    value."""
    if not values:
        return None
    low, high = median_interval(values)
    return {
        "median": median(values), "low": low, "high": high, "n": len(values), "all": list(values),
    }  # fmt: skip


def apart(a: dict[str, Any], b: dict[str, Any]) -> bool:
    """Whether two spreads can be told apart: their intervals do not overlap."""
    return bool(a["low"] > b["high"] or b["low"] > a["high"])

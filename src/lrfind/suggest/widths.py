"""How far from a calibrated reading the best rate may lie, by what the reading rests on."""

from __future__ import annotations

from math import inf, log2
from typing import Literal

from lrfind.curves import Curve
from lrfind.suggest.calibrated import HORIZON, prior_for, prior_weight
from lrfind.suggest.edges import edge, has_edge, is_saturated, is_weak
from lrfind.suggest.replies import follows, in_training, is_adaptive

Evidence = Literal["edge", "edge, adaptive", "prior", "saturated, adaptive", "weak", "in use", "capped", "none"]

WIDTHS: dict[Evidence, tuple[float, float]] = {
    "edge": (3.7, 6.2),
    "edge, adaptive": (1.2, 3.0),
    "prior": (1.2, 4.2),
    "saturated, adaptive": (2.5, 8.3),
    "weak": (3.4, 3.6),
    "in use": (3.0, 2.1),
    "capped": (3.3, 4.8),
    "none": (3.3, 4.8),
}
"""Octaves below and above the reading between which the best rate lay for 95 % of the benchmark's tasks, so that it
does for nine in ten of those left out; ``python -m benchmarks.widths`` prints them."""

LONGER = 0.5
"""Octaves that the interval is wider below for each doubling of the steps above ``HORIZON``: a guess, longer trainings
are not measured."""

HALF = 0.5
"""From this weight of the prior on, a reading rests on it."""


def evidence(curve: Curve, final_fraction: float, passes: float | None = None, steps: float | None = None) -> Evidence:
    """Return what a calibrated reading rests on; the arguments are those of ``calibrated``."""
    if not follows(curve):
        return "none"
    prior = prior_for(curve, final_fraction, passes, steps)
    if not has_edge(curve):
        return "prior" if curve.is_fresh else "in use"
    if in_training(curve, edge(curve), steps) == inf:
        return "capped"
    if prior is not None and prior_weight(curve) >= HALF:
        if not curve.is_fresh:
            return "in use"
        return "saturated, adaptive" if is_saturated(curve) else "prior"
    if is_weak(curve):
        return "weak"
    return "edge, adaptive" if is_adaptive(curve) else "edge"


def around(lr: float, rests_on: Evidence, steps: float | None = None) -> tuple[float, float]:
    """Return the rates between which the best one lies, for about 90 % of the benchmark's tasks.

    Args:
        lr: The reading.
        rests_on: What it rests on.
        steps: How many optimizer steps training takes; None where that is not known.

    Example:
        >>> [round(end, 2) for end in around(1.0, "edge, adaptive")]
        [0.44, 8.0]
        >>> [round(end, 2) for end in around(1.0, "edge, adaptive", steps=16_000)]
        [0.15, 8.0]
    """
    below, above = WIDTHS[rests_on]
    longer = max(log2(steps / HORIZON), 0.0) if steps else 0.0
    return lr / 2 ** (below + LONGER * longer), lr * 2**above

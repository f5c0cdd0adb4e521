"""How far a reading would move if the search were repeated with other seeds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from lrfind.curves import BANDWIDTH, Curve, smoother
from lrfind.errors import ProbeError

REPLICATES = 100

NEIGHBOURS = 8
"""A step's noise is drawn from this many steps on either side: noise changes along the curve."""

MARGIN = 2.0**0.5
"""Other seeds differ by more than one curve's noise shows: half an octave, measured, on either side."""


def interval(curve: Curve, rule: Callable[[Curve], float]) -> tuple[float, float]:
    """Return where about 90 % of repeated searches would read the rate, by a residual bootstrap of the curve.

    Args:
        curve: The curve that was read.
        rule: The rule that read it.

    Returns:
        The lower and the upper end; the reading itself lies between them.

    Source:
        Efron and Tibshirani, "An Introduction to the Bootstrap" (1993), section 9.4, residuals drawn locally.
    """
    readings = [rule(curve)]
    for replicate in _replicates(curve):
        try:
            readings.append(rule(replicate))
        except ProbeError:  # it might have been read anywhere
            readings += [float(curve.lrs[0]), float(curve.lrs[-1])]
    low, high = np.quantile(np.log(readings), (0.05, 0.95))
    return (
        float(min(np.exp(low) / MARGIN, readings[0])),
        float(max(np.exp(high) * MARGIN, readings[0])),
    )


def _replicates(curve: Curve) -> Iterator[Curve]:
    random = np.random.default_rng(0)
    steps = len(curve.lrs)
    known = np.flatnonzero(np.isfinite(curve.losses))
    ceiling = curve.level + max(curve.level - float(np.min(curve.smooth)), 2.0 * curve.noise)
    residuals = np.minimum(curve.losses[known], ceiling) - curve.smooth[known]
    octaves = np.log2(curve.lrs)
    matrix = smoother(octaves, octaves, BANDWIDTH)
    for _ in range(REPLICATES):
        near = np.searchsorted(known, np.arange(steps)) + random.integers(-NEIGHBOURS, NEIGHBOURS + 1, steps)
        losses = curve.smooth + residuals[np.clip(near, 0, len(known) - 1)]
        yield replace(curve, losses=losses, smooth=matrix @ losses)

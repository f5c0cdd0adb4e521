"""What lies around a reading: the interval of the best rate, that of other seeds, and the range for cycles."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from math import log2

import numpy as np

from lrfind.curves import BANDWIDTH, Curve, smoother
from lrfind.errors import ProbeError
from lrfind.suggest.calibrated import Evidence
from lrfind.suggest.edges import edge
from lrfind.suggest.training import HORIZON

WIDTHS: dict[Evidence, tuple[float, float]] = {
    "edge": (3.8, 6.3),
    "edge, adaptive": (1.4, 3.8),
    "prior": (1.6, 4.0),
    "saturated, adaptive": (3.0, 9.0),
    "weak": (2.9, 4.8),
    "in use": (3.0, 4.8),
    "capped": (3.2, 5.9),
    "none": (3.2, 5.9),
}
"""Octaves below and above the reading that hold the best rate for 97 % of the benchmark's tasks, so that they do for
nine in ten of those left out; ``python -m benchmarks.widths`` prints them."""

SPREAD = 4.0
"""Best rates lie mostly within this factor of the usual one: the range if no edge is known."""


def around(lr: float, rests_on: Evidence, steps: float | None = None) -> tuple[float, float]:
    """Return the rates between which the best one lies, for about 90 % of the benchmark's tasks.

    For each doubling of the steps above ``HORIZON``, half an octave is added below: a guess.
    """
    below, above = WIDTHS[rests_on]
    longer = max(log2(steps / HORIZON), 0.0) if steps else 0.0
    return lr / 2 ** (below + 0.5 * longer), lr * 2**above


def cyclical_range(curve: Curve) -> tuple[float, float]:
    """Return ``base_lr`` and ``max_lr`` for a cyclical schedule; ``ProbeError`` if the loss never falls.

    Smith reads both off the curve: where the accuracy starts to rise, and where it slows, turns ragged or falls. A
    short test gets further than training may, so both are set below its edge, by the best distances measured:
    ``max_lr`` by two octaves (some trainings diverge if cycles reach the edge itself), ``base_lr`` by five more.

    Source:
        Smith, arXiv 1506.01186, section 3.3; docs/decisions/0010-range-below-the-edge.md (measured).
    """
    max_lr = edge(curve) / 2**2
    return max_lr / 2**5, max_lr


def interval(curve: Curve, rule: Callable[[Curve], float]) -> tuple[float, float]:
    """Return where about 90 % of repeated searches would read the rate, by a residual bootstrap of the curve.

    The reading itself lies in between. Other seeds differ by more than one curve's noise shows: by half an octave on
    either side, as measured.

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
    return min(float(np.exp(low)) / 2**0.5, readings[0]), max(float(np.exp(high)) * 2**0.5, readings[0])


def _replicates(curve: Curve) -> Iterator[Curve]:
    """Yield 100 curves; a step's noise is drawn from 8 steps on either side, since it changes along the curve."""
    random = np.random.default_rng(0)
    steps = len(curve.lrs)
    known = np.flatnonzero(np.isfinite(curve.losses))
    ceiling = curve.level + max(curve.level - float(np.min(curve.smooth)), 2.0 * curve.noise)
    residuals = np.minimum(curve.losses[known], ceiling) - curve.smooth[known]
    octaves = np.log2(curve.lrs)
    matrix = smoother(octaves, octaves, BANDWIDTH)
    for _ in range(100):
        near = np.searchsorted(known, np.arange(steps)) + random.integers(-8, 8 + 1, steps)
        losses = curve.smooth + residuals[np.clip(near, 0, len(known) - 1)]
        yield replace(curve, losses=losses, smooth=matrix @ losses)

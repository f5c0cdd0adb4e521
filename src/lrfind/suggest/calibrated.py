"""The default reading: below the edge, or, where the curve shows little, towards the rate that is usual."""

from __future__ import annotations

from math import log2

from lrfind.curves import Curve
from lrfind.schedules import Shape, remaining
from lrfind.suggest.edges import edge, fall, has_edge, no_fall
from lrfind.suggest.usual import allows, has_usual, is_adaptive, usual_rate

ANNEALED, STEADY = 2.15, 3.4
"""Octaves from the edge down to the best peak of a rate that falls to zero, and to the best constant rate."""

ADAPTIVE = 0.6
"""Octaves further down for an adaptive optimizer."""

REPEATED, REPEATED_ADAPTIVE = 0.05, 0.2
"""Octaves further down for each doubling of the passes over the data, and that for an adaptive optimizer: what is seen
often is learnt by heart."""

USUAL_PASSES = 32.0
"""The number of passes at which nothing is added, and which is assumed where it is not known."""

ENOUGH = 6.0
"""A fall of this many times the noise is as much evidence as the usual rate."""


def calibrated(curve: Curve, shape: Shape, passes: float | None = None) -> float:
    """Return the rate so far below the edge of the falling loss as the training and the optimizer ask for.

    A schedule that anneals forgives a higher rate: the octaves are taken between ``ANNEALED`` and ``STEADY`` by how
    much of the peak is left. Where an adaptive optimizer begins to train, the reading gives way, in log-rate, to the
    usual rate as far as the curve leaves doubt. Both are lower the more often training goes over the same data.

    Args:
        curve: The curve to read.
        shape: What the rate will do in training.
        passes: How often training goes over the data; None where that is not known.

    Raises:
        ProbeError: If the loss never falls, and the usual rate is not one that the curve allows.

    Source:
        docs/decisions/0006-edge-or-usual.md; ``python -m benchmarks.calibrate`` fits the constants.
    """
    left = remaining(shape)
    is_one = is_adaptive(curve.optimizer)
    repeated = (REPEATED_ADAPTIVE if is_one else REPEATED) * log2(max(passes or USUAL_PASSES, 1.0) / USUAL_PASSES)
    below = octaves_below(left) + ADAPTIVE * is_one + repeated
    if not has_usual(curve):
        return edge(curve) / 2**below
    usual = usual_rate(left) / 2**repeated
    if not has_edge(curve):
        if not allows(curve, usual):
            raise no_fall(curve)
        return usual
    read = edge(curve) / 2**below
    return float(read * (usual / read) ** doubt(curve))


def octaves_below(left: float) -> float:
    """Return how far below the edge to go for a schedule that ends at a share ``left``, in [0, 1], of its peak.

    Example:
        >>> [octaves_below(left) for left in (0.0, 1.0)]
        [2.15, 3.4]
    """
    return ANNEALED + (STEADY - ANNEALED) * left


def doubt(curve: Curve) -> float:
    """Return how much, in [0, 1], to trust the usual rate instead of the curve.

    Example:
        >>> import numpy as np
        >>> lrs = np.geomspace(1e-3, 1.0, 100)
        >>> smooth = np.linspace(2.0, 1.0, 100)
        >>> [round(doubt(Curve(lrs, smooth, smooth, noise, 2.0)), 2) for noise in (0.0, 1 / 6, 1.0)]
        [0.0, 0.5, 1.0]
    """
    against = ENOUGH * curve.noise
    return 0.0 if against == 0 else float(1 / (1 + (max(fall(curve), 0.0) / against) ** 4))

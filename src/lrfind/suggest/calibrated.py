"""The default reading: below the edge, or, where the curve shows little, towards the rate that is usual."""

from __future__ import annotations

from lrfind.curves import Curve
from lrfind.schedules import Shape, remaining
from lrfind.suggest.edges import edge, fall, has_edge, no_fall
from lrfind.suggest.usual import allows, has_usual, is_adaptive, usual_rate

ANNEALED, STEADY = 1.6, 2.95
"""Octaves from the edge down to the best peak of a rate that falls to zero, and to the best constant rate."""

ADAPTIVE = 0.8
"""Octaves further down for an adaptive optimizer."""

ENOUGH = 6.0
"""A fall of this many times the noise is as much evidence as the usual rate."""


def calibrated(curve: Curve, shape: Shape) -> float:
    """Return the rate so far below the edge of the falling loss as the schedule and the optimizer ask for.

    A schedule that anneals forgives a higher rate: the octaves are taken between ``ANNEALED`` and ``STEADY`` by how
    much of the peak is left. Where an adaptive optimizer begins to train, the reading gives way, in log-rate, to the
    usual rate as far as the curve leaves doubt.

    Raises:
        ProbeError: If the loss never falls, and the usual rate is not one that the curve allows.

    Source:
        docs/decisions/0006-edge-or-usual.md; ``python -m benchmarks.calibrate`` fits the constants.
    """
    left = remaining(shape)
    below = octaves_below(left) + ADAPTIVE * is_adaptive(curve.optimizer)
    if not has_usual(curve):
        return edge(curve) / 2**below
    usual = usual_rate(left)
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
        [1.6, 2.95]
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

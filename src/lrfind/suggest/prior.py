"""The rate that is usual for adaptive optimizers.

A step of Adam or RMSprop is about as long as its rate, whatever the loss is scaled by, so that their best rates lie
close together from task to task; those of SGD do not.
"""

from __future__ import annotations

import numpy as np

from lrfind.curves import Curve
from lrfind.suggest.replies import is_adaptive
from lrfind.suggest.training import Training

ANNEALED, STEADY = -6.85, -8.4
"""Logarithms to the base 2 of the usual peak of a rate that falls to zero, and of the usual constant rate."""

RISEN = 2.0
"""A trend this many times the noise above the start has risen; less is what a flat curve shows by chance."""


def has_prior(curve: Curve) -> bool:
    """Say whether there is a rate that is usual: an adaptive optimizer begins to train, or training goes on."""
    return is_adaptive(curve) if curve.is_fresh else curve.used > 0


def prior_rate(training: Training) -> float:
    """Return the usual rate under the schedule of a training.

    Example:
        >>> [round(prior_rate(Training(final_fraction=left)), 4) for left in (0.0, 1.0)]
        [0.0087, 0.003]

    Source:
        docs/decisions/0006-edge-or-prior.md; ``python -m benchmarks.calibrate`` fits the constants.
    """
    return float(2 ** training.between(ANNEALED, STEADY))


def rules_out(curve: Curve, lr: float) -> bool:
    """Say whether a curve had risen above its start at a rate, or ended before it."""
    at = float(np.interp(np.log(lr), curve.log_lrs, curve.smooth))
    return bool(lr > curve.lrs[-1] or at > curve.level + RISEN * curve.noise)

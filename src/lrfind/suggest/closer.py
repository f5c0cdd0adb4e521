"""The reading of a slower ramp around a first reading: below its edge by a constant, for every optimizer."""

from lrfind.curves import Curve
from lrfind.suggest.edges import edge, fall, has_edge, is_saturated, is_weak, no_fall
from lrfind.suggest.replies import is_adaptive
from lrfind.suggest.training import Training

ANNEALED, STEADY = 0.95, 2.15
"""Octaves from its edge down to the best peak of a rate that falls to zero, and to the best constant rate."""


def closer(curve: Curve, training: Training) -> float:
    """Return the rate below the edge of a ramp of about ten octaves; how far depends on the schedule.

    Such a ramp takes several steps per octave, more like training than a ramp over all rates. Its reading uses no usual
    rate, so its errors differ from the first one's, and the mean of both is better than either.

    Source:
        docs/decisions/0016-a-closer-look.md; ``python -m benchmarks.calibrate`` fits the constants.
    """
    return edge_of_slower(curve) / 2 ** training.between(ANNEALED, STEADY)


def edge_of_slower(curve: Curve) -> float:
    """Return the edge of a slower ramp; ``ProbeError`` if the loss does not fall or, with plain SGD, only by noise."""
    if is_lost(curve):
        raise no_fall(curve)
    return edge(curve)


def is_lost(curve: Curve) -> bool:
    """Say whether noise hides the fall at a fresh start without a usual rate: plain SGD."""
    return _is_plain(curve) and is_weak(curve)


def is_enough(curve: Curve) -> bool:
    """Say whether a slower ramp falls by so much that faster ones add only noise: by three times it, with plain SGD."""
    return _is_plain(curve) and has_edge(curve) and fall(curve) > 3.0 * curve.noise


def _is_plain(curve: Curve) -> bool:
    return curve.is_fresh and not is_adaptive(curve)


def weight(first: Curve, training: Training) -> float:
    """Return the weight of a slower ramp beside one of another kind, in [0, 1].

    It is 1 up to half of ``HORIZON`` steps of training and falls to 0 at ``HORIZON``: longer ones are not measured.
    It is 0 if the first ramp never rose above its start: a slower one shows no edge either.
    """
    return 0.0 if is_saturated(first) else min(training.halvings, 1.0)

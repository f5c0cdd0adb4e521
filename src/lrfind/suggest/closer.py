"""The reading of a slower ramp around a first reading: below its edge by a constant, whatever the optimizer."""

from __future__ import annotations

from lrfind.curves import Curve
from lrfind.suggest.edges import edge, is_saturated, is_weak, no_fall
from lrfind.suggest.replies import is_adaptive
from lrfind.suggest.training import Training

ANNEALED, STEADY = 1.05, 2.3
"""Octaves from the edge of such a ramp down to the best peak of a rate that falls to zero, and to the best constant
one."""


def closer(curve: Curve, training: Training) -> float:
    """Return the rate so far below the edge of a ramp of some ten octaves as the schedule asks for.

    Such a ramp spends several steps on each octave, more like training than one over all rates. Its reading leans on
    nothing that is usual, so that it errs otherwise than the first one; the mean of both is better than either.

    Raises:
        ProbeError: If there is no edge that says anything; see ``edge_of_slower``.

    Source:
        docs/decisions/0016-a-closer-look.md; ``python -m benchmarks.calibrate`` fits the constants.
    """
    return edge_of_slower(curve) / 2 ** training.between(ANNEALED, STEADY)


def edge_of_slower(curve: Curve) -> float:
    """Return the edge of a slower ramp, as a rate of the ramp.

    Raises:
        ProbeError: If the loss never falls, or, with steps as long as the gradient says, by no more than its noise.
    """
    if is_lost(curve):
        raise no_fall(curve)
    return edge(curve)


def is_lost(curve: Curve) -> bool:
    """Say whether the fall of a fresh start is lost in noise, and nothing is usual that could stand in: plain SGD."""
    return curve.is_fresh and is_weak(curve) and not is_adaptive(curve)


def weight(first: Curve, training: Training) -> float:
    """Return how much a slower ramp counts beside one of another kind, in [0, 1].

    It counts as much in trainings of half of ``HORIZON`` steps, less and less up to there, and nothing in longer ones,
    which are not measured. Where the first ramp never rose above its start, a slower one shows no edge either.
    """
    return 0.0 if is_saturated(first) else min(training.halvings, 1.0)

"""The default reading: below the edge, or, where the curve shows little, towards the rate that is usual."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, log2
from typing import Literal

import numpy as np

from lrfind.curves import Curve
from lrfind.suggest.edges import density, drift, edge, fall, has_edge, is_saturated, is_weak, no_fall
from lrfind.suggest.replies import as_adam, follows, highest, in_training, is_adaptive
from lrfind.suggest.training import Training

Evidence = Literal["edge", "edge, adaptive", "prior", "saturated, adaptive", "weak", "in use", "capped", "none"]
"""What a reading rests on."""

ANNEALED, STEADY = 2.15, 3.35
"""Octaves from the edge down to the best peak of a rate that falls to zero, and to the best constant rate."""

ADAPTIVE = 0.75
"""Octaves further down for an adaptive optimizer."""

USUAL_ANNEALED, USUAL_STEADY = -6.85, -8.4
"""Logarithms to the base 2 of the usual peak of a rate that falls to zero, and of the usual constant rate, of adaptive
optimizers: their steps are about as long as their rate, whatever the loss is scaled by. Those of SGD are not."""

REPEATED, REPEATED_ADAPTIVE = 0.05, 0.25
"""Octaves further down for each doubling of the passes over the data, and that for an adaptive optimizer: what is seen
often is learnt by heart."""

PACE, PACE_ADAPTIVE = 0.4, 0.2
"""Octaves further down for each halving of the steps per octave of the ramp, and that for an adaptive optimizer: what
ramps faster comes further before it diverges. Measured on ramps of 48 to 512 steps."""

FARTHEST = 2.0
"""Octaves of the steps per octave, up and down, for which that is known."""

USUAL_DENSITY = 127 / log2(30 / 1e-6)
"""Steps per octave of the ramp that the other constants are fitted on."""

SHORTER = 0.15
"""Octaves further up for each halving of the steps of training below ``lrfind.suggest.training.HORIZON``, where the
curve falls clearly; longer trainings are not measured."""

SATURATED = 0.6
"""The usual rate of an adaptive optimizer is trusted this much at least where the loss never rises above its start: an
edge then is hardly one."""

PRIOR_EPOCHS = 32.0
"""The number of passes at which nothing is added, and which is assumed where it is not known."""

FEWEST_PASSES = 8.0
"""Where the fall is lost in noise, fewer passes than that do not raise the rate: batches then are mostly small."""

ENOUGH = 6.0
"""A fall of this many times the noise is as much evidence as the usual rate."""

RISEN = 2.0
"""A trend this many times the noise above the start has risen, if the losses at the start do not differ by more; less
is what a flat curve shows by chance."""

HALF = 0.5
"""From this weight of the prior on, a reading rests on it."""

USUAL = 0.9
"""From this one on, it rests on nothing else."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What the calibrated rule reads off a curve.

    Attributes:
        lr: The rate.
        rests_on: What it rests on.
        leaning: How much it leans, in log-rate, on the usual rate or the one in use; 1 where the curve shows nothing.
    """

    lr: float
    rests_on: Evidence
    leaning: float = 0.0

    @property
    def is_read(self) -> bool:
        """Whether the curve of this training had any part in it to speak of."""
        return self.rests_on != "none" and self.leaning < USUAL


def calibrated(curve: Curve, training: Training) -> float:
    """Return the rate so far below the edge of the falling loss as the training and the optimizer ask for.

    A schedule that anneals forgives a higher rate: the octaves are taken between ``ANNEALED`` and ``STEADY`` by how
    much of the peak is left. Where an adaptive optimizer begins to train, the reading gives way, in log-rate, to the
    usual rate as far as the curve leaves doubt; where training goes on, to the rate that it has. Both are lower the
    more often training goes over the same data. An optimizer whose steps shrink, grow or are capped is given the rate
    whose steps are as long as Adam's or SGD's would be; one that does not follow its rate (Rprop) keeps the one it has.

    Raises:
        ProbeError: If the loss never falls, and the usual rate is not one that the curve allows.

    Source:
        docs/decisions/0006-edge-or-prior.md; ``python -m benchmarks.calibrate`` fits the constants.
    """
    return reading_of(curve, training).lr


def reading_of(curve: Curve, training: Training) -> Reading:
    """Return the calibrated reading and what it rests on.

    Raises:
        ProbeError: As ``calibrated``.
    """
    if not follows(curve):
        return Reading(curve.used, "none")
    prior = prior_for(curve, training)
    if not has_edge(curve):
        if prior is None:
            raise no_fall(curve)
        return Reading(prior, "prior" if curve.is_fresh else "in use", 1.0)
    shorter = 0.0 if is_weak(curve) else SHORTER * training.halvings
    below = training.between(ANNEALED, STEADY) + ADAPTIVE * is_adaptive(curve) - shorter
    read = standard_edge(curve, training.steps) / 2 ** (below + _octaves_repeated(curve, training.passes))
    leaning = 0.0 if prior is None else prior_weight(curve)
    most = highest(curve, training.steps)
    lr = most if read >= most else read if prior is None else float(read * (prior / read) ** leaning)
    return Reading(lr, _evidence(curve, training, leaning), leaning)


def _evidence(curve: Curve, training: Training, leaning: float) -> Evidence:
    """Return what a reading of a curve that has an edge rests on."""
    if in_training(curve, edge(curve), training.steps) == inf:
        return "capped"
    if leaning >= HALF:
        if not curve.is_fresh:
            return "in use"
        return "saturated, adaptive" if is_saturated(curve) else "prior"
    if is_weak(curve):
        return "weak"
    return "edge, adaptive" if is_adaptive(curve) else "edge"


def prior_for(curve: Curve, training: Training) -> float | None:
    """Return the usual rate for a training; None where no rate is usual, or the curve speaks against it.

    A loss that neither falls nor varies does so, too: nothing trains.
    """
    if not has_prior(curve) or not (has_edge(curve) or curve.noise > 0):
        return None
    prior = curve.used
    if curve.is_fresh:
        usual = as_adam(curve, prior_rate(training), training.steps)
        prior = min(usual / 2 ** _octaves_repeated(curve, training.passes), highest(curve, training.steps))
    return None if rules_out(curve, prior) else prior


def has_prior(curve: Curve) -> bool:
    """Say whether there is a rate that is usual: an adaptive optimizer begins to train, or training goes on."""
    return is_adaptive(curve) if curve.is_fresh else curve.used > 0


def prior_rate(training: Training) -> float:
    """Return the usual rate of an adaptive optimizer under the schedule of a training.

    Example:
        >>> [round(prior_rate(Training(final_fraction=left)), 4) for left in (0.0, 1.0)]
        [0.0087, 0.003]
    """
    return float(2 ** training.between(USUAL_ANNEALED, USUAL_STEADY))


def rules_out(curve: Curve, lr: float) -> bool:
    """Say whether a curve had risen above its start at a rate, or ended before it."""
    at = float(np.interp(np.log(lr), curve.log_lrs, curve.smooth))
    return bool(lr > curve.lrs[-1] or at > curve.level + max(RISEN * curve.noise, drift(curve)))


def standard_edge(curve: Curve, steps: float | None = None) -> float:
    """Return where the edge would be had the ramp taken ``USUAL_DENSITY`` steps per octave, as a rate of training.

    Args:
        curve: The curve to read.
        steps: How many optimizer steps training takes; None where that is not known.

    Raises:
        ProbeError: If the loss never falls.
    """
    pace = PACE_ADAPTIVE if is_adaptive(curve) else PACE
    faster = min(max(log2(USUAL_DENSITY / density(curve)), -FARTHEST), FARTHEST)
    return float(in_training(curve, edge(curve), steps) / 2 ** (pace * faster))


def _octaves_repeated(curve: Curve, passes: float | None) -> float:
    octaves = REPEATED_ADAPTIVE if is_adaptive(curve) else REPEATED
    fewest = FEWEST_PASSES if is_weak(curve) else 1.0
    return octaves * log2(max(passes or PRIOR_EPOCHS, fewest) / PRIOR_EPOCHS)


def prior_weight(curve: Curve) -> float:
    """Return how much, in [0, 1], to trust the usual rate instead of the curve.

    Example:
        >>>         >>> lrs = np.geomspace(1e-3, 1.0, 100)
        >>> smooth = np.linspace(2.0, 1.0, 100)
        >>> curves = [Curve(lrs, smooth, smooth, noise, 2.0, is_fresh=False) for noise in (0.0, 1 / 6, 1.0)]
        >>> [round(prior_weight(curve), 2) for curve in curves]
        [0.0, 0.5, 1.0]
    """
    against = ENOUGH * curve.noise
    by_noise = 0.0 if against == 0 else float(1 / (1 + (max(fall(curve), 0.0) / against) ** 4))
    return max(by_noise, SATURATED) if is_saturated(curve) and curve.is_fresh else by_noise

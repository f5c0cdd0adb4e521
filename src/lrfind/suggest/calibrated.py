"""The default reading: below the edge, or, where the curve shows little, towards the usual rate."""

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
"""The usual rates of adaptive optimizers as log2: the peak of a rate that falls to zero, and a constant rate. Their
steps are about as long as their rate, however the loss is scaled; those of SGD are not."""

REPEATED, REPEATED_ADAPTIVE = 0.05, 0.25
"""Octaves further down for each doubling of the passes over the data, also for an adaptive optimizer: it memorizes."""

PACE, PACE_ADAPTIVE = 0.4, 0.2
"""Octaves further down for each halving of the ramp's steps per octave, also for an adaptive optimizer: a faster ramp
gets further before it diverges. Measured on ramps of 48 to 512 steps, for two octaves of that density up and down."""

USUAL_DENSITY = 127 / log2(30 / 1e-6)
"""Steps per octave of the ramp that the other constants are fitted on."""

SHORTER = 0.15
"""Octaves up for each halving of training below ``HORIZON`` steps, if the fall is clear."""

PRIOR_EPOCHS = 32.0
"""The number of passes at which nothing is added, assumed if unknown."""

FEWEST_PASSES = 8.0
"""If the fall is lost in noise, fewer passes than this do not raise the rate: batches then are mostly small."""

HALF = 0.5
"""From this weight of the prior on, a reading rests on it."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What the calibrated rule reads off a curve.

    Attributes:
        lr: The rate.
        rests_on: The evidence that it rests on.
        leaning: The weight, in log-rate, of the usual rate or of the one in use; 1 if the curve shows nothing.
    """

    lr: float
    rests_on: Evidence
    leaning: float = 0.0

    @property
    def is_read(self) -> bool:
        """Whether the curve of this training had any part in it."""
        return self.rests_on != "none" and self.leaning < 1.0


def calibrated(curve: Curve, training: Training) -> float:
    """Return a rate below the edge of the falling loss; how far depends on the training and the optimizer.

    A schedule that anneals allows a higher rate: the octaves are interpolated between ``ANNEALED`` and ``STEADY`` by
    how much of the peak is left. The less the curve shows, the more the reading leans, in log-rate, on another rate:
    the usual one if an adaptive optimizer begins to train, the current one if training goes on. Both are lower the more
    often training goes over the same data. For an optimizer whose steps shrink, grow or are capped, it is the rate
    whose steps are as long as Adam's or SGD's would be; one that does not follow its rate (Rprop) keeps its own.

    Raises:
        ProbeError: If the loss never falls, and there is no usual rate or the curve rules it out.

    Source:
        docs/decisions/0006-edge-or-prior.md; ``python -m benchmarks.calibrate`` fits the constants.
    """
    return reading_of(curve, training).lr


def reading_of(curve: Curve, training: Training) -> Reading:
    """Return the calibrated reading and what it rests on; raises as ``calibrated`` does."""
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
    """Return the usual rate for a training; None if there is none, or the curve rules it out.

    A loss that neither falls nor varies rules it out too: nothing trains.
    """
    if not has_prior(curve) or not (has_edge(curve) or curve.noise > 0):
        return None
    prior = curve.used
    if curve.is_fresh:
        usual = as_adam(curve, prior_rate(training), training.steps)
        prior = min(usual / 2 ** _octaves_repeated(curve, training.passes), highest(curve, training.steps))
    return None if rules_out(curve, prior) else prior


def has_prior(curve: Curve) -> bool:
    """Say whether there is a usual rate: an adaptive optimizer begins to train, or training goes on."""
    return is_adaptive(curve) if curve.is_fresh else curve.used > 0


def prior_rate(training: Training) -> float:
    """Return the usual rate of an adaptive optimizer under the schedule of a training: 0.003 if it is constant."""
    return float(2 ** training.between(USUAL_ANNEALED, USUAL_STEADY))


def rules_out(curve: Curve, lr: float) -> bool:
    """Say whether at a rate the curve had ended, or had risen above its start.

    It has risen if it is by twice the noise above the start, and by more than the first losses differ.
    """
    at = float(np.interp(np.log(lr), curve.log_lrs, curve.smooth))
    return bool(lr > curve.lrs[-1] or at > curve.level + max(2.0 * curve.noise, drift(curve)))


def standard_edge(curve: Curve, steps: float | None = None) -> float:
    """Return the edge as a rate of training (of ``steps`` steps), had the ramp ``USUAL_DENSITY`` steps per octave."""
    pace = PACE_ADAPTIVE if is_adaptive(curve) else PACE
    faster = min(max(log2(USUAL_DENSITY / density(curve)), -2.0), 2.0)
    return float(in_training(curve, edge(curve), steps) / 2 ** (pace * faster))


def _octaves_repeated(curve: Curve, passes: float | None) -> float:
    octaves = REPEATED_ADAPTIVE if is_adaptive(curve) else REPEATED
    fewest = FEWEST_PASSES if is_weak(curve) else 1.0
    return octaves * log2(max(passes or PRIOR_EPOCHS, fewest) / PRIOR_EPOCHS)


def prior_weight(curve: Curve) -> float:
    """Return how much, in [0, 1], to trust the usual rate instead of the curve.

    A fall of six times the noise is as much evidence as the usual rate. If the loss never rises above its start, the
    edge is vague, and the usual rate of an adaptive optimizer has a weight of at least 0.6.
    """
    against = 6.0 * curve.noise
    by_noise = 0.0 if against == 0 else float(1 / (1 + (max(fall(curve), 0.0) / against) ** 4))
    return max(by_noise, 0.6) if is_saturated(curve) and curve.is_fresh else by_noise

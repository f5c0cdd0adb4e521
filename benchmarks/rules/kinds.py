"""The edge, with more than the schedule to say how far below it to go."""

from math import log2

import numpy as np

from benchmarks.rule import Case, Rule
from benchmarks.rules.edge import anchor
from benchmarks.rules.gains import anchor as gain
from benchmarks.rules.gains import centroid
from lrfind.suggest.edges import edge, onset

HABIT = {"sgd": log2(1e-2), "adaptive": log2(1e-3)}


def by_kind(case: Case) -> tuple[float, ...]:
    """The schedule's constants, and one more for optimizers that divide by the gradient's size."""
    return (*case.annealing, float(case.kind == "adaptive"))


def by_noise(case: Case) -> tuple[float, ...]:
    """The schedule's constants, and one for the noise of a batch relative to the fall."""
    curve = case.curve
    fall = max(curve.level - float(np.min(curve.smooth)), 1e-12)
    return (*case.annealing, float(np.clip(log2(max(curve.noise / fall, 1e-3)) + 4, -4, 4)))


def by_width(case: Case) -> tuple[float, ...]:
    """The schedule's constants, and one for how many octaves the fall takes."""
    return (*case.annealing, anchor(case) - log2(onset(case.curve)))


def by_habit(case: Case) -> tuple[float, ...]:
    """The schedule's constants, and a share of the way to the rate that the optimizer's kind is usually given."""
    return (*case.annealing, anchor(case) - HABIT[case.kind])


def by_centre(case: Case) -> tuple[float, ...]:
    """The schedule's constants, and a share of the way to the centre of the fall."""
    return (*case.annealing, anchor(case) - centroid(case))


def by_gain(case: Case) -> tuple[float, ...]:
    """The schedule's constants, and a share of the way to where four fifths of the fall are behind."""
    return (*case.annealing, anchor(case) - gain(case, 0.8))


def by_sharpness(case: Case) -> tuple[float, ...]:
    """The schedule's constants, and one for how soon the probe ends after the edge."""
    curve = case.curve
    return (*case.annealing, min(float(np.log2(curve.lrs[-1] / edge(curve))), 4.0))


RULES = (
    Rule("edge, by kind", anchor, by_kind, (2.0, 3.0, 0.0)),
    Rule("edge, by noise", anchor, by_noise, (2.0, 3.0, 0.0)),
    Rule("edge, by width", anchor, by_width, (2.0, 3.0, 0.0)),
    Rule("edge, towards the habit", anchor, by_habit, (2.0, 3.0, 0.0)),
    Rule("edge, towards the centre", anchor, by_centre, (2.0, 3.0, 0.0)),
    Rule("edge, towards 80 % of the fall", anchor, by_gain, (2.0, 3.0, 0.0)),
    Rule("edge, by sharpness", anchor, by_sharpness, (2.0, 3.0, 0.0)),
)

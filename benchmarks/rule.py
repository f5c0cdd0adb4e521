"""What a rule is: where it reads a curve, and how far below that it goes, with constants that are fitted."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from math import log2

from benchmarks.schedules import SHAPES
from benchmarks.task import Task
from lrfind.curves import BANDWIDTH, Curve, to_curve
from lrfind.records import Record
from lrfind.schedules import Shape, remaining
from lrfind.suggest.calibrated import FEWEST_PASSES, PRIOR_EPOCHS
from lrfind.suggest.edges import is_weak
from lrfind.suggest.training import Training


@dataclass(frozen=True, slots=True)
class Case:
    """What a rule may know.

    Attributes:
        record: The range test as it ran.
        shape: What the rate will do in training.
        kind: ``"sgd"`` or ``"adaptive"``, the kind of the optimizer.
        momentum: Whether the optimizer averages gradients: SGD with momentum, Adam, AdamW.
        horizon: Steps of the training.
    """

    record: Record
    shape: Shape
    kind: str
    momentum: bool
    horizon: int

    @property
    def curve(self) -> Curve:
        """The curve as the package cleans it."""
        return curve_of(self.record)

    @property
    def left(self) -> float:
        """How much of the peak is left, on average, over the last fifth of the schedule."""
        return remaining(self.shape)

    @property
    def training(self) -> Training:
        """What the rate is for, as the package knows it."""
        return Training(self.horizon, None, self.record.steps_per_epoch, final_fraction=self.left)

    @property
    def passes(self) -> float:
        """How often training goes over the data, in octaves from ``PRIOR_EPOCHS``."""
        fewest = FEWEST_PASSES if is_weak(self.curve) else 1.0
        passes = self.training.passes
        return log2(max(passes, fewest) / PRIOR_EPOCHS) if passes else 0.0

    @property
    def shorter(self) -> float:
        """How often ``HORIZON`` is halved to give the training, where the curve falls clearly; else 0."""
        return 0.0 if is_weak(self.curve) else self.training.halvings

    @property
    def annealing(self) -> tuple[float, float]:
        """The features that give a schedule that ends at zero and a constant rate a constant each."""
        return 1 - self.left, self.left


@cache
def curve_of(record: Record, octaves: float = BANDWIDTH) -> Curve:
    """Return the curve of a record; remembered, since every rule and schedule asks for it."""
    return to_curve(record, octaves=octaves)


@dataclass(frozen=True, slots=True)
class Rule:
    """A reading rule; to add one, put its record in ``RULES`` of a file in ``benchmarks/rules``.

    The logarithm (base 2) of the rate it suggests is ``anchor`` less the sum of features times constants.

    Attributes:
        name: What the tables call it.
        anchor: Given a case, a logarithm (base 2) of a rate.
        features: Given a case, what the constants are multiplied with.
        start: Where the fit of the constants starts; one number per feature.
        without: Where a rule has an answer that needs no curve: its features. The constants of that answer are
            fitted on every task, not only on those whose curve shows little. None for a case that has none.
        known: What that answer begins with, as ``anchor``.
        ceiling: The logarithm of the highest rate that it may answer.
        later: How many constants, the last ones, are fitted on the families that the benchmark was widened by and on
            shorter trainings of the first ones; the others are fitted on the first ones alone.
        closer: How a slower ramp is read, with as many features; as the others where it is None.
    """

    name: str
    anchor: Callable[[Case], float]
    features: Callable[[Case], tuple[float, ...]]
    start: tuple[float, ...]
    without: Callable[[Case], tuple[float, ...] | None] = lambda case: None
    known: Callable[[Case], float] = lambda case: 0.0
    ceiling: Callable[[Case], float] = lambda case: math.inf
    later: int = 0
    closer: Rule | None = None


@cache
def _has_momentum(task: Task) -> bool:
    return task.has_momentum


def to_case(record: Record, task: Task, schedule: str) -> Case:
    """Return what a rule may know about a range test of a task."""
    return Case(record, SHAPES[schedule], task.kind, _has_momentum(task), task.horizon)

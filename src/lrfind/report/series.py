"""A comparison as curves: for every arm, the values of its seeds at each step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lrfind.compare.arms import rates
from lrfind.compare.comparison import Comparison
from lrfind.compare.runs import Row
from lrfind.errors import BadInputError

PARTS = ("val_", "valid_", "test_", "train_")
"""What a metric's name may begin with, the most telling first: ``val_loss`` and ``train_loss`` are both ``loss``."""

POINTS = 200
"""A curve is thinned to at most so many points: more than a screen shows."""


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """One quantity of one arm over training.

    Attributes:
        arm: The arm's name.
        steps: Optimizer steps done, shape (steps,): those at which all the arm's runs have the quantity.
        seeds: Its values, shape (seeds, steps). Where one is not finite all are NaN: the mean of the others would
            flatter the arm.
    """

    arm: str
    steps: NDArray[np.int64]
    seeds: NDArray[np.float64]

    @property
    def mean(self) -> NDArray[np.float64]:
        """The mean over the seeds, shape (steps,)."""
        mean: NDArray[np.float64] = self.seeds.mean(axis=0)
        return mean


def families(comparison: Comparison) -> dict[str, tuple[str, ...]]:
    """Return the metrics that were evaluated, those of one family together; the judged metric and its family first.

    Example:
        ``{"loss": ("val_loss", "train_loss"), "accuracy": ("val_accuracy",)}``
    """

    def part(name: str) -> str:
        return next((part for part in PARTS if name.startswith(part) and name != part), "")

    names = {name: None for run in comparison.runs for row in run.rows for name in row.metrics}
    found: dict[str, tuple[str, ...]] = {}
    for name in sorted(names, key=lambda name: (name != comparison.metric, ("", *PARTS).index(part(name)))):
        family = name.removeprefix(part(name))
        found[family] = (*found.get(family, ()), name)
    return found


def series_of(comparison: Comparison, metric: str | None = None) -> list[Series]:
    """Return a metric, or else the rate that was read back from the optimizer, over the steps of every arm that has it.

    Args:
        comparison: A comparison.
        metric: The metric's name; None for the rate.
    """

    def value(row: Row) -> float | None:
        return row.lr if metric is None else row.metrics.get(metric)

    made = []
    for arm in comparison.arms:
        runs = [{row.step: value(row) for row in run.rows} for run in comparison.runs_of(arm.name)]
        common = [step for step in runs[0] if all(run.get(step) is not None for run in runs)] if runs else []
        steps = thinned(sorted(common))
        seeds = np.array([[run[step] for step in steps] for run in runs], float)
        if len(steps):
            seeds[:, ~np.isfinite(seeds).all(axis=0)] = math.nan
            made.append(Series(arm.name, steps, seeds))
    return made


def schedules_of(comparison: Comparison) -> list[Series]:
    """Return the rate that its schedule gives each step of every arm with a run, where the name is known here."""
    made = []
    for arm in comparison.arms:
        with suppress(KeyError, BadInputError):
            for run in comparison.runs_of(arm.name)[:1]:
                steps = thinned(range(1, run.steps + 1), 2 * POINTS)
                made.append(Series(arm.name, steps, np.array([rates(arm, run.steps)])[:, steps - 1]))
    return made


def thinned(steps: Sequence[int], most: int = POINTS) -> NDArray[np.int64]:
    """Return at most so many steps, a stride apart, the last one among them."""
    return np.array(steps, int)[:: -max(1, math.ceil(len(steps) / most))][::-1]

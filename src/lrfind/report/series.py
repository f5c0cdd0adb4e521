"""A comparison as curves: for every arm, the mean over its seeds at each step, and where the seeds lie."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from lrfind.compare.arms import rates
from lrfind.compare.comparison import Comparison
from lrfind.compare.runs import Row, Run
from lrfind.errors import BadInputError

PARTS = ("val_", "valid_", "test_", "train_")
"""What a metric's name may begin with, the most telling first: ``val_loss`` and ``train_loss`` are both ``loss``."""

POINTS = 200
"""A curve is thinned to at most so many points: more than a screen shows."""


@dataclass(frozen=True, slots=True)
class Series:
    """One quantity of one arm over training.

    Attributes:
        arm: The arm's name.
        seeds: How many runs it is the mean of.
        steps: Optimizer steps done: those at which all the arm's runs have it.
        mean: The mean over the runs at each of these steps; NaN where a run's value is not finite.
        low: The least of the runs there; NaN likewise.
        high: The greatest.
    """

    arm: str
    seeds: int
    steps: Sequence[int]
    mean: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]


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


def metric_series(comparison: Comparison, metric: str) -> list[Series]:
    """Return a metric over the steps of every arm that has it."""
    return _series(comparison, lambda row: row.metrics.get(metric))


def rate_series(comparison: Comparison) -> list[Series]:
    """Return the rate that was read back from the optimizer, over the steps of every arm."""
    return _series(comparison, lambda row: row.lr)


def schedule_series(comparison: Comparison) -> list[Series]:
    """Return the rate that the schedule of every arm with a run gives each step.

    An arm whose schedule has no name that is known here is left out.
    """
    lines = []
    for arm in comparison.arms:
        runs = comparison.runs_of(arm.name)
        with suppress(KeyError, BadInputError):
            if used := rates(arm, runs[0].steps) if runs else ():
                steps = thinned(range(1, len(used) + 1), 2 * POINTS)
                values = [used[step - 1] for step in steps]
                lines.append(Series(arm.name, 1, steps, values, values, values))
    return lines


def thinned(steps: Sequence[int], most: int = POINTS) -> Sequence[int]:
    """Return at most so many steps, a stride apart, the last one among them."""
    return steps[:: -math.ceil(len(steps) / most)][::-1] if steps else steps


def needs_log_axis(values: Iterable[float]) -> bool:
    """Say whether ratios matter more than differences: nothing is negative, and the greatest is thrice the least.

    A 0, where a schedule ends or a loss vanishes, is left out: a log axis shows all but that.
    """
    finite = [value for value in values if math.isfinite(value) and value != 0]
    return bool(finite) and min(finite) > 0 and max(finite) >= 3 * min(finite)


def falls(lines: Sequence[Series]) -> bool:
    """Say whether a quantity falls over training in most of its curves: a loss, not an accuracy."""
    finite = [[value for value in series.mean if math.isfinite(value)] for series in lines]
    known = [curve[-1] < curve[0] for curve in finite if len(curve) > 1]
    return 2 * sum(known) > len(known)


def ceiling(values: Iterable[float], medians: float = 10.0) -> float:
    """Return where a chart's axis ends: at the greatest value, but so many medians up where training has blown up."""
    finite = sorted(value for value in values if math.isfinite(value))
    if not finite:
        return math.nan
    middle = finite[len(finite) // 2]
    return min(finite[-1], medians * middle) if middle > 0 else finite[-1]


def _series(comparison: Comparison, value: Callable[[Row], float | None]) -> list[Series]:
    made = (_mean(arm.name, comparison.runs_of(arm.name), value) for arm in comparison.arms)
    return [series for series in made if series.steps]


def _mean(arm: str, runs: Sequence[Run], value: Callable[[Row], float | None]) -> Series:
    curves = [{row.step: number for row in run.rows if (number := value(row)) is not None} for run in runs]
    steps = thinned(sorted(set.intersection(*map(set, curves)))) if curves else []
    columns = [[curve[step] for curve in curves] for step in steps]
    # one seed that is not finite makes a gap: the mean of the others would flatter the arm
    columns = [column if all(map(math.isfinite, column)) else [math.nan] for column in columns]
    means = [sum(value / len(column) for value in column) for column in columns]
    return Series(arm, len(runs), steps, means, [*map(min, columns)], [*map(max, columns)])

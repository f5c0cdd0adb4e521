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


@dataclass(frozen=True, slots=True)
class Series:
    """One quantity of one arm over training.

    Attributes:
        arm: The arm's name.
        metric: The quantity's name.
        seeds: How many runs it is the mean of.
        steps: Optimizer steps done: those at which all the arm's runs have it.
        mean: The mean over the runs at each of these steps; NaN where a run's value is not finite.
        low: The least of the runs there; NaN likewise.
        high: The greatest.
    """

    arm: str
    metric: str
    seeds: int
    steps: tuple[int, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


def families(comparison: Comparison) -> dict[str, tuple[str, ...]]:
    """Return the metrics that were evaluated, those of one family together; the judged metric and its family first.

    Example:
        ``{"loss": ("val_loss", "train_loss"), "accuracy": ("val_accuracy",)}``
    """
    names = {name: None for run in comparison.runs for row in run.rows for name in row.metrics}
    found: dict[str, list[str]] = {}
    for name in sorted(names, key=lambda name: (name != comparison.metric, _part(name))):
        found.setdefault(_family(name), []).append(name)
    return {family: tuple(metrics) for family, metrics in found.items()}


def metric_series(comparison: Comparison, metric: str) -> tuple[Series, ...]:
    """Return a metric over the steps of every arm that has it."""
    return _series(comparison, metric, lambda row: row.metrics.get(metric))


def rate_series(comparison: Comparison) -> tuple[Series, ...]:
    """Return the rate that was read back from the optimizer, over the steps of every arm."""
    return _series(comparison, "lr", lambda row: row.lr)


def schedule_series(comparison: Comparison, points: int = 400) -> tuple[Series, ...]:
    """Return the rate that the schedule of every arm with a run gives each step, thinned to about so many points.

    An arm whose schedule has no name that is known here is left out.
    """
    lines = []
    for arm in comparison.arms:
        runs = comparison.runs_of(arm.name)
        with suppress(KeyError, BadInputError):
            used = rates(arm, runs[0].steps) if runs else ()
            stride = max(1, len(used) // points)
            steps = tuple(range(len(used), 0, -stride))[::-1]
            values = tuple(used[step - 1] for step in steps)
            lines.append(Series(arm.name, "lr", 1, steps, values, values, values))
    return tuple(series for series in lines if series.steps)


def needs_log_axis(values: Iterable[float]) -> bool:
    """Say whether ratios matter more than differences: nothing is negative, and the greatest is thrice the least.

    A 0, where a schedule ends or a loss vanishes, is left out: a log axis shows all but that.
    """
    finite = [value for value in values if math.isfinite(value) and value != 0]
    return bool(finite) and min(finite) > 0 and max(finite) >= 3 * min(finite)


def rate_floor(comparison: Comparison) -> float:
    """Return where a chart of the rates begins: a decade below the least that an arm names; schedules end near 0."""
    return min((arm.base_lr or arm.lr for arm in comparison.arms), default=1.0) / 10


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


def _series(comparison: Comparison, metric: str, value: Callable[[Row], float | None]) -> tuple[Series, ...]:
    made = (_mean(arm.name, metric, comparison.runs_of(arm.name), value) for arm in comparison.arms)
    return tuple(series for series in made if series.steps)


def _mean(arm: str, metric: str, runs: Sequence[Run], value: Callable[[Row], float | None]) -> Series:
    curves = [{row.step: number for row in run.rows if (number := value(row)) is not None} for run in runs]
    steps = sorted(set.intersection(*map(set, curves))) if curves else []
    columns = [_finite_or_gap([curve[step] for curve in curves]) for step in steps]
    return Series(
        arm,
        metric,
        len(runs),
        tuple(steps),
        tuple(sum(value / len(column) for value in column) for column in columns),
        tuple(map(min, columns)),
        tuple(map(max, columns)),
    )


def _finite_or_gap(values: list[float]) -> list[float]:
    """One seed that is not finite makes a gap: the mean of the others would flatter the arm."""
    return values if all(map(math.isfinite, values)) else [math.nan]


def _part(name: str) -> int:
    return next((place for place, part in enumerate(PARTS) if name.startswith(part)), 0)


def _family(name: str) -> str:
    return next((name.removeprefix(part) for part in PARTS if name.startswith(part) and name != part), name)

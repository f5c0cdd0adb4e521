"""The charts of a comparison, as data for ``lrfind.plots``, the page and the terminal to draw."""

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrfind.charts import Axis, Chart, Kind, Mark
from lrfind.compare.arms import rates
from lrfind.compare.comparison import Comparison
from lrfind.errors import BadInputError
from lrfind.numbers import Show, figure, rate
from lrfind.report.rows import ArmRow, arm_rows, families, file_names

MARGIN = 0.05  # free space at either end of an axis, as a share of its range

POINTS = 200  # of a curve, at most


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """A quantity of an arm over training; at steps where one seed is not finite, all seeds are NaN."""

    row: ArmRow
    steps: NDArray[np.int64]  # optimizer steps at which all runs of the arm have it, shape (steps,)
    seeds: NDArray[np.float64]  # values, shape (seeds, steps)

    @property
    def mean(self) -> NDArray[np.float64]:
        """The mean over the seeds, shape (steps,)."""
        return np.asarray(self.seeds.mean(axis=0))


def charts_of(comparison: Comparison) -> list[Chart]:
    """Return all charts of a comparison: results, families of metrics over training, rates."""
    if not comparison.runs:
        return []
    drawn = [family_chart(comparison, family) for family in families(comparison)]
    return [finals_chart(comparison), *drawn, rate_chart(comparison)]


def finals_chart(comparison: Comparison) -> Chart:
    """Return the chart of results: the mean, interval and seeds of each arm, in a row."""
    rows = [row for row in arm_rows(comparison) if row.runs]
    means = [row.summary.mean for row in rows if row.summary]
    ends = [end for row in rows if row.interval for end in (row.interval.low, row.interval.high) if math.isfinite(end)]
    shown = _window(means, [*means, *ends], lower_is_better=comparison.mode == "min") if means else ()
    x = _axis(comparison.metric, shown)
    y = Axis("", len(rows) - 0.5, -0.5, names=tuple(row.name for row in rows))
    caption = f"{'Lower' if comparison.mode == 'min' else 'Higher'} is better. "
    caption += (
        "Large dots: the mean over the seeds; lines: its 95 % interval; small dots: the seeds."
        if any(len(row.seeds) > 1 for row in rows)
        else "One seed, so there is no interval."
    )
    marks = tuple(mark for place, row in enumerate(rows) for mark in _result_marks(row, place, x))
    return Chart("finals", f"{comparison.metric} at the end", caption, x, y, marks)


def _result_marks(row: ArmRow, place: int, x: Axis) -> Iterator[Mark]:
    """Yield an arm's result as text, and its interval, seeds and mean, as far as they lie on the axis."""
    above, below, end = place - 0.08, place + 0.22, row.interval
    yield Mark("result", (x.high,), (place,), " " + ", ".join(filter(None, (row.result, row.lost))), None, row.name)
    if row.summary is None:
        return
    mean = row.summary.mean
    if mean > x.high:
        yield Mark("beyond", (x.high,), (place,), "beyond the chart →", row.colour, row.name)
    elif mean < x.low:
        yield Mark("beyond", (x.low,), (place,), "← beyond the chart", row.colour, row.name)
    else:
        if end and math.isfinite(end.high - end.low):
            ends = max(end.low, x.low), min(end.high, x.high)
            yield Mark("whisker", ends, (above, above), "95 % interval", row.colour, row.name)
        for number, value in enumerate(row.seeds if len(row.seeds) > 1 else (), 1):
            if x.low <= value <= x.high:
                yield Mark("seed", (value,), (below,), f"run {number}: {figure(value)}", None, row.name)
        yield Mark("mean", (mean,), (above,), f"mean: {row.result}", row.colour, row.name)


def family_chart(comparison: Comparison, family: str) -> Chart:
    """Return the chart of a family over training: its first metric as lines with bands, the others dashed."""
    known = families(comparison)
    metrics = known[family]
    lines, *others = (series_of(comparison, metric) for metric in metrics)
    dashed = [series for each in others for series in each]
    bands = [series for series in lines if len(series.seeds) > 1]
    values = _values((*lines, *dashed))
    top = ceiling(values)
    y = _axis(family, [min(value, top) for value in values], is_log=falls(lines) and needs_log_axis(values))
    marks = [*_marks("band", bands), *_marks("dashed", dashed), *_marks("line", lines)]
    if dashed:
        marks += [Mark("dashed" if at else "line", (), (), metric) for at, metric in enumerate(metrics)]
    caption = f"Solid: {metrics[0]}." + "".join(f" Dashed: {metric}." for metric in metrics[1:])
    if bands:
        caption += " Lines are means over the seeds, bands reach from the lowest seed to the highest."
    title, name = f"{family} over training", f"metric-{file_names(known)[family]}"
    return Chart(name, title, caption, _steps(lines), y, tuple(marks), ("line", "best", "dots"))


def rate_chart(comparison: Comparison) -> Chart:
    """Return the chart of rates over the steps: schedules as lines, rates read back as dots."""
    planned, used = schedules_of(comparison), series_of(comparison)
    values = _values((*planned, *used))
    floor = min((arm.base_lr or arm.lr for arm in comparison.arms), default=1.0) / 10  # a schedule may end near 0
    y = _axis("learning rate", values, is_log=needs_log_axis(values), floor=floor, show=rate)
    marks = (*_marks("line", planned), *_marks("dots", used))
    caption = "Lines: the schedule. Dots: the rate read back from the optimizer at each evaluation."
    return Chart("rates", "The rate in use", caption, _steps([*planned, *used]), y, marks, ("dots",))


def _marks(kind: Kind, curves: Iterable[Series]) -> Iterator[Mark]:
    """Yield curves as marks, the best arm's last; a line of one point is a dot."""
    for series in sorted(curves, key=lambda series: series.row.is_best):
        row, look, label = series.row, kind, series.row.name if kind in ("line", "dots") else ""
        xs, ys = _outline(series) if kind == "band" else (series.steps, series.mean)
        if kind == "line":
            look = "dots" if len(xs) == 1 else "best" if row.is_best else "line"
        yield Mark(look, xs, ys, label, row.colour, row.name)


def _outline(series: Series) -> tuple[list[float], list[float]]:
    """Return the outline of a band, with a NaN after each stretch of finite values."""
    xs: list[float] = []
    ys: list[float] = []
    low, high = series.seeds.min(axis=0), series.seeds.max(axis=0)
    finite = np.flatnonzero(np.isfinite(low))
    for stretch in np.split(finite, np.flatnonzero(np.diff(finite) > 1) + 1):
        xs += [*series.steps[stretch], *series.steps[stretch][::-1], math.nan]
        ys += [*high[stretch], *low[stretch][::-1], math.nan]
    return xs, ys


def _steps(curves: Iterable[Series]) -> Axis:
    last = max((int(series.steps[-1]) for series in curves), default=1)
    return Axis("optimizer steps", 0.0, 1.01 * last, show="{:,.0f}".format)


def _values(curves: Iterable[Series]) -> list[float]:
    return [float(value) for series in curves for value in series.seeds.flat]


def series_of(comparison: Comparison, metric: str | None = None) -> list[Series]:
    """Return a metric (None: the rate read back) over the steps of every arm that has it."""
    made = []
    for arm in arm_rows(comparison):
        runs = [
            {row.step: row.lr if metric is None else row.metrics.get(metric) for row in run.rows} for run in arm.runs
        ]
        common = [step for step in runs[0] if all(run.get(step) is not None for run in runs)] if runs else []
        steps = thinned(sorted(common))
        seeds = np.array([[run[step] for step in steps] for run in runs], float)
        if len(steps):
            seeds[:, ~np.isfinite(seeds).all(axis=0)] = math.nan
            made.append(Series(arm, steps, seeds))
    return made


def schedules_of(comparison: Comparison) -> list[Series]:
    """Return the scheduled rate of each step of every arm with a run, if its schedule is known here."""
    made = []
    for row in arm_rows(comparison):
        with suppress(KeyError, BadInputError):
            for run in row.runs[:1]:
                steps = thinned(range(1, run.steps + 1), 2 * POINTS)
                made.append(Series(row, steps, np.array([rates(row.arm, run.steps)])[:, steps - 1]))
    return made


def thinned(values: Any, most: int = POINTS) -> NDArray[Any]:
    """Return at most ``most`` values at a constant stride, with the last one."""
    return np.asarray(values)[:: -max(1, math.ceil(len(values) / most))][::-1]


def needs_log_axis(values: Iterable[float]) -> bool:
    """Say whether all values but zeros are positive, and the greatest is at least three times the least."""
    finite = [value for value in values if math.isfinite(value) and value != 0]
    return 0 < 3 * min(finite, default=0) <= max(finite, default=0)


def falls(lines: Iterable[Series]) -> bool:
    """Say whether most curves fall over training, as a loss does."""
    finite = [series.mean[np.isfinite(series.mean)] for series in lines]
    known = [bool(curve[-1] < curve[0]) for curve in finite if len(curve) > 1]
    return 2 * sum(known) > len(known)


def ceiling(values: Iterable[float]) -> float:
    """Return the top of an axis: the greatest value, but at most ten medians, since training may have diverged."""
    finite = sorted(filter(math.isfinite, values)) or [math.inf]
    limit = 10 * finite[len(finite) // 2]
    return min(finite[-1], limit) if limit > 0 else finite[-1]


def _axis(
    label: str, values: Iterable[float], *, is_log: bool = False, floor: float = 0.0, show: Show = figure
) -> Axis:
    """Return an axis for the finite values and, if it is logarithmic, from ``floor``."""
    known = [value for value in values if math.isfinite(value) and (value > 0 or not is_log)]
    low, high = min(known, default=0.0), max(known, default=1.0)
    if is_log:
        low = max(low, floor)
        room = max(high / low, 1.01) ** MARGIN
        return Axis(label, low / room, high * room, is_log, show)
    margin = MARGIN * (high - low) or 0.1 * abs(high) or 1.0
    return Axis(label, low - margin, high + margin, show=show)


def _window(means: Sequence[float], ends: Iterable[float], *, lower_is_better: bool) -> tuple[float, float]:
    """Return the range of a chart of intervals; the worst are cut off if they would squeeze the best."""
    sign = 1.0 if lower_is_better else -1.0
    ordered = sorted(sign * mean for mean in means)
    inside = [sign * end for end in ends]
    best, middle = ordered[0], ordered[len(ordered) // 2 - (len(ordered) % 2 == 0)]
    limit = best + 6 * (middle - best) if middle > best else math.inf
    low, high = min(inside), min(max(inside), limit)
    return (low, high) if lower_is_better else (-high, -low)

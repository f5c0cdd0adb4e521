"""The charts of a comparison, as data for ``lrfind.plots``, the page and the terminal to draw."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from lrfind.charts import PALETTE, Axis, Chart, Kind, Mark, Result
from lrfind.compare.comparison import Comparison
from lrfind.numbers import Show, figure, rate
from lrfind.report.rows import ArmRow, arm_rows
from lrfind.report.series import Series, families, schedules_of, series_of

MARGIN = 0.05
"""What an axis leaves free at either end, as a share of what it shows."""


def charts(comparison: Comparison) -> list[Chart]:
    """Return every chart of a comparison: the results, each family of metrics over training, and the rate in use."""
    if not comparison.runs:
        return []
    drawn = [family_chart(comparison, family, names) for family, names in families(comparison).items()]
    return [finals_chart(comparison), *drawn, rate_chart(comparison)]


def colours(comparison: Comparison) -> dict[str, int]:
    """Return each arm's place among the colours: the best one's stands out, the others follow in their order."""
    best = comparison.verdict.best
    ordered = sorted((arm.name for arm in comparison.arms), key=lambda name: name != best)
    return {name: (place + (best is None)) % len(PALETTE) for place, name in enumerate(ordered)}


def finals_chart(comparison: Comparison) -> Chart:
    """Return the judged metric at the end: each arm's mean, its interval and its seeds, a row for each arm."""
    rows = [row for row in arm_rows(comparison) if row.seeds]
    means = [row.mean for row in rows if row.mean is not None]
    ends = [end for row in rows if row.interval for end in (row.interval.low, row.interval.high) if math.isfinite(end)]
    shown = _window(means, [*means, *ends], lower_is_better=comparison.mode == "min") if means else ()
    x = _axis(comparison.metric, shown)
    results: list[Result] = []
    marks: list[Mark] = []
    for place, row in enumerate(rows):
        beyond = 0 if row.mean is None else (row.mean > x.high) - (row.mean < x.low)
        result = (row.result, f"{row.result} →", f"← {row.result}")[beyond]
        note = row.lost or ("beyond the chart" if beyond else "")
        results.append(Result(row.name, colours(comparison)[row.name], row.seeds, result, note, beyond))
        marks += [] if beyond else _result_marks(row, colours(comparison)[row.name], place, x)
    caption = f"{'Lower' if comparison.mode == 'min' else 'Higher'} is better. "
    caption += (
        "Large dots: the mean over the seeds; lines: its 95 % interval; small dots: the seeds."
        if any(len(row.seeds) > 1 for row in rows)
        else "One seed, so there is no interval."
    )
    title, y = f"{comparison.metric} at the end", Axis("", len(rows) - 0.5, -0.5)
    return Chart("finals", title, caption, x, y, tuple(marks), rows=tuple(results))


def _result_marks(row: ArmRow, colour: int, place: int, x: Axis) -> Iterator[Mark]:
    """Yield an arm's interval, its seeds and its mean, as far as they lie on the axis."""
    if row.mean is None:
        return
    above, below = place - 0.08, place + 0.22
    if row.interval and 0 < row.interval.high - row.interval.low < math.inf:
        ends = max(row.interval.low, x.low), min(row.interval.high, x.high)
        yield Mark("whisker", ends, (above, above), "95 % interval", colour, row.name)
    for number, value in enumerate(row.seeds if len(row.seeds) > 1 else (), 1):
        if x.low <= value <= x.high:
            yield Mark("seed", (value,), (below,), f"run {number}: {figure(value)}", None, row.name)
    yield Mark("mean", (row.mean,), (above,), f"mean: {row.result}", colour, row.name)


def family_chart(comparison: Comparison, family: str, metrics: Sequence[str]) -> Chart:
    """Return a family of metrics over training: the first as lines with the seeds as bands, the others dashed.

    Args:
        comparison: A comparison.
        family: What the metrics have in common.
        metrics: Their names, as ``families`` returns them.
    """
    lines, *others = (series_of(comparison, metric) for metric in metrics)
    dashed = [series for each in others for series in each]
    bands = [series for series in lines if len(series.seeds) > 1]
    means = [float(value) for series in (*lines, *dashed) for value in series.mean]
    values = [*means, *(float(value) for series in bands for value in series.seeds.flat)]
    y = _axis(family, values, is_log=falls(lines) and needs_log_axis(means), top=ceiling(means))
    marks = [
        *_marks(comparison, "band", bands),
        *_marks(comparison, "dashed", dashed),
        *_marks(comparison, "line", lines),
        *(Mark("dashed" if at else "line", (), (), metric) for at, metric in enumerate(metrics) if dashed),
    ]
    caption = f"Solid: {metrics[0]}." + "".join(f" Dashed: {metric}." for metric in metrics[1:])
    if bands:
        caption += " Lines are means over the seeds, bands reach from the lowest seed to the highest."
    title, name = f"{family} over training", _metric_name(comparison, family)
    return Chart(name, title, caption, _steps(lines), y, tuple(marks), ("line", "best", "dots"))


def rate_chart(comparison: Comparison) -> Chart:
    """Return the rate in use over the steps: as scheduled, and as dots what the optimizer had."""
    planned, used = schedules_of(comparison), series_of(comparison)
    values = [float(value) for series in (*planned, *used) for value in series.mean]
    floor = min((arm.base_lr or arm.lr for arm in comparison.arms), default=1.0) / 10  # schedules end near 0
    y = _axis("learning rate", values, is_log=needs_log_axis(values), floor=floor, show=rate)
    marks = (*_marks(comparison, "line", planned), *_marks(comparison, "dots", used))
    caption = "Lines: the schedule. Dots: the rate read back from the optimizer at each evaluation."
    return Chart("rates", "The rate in use", caption, _steps([*planned, *used]), y, marks, ("dots",))


def _marks(comparison: Comparison, kind: Kind, curves: Iterable[Series]) -> Iterator[Mark]:
    """Yield curves as marks, the best arm's over the others'; a curve of one point is a dot."""
    places, best = colours(comparison), comparison.verdict.best
    for series in sorted(curves, key=lambda series: series.arm == best):
        xs, ys = _outline(series) if kind == "band" else (series.steps, series.mean)
        label = series.arm if kind in ("line", "dots") else ""
        look: Kind = "best" if kind == "line" and series.arm == best else kind
        yield Mark("dots" if kind == "line" and len(xs) == 1 else look, xs, ys, label, places[series.arm], series.arm)


def _outline(series: Series) -> tuple[list[float], list[float]]:
    """Return the outline of the seeds, along their highest and back along their lowest, a gap after each stretch."""
    xs: list[float] = []
    ys: list[float] = []
    low, high = series.seeds.min(axis=0), series.seeds.max(axis=0)
    finite = np.flatnonzero(np.isfinite(low))
    for stretch in np.split(finite, np.flatnonzero(np.diff(finite) > 1) + 1):
        xs += [*series.steps[stretch], *series.steps[stretch][::-1], math.nan]
        ys += [*high[stretch], *low[stretch][::-1], math.nan]
    return xs, ys


def _steps(lines: Iterable[Series]) -> Axis:
    last = max((int(series.steps[-1]) for series in lines), default=1)
    return Axis("optimizer steps", 0.0, 1.01 * last, show="{:,.0f}".format)


def _metric_name(comparison: Comparison, family: str) -> str:
    """Return a name with nothing in it that a file system or a shell could trip over; two never get the same."""
    names: list[str] = []
    for each in families(comparison):
        name = re.sub(r"[^A-Za-z0-9]+", "-", each).strip("-").lower()[:40] or "unnamed"
        names.append(f"{name}-{len(names)}" if name in names else name)
        if each == family:
            break
    return f"metric-{names[-1]}"


def needs_log_axis(values: Iterable[float]) -> bool:
    """Say whether ratios matter more than differences: nothing is negative, and the greatest is thrice the least.

    A 0, where a schedule ends or a loss vanishes, is left out: a log axis shows all but that.
    """
    finite = [value for value in values if math.isfinite(value) and value != 0]
    return bool(finite) and min(finite) > 0 and max(finite) >= 3 * min(finite)


def falls(lines: Sequence[Series]) -> bool:
    """Say whether a quantity falls over training in most of its curves: a loss, not an accuracy."""
    finite = [series.mean[np.isfinite(series.mean)] for series in lines]
    known = [bool(curve[-1] < curve[0]) for curve in finite if len(curve) > 1]
    return 2 * sum(known) > len(known)


def ceiling(values: Iterable[float], medians: float = 10.0) -> float:
    """Return where a chart's axis ends: at the greatest value, but so many medians up where training has blown up."""
    finite = sorted(value for value in values if math.isfinite(value))
    if not finite:
        return math.nan
    middle = finite[len(finite) // 2]
    return min(finite[-1], medians * middle) if middle > 0 else finite[-1]


def _axis(
    label: str,
    values: Iterable[float],
    *,
    is_log: bool = False,
    top: float = math.inf,
    floor: float = 0.0,
    show: Show = figure,
) -> Axis:
    """Return an axis that shows the finite values up to ``top`` and, where it is logarithmic, from ``floor``."""
    known = [value for value in values if math.isfinite(value) and (value > 0 or not is_log)]
    low, high = min(known, default=0.0), min(max(known, default=1.0), top)
    if is_log:
        low = max(low, floor)
        room = max(high / low, 1.01) ** MARGIN
        return Axis(label, low / room, high * room, is_log, show)
    margin = MARGIN * (high - low) or 0.1 * abs(high) or 1.0
    return Axis(label, low - margin, high + margin, show=show)


def _window(means: Sequence[float], ends: Iterable[float], *, lower_is_better: bool) -> tuple[float, float]:
    """Return what a chart of intervals shows: all, but for the worst where they would squash the best."""
    sign = 1.0 if lower_is_better else -1.0
    ordered = sorted(sign * mean for mean in means)
    inside = [sign * end for end in ends]
    best, middle = ordered[0], ordered[len(ordered) // 2 - (len(ordered) % 2 == 0)]
    limit = best + 6 * (middle - best) if middle > best else math.inf
    low, high = min(inside), min(max(inside), limit)
    return (low, high) if lower_is_better else (-high, -low)

"""The charts of a comparison, as data for ``lrfind.plots``, the page and the terminal to draw."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from lrfind.charts import PALETTE, Axis, Chart, Kind, Mark, Result
from lrfind.compare.comparison import Comparison
from lrfind.compare.runs import Arm
from lrfind.numbers import Show, figure, rate
from lrfind.report.series import (
    Series,
    ceiling,
    falls,
    families,
    metric_series,
    needs_log_axis,
    rate_series,
    schedule_series,
)

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
    arms = [arm for arm in comparison.arms if comparison.runs_of(arm.name)]
    known = [one for arm in arms if (one := comparison.summaries.get(arm.name)) and math.isfinite(one.mean)]
    ends = [end for one in known for end in (one.low, one.high) if math.isfinite(end)]
    means = [one.mean for one in known]
    lower_is_better = comparison.mode == "min"
    x = _axis(comparison.metric, _window(means, [*ends, *means], lower_is_better=lower_is_better) if means else ())
    results = [_result(comparison, arm, x) for arm in arms]
    caption = f"{'Lower' if lower_is_better else 'Higher'} is better. "
    caption += (
        "Large dots: the mean over the seeds; lines: its 95 % interval; small dots: the seeds."
        if any(len(result.seeds) > 1 for result in results)
        else "One seed, so there is no interval."
    )
    marks = [mark for place, result in enumerate(results) for mark in _result_marks(comparison, result, place, x)]
    y = Axis("", len(results) - 0.5, -0.5)
    title = f"{comparison.metric} at the end"
    return Chart("finals", title, caption, x, y, tuple(marks), rows=tuple(results))


def _result(comparison: Comparison, arm: Arm, x: Axis) -> Result:
    seeds = tuple(run.final(comparison.metric) for run in comparison.runs_of(arm.name))
    lost = sum(not math.isfinite(value) for value in seeds)
    note = f"not finite in {lost} of {len(seeds)}" if lost else ""
    colour, summary = colours(comparison)[arm.name], comparison.summaries.get(arm.name)
    if summary is None or not math.isfinite(summary.mean):
        return Result(arm.name, colour, seeds, "", note)
    beyond = (summary.mean > x.high) - (summary.mean < x.low)
    result = (figure(summary.mean), f"{figure(summary.mean)} →", f"← {figure(summary.mean)}")[beyond]
    return Result(arm.name, colour, seeds, result, note or ("beyond the chart" if beyond else ""), beyond)


def _result_marks(comparison: Comparison, result: Result, place: int, x: Axis) -> list[Mark]:
    """Return an arm's interval, its mean and its seeds, within the axis."""
    if not result.result or result.beyond:
        return []
    summary, colour, arm = comparison.summaries[result.arm], result.colour, result.arm
    marks = []
    if summary.low < summary.high and math.isfinite(summary.high - summary.low):
        ends = (max(summary.low, x.low), min(summary.high, x.high))
        marks.append(Mark("whisker", ends, (place, place), "95 % interval", colour, arm))
    marks += [
        Mark("seed", (value,), (place + 0.4,), f"run {number + 1}: {figure(value)}", None, arm)
        for number, value in enumerate(result.seeds)
        if len(result.seeds) > 1 and x.low <= value <= x.high
    ]
    return [*marks, Mark("mean", (summary.mean,), (place,), f"mean: {figure(summary.mean)}", colour, arm)]


def family_chart(comparison: Comparison, family: str, metrics: Sequence[str]) -> Chart:
    """Return a family of metrics over training: the first as lines with the seeds as bands, the others dashed.

    Args:
        comparison: A comparison.
        family: What the metrics have in common.
        metrics: Their names, as ``families`` returns them.
    """
    lines, *others = (metric_series(comparison, metric) for metric in metrics)
    dashed = [series for each in others for series in each]
    bands = [series for series in lines if series.seeds > 1]
    means = [value for series in (*lines, *dashed) for value in series.mean]
    ends = [value for series in bands for value in (*series.low, *series.high)]
    y = _axis(family, [*means, *ends], is_log=falls(lines) and needs_log_axis(means), top=ceiling(means))
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
    planned, used = schedule_series(comparison), rate_series(comparison)
    values = [value for series in (*planned, *used) for value in series.mean]
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
    points = zip(series.steps, series.low, series.high, strict=True)
    for is_finite, stretch in groupby(points, key=lambda point: math.isfinite(point[1])):
        if is_finite:
            steps, low, high = zip(*stretch, strict=True)
            xs += [*steps, *steps[::-1], math.nan]
            ys += [*high, *low[::-1], math.nan]
    return xs, ys


def _steps(lines: Iterable[Series]) -> Axis:
    last = max((series.steps[-1] for series in lines), default=1)
    return Axis("optimizer steps", 0.0, 1.01 * last, show="{:,.0f}".format)


def _metric_name(comparison: Comparison, family: str) -> str:
    """Return a name with nothing in it that a file system or a shell could trip over; two never get the same."""
    names: list[str] = []
    for one in families(comparison):
        name = re.sub(r"[^A-Za-z0-9]+", "-", one).strip("-").lower()[:40] or "unnamed"
        names.append(f"{name}-{len(names)}" if name in names else name)
        if one == family:
            break
    return f"metric-{names[-1]}"


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

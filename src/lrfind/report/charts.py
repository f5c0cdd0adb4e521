"""What the page's charts are drawn from, as plain JSON types: numbers and names, no colours and no layout."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from lrfind.compare.comparison import Comparison, Interval
from lrfind.compare.series import (
    Series,
    ceiling,
    falls,
    families,
    finals,
    metric_series,
    needs_log_axis,
    rate_floor,
    rate_series,
    schedule_series,
)
from lrfind.curves import Curve, to_curve
from lrfind.errors import ProbeError
from lrfind.plots import FINALS_CEILING, arm_colours
from lrfind.records import Finding
from lrfind.report.numbers import figure, rate

TABLE_ROWS = 12
"""The numbers under a chart are thinned to about so many rows; all are in ``runs.csv``."""


@dataclass(frozen=True, slots=True)
class Table:
    """A chart's numbers as text, for those who do not see it."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    source: str


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart.

    Attributes:
        id: Its name in the page.
        title: What it shows, in a few words.
        caption: How to read it, in a sentence or two.
        drawn: What the page's script draws.
        table: The same as text; None where the table of arms says it.
    """

    id: str
    title: str
    caption: str
    drawn: dict[str, Any]
    table: Table | None = None


def arms(comparison: Comparison) -> list[dict[str, Any]]:
    """Return the arms that have curves: name, which colour, whether it is the best."""
    ran = {run.arm for run in comparison.runs}
    numbers = {name: place for place, name in enumerate(arm_colours(comparison))}
    best = comparison.verdict.best
    return [
        {"name": arm.name, "colour": numbers[arm.name], "best": arm.name == best}
        for arm in comparison.arms
        if arm.name in ran
    ]


def finals_chart(comparison: Comparison) -> Chart:
    """Return the judged metric at the end: each arm's mean, its interval and its seeds."""
    ends = finals(comparison, comparison.metric)
    everything = [value for values in ends.values() for value in values]
    several = max(map(len, ends.values()), default=1) > 1
    marks = [
        {"arm": arm, **_whisker(comparison.summaries.get(arm)), "seeds": _rounded(values)}
        for arm, values in ends.items()
    ]
    is_log = comparison.mode == "min" and needs_log_axis(everything)
    drawn = {"kind": "finals", "marks": marks, "x": comparison.metric, "log": is_log}
    caption = f"{'Lower' if comparison.mode == 'min' else 'Higher'} is better. " + (
        "Dots: the mean over the seeds; lines: its 95 % interval; small dots: the seeds." if several else "One seed."
    )
    return Chart(
        "finals", f"{comparison.metric} at the end", caption, {**drawn, "top": _top(everything, FINALS_CEILING)}
    )


def family_charts(comparison: Comparison) -> list[Chart]:
    """Return a chart for every family of metrics: the first of it solid with the seeds as a band, the others dashed."""
    return [
        _lines_chart(f"metric-{place}", family, [metric_series(comparison, metric) for metric in metrics])
        for place, (family, metrics) in enumerate(families(comparison).items())
    ]


def rate_chart(comparison: Comparison) -> Chart:
    """Return the rate in use over the steps."""
    planned, used = schedule_series(comparison), rate_series(comparison)
    lines = {series.arm for series in planned}
    drawn = {
        "kind": "lines",
        "series": [
            *(_series(one, is_first=True) for one in planned),
            *({**_series(one, is_first=True), "dots": one.arm in lines} for one in used),
        ],
        "y": "learning rate",
        "log": needs_log_axis(value for one in (*planned, *used) for value in one.mean),
        "top": None,
        "floor": _floor(comparison, [value for one in (*planned, *used) for value in one.mean]),
    }
    caption = (
        "Lines: what the schedule gives each step. Dots: the rate read back from the optimizer at each evaluation."
    )
    table = _table(used, "#/runs/*/rows/*/lr", rate)
    return Chart("rates", "The rate in use", caption, drawn, table)


def finding_chart(finding: Finding) -> Chart:
    """Return the loss against the rate, with the range and the found rate."""
    curves = _curves(finding)
    first = curves[0]
    known = [value for curve in curves for value in curve.losses if math.isfinite(value)]
    greatest = max(float(curve.smooth.max()) for curve in curves)
    margin = 0.1 * max(greatest - min(known), 1e-12)
    drawn = {
        "kind": "finding",
        "curves": [
            {"x": _rounded(curve.lrs), "y": _rounded(curve.losses), "smooth": _rounded(curve.smooth)}
            for curve in curves
        ],
        "lr": finding.lr,
        "range": [finding.base_lr, finding.max_lr],
        "interval": list(finding.interval),
        "ends": [min(known) - margin, greatest + 2 * margin],
    }
    repeated = len(finding.records) - 1
    again = f" and of {repeated} more over the rates that matter" if repeated else ""
    caption = (
        f"Training loss at each rate of the range test{again}. The vertical line is the found rate, "
        f"{rate(finding.lr)}; the line across it is its interval, {rate(finding.interval[0])} to "
        f"{rate(finding.interval[1])}; the band is the range, {rate(finding.base_lr)} to {rate(finding.max_lr)}."
    )
    rows = [
        (rate(first.lrs[place]), figure(first.losses[place]), figure(first.smooth[place]))
        for place in _thinned(range(len(first.lrs)))
    ]
    table = Table(("learning rate", "training loss", "smoothed"), tuple(rows), "#/finding/records/0")
    return Chart("finding", "Loss against learning rate", caption, drawn, table)


def _curves(finding: Finding) -> list[Curve]:
    """The curves that can be drawn: the first one, and those of the repeated tests that have enough losses."""
    found = [to_curve(finding.records[0])]
    for record in finding.records[1:]:
        with suppress(ProbeError):
            found.append(to_curve(record))
    return found


def _whisker(summary: Interval | None) -> dict[str, float | None]:
    if summary is None:
        return {"mean": None, "low": None, "high": None}
    return {"mean": _round(summary.mean), "low": _round(summary.low), "high": _round(summary.high)}


def _lines_chart(name: str, family: str, drawn: Sequence[tuple[Series, ...]]) -> Chart:
    first, *rest = drawn
    lines = [*first, *(series for one in rest for series in one)]
    values = [value for series in lines for value in series.mean]
    metrics = [one[0].metric for one in drawn if one]
    caption = f"Solid: {metrics[0]}." + "".join(f" Dashed: {metric}." for metric in metrics[1:])
    if any(series.seeds > 1 for series in first):
        caption += " Lines are means over the seeds, bands reach from the least seed to the greatest."
    what = {
        "kind": "lines",
        "series": [_series(one, is_first=one in first) for one in lines],
        "y": family,
        "log": falls(first) and needs_log_axis(values),
        "top": _top(values),
        "floor": None,
    }
    return Chart(name, f"{family} over training", caption, what, _table(first, f"#/runs/*/rows/*/metrics/{metrics[0]}"))


def _series(series: Series, *, is_first: bool) -> dict[str, Any]:
    made: dict[str, Any] = {"arm": series.arm, "metric": series.metric, "dashed": not is_first}
    made |= {"x": list(series.steps), "y": _rounded(series.mean)}
    if is_first and series.seeds > 1 and series.low != series.high:
        made |= {"low": _rounded(series.low), "high": _rounded(series.high)}
    return made


def _table(lines: Sequence[Series], source: str, show: Callable[[float], str] = figure) -> Table:
    steps = _thinned(sorted({step for series in lines for step in series.steps}))
    at = [dict(zip(series.steps, series.mean, strict=True)) for series in lines]
    rows = [(f"{step:,}", *(show(means[step]) if step in means else "–" for means in at)) for step in steps]
    return Table(("step", *(series.arm for series in lines)), tuple(rows), source)


def _thinned(items: Sequence[int]) -> list[int]:
    """Items a stride apart, the last one always among them."""
    stride = max(1, math.ceil(len(items) / TABLE_ROWS))
    return list(reversed(items[::-1][::stride]))


def _top(values: Sequence[float], medians: float = 10.0) -> float | None:
    """Where the axis is cut off; None where nothing has blown up."""
    top = ceiling(values, medians)
    return _round(top) if any(math.isfinite(value) and value > top for value in values) else None


def _floor(comparison: Comparison, values: Sequence[float]) -> float | None:
    """Where the axis of the rates is cut off; None where no schedule ends far below all rates that are named."""
    floor = rate_floor(comparison)
    return _round(floor) if any(value < floor for value in values) else None


def _rounded(values: Iterable[float]) -> list[float | None]:
    return [_round(float(value)) for value in values]


def _round(value: float) -> float | None:
    """Six digits are more than a screen shows; None is what JSON has for a number that is not finite."""
    return float(f"{value:.6g}") if math.isfinite(value) else None

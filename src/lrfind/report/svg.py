"""The charts of the page as shapes of SVG: they fit any width, need no script and take their colours from the page."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lrfind.plots import FindingPlot
from lrfind.report.charts import Axis, FinalsChart, LinesChart, Mark
from lrfind.report.numbers import figure, rate, rough, span
from lrfind.report.series import Series

UNITS = 2000
"""A plot is so many units wide and high, whatever its size on the screen; the width of a stroke is in pixels."""

POINTS = 200
"""A line is thinned to at most so many points: more than a screen shows."""

TABLE_ROWS = 12
"""The numbers under a chart are thinned to about so many rows; all are in ``runs.csv``."""

Numbers: TypeAlias = Sequence[float] | NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Shape:
    """A path: its class in the page's style, what it draws, the arm that it belongs to and what pointing at it says."""

    kind: str
    path: str
    arm: str | None = None
    title: str = ""


@dataclass(frozen=True, slots=True)
class Flag:
    """A word at a place along the axis of a plot, as a percentage of its width."""

    kind: str
    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Table:
    """A chart's numbers as text, for those who do not see it."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Picture:
    """A plot as the page writes it down.

    Attributes:
        id: Its name in the page.
        title: What it shows, in a few words.
        caption: How to read it.
        x: The axis along.
        y: The axis upward.
        shapes: What is drawn, from the back to the front.
        hover: What the page's script says at a place along the axis.
        table: Its numbers.
        flags: Words in the plot.
    """

    id: str
    title: str
    caption: str
    x: Axis
    y: Axis
    shapes: tuple[Shape, ...]
    hover: dict[str, Any]
    table: Table
    flags: tuple[Flag, ...] = ()


@dataclass(frozen=True, slots=True)
class FinalRow:
    """An arm of the chart of the judged metric at the end: its name, its result in words, and its shapes."""

    arm: str
    result: str
    note: str
    shapes: tuple[Shape, ...] = field(default=())


def ticks(axis: Axis, show: Callable[[float], str] = rate) -> list[tuple[str, str]]:
    """Return the places of an axis's ticks, as percentages, and what stands there."""
    return [(f"{100 * axis.share(value):.2f}", show(value) if axis.is_log else f"{value:,g}") for value in axis.ticks()]


def grid(axis: Axis, *, is_upright: bool) -> str:
    """Return the lines of a grid: upright ones, or level ones."""
    places = [round(UNITS * axis.share(value)) for value in axis.ticks()]
    return "".join(f"M{place} 0V{UNITS}" if is_upright else f"M0 {UNITS - place}H{UNITS}" for place in places)


def lines_picture(chart: LinesChart, best: str | None) -> Picture:
    """Draw quantities of the arms over training; the best arm over the others, dashed lines under solid ones."""
    lines = sorted(chart.lines, key=lambda series: series.arm == best)
    shapes = [Shape("band", _band(chart, series), series.arm) for series in lines if series.seeds > 1]
    shapes += [Shape("dashed", _line(chart.x, chart.y, series), series.arm) for series in chart.dashed]
    for series in lines:
        kind = "best" if series.arm == best else "line"
        alone = len(series.steps) == 1
        path = _dots(chart.x, chart.y, series.steps, series.mean) if alone else _line(chart.x, chart.y, series)
        shapes.append(Shape("mean" if alone else kind, path, series.arm))
    shapes += [Shape("dots", _dots(chart.x, chart.y, one.steps, one.mean), one.arm) for one in chart.dots]
    read = chart.dots or chart.lines
    hover = {
        "x": _plain(chart.x),
        "unit": "step",
        "series": [[one.arm, *_rounded(*_thinned(one.steps, one.mean))] for one in read],
    }
    show = rate if chart.dots else figure
    return Picture(
        chart.name, chart.title, chart.caption, chart.x, chart.y, tuple(shapes), hover, _lines_table(read, show)
    )


def finding_picture(plot: FindingPlot) -> Picture:
    """Draw the loss against the rate, with the range, the interval and the found rate."""
    x, y = Axis("learning rate", *plot.rates, is_log=True), Axis("training loss", *plot.losses)
    low, high = (_across(x, end) for end in plot.range)
    shapes = [Shape("range", f"M{low} 0H{high}V{UNITS}H{low}Z")]
    for number, curve in reversed([*enumerate(plot.curves)]):
        repeated = " again" if number else ""
        shapes.append(Shape("losses" + repeated, _dots(x, y, curve.lrs, curve.losses)))
        shapes.append(Shape("trend" + repeated, _path(x, y, curve.lrs, curve.smooth)))
    first, last, top = *(_across(x, end) for end in plot.interval), UNITS // 12
    shapes.append(Shape("interval", f"M{first} {top}H{last}" + "".join(f"M{at} {top - 40}v80" for at in (first, last))))
    if plot.used is not None:
        shapes.append(Shape("yours", f"M{_across(x, plot.used)} 0V{UNITS}"))
    found = _across(x, plot.lr)
    shapes.append(Shape("found", f"M{found} 0V{UNITS}"))
    flags = [Flag("lr", found / UNITS * 100, f"found {rate(plot.lr)}")]
    flags += [Flag("yours", _across(x, lr) / UNITS * 100, f"yours {rate(lr)}") for lr in (plot.used,) if lr]
    flags += [Flag("reading", _across(x, lr) / UNITS * 100, "▲") for lr in plot.readings]
    more = len(plot.curves) - 1
    caption = (
        f"Dots: the training loss at each rate of the range test{f' and of {more} more' if more else ''}; "
        f"curves: smoothed. Upright line: the found rate, {rate(plot.lr)}; line across it: its interval, "
        f"{span(*plot.interval, rough)}; shaded: the range, {span(*plot.range, rough)}."
        + (f" Dashed line: the rate of your optimizer, {rate(plot.used)}." if plot.used else "")
        + (" Triangles: the rate that each range test gives for itself." if plot.readings else "")
    )
    names = ["loss", *(f"loss, test {number + 2}" for number in range(more))]
    series = [[None, *_rounded(curve.lrs, curve.losses), name] for name, curve in zip(names, plot.curves, strict=True)]
    hover = {"x": _plain(x), "unit": "learning rate", "series": series}
    one = plot.curves[0]
    rows = tuple((rate(one.lrs[at]), figure(one.losses[at]), figure(one.smooth[at])) for at in _some(len(one.lrs)))
    table = Table(("learning rate", "training loss", "smoothed"), rows)
    return Picture(
        "finding", "Loss against learning rate", caption, x, y, tuple(shapes), hover, table, flags=tuple(flags)
    )


def finals_table(chart: FinalsChart) -> Table:
    """Return every seed's value of the judged metric."""
    most = max((len(mark.seeds) for mark in chart.marks), default=0)
    rows = ((mark.arm, *map(figure, mark.seeds), *["–"] * (most - len(mark.seeds))) for mark in chart.marks)
    return Table(("arm", *(f"run {number + 1}" for number in range(most))), tuple(rows))


def final_row(chart: FinalsChart, mark: Mark) -> FinalRow:
    """Draw an arm's mean, its interval and its seeds."""
    lost = sum(not math.isfinite(value) for value in mark.seeds)
    note = f"not finite in {lost} of {len(mark.seeds)}" if lost else ""
    if mark.interval is None:
        return FinalRow(mark.arm, "", note)
    mean, half, below = figure(mark.interval.mean), UNITS * 2 // 5, UNITS * 17 // 20
    if beyond := chart.beyond(mark):
        return FinalRow(mark.arm, f"{mean} →" if beyond > 0 else f"← {mean}", note or "beyond the chart")
    low, high = (_across(chart.x, min(max(end, chart.x.low), chart.x.high)) for end in mark.ends)  # within the chart
    shapes = [
        Shape("seed", f"M{_across(chart.x, value)} {below}h0", mark.arm, f"run {number + 1}: {figure(value)}")
        for number, value in enumerate(mark.seeds)
        if len(mark.seeds) > 1 and chart.x.low <= value <= chart.x.high
    ]
    if low < high:
        shapes.insert(0, Shape("whisker", f"M{low} {half}H{high}", mark.arm))
    shapes.append(Shape("mean", f"M{_across(chart.x, mark.interval.mean)} {half}h0", mark.arm, f"mean: {mean}"))
    return FinalRow(mark.arm, mean, note, tuple(shapes))


def _across(axis: Axis, value: float) -> int:
    return round(UNITS * min(max(axis.share(value), -1.0), 2.0))


def _place(x: Axis, y: Axis, at: float, value: float) -> tuple[int, int] | None:
    if not math.isfinite(value) or (y.is_log and value <= 0):
        return None
    return _across(x, at), UNITS - _across(y, value)


def _path(x: Axis, y: Axis, xs: Numbers, ys: Numbers) -> str:
    """Join points by lines, each relative to the last, broken where a value is missing."""
    places = [_place(x, y, at, value) for at, value in zip(xs, ys, strict=True)]
    parts = ([place for place in group if place] for is_there, group in groupby(places, key=bool) if is_there)
    return "".join(
        f"M{part[0][0]} {part[0][1]}" + "".join(f"l{b[0] - a[0]} {b[1] - a[1]}" for a, b in pairwise(part))
        for part in parts
    )


def _line(x: Axis, y: Axis, series: Series) -> str:
    return _path(x, y, *_thinned(series.steps, series.mean))


def _dots(x: Axis, y: Axis, xs: Numbers, ys: Numbers) -> str:
    """Return a line of no length for each point: its round ends are a dot of the stroke's width."""
    places = [_place(x, y, at, value) for at, value in zip(*_thinned(xs, ys), strict=True)]
    return "".join(f"M{place[0]} {place[1]}h0" for place in places if place is not None)


def _band(chart: LinesChart, series: Series) -> str:
    """Return the outline of the seeds, along their highest and back along their lowest, broken at gaps."""
    rows = [*zip(*_thinned(series.steps, series.low, series.high), strict=True)]
    parts = (list(group) for is_there, group in groupby(rows, key=lambda row: math.isfinite(row[1])) if is_there)
    outlines = [
        [(step, high) for step, _, high in part] + [(step, low) for step, low, _ in reversed(part)] for part in parts
    ]
    paths = [_path(chart.x, chart.y, *zip(*outline, strict=True)) for outline in outlines]
    return "".join(path + "Z" for path in paths if path)


def _lines_table(lines: Iterable[Series], show: Callable[[float], str]) -> Table:
    lines = tuple(lines)
    every = sorted({step for series in lines for step in series.steps})
    at = [dict(zip(series.steps, series.mean, strict=True)) for series in lines]
    steps = [every[place] for place in _some(len(every))]
    rows = ((f"{step:,}", *(show(means[step]) if step in means else "–" for means in at)) for step in steps)
    return Table(("step", *(series.arm for series in lines)), tuple(rows))


def _some(count: int, most: int = TABLE_ROWS) -> list[int]:
    """Places a stride apart, the last one always among them."""
    stride = max(1, math.ceil(count / most))
    return [*range(count - 1, -1, -stride)][::-1]


def _thinned(*columns: Numbers) -> list[list[float]]:
    places = _some(len(columns[0]), POINTS)
    return [[float(column[place]) for place in places] for column in columns]


def _plain(axis: Axis) -> dict[str, Any]:
    return {"low": axis.low, "high": axis.high, "log": axis.is_log}


def _rounded(xs: Numbers, ys: Numbers) -> tuple[list[float | None], list[float | None]]:
    """Four digits are what is shown; None is what JSON has for a number that is not finite."""
    one, other = ([float(f"{value:.6g}") if math.isfinite(value) else None for value in part] for part in (xs, ys))
    return one, other

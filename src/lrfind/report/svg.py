"""Charts as SVG of the page: they fit any width, need no script and take their colours from the page's style."""

from __future__ import annotations

import math
from itertools import groupby, pairwise
from typing import Any

from lrfind.charts import DOTTED, Axis, Chart, Mark
from lrfind.numbers import figure

UNITS = 2000
"""A plot is so many units wide and high, whatever its size on the screen; the width of a stroke is in pixels."""

TABLE_ROWS = 12
"""The numbers under a chart are thinned to about so many rows; all are in ``runs.csv``."""


def grid(axis: Axis, *, is_upright: bool) -> str:
    """Return the lines of a grid: upright ones, or level ones."""
    places = [round(UNITS * axis.share(value)) for value in axis.ticks()]
    return "".join(f"M{place} 0V{UNITS}" if is_upright else f"M0 {UNITS - place}H{UNITS}" for place in places)


def path(mark: Mark, x: Axis, y: Axis) -> str:
    """Join points by lines, each relative to the last, broken at gaps; a point alone is a dot by its round ends."""
    places = [_place(x, y, *point) for point in zip(mark.xs, mark.ys, strict=True)]
    if mark.kind in DOTTED:
        return "".join(f"M{place[0]} {place[1]}h0" for place in places if place)
    lines = ([place for place in group if place] for is_there, group in groupby(places, key=bool) if is_there)
    return "".join(
        f"M{line[0][0]} {line[0][1]}" + "".join(f"l{b[0] - a[0]} {b[1] - a[1]}" for a, b in pairwise(line))
        for line in lines
    )


def strip(place: int) -> Axis:
    """Return the axis upward of one row of a chart."""
    return Axis("", place + 0.5, place - 0.5)


def hover(chart: Chart) -> dict[str, Any]:
    """Return what the page's script says at a place along a chart."""
    x = {"label": chart.x.label, "low": chart.x.low, "high": chart.x.high, "log": chart.x.is_log}
    return {
        "x": x,
        "series": [[each.arm, each.colour, each.label, _json(each.xs), _json(each.ys)] for each in _read(chart)],
    }


def table(chart: Chart) -> list[list[str]]:
    """Return a chart's numbers as text, for those who do not see it: a row of names, then the values."""
    if chart.rows:
        most = max(len(row.seeds) for row in chart.rows)
        seeds = ([row.arm, *map(figure, row.seeds), *["–"] * (most - len(row.seeds))] for row in chart.rows)
        return [["arm", *(f"run {number + 1}" for number in range(most))], *seeds]
    read = _read(chart)
    xs = max((mark.xs for mark in read), key=len, default=())
    chosen = xs[:: -max(1, math.ceil(len(xs) / TABLE_ROWS))][::-1]
    known = [(mark.label, dict(zip(mark.xs, mark.ys, strict=True))) for mark in read]
    columns = [(label, values) for label, values in known if not values.keys().isdisjoint(chosen)]
    rows = [[chart.y.show(values[at]) if at in values else "–" for _, values in columns] for at in chosen]
    names = [chart.x.label, *(label for label, _ in columns)]
    return [names, *([chart.x.show(at), *row] for at, row in zip(chosen, rows, strict=True))]


def _read(chart: Chart) -> list[Mark]:
    return [mark for mark in chart.marks if mark.kind in chart.read and len(mark.xs)]


def _place(x: Axis, y: Axis, across: float, up: float) -> tuple[int, int] | None:
    """Return where a point lies, at most a chart's size outside of it; None where it has no place."""
    if not (math.isfinite(across) and math.isfinite(up)) or (y.is_log and up <= 0):
        return None
    right, high = (round(UNITS * min(max(share, -1.0), 2.0)) for share in (x.share(across), y.share(up)))
    return right, UNITS - high


def _json(values: Any) -> list[float | None]:
    """Four digits are what is shown; None is what JSON has for a number that is not finite."""
    return [float(f"{value:.6g}") if math.isfinite(value) else None for value in values]

"""The page of a comparison or a finding, one file that loads nothing: fills in the templates of page/.

Its charts are SVG: they fit any width, need no script and take their colours from the page's style.
"""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from lrfind import numbers
from lrfind.charts import DOTTED, PALETTE, TEXTS, Axis, Chart, Mark, finding_charts
from lrfind.codec import write_text
from lrfind.compare.comparison import Comparison
from lrfind.errors import from_extra
from lrfind.plots import picture
from lrfind.records import Finding
from lrfind.report import rows
from lrfind.report.charts import charts_of, finals_chart, thinned

UNITS = 2000
"""A plot is so many units wide and high, whatever its size on the screen; the width of a stroke is in pixels."""

TABLE_ROWS = 12
"""The numbers under a chart are thinned to about so many rows; all are in ``runs.csv``."""


def fill(template: str, finalize: Callable[[Any], str] | None = None, **about: Any) -> str:
    """Fill in a template; texts are escaped for HTML, unless ``finalize`` says how each is written."""
    with from_extra("compare"):
        from jinja2 import Environment, PackageLoader, StrictUndefined
    environment = Environment(
        loader=PackageLoader("lrfind.report", "page"),
        autoescape=finalize is None,
        finalize=finalize,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["sha256"] = lambda text: b64encode(sha256(text.encode()).digest()).decode("ascii")
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    drawing = {"UNITS": UNITS, "grid": grid, "path": path, "table": table, "seeds": seeds}
    tools = {**drawing, "numbers": numbers, "rows": rows, "palette": PALETTE}
    return environment.get_template(f"{template}.jinja").render(**tools, **about)


def render(comparison: Comparison) -> str:
    """Return the page of a comparison."""
    comparison = rows.labelled(comparison)
    about = {"title": comparison.title, "comparison": comparison}
    return _page("comparison.html", charts_of(comparison), comparison.finding, **about)


def notebook_html(comparison: Comparison) -> str:
    """Return the verdict, the table of arms and the chart of results, for a notebook."""
    comparison = rows.labelled(comparison)
    drawn = picture(finals_chart(comparison)) if comparison.runs else ""
    return fill("notebook.html", comparison=comparison, picture=drawn)


def write_finding_page(finding: Finding, path: Path) -> Path:
    """Write the page of a finding: rate, interval, range, cost, notes and the curve.

    Raises:
        LRFindError: If the file cannot be written.
        MissingExtraError: If Jinja is not installed.
    """
    return write_text(path, _page("finding.html", [], finding, title=f"learning rate {numbers.rate(finding.lr)}"))


def _page(template: str, charts: list[Chart], finding: Finding | None, **about: Any) -> str:
    search = finding_charts(finding)
    shown = {chart.name: hover(chart) for chart in (*charts, *search)}
    return fill(template, charts=charts, search=search, finding=finding, hover=shown, **about)


def grid(axis: Axis, *, is_upright: bool) -> str:
    """Return the lines of a grid: vertical ones, or horizontal ones."""
    places = [round(UNITS * axis.share(value)) for value in axis.ticks()]
    return "".join(f"M{place} 0V{UNITS}" if is_upright else f"M0 {UNITS - place}H{UNITS}" for place in places)


def path(mark: Mark, x: Axis, y: Axis) -> str:
    """Join points by lines, each relative to the last, broken at gaps; a point alone is a dot by its round ends."""
    if mark.kind in TEXTS:
        return ""
    drawn = ""
    last: tuple[int, int] | None = None
    for point in zip(mark.xs, mark.ys, strict=True):
        place = _place(x, y, *point)
        if place and last and mark.kind not in DOTTED:
            drawn += f"l{place[0] - last[0]} {place[1] - last[1]}"
        elif place:
            drawn += f"M{place[0]} {place[1]}h0"
        last = place
    return drawn


def hover(chart: Chart) -> dict[str, Any]:
    """Return what the page's script says at a place along a chart."""
    x = {"label": chart.x.label, "low": chart.x.low, "high": chart.x.high, "log": chart.x.is_log}
    return {
        "x": x,
        "series": [[each.arm, each.colour, each.label, _json(each.xs), _json(each.ys)] for each in _read(chart)],
    }


def table(chart: Chart) -> list[list[str]]:
    """Return a chart's numbers as text, for those who do not see it: a row of names, then the values."""
    read = _read(chart)
    chosen = thinned(max((mark.xs for mark in read), key=len, default=()), TABLE_ROWS)
    known = [(mark.label, dict(zip(mark.xs, mark.ys, strict=True))) for mark in read]
    columns = [(label, values) for label, values in known if not values.keys().isdisjoint(chosen)]
    rows = ([chart.y.show(values[at]) if at in values else "–" for _, values in columns] for at in chosen)
    names = [chart.x.label, *(label for label, _ in columns)]
    return [names, *([chart.x.show(at), *row] for at, row in zip(chosen, rows, strict=True))]


def seeds(arms: Sequence[rows.ArmRow]) -> list[list[str]]:
    """Return the judged metric of every run as such a table."""
    most = max(len(row.seeds) for row in arms)
    values = ([row.name, *map(numbers.figure, row.seeds), *["–"] * (most - len(row.seeds))] for row in arms)
    return [["arm", *(f"run {number + 1}" for number in range(most))], *values]


def _read(chart: Chart) -> list[Mark]:
    return [mark for mark in chart.marks if mark.kind in chart.read and len(mark.xs)]


def _place(x: Axis, y: Axis, across: float, up: float) -> tuple[int, int] | None:
    """Return where a point lies, at most a chart's size outside of it; None where it has no place."""
    if not (math.isfinite(across) and math.isfinite(up)) or (y.is_log and up <= 0):
        return None
    right, high = (round(UNITS * min(max(share, -1.0), 2.0)) for share in (x.share(across), y.share(up)))
    return right, UNITS - high


def _json(values: Any) -> list[float | None]:
    """Round to more digits than are shown; None is what JSON has for a number that is not finite."""
    return [float(f"{value:.6g}") if math.isfinite(value) else None for value in values]

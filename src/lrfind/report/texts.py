"""The texts of a report: the page, one file that loads nothing, with charts as inline SVG; Markdown; CSV."""

import csv
import math
import re
from base64 import b64encode
from collections.abc import Callable, Sequence
from hashlib import sha256
from io import StringIO
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

UNITS = 2000  # width and height of a plot in SVG units

ZERO_WIDTH = "\u200b"  # keeps @name from notifying people, and #1 and URLs from becoming links


def fill(template: str, finalize: Callable[[Any], str] | None = None, **about: Any) -> str:
    """Render a template; texts are escaped for HTML, or by ``finalize`` if it is given."""
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
    return _page("comparison.html", charts_of(comparison), comparison.finding, comparison=comparison)


def notebook_html(comparison: Comparison) -> str:
    """Return the verdict, the table of arms and the chart of results as HTML."""
    comparison = rows.labelled(comparison)
    drawn = picture(finals_chart(comparison)) if comparison.runs else ""
    return fill("notebook.html", comparison=comparison, picture=drawn)


def write_finding_page(finding: Finding, path: Path) -> Path:
    """Write the page of a finding with its curve; return its path.

    Raises:
        LRFindError: If the file cannot be written.
        MissingExtraError: If Jinja is not installed.
    """
    return write_text(path, _page("finding.html", [], finding))


def _page(template: str, charts: list[Chart], finding: Finding | None, **about: Any) -> str:
    search = finding_charts(finding)
    shown = {chart.name: hover(chart) for chart in (*charts, *search)}
    return fill(template, charts=charts, search=search, finding=finding, hover=shown, **about)


def grid(axis: Axis, *, is_upright: bool) -> str:
    """Return the grid lines of an axis as an SVG path; ``is_upright`` ones are vertical."""
    places = [round(UNITS * axis.share(value)) for value in axis.ticks()]
    return "".join(f"M{place} 0V{UNITS}" if is_upright else f"M0 {UNITS - place}H{UNITS}" for place in places)


def path(mark: Mark, x: Axis, y: Axis) -> str:
    """Return a mark as an SVG path, broken at gaps; a single point is a line of length 0 with round ends.

    A point is clipped to one plot size outside; one that is not finite or not on the axis is a gap.
    """
    if mark.kind in TEXTS:
        return ""
    drawn = ""
    last: tuple[int, int] | None = None
    for across, up in zip(mark.xs, mark.ys, strict=True):
        place = None
        if math.isfinite(across) and math.isfinite(up) and (up > 0 or not y.is_log):
            right, high = (round(UNITS * min(max(share, -1.0), 2.0)) for share in (x.share(across), y.share(up)))
            place = right, UNITS - high
        if place and last and mark.kind not in DOTTED:
            drawn += f"l{place[0] - last[0]} {place[1] - last[1]}"
        elif place:
            drawn += f"M{place[0]} {place[1]}h0"
        last = place
    return drawn


def hover(chart: Chart) -> dict[str, Any]:
    """Return the data for the page's tooltips."""
    series = [[each.arm, each.colour, each.label, _json(each.xs), _json(each.ys)] for each in _read(chart)]
    x = {"label": chart.x.label, "low": chart.x.low, "high": chart.x.high, "log": chart.x.is_log}
    return {"x": x, "series": series}


def table(chart: Chart) -> list[list[str]]:
    """Return a chart's numbers as text, for screen readers: a row of names, then the values."""
    read = _read(chart)
    chosen = thinned(max((mark.xs for mark in read), key=len, default=()), 12)  # all are in runs.csv
    known = [(mark.label, dict(zip(mark.xs, mark.ys, strict=True))) for mark in read]
    columns = [(label, values) for label, values in known if not values.keys().isdisjoint(chosen)]
    rows = ([chart.y.show(values[at]) if at in values else "–" for _, values in columns] for at in chosen)
    names = [chart.x.label, *(label for label, _ in columns)]
    return [names, *([chart.x.show(at), *row] for at, row in zip(chosen, rows, strict=True))]


def seeds(arms: Sequence[rows.ArmRow]) -> list[list[str]]:
    """Return the metric that decides, of every run, as such a table."""
    most = max(len(row.seeds) for row in arms)
    values = ([row.name, *map(numbers.figure, row.seeds), *["–"] * (most - len(row.seeds))] for row in arms)
    return [["arm", *(f"run {number + 1}" for number in range(most))], *values]


def _read(chart: Chart) -> list[Mark]:
    return [mark for mark in chart.marks if mark.kind in chart.read and len(mark.xs)]


def _json(values: Any) -> list[float | None]:
    """Round to six digits; None, JSON's null, for non-finite values."""
    return [float(f"{value:.6g}") if math.isfinite(value) else None for value in values]


def to_markdown(comparison: Comparison) -> str:
    """Return the verdict, the table of arms, the pairs and the setting in Markdown.

    Raises:
        MissingExtraError: If Jinja is not installed.
    """
    return fill("report.md", finalize=escape, comparison=rows.labelled(comparison))


def escape(value: Any) -> str:
    r"""Escape a text so that Markdown shows it as it is, on one line.

    Example:
        >>> print(escape("a|b *c* <d> val_loss _e_"))
        a\|b \*c\* &lt;d&gt; val_loss \_e\_
    """
    line = " ".join(str(value).split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    line = re.sub(r"([\\`*\[\]|~$]|(?<![^\W_])_|_(?![^\W_]))", r"\\\1", line)
    line = re.sub(r"^(?=[-+#=])", r"\\", line)  # no list, heading or rule
    line = re.sub(r"^\d+(?=[.)]\s)", rf"\g<0>{ZERO_WIDTH}", line)
    return re.sub(r"([@#])(?=\w)", rf"\1{ZERO_WIDTH}", line).replace("://", f":{ZERO_WIDTH}//")


def to_csv(comparison: Comparison) -> str:
    """Return a row per evaluation with the rate and every metric; cells without a value are empty.

    Metrics on test data are in a run's last row. A name that a spreadsheet would run as a formula gets an apostrophe
    in front.
    """
    metrics = rows.metric_names(comparison)
    schedules = {arm.name: arm.schedule for arm in comparison.arms}
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(_escaped, ("arm", "schedule", "seed", "step", "epoch", "lr", *metrics)))
    for run in comparison.runs:
        for row in run.rows:
            values = {**(run.tested if row is run.last else {}), **row.metrics}
            about = (_escaped(run.arm), _escaped(schedules.get(run.arm, "")), run.seed, row.step, row.epoch, row.lr)
            writer.writerow((*about, *(values.get(name, "") for name in metrics)))
    return text.getvalue()


def _escaped(text: str) -> str:
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text

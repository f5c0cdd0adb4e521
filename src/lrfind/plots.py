"""Charts drawn by matplotlib, and the plot of a finding."""

from __future__ import annotations

from base64 import b64encode
from io import BytesIO
from typing import TYPE_CHECKING, Any

from lrfind.charts import DOTTED, PALETTE, Axis, Chart, Kind, finding_chart
from lrfind.errors import LRFindError, from_extra
from lrfind.records import Finding

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis as Side
    from matplotlib.figure import Figure

GREY = "#8d99ae"
SIZE = (5.6, 4.4)
"""Width and height of a figure, in inches."""

_DOTS = {"marker": ".", "ms": 5}
_SHORT_DASHES = (0, (2, 1.5))
LOOKS: dict[Kind, dict[str, Any]] = {
    "losses": {**_DOTS, "alpha": 0.55, "mew": 0},
    "trend": {"lw": 2.2},
    "again": {"lw": 1.3},
    "interval": {"lw": 1.5},
    "yours": {"lw": 1.5, "ls": _SHORT_DASHES},
    "found": {"lw": 2},
    "readings": {"marker": "^", "ms": 6, "mew": 0},
    "band": {"alpha": 0.14, "lw": 0},
    "dashed": {"lw": 1.5, "ls": _SHORT_DASHES},
    "line": {"lw": 1.5},
    "best": {"lw": 2.5},
    "dots": _DOTS,
    "whisker": {"lw": 2.5, "solid_capstyle": "round"},
    "mean": {"marker": "o", "ms": 8},
    "seed": _DOTS,
}


def draw(chart: Chart, ax: Axes | None = None) -> Axes:
    """Draw a chart: a light grid, no box, the legend under the axes where it hides nothing.

    Args:
        chart: What to draw.
        ax: Where; by default a new figure of pyplot.
    """
    ax = ax or _new_axes()
    labels: set[str] = set()
    for mark in chart.marks:
        label = None if mark.label in labels else mark.label or None
        labels.add(mark.label)
        look = {"color": GREY if mark.colour is None else PALETTE[mark.colour], **LOOKS[mark.kind]}
        look |= {"ls": ""} if mark.kind in DOTTED else {}
        (ax.fill if mark.kind == "band" else ax.plot)(mark.xs, mark.ys, label=label, **look)
    ax.set(xscale="log" if chart.x.is_log else "linear", yscale="log" if chart.y.is_log else "linear")
    ax.set(xlim=(chart.x.low, chart.x.high), ylim=(chart.y.low, chart.y.high))
    _name(ax.xaxis, chart.x, chart.x.ticks())
    _name(ax.yaxis, chart.y, {place: row.arm for place, row in enumerate(chart.rows)} or chart.y.ticks())
    for place, row in enumerate(chart.rows):
        said = f"{row.result} {row.note}".strip() if row.note else ""
        ax.annotate(said, (0.99, place), xycoords=("axes fraction", "data"), ha="right", va="center")
    ax.set_title(chart.title, parse_math=False)
    ax.grid(axis="x" if chart.rows else "both", color="#e5e5e5", lw=0.8)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    if not chart.rows:
        legend = ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2, frameon=False, fontsize="small")
        for text in legend.get_texts():
            text.set_parse_math(False)
    return ax


def plot_finding(finding: Finding, ax: Axes | None = None) -> Axes:
    """Draw the loss against the rate for every range test, what each reads, and what is found.

    Args:
        finding: A finding of one range test or of several.
        ax: Where to draw; by default a new figure of pyplot.
    """
    return draw(finding_chart(finding), ax)


def curve_figure(finding: Finding) -> Figure:
    """Return the plot as a figure of matplotlib's, without pyplot."""
    with from_extra("plot"):
        from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE, layout="constrained", facecolor="white")
    plot_finding(finding, figure.subplots())
    return figure


def picture(finding: Finding) -> str:
    """Return the plot as an HTML image that holds its data; empty where it cannot be drawn."""
    if not finding.records:
        return ""
    file = BytesIO()
    try:
        curve_figure(finding).savefig(file, format="png", dpi=110)
    except (ImportError, LRFindError):
        return ""
    data = b64encode(file.getvalue()).decode("ascii")
    return f'<img alt="Loss against learning rate" style="max-width: 100%" src="data:image/png;base64,{data}">'


def _new_axes() -> Axes:
    with from_extra("plot"):
        from matplotlib import pyplot

    ax: Axes = pyplot.subplots(figsize=SIZE, layout="constrained")[1]
    return ax


def _name(side: Side, axis: Axis, ticks: dict[float, str]) -> None:
    """Write the names of an axis, none of them as mathematics."""
    side.set_ticks([*ticks], [*ticks.values()], parse_math=False)
    side.set_ticks([], minor=True)
    side.set_label_text(axis.title, parse_math=False)

"""Charts drawn by matplotlib, and the plot of a finding."""

from __future__ import annotations

from base64 import b64encode
from html import escape
from io import BytesIO
from typing import TYPE_CHECKING, Any

from lrfind.charts import DOTTED, PALETTE, TEXTS, Chart, Kind, finding_chart
from lrfind.errors import LRFindError, from_extra
from lrfind.records import Finding

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZE = (5.6, 4.4)
"""Width and height of a figure, in inches."""

_DOTS = {"marker": ".", "ms": 5}
_SHORT_DASHES = (0, (2, 1.5))
_TEXT = {"fontsize": "small", "va": "center", "parse_math": False}
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
    "beyond": _TEXT,
    "result": {**_TEXT, "color": "black"},
}


def draw(chart: Chart, ax: Axes | None = None) -> Axes:
    """Draw a chart on axes, by default of a new pyplot figure; the legend is under the axes."""
    if ax is None:
        with from_extra("plot"):
            from matplotlib import pyplot
        ax = pyplot.subplots(figsize=SIZE, layout="constrained")[1]
    labels: set[str] = set()
    for mark in chart.marks:
        look = {"color": "#8d99ae" if mark.colour is None else PALETTE[mark.colour], **LOOKS[mark.kind]}
        label = None if mark.label in labels else mark.label or None
        labels.add(mark.label)
        if mark.kind in TEXTS:
            at_end = "right" if mark.label.endswith("→") else "left"  # where the arrow of the text is
            ax.text(mark.xs[0], mark.ys[0], mark.label, ha=at_end, **look)
        elif mark.kind == "band":
            ax.fill(mark.xs, mark.ys, label=label, **look)
        else:
            look |= {"ls": ""} if mark.kind in DOTTED else {}
            ax.plot(mark.xs, mark.ys, label=label, **look)
    ax.set(xscale="log" if chart.x.is_log else "linear", yscale="log" if chart.y.is_log else "linear")
    ax.set(xlim=(chart.x.low, chart.x.high), ylim=(chart.y.low, chart.y.high))
    for side, axis in ((ax.xaxis, chart.x), (ax.yaxis, chart.y)):
        ticks = axis.ticks()
        side.set_ticks([*ticks], [*ticks.values()], parse_math=False)
        side.set_ticks([], minor=True)
        side.set_label_text(axis.title, parse_math=False)
    ax.set_title(chart.title, parse_math=False)
    ax.grid(axis="x" if chart.y.names else "both", color="#e5e5e5", lw=0.8)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    if not chart.y.names:
        legend = ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2, frameon=False, fontsize="small")
        for text in legend.get_texts():
            text.set_parse_math(False)
    return ax


def plot_finding(finding: Finding, ax: Axes | None = None) -> Axes:
    """Draw the chart of a finding; see ``draw``."""
    return draw(finding_chart(finding), ax)


def to_figure(chart: Chart, size: tuple[float, float] = SIZE) -> Figure:
    """Return a chart as a matplotlib figure, without pyplot; it grows with the number of arms."""
    with from_extra("plot"):
        from matplotlib.figure import Figure

    more = 0.12 * max(0, len({mark.arm for mark in chart.marks}) - 6)
    figure = Figure((size[0], size[1] + more), layout="constrained", facecolor="white")
    draw(chart, figure.subplots())
    return figure


def curve_figure(finding: Finding) -> Figure:
    """Return the plot of a finding as a matplotlib figure, without pyplot."""
    return to_figure(finding_chart(finding))


def picture(drawn: Finding | Chart) -> str:
    """Return a plot as a self-contained HTML image; empty if it cannot be drawn."""
    file = BytesIO()
    try:
        chart = finding_chart(drawn) if isinstance(drawn, Finding) else drawn
        to_figure(chart).savefig(file, format="png", dpi=110)
    except (ImportError, LRFindError):
        return ""
    source = f"data:image/png;base64,{b64encode(file.getvalue()).decode('ascii')}"
    return f'<img alt="{escape(chart.title)}" style="max-width: 100%" src="{source}">'

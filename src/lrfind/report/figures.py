"""The figures beside the page, by matplotlib: each as PNG and as SVG."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lrfind.compare.comparison import Comparison
from lrfind.errors import BadInputError
from lrfind.plots import COLOURS, FOUND, finish, new_axes, plot_finding
from lrfind.report.charts import Axis, FinalsChart, LinesChart, arm_places, family_charts, finals_chart, rate_chart
from lrfind.report.rows import labelled
from lrfind.report.series import Series, families

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Plot = Callable[["Axes"], "Axes"]

FIXED = ("finals", "finding", "rates")
METRIC = "metric-"
KINDS = ("png", "svg")
WIDTH, HEIGHT = 7.6, 4.9
"""In inches; a figure of the arms grows with them."""

GREY = "#8d99ae"
DASHED = (0, (2, 1.5))


def draw(comparison: Comparison, folder: Path) -> list[Path]:
    """Draw the figures of a comparison into a folder; those of an earlier one there are removed.

    Returns:
        The files: ``finals``, ``rates`` and ``metric-*`` where anything ran, ``finding`` where there is a finding.
    """
    plots: dict[str, Plot] = {}
    if comparison.runs:
        plots["finals"] = partial(plot_finals, comparison)
        for family, metrics in families(comparison).items():
            plots[METRIC + _file_name(family, plots)] = partial(plot_runs, comparison, metrics[0])
        plots["rates"] = partial(plot_rates, comparison)
    if comparison.finding is not None and comparison.finding.records:
        plots["finding"] = partial(plot_finding, comparison.finding)
    for old in figure_files(folder):
        old.unlink()
    height = HEIGHT + 0.12 * max(0, len(comparison.arms) - 6)
    return [file for name, plot in plots.items() for file in _save(plot, folder, name, height)]


def figure_files(folder: Path) -> list[Path]:
    """Return every file in a folder that ``draw`` may have written there."""
    names = [*FIXED, METRIC + "*"]
    return [file for name in names for kind in KINDS for file in sorted(folder.glob(f"{name}.{kind}"))]


def plot_runs(comparison: Comparison, metric: str, ax: Axes | None = None) -> Axes:
    """Draw a metric over the steps of every arm: the mean over its seeds, the seeds as a band.

    Args:
        comparison: A comparison.
        metric: The metric's name. The metrics of its family (``train_loss`` beside ``val_loss``) are drawn with it.
        ax: Where to draw; by default a new figure of pyplot.

    Raises:
        BadInputError: If no run has a metric of that name.
    """
    comparison = labelled(comparison)
    grouped = families(comparison)
    for chart, metrics in zip(family_charts(comparison), grouped.values(), strict=True):
        if metric in metrics:
            return _draw_lines(chart, comparison, ax)
    names = ", ".join(name for names in grouped.values() for name in names)
    raise BadInputError(f"metric must be among {names or 'those of a run'}, got {metric!r}.")


def plot_rates(comparison: Comparison, ax: Axes | None = None) -> Axes:
    """Draw the rate in use over the steps of every arm: as scheduled, and as dots what the optimizer had.

    Args:
        comparison: A comparison.
        ax: Where to draw; by default a new figure of pyplot.
    """
    comparison = labelled(comparison)
    return _draw_lines(rate_chart(comparison), comparison, ax)


def plot_finals(comparison: Comparison, ax: Axes | None = None) -> Axes:
    """Draw the judged metric at the end of training: each arm's mean, its 95 % interval and its seeds."""
    comparison = labelled(comparison)
    return _draw_finals(finals_chart(comparison), _colours(comparison), ax or new_axes())


def _draw_finals(chart: FinalsChart, colours: dict[str, str], ax: Axes) -> Axes:
    for place, mark in enumerate(chart.marks):
        colour, said = colours[mark.arm], ""
        if mark.interval and not chart.beyond(mark):
            ax.plot(mark.ends, [place, place], color=colour, lw=2.5, solid_capstyle="round")
            ax.plot([mark.interval.mean], [place], "o", ms=8, color=colour)
        elif mark.interval:
            said = f"{mark.interval.mean:.4g}, beyond the chart"
        if lost := sum(value != value or abs(value) == float("inf") for value in mark.seeds):
            said = f"not finite in {lost} of {len(mark.seeds)}"
        ax.annotate(said, (0.99, place), xycoords=("axes fraction", "data"), ha="right", va="center")
        ax.plot(mark.seeds, [place + 0.2] * len(mark.seeds), ".", ms=5, color=GREY)
    ax.set_yticks(range(len(chart.marks)), [mark.arm for mark in chart.marks], parse_math=False)
    ax.set_ylim(len(chart.marks) - 0.5, -0.5)
    _set_axis(ax, "x", chart.x)
    ax.set_title(f"{chart.title}: mean, 95 % interval, seeds", parse_math=False)
    ax.grid(axis="x", color="#e5e5e5", lw=0.8)
    ax.set_axisbelow(True)
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.tick_params(axis="y", length=0)
    return ax


def _draw_lines(chart: LinesChart, comparison: Comparison, ax: Axes | None) -> Axes:
    ax, colours, best = ax or new_axes(), _colours(comparison), comparison.verdict.best
    for series in chart.dashed:
        _draw_series(ax, series, DASHED, color=colours[series.arm], lw=1.5, zorder=2 + 0.5 * (series.arm == best))
    for series in chart.lines:
        look = {"lw": 2.5, "zorder": 3.5} if series.arm == best else {"lw": 1.5, "zorder": 3}
        _draw_series(ax, series, "solid", color=colours[series.arm], label=series.arm, **look)
        if series.seeds > 1:
            ax.fill_between(series.steps, series.low, series.high, color=colours[series.arm], alpha=0.15, lw=0)
    drawn = {series.arm for series in chart.lines}
    for series in chart.dots:
        label = None if series.arm in drawn else series.arm
        ax.plot(series.steps, series.mean, ".", ms=5, color=colours[series.arm], label=label)
    if chart.dashed:
        metrics = dict.fromkeys(series.metric for series in (*chart.lines, *chart.dashed))
        for name, style in zip(metrics, ("solid", *[DASHED] * len(metrics)), strict=False):
            ax.plot([], [], color=GREY, ls=style, label=name)
    ax.set_xlabel(chart.x.title)
    _set_axis(ax, "y", chart.y)
    ax.set_title(chart.title, parse_math=False)
    finish(ax)
    return ax


def _draw_series(ax: Axes, series: Series, style: Any, **look: Any) -> None:
    marker = "o" if len(series.steps) == 1 else None
    ax.plot(series.steps, series.mean, ls=style, marker=marker, ms=4, **look)


def _set_axis(ax: Axes, side: Literal["x", "y"], shown: Axis) -> None:
    ax.set(**{f"{side}scale": "log" if shown.is_log else "linear", f"{side}lim": (shown.low, shown.high)})
    axis = ax.xaxis if side == "x" else ax.yaxis
    axis.set_ticks(shown.ticks(), [f"{tick:g}" for tick in shown.ticks()])
    axis.set_ticks([], minor=True)
    axis.set_label_text(shown.title, parse_math=False)


def _colours(comparison: Comparison) -> dict[str, str]:
    colours = (FOUND, *COLOURS)
    return {name: colours[place % len(colours)] for name, place in arm_places(comparison).items()}


def _save(plot: Plot, folder: Path, name: str, height: float) -> list[Path]:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{name}.{kind}" for kind in KINDS]
    canvas = Figure(figsize=(WIDTH, height), layout="constrained", facecolor="white")
    with warnings.catch_warnings(), rc_context({"svg.hashsalt": "lrfind"}):  # the same data, the same file
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # a name in a script the font lacks
        plot(canvas.subplots())
        for file in files:
            canvas.savefig(file, dpi=180, metadata={"Date": None} if file.suffix == ".svg" else None)
    return files


def _file_name(metric: str, taken: dict[str, Plot]) -> str:
    """A metric's name with nothing in it that a file system or a shell could trip over; two never get the same."""
    name = re.sub(r"[^A-Za-z0-9]+", "-", metric).strip("-").lower()[:40] or "unnamed"
    return name if METRIC + name not in taken else f"{name}-{len(taken)}"

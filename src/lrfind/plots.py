"""Figures from findings and comparisons: they take ``ax``, return it, and never show."""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Sequence
from contextlib import suppress
from io import BytesIO
from itertools import cycle
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from lrfind.compare.comparison import Comparison
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
from lrfind.errors import LRFindError, ProbeError, from_extra
from lrfind.records import Finding, Record
from lrfind.strategies.reading import Training, readings
from lrfind.suggest import METHODS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

FOUND = "#d1495b"
COLOURS = (
    "#30638e",
    "#b9770e",
    "#4f7d39",
    "#7b5ea7",
    "#00798c",
    "#8a5a44",
    "#c2558f",
    "#5b6b7f",
    "#2f8f6b",
    "#5a6fd8",
    "#8f8216",
)
DASHED = (0, (2, 1.5))

FINALS_CEILING = 100.0
"""In medians: an arm that has learned nothing is still shown beside those that have; one that has blown up is not."""


def plot_finding(finding: Finding, ax: Axes | None = None) -> Axes:
    """Draw the loss against the rate for every range test, what each reads, and what is found.

    Args:
        finding: A finding of one range test or of several.
        ax: Where to draw; by default a new figure of pyplot.
    """
    ax = ax or _new_axes()
    curves = _curves(finding.records)
    marked = f"range {finding.base_lr:.2g} to {finding.max_lr:.2g}"
    ax.axvspan(finding.base_lr, finding.max_lr, color="#30638e", alpha=0.12, lw=0, label=marked)
    for number, (curve, colour) in enumerate(zip(curves, COLOURS * len(curves), strict=False)):
        first = number == 0
        losses = ("loss of each step", "loss of each step, repeated", None)[min(number, 2)]
        trend = "smoothed" if first else None
        order = 2.5 if first else 1.5
        ax.plot(curve.lrs, curve.losses, ".", ms=5, color=colour, alpha=0.55, mew=0, zorder=order, label=losses)
        ax.plot(curve.lrs, curve.smooth, color=colour, lw=2.2 if first else 1.3, zorder=order, label=trend)
    _mark(ax, finding)
    low = min(float(np.nanmin(curve.losses)) for curve in curves)
    high = max(float(np.max(curve.smooth)) for curve in curves)
    margin = max(0.1 * (high - low), 1e-12)
    ax.set_ylim(low - margin, high + 2 * margin)
    ax.set_xlim(curves[0].lrs[0] / 1.5, max(curve.lrs[-1] for curve in curves) * 1.5)
    ax.set_xscale("log")
    ax.set_xlabel("learning rate (log scale)")
    ax.set_ylabel("training loss")
    ax.set_title("Loss against learning rate" + (f", {len(curves)} range tests" if len(curves) > 1 else ""))
    _finish(ax)
    return ax


def picture(finding: Finding) -> str:
    """Return the plot as an HTML image that holds its data; empty where it cannot be drawn."""
    if not finding.records:
        return ""
    try:
        from matplotlib.figure import Figure

        canvas = Figure(figsize=(7.2, 4.6), layout="constrained", facecolor="white")
        plot_finding(finding, canvas.subplots())
    except (ImportError, LRFindError):
        return ""
    file = BytesIO()
    canvas.savefig(file, format="png", dpi=110)
    data = b64encode(file.getvalue()).decode("ascii")
    return f'<img alt="Loss against learning rate" style="max-width: 100%" src="data:image/png;base64,{data}">'


def _curves(records: Sequence[Record]) -> list[Curve]:
    """The curves that can be drawn: the first one, and those of the others that have enough losses."""
    found = [to_curve(records[0])]
    for record in records[1:]:
        with suppress(ProbeError):
            found.append(to_curve(record))
    return found


def _mark(ax: Axes, finding: Finding) -> None:
    """Mark the found rate, its interval along the top, and along the bottom what each ramp reads for itself."""
    along = ax.get_xaxis_transform()
    ax.axvline(finding.lr, color=FOUND, lw=2, zorder=3, label=f"found rate {finding.lr:.3g}")
    low, high = finding.interval
    label = f"interval {low:.2g} to {high:.2g}"
    ax.plot([low, high], [0.96, 0.96], "|-", color=FOUND, lw=1.5, ms=9, mew=1.5, transform=along, zorder=3, label=label)
    if finding.left is None or finding.method not in METHODS or len(finding.records) < 2:
        return
    training = Training(finding.schedule, finding.left, finding.horizon, finding.epochs)
    read = readings(finding.records, finding.method, training)
    ax.plot(
        read, [0.03] * len(read), "^", color=FOUND, ms=6, mew=0, transform=along, zorder=3, label="each ramp's rate"
    )


def plot_runs(comparison: Comparison, metric: str, ax: Axes | None = None) -> Axes:
    """Draw a metric over the steps of every arm: the mean over its seeds, the seeds as a band.

    Args:
        comparison: A comparison.
        metric: The metric's name. Where it was taken on other data too (``train_loss`` beside ``val_loss``), the
            means there are dashed.
        ax: Where to draw; by default a new figure of pyplot.
    """
    ax = ax or _new_axes()
    colours = arm_colours(comparison)
    names = next(names for names in families(comparison).values() if metric in names)
    drawn = {name: metric_series(comparison, name) for name in (metric, *(name for name in names if name != metric))}
    for name, lines in drawn.items():
        for series in lines:
            _draw_series(ax, series, colours[series.arm], is_first=name == metric, is_best=_is_best(comparison, series))
    for name, style in zip(drawn, ("solid", DASHED), strict=False):
        ax.plot([], [], color="#8d99ae", ls=style, label=name)
    ax.set_xlabel("optimizer steps")
    values = [value for lines in drawn.values() for series in lines for value in series.mean]
    _set_values_axis(ax, "y", values, metric, may_be_log=falls(drawn[metric]), top=ceiling(values))
    ax.set_title(f"{metric} over training", parse_math=False)
    _finish(ax)
    return ax


def plot_rates(comparison: Comparison, ax: Axes | None = None) -> Axes:
    """Draw the rate in use over the steps of every arm.

    Args:
        comparison: A comparison.
        ax: Where to draw the rate that each schedule gives, and as dots what was read back from the optimizer; by
            default a new figure of pyplot.
    """
    ax = ax or _new_axes()
    colours = arm_colours(comparison)
    planned, used = schedule_series(comparison), rate_series(comparison)
    for series in planned:
        _draw_series(ax, series, colours[series.arm], is_first=True, is_best=_is_best(comparison, series))
    for series in used:
        label = None if series.arm in {one.arm for one in planned} else series.arm
        ax.plot(series.steps, series.mean, ".", ms=5, color=colours[series.arm], label=label)
    lines = (*planned, *used)
    ax.set_xlabel("optimizer steps")
    is_log = needs_log_axis(value for series in lines for value in series.mean)
    if is_log:
        ax.set_yscale("log")
        ax.set_ylim(bottom=max(rate_floor(comparison), ax.get_ylim()[0]))
    ax.set_ylabel("learning rate (log scale)" if is_log else "learning rate")
    ax.set_title("The rate in use")
    _finish(ax)
    return ax


def plot_finals(comparison: Comparison, ax: Axes | None = None) -> Axes:
    """Draw the judged metric at the end of training: each arm's mean, its 95 % interval and its seeds."""
    ax = ax or _new_axes()
    colours, ends = arm_colours(comparison), finals(comparison, comparison.metric)
    everything = [value for values in ends.values() for value in values]
    top = ceiling(everything, FINALS_CEILING)
    for place, (arm, values) in enumerate(ends.items()):
        summary = comparison.summaries.get(arm)
        if summary is not None and math.isfinite(summary.mean) and summary.mean <= top:
            ax.plot([summary.low, summary.high], [place, place], color=colours[arm], lw=2.5, solid_capstyle="round")
            ax.plot([summary.mean], [place], "o", ms=8, color=colours[arm])
        if lost := sum(not math.isfinite(value) for value in values):
            said = f"not finite in {lost} of {len(values)}"
            ax.annotate(said, (0.99, place), xycoords=("axes fraction", "data"), ha="right", va="center")
        ax.plot(values, [place + 0.2] * len(values), ".", ms=5, color="#8d99ae")
    ax.set_yticks(range(len(ends)), list(ends), parse_math=False)
    ax.set_ylim(len(ends) - 0.5, -0.5)
    _set_values_axis(ax, "x", everything, comparison.metric, may_be_log=comparison.mode == "min", top=top)
    ax.set_title(f"{comparison.metric} at the end: mean, 95 % interval, seeds", parse_math=False)
    ax.grid(axis="x", color="#e5e5e5", lw=0.8)
    ax.set_axisbelow(True)
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.tick_params(axis="y", length=0)
    return ax


def arm_colours(comparison: Comparison) -> dict[str, str]:
    """Return each arm's colour: the best one's stands out, the others' follow in the order of the arms."""
    best = comparison.verdict.best
    others = [arm.name for arm in comparison.arms if arm.name != best]
    named = [best, *others] if best is not None else others
    return dict(zip(named, cycle((FOUND, *COLOURS)), strict=False))


def _is_best(comparison: Comparison, series: Series) -> bool:
    return series.arm == comparison.verdict.best


def _draw_series(ax: Axes, series: Series, colour: str, *, is_first: bool, is_best: bool) -> None:
    width = 2.5 if is_best else 1.5
    label = series.arm if is_first else None
    marker = "o" if len(series.steps) == 1 else None
    style = "solid" if is_first else DASHED
    order = 2 + is_first + 0.5 * is_best  # the best arm over the others
    look: dict[str, Any] = {"color": colour, "lw": width, "ls": style, "marker": marker, "ms": 4, "zorder": order}
    ax.plot(series.steps, series.mean, label=label, **look)
    if is_first and series.seeds > 1:
        ax.fill_between(series.steps, series.low, series.high, color=colour, alpha=0.15, lw=0)


def _set_values_axis(
    ax: Axes, side: Literal["x", "y"], values: Sequence[float], name: str, *, may_be_log: bool, top: float
) -> None:
    """Name the axis of a metric, make it logarithmic where ratios matter, and cut off what has blown up."""
    axis = ax.xaxis if side == "x" else ax.yaxis
    is_log = may_be_log and needs_log_axis(values)
    if is_log:
        ax.set(**{f"{side}scale": "log"})
    if top < max((value for value in values if math.isfinite(value)), default=math.nan):
        ax.set(**{f"{side}lim": (None, top)})
    if is_log:
        _plain_log_ticks(axis)
    axis.set_label_text(f"{name} (log scale)" if is_log else name, parse_math=False)


def _finish(ax: Axes) -> None:
    """The house look: light grid, no box, the legend under the axes where it hides nothing."""
    ax.grid(color="#e5e5e5", lw=0.8)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    legend = ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2, frameon=False, fontsize="small")
    for text in legend.get_texts():
        text.set_parse_math(False)


def _plain_log_ticks(axis: Axis) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    least, greatest = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 3.0, 5.0) if greatest < 100 * least else (1.0,)))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())


def _new_axes() -> Axes:
    with from_extra("plot"):
        from matplotlib import pyplot

    ax: Axes = pyplot.subplots(figsize=(7.2, 4.6), layout="constrained")[1]
    return ax

"""The plot of a finding: its numbers first, whoever draws them, then matplotlib's drawing of them."""

from __future__ import annotations

from base64 import b64encode
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np

from lrfind.curves import Curve, to_curve
from lrfind.errors import LRFindError, ProbeError, from_extra
from lrfind.records import Finding
from lrfind.strategies.reading import Training, readings
from lrfind.suggest import METHODS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

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
SIZE = (5.6, 4.4)
"""Width and height of a figure, in inches."""


@dataclass(frozen=True, slots=True)
class FindingPlot:
    """The numbers of the plot of a finding.

    Attributes:
        curves: The range tests that can be drawn, the first one first.
        lr: The found rate.
        range: The ends of the range for a cyclical schedule.
        interval: The ends of the interval of the found rate.
        readings: The rate that each range test gives for itself; empty where there is only one.
        used: The rate that the optimizer had before, where it lies among those that were tried.
        rates: The ends of the axis of rates, which is logarithmic.
        losses: The ends of the axis of losses.
    """

    curves: tuple[Curve, ...]
    lr: float
    range: tuple[float, float]
    interval: tuple[float, float]
    readings: tuple[float, ...]
    used: float | None
    rates: tuple[float, float]
    losses: tuple[float, float]


def finding_plot(finding: Finding) -> FindingPlot:
    """Return the numbers of the plot of a finding.

    Raises:
        ProbeError: If the first range test has too few losses to be drawn.
    """
    curves = [to_curve(finding.records[0])]
    for record in finding.records[1:]:
        with suppress(ProbeError):
            curves.append(to_curve(record))
    low = min(float(np.nanmin(curve.losses)) for curve in curves)
    high = max(float(np.max(curve.smooth)) for curve in curves)
    margin = max(0.1 * (high - low), 1e-12)
    tried = [lr for record in finding.records for lr in record.lrs]
    used = finding.used if finding.used is not None and min(tried) <= finding.used <= max(tried) else None
    return FindingPlot(
        curves=tuple(curves),
        lr=finding.lr,
        range=(finding.base_lr, finding.max_lr),
        interval=finding.interval,
        readings=tuple(_readings(finding)),
        used=used,
        rates=(float(curves[0].lrs[0]) / 1.5, max(float(curve.lrs[-1]) for curve in curves) * 1.5),
        losses=(low - margin, high + 2 * margin),
    )


def plot_finding(finding: Finding, ax: Axes | None = None) -> Axes:
    """Draw the loss against the rate for every range test, what each reads, and what is found.

    Args:
        finding: A finding of one range test or of several.
        ax: Where to draw; by default a new figure of pyplot.
    """
    ax = ax or new_axes()
    plot = finding_plot(finding)
    low, high = plot.range
    ax.axvspan(low, high, color=COLOURS[0], alpha=0.12, lw=0, label=f"cycles {low:.2g} to {high:.2g}")
    for number, (curve, colour) in enumerate(zip(plot.curves, COLOURS * len(plot.curves), strict=False)):
        first = number == 0
        losses = ("loss of each step", "loss of each step, repeated", None)[min(number, 2)]
        trend = "smoothed" if first else None
        order = 2.5 if first else 1.5
        ax.plot(curve.lrs, curve.losses, ".", ms=5, color=colour, alpha=0.55, mew=0, zorder=order, label=losses)
        ax.plot(curve.lrs, curve.smooth, color=colour, lw=2.2 if first else 1.3, zorder=order, label=trend)
    _mark(ax, plot)
    ax.set(xscale="log", xlim=plot.rates, ylim=plot.losses)
    ax.set(xlabel="learning rate (log scale)", ylabel="training loss")
    several = f", {len(plot.curves)} range tests" if len(plot.curves) > 1 else ""
    ax.set_title(f"Loss against learning rate{several}")
    finish(ax)
    return ax


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


def finish(ax: Axes) -> None:
    """Give axes the house look: a light grid, no box, the legend under the axes where it hides nothing."""
    ax.grid(color="#e5e5e5", lw=0.8)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    legend = ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2, frameon=False, fontsize="small")
    for text in legend.get_texts():
        text.set_parse_math(False)


def new_axes() -> Axes:
    """Return the axes of a new figure of pyplot."""
    with from_extra("plot"):
        from matplotlib import pyplot

    ax: Axes = pyplot.subplots(figsize=SIZE, layout="constrained")[1]
    return ax


def _readings(finding: Finding) -> list[float]:
    if finding.final_fraction is None or finding.method not in METHODS or len(finding.records) < 2:
        return []
    training = Training(finding.schedule, finding.final_fraction, finding.total_steps, finding.epochs)
    return readings(finding.records, finding.method, training)


def _mark(ax: Axes, plot: FindingPlot) -> None:
    """Mark the found rate and the one in use, the interval along the top, along the bottom what each test reads."""
    along = ax.get_xaxis_transform()
    ax.axvline(plot.lr, color=FOUND, lw=2, zorder=3, label=f"found rate {plot.lr:.3g}")
    if plot.used is not None:
        label = f"your rate {plot.used:.3g}"
        ax.axvline(plot.used, color="#5b6b7f", lw=1.5, ls=(0, (2, 1.5)), zorder=3, label=label)
    low, high = plot.interval
    label = f"interval {low:.2g} to {high:.2g}"
    ax.plot([low, high], [0.96, 0.96], "|-", color=FOUND, lw=1.5, ms=9, mew=1.5, transform=along, zorder=3, label=label)
    if plot.readings:
        low_down, label = [0.03] * len(plot.readings), "each ramp's rate"
        ax.plot(plot.readings, low_down, "^", color=FOUND, ms=6, mew=0, transform=along, zorder=3, label=label)

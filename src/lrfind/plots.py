"""Figures from findings and runs: they take ``ax``, return it, and never show."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from contextlib import suppress
from io import BytesIO
from typing import TYPE_CHECKING, Literal

import numpy as np

from lrfind.compare.runs import Run
from lrfind.curves import Curve, to_curve
from lrfind.errors import LRFindError, ProbeError
from lrfind.records import Finding, Record
from lrfind.strategies.reading import Training, readings
from lrfind.suggest import METHODS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FOUND = "#d1495b"
COLOURS = ("#30638e", "#edae49", "#6a994e", "#7b5ea7", "#3d3d3d", "#00798c")


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


def plot_runs(runs: Sequence[Run], metric: Literal["loss", "accuracy"], ax: Axes | None = None) -> Axes:
    """Draw the training and validation loss, or accuracy, of several runs over epochs.

    Args:
        runs: The runs; the one named ``"found"`` stands out.
        metric: ``"loss"`` (on a log scale) or ``"accuracy"`` (in per cent).
        ax: Where to draw; by default a new figure of pyplot.
    """
    ax = ax or _new_axes()
    scale = 100.0 if metric == "accuracy" else 1.0
    colours = iter(COLOURS * len(runs))
    for run in runs:
        colour, width = (FOUND, 2.5) if run.name == "found" else (next(colours), 1.5)
        epochs = [row.epoch for row in run.rows]
        for part, style in (("train", (0, (2, 1.5))), ("val", "solid")):
            values = [scale * getattr(row, f"{part}_{metric}") for row in run.rows]
            label = _label(run) if part == "val" else None
            ax.plot(epochs, values, color=colour, lw=width, ls=style, label=label)
    ax.plot([], [], color="#8d99ae", ls="solid", label="validation")
    ax.plot([], [], color="#8d99ae", ls=(0, (2, 1.5)), label="training")
    ax.set_xlabel("epochs")
    if metric == "loss":
        ax.set_yscale("log")
        _plain_log_ticks(ax)
    ax.set_ylabel("accuracy (%)" if metric == "accuracy" else "loss (log scale)")
    ax.set_title(f"Training and validation {metric}")
    _finish(ax)
    return ax


def _label(run: Run) -> str:
    return f"found, {run.lr:.3g}" if run.name == "found" else run.name


def _finish(ax: Axes) -> None:
    """The house look: light grid, no box, the legend under the axes where it hides nothing."""
    ax.grid(color="#e5e5e5", lw=0.8)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    legend = ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2, frameon=False, fontsize="small")
    for text in legend.get_texts():
        text.set_parse_math(False)


def _plain_log_ticks(ax: Axes) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 3.0, 5.0)))
    ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    ax.yaxis.set_minor_formatter(NullFormatter())


def _new_axes() -> Axes:
    from matplotlib import pyplot

    ax: Axes = pyplot.subplots(figsize=(7.2, 4.6), layout="constrained")[1]
    return ax

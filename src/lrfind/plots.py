"""Figures from findings and runs: they take ``ax``, return it, and never show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from lrfind.compare.runs import Run
from lrfind.curves import to_curve
from lrfind.records import Finding

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FOUND = "#d1495b"
COLOURS = ("#30638e", "#edae49", "#6a994e", "#7b5ea7", "#3d3d3d", "#00798c")


def plot_finding(finding: Finding, ax: Axes | None = None) -> Axes:
    """Draw the loss against the rate, with the found rate and the range marked.

    Args:
        finding: A finding of one range test or of several, of which the first is smoothed.
        ax: Where to draw; by default a new figure of pyplot.
    """
    ax = ax or _new_axes()
    first, *repeated = finding.records
    curve = to_curve(first)
    marked = f"range {finding.base_lr:.2g} to {finding.max_lr:.2g}"
    ax.axvspan(finding.base_lr, finding.max_lr, color="#30638e", alpha=0.12, lw=0, label=marked)
    ax.plot(curve.lrs, curve.losses, ".", ms=4, color="#8d99ae", label="loss of each step")
    for number, record in enumerate(repeated):
        label = None if number else "loss of each step, repeated"
        ax.plot(record.lrs, record.losses, ".", ms=3, color="#edae49", zorder=1.5, label=label)
    ax.plot(curve.lrs, curve.smooth, color="#2b2d42", lw=2, label="smoothed")
    ax.axvline(finding.lr, color=FOUND, lw=2, label=f"found rate {finding.lr:.3g}")
    bottom, top = float(np.nanmin(curve.losses)), float(np.max(curve.smooth))
    margin = max(0.1 * (top - bottom), 1e-12)
    ax.set_ylim(bottom - margin, top + 2 * margin)
    ax.set_xscale("log")
    ax.set_xlabel("learning rate (log scale)")
    ax.set_ylabel("training loss")
    ax.set_title("Loss against learning rate")
    _finish(ax)
    return ax


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

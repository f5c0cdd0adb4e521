"""The two figures of the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

from benchmarks.measures import Score, Truth

OURS, OTHERS, TRAINED = "#0b6e4f", "#8a4f9e", "#c77700"
FLOOR = 1e-3
"""Mean regrets below this are drawn at it, on a logarithmic axis."""

SHOWN = {
    "lrfind, 10 %": ("o", OURS),
    "Lightning": ("x", "#c0392b"),
    "torch-lr-finder": ("+", "#2c5aa0"),
    "fastai valley": ("v", "#8a4f9e"),
    "the habit": ("|", "#555555"),
}


def regret_against_cost(methods: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """Draw the mean regret of every method, with its interval, over what it costs."""
    figure, ax = plt.subplots(figsize=(10, 8))
    ordered = sorted(methods.items(), key=lambda item: -item[1]["mean"])
    heights = _spread([max(summary["mean"], FLOOR) for _, summary in ordered])
    for (name, summary), height in zip(ordered, heights, strict=True):
        cost, mean = max(summary["share"], 0.01), max(summary["mean"], FLOOR)
        low, high = (max(end, FLOOR) for end in summary["mean_interval"])
        colour = OURS if name.startswith("lrfind") else TRAINED if summary["octaves"] is None else OTHERS
        ax.plot([cost, cost], [low, high], color=colour, lw=1, alpha=0.35)
        ax.plot(cost, mean, "o", color=colour, ms=6)
        ax.annotate(
            name,
            (cost, mean),
            xytext=(1.03, height),
            textcoords=("axes fraction", "data"),
            va="center",
            fontsize=8,
            color=colour,
            arrowprops={
                "arrowstyle": "-",
                "color": colour,
                "lw": 0.5,
                "alpha": 0.5,
                "shrinkA": 0,
                "shrinkB": 3,
                "relpos": (0, 0.5),
            },
        )
    ax.set(xscale="log", yscale="log", xlim=(0.008, 0.8), ylim=(FLOOR * 0.9, 1.3))
    ax.set_xticks([0.01, 0.02, 0.05, 0.1, 0.2, 0.5], ["none", "2 %", "5 %", "10 %", "20 %", "50 %"])
    ax.set_yticks([0.001, 0.01, 0.1, 1.0], ["0.001", "0.01", "0.1", "1"])
    ax.minorticks_off()
    ax.axhline(0.05, color="#999999", lw=0.8, ls=":")
    ax.set_xlabel("cost of the search, as a share of the training")
    ax.set_ylabel("mean regret (0: the best rate of the grid; 1: nothing learned)")
    ax.grid(alpha=0.2)
    ax.spines[["top", "right"]].set_visible(False)
    _save(figure, path)


def _spread(values: Sequence[float]) -> list[float]:
    """Return heights for the labels of descending values, far enough apart on a logarithmic axis."""
    gap = np.log10(1.3 / FLOOR) / 36
    logs: list[float] = []
    for value in values:
        logs.append(min(np.log10(value), logs[-1] - gap if logs else 0.05))
    short = np.log10(FLOOR) - logs[-1]
    if short > 0:
        for at in range(len(logs) - 1, -1, -1):
            floor = np.log10(FLOOR) + gap * (len(logs) - 1 - at)
            logs[at] = max(logs[at], floor)
    return [float(10**one) for one in logs]


def suggestions(scores: Mapping[str, Sequence[Score]], truths: Sequence[Truth], path: Path) -> None:
    """Draw, for each task and schedule, where the suggestions lie relative to the best rate."""
    figure, ax = plt.subplots(figsize=(9, 0.24 * len(truths) + 1.4))
    for row, truth in enumerate(truths):
        low, high = np.log2(truth.band) - truth.best
        ax.plot([low, high], [row, row], color="#9ccfb8", lw=7, solid_capstyle="butt", zorder=1)
        for name, (marker, colour) in SHOWN.items():
            octaves = [
                one.octaves
                for one in scores.get(name, ())
                if (one.task, one.schedule) == (truth.task, truth.schedule) and np.isfinite(one.octaves)
            ]
            label = name if row == 0 else None
            ax.plot(octaves, [row] * len(octaves), marker, color=colour, ms=4.5, lw=0, alpha=0.6, label=label, zorder=2)
    ax.axvline(0, color="black", lw=0.8)
    ax.set_yticks(range(len(truths)), [f"{truth.task}, {truth.schedule}" for truth in truths], fontsize=7.5)
    ax.set(ylim=(len(truths) - 0.4, -0.6), xlim=(-22, 12))
    ticks = [-20, -15, -10, -5, 0, 5, 10]
    ax.set_xticks(ticks, [f"2^{tick}" if tick else "best" for tick in ticks])
    ax.set_xlabel("suggested rate over the best rate; green: within 1 % of regret")
    ax.grid(axis="x", alpha=0.2)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(loc="lower center", bbox_to_anchor=(0.4, 1.0), ncols=len(SHOWN), fontsize=8, frameon=False)
    _save(figure, path)


def _save(figure: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130, bbox_inches="tight", metadata={"Software": None})
    plt.close(figure)
    picture = Image.open(path).convert("RGB")  # a palette looks the same, and takes a third of the space
    picture.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(path, optimize=True)

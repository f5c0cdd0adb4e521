"""The figures beside the page: each as PNG and as SVG."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from lrfind.compare.comparison import Comparison
from lrfind.compare.series import families
from lrfind.errors import from_extra
from lrfind.plots import plot_finals, plot_finding, plot_rates, plot_runs
from lrfind.records import Finding

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Plot = Callable[["Axes"], "Axes"]

FIXED = ("finals", "finding", "rates")
METRIC = "metric-"
KINDS = ("png", "svg")
WIDTH, HEIGHT = 7.6, 4.9
"""In inches; a figure of the arms grows with them."""


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


def curve_figure(finding: Finding) -> Figure:
    """Return the curve of a finding as a figure of matplotlib's."""
    with from_extra("plot"):
        from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained", facecolor="white")
    plot_finding(finding, figure.subplots())
    return figure


def figure_files(folder: Path) -> list[Path]:
    """Return every file in a folder that ``draw`` may have written there."""
    names = [*FIXED, METRIC + "*"]
    return [file for name in names for kind in KINDS for file in sorted(folder.glob(f"{name}.{kind}"))]


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

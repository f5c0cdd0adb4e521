"""The figures beside the page, by matplotlib: each as PNG and as SVG."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from lrfind.charts import Chart, finding_chart
from lrfind.compare.comparison import Comparison
from lrfind.errors import BadInputError
from lrfind.plots import draw
from lrfind.report.charts import charts, family_chart, finals_chart, rate_chart
from lrfind.report.rows import labelled
from lrfind.report.series import families

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAMES = ("finals", "finding", "rates", "metric-*")
KINDS = ("png", "svg")
WIDTH, HEIGHT = 7.6, 4.9
"""In inches; a figure of the arms grows with them."""


def write_figures(comparison: Comparison, folder: Path) -> None:
    """Draw the charts of a comparison and of its finding into a folder; those of an earlier one there are removed."""
    drawn = charts(labelled(comparison))
    if comparison.finding is not None and comparison.finding.records:
        drawn.append(finding_chart(comparison.finding))
    for old in figure_files(folder):
        old.unlink()
    for chart in drawn:
        _save(chart, folder, HEIGHT + 0.12 * max(0, len(comparison.arms) - 6))


def figure_files(folder: Path) -> list[Path]:
    """Return every file in a folder that ``write_figures`` may have written there."""
    return [file for name in NAMES for kind in KINDS for file in sorted(folder.glob(f"{name}.{kind}"))]


def plot_runs(comparison: Comparison, metric: str, ax: Axes | None = None) -> Axes:
    """Draw a metric over the steps of every arm: the mean over its seeds, the seeds as a band.

    Args:
        comparison: A comparison.
        metric: The metric's name. The metrics of its family (``train_loss`` beside ``val_loss``) are drawn with it.
        ax: Where to draw; by default a new figure of pyplot.

    Raises:
        BadInputError: If no run has a metric of that name.
    """
    grouped = families(comparison)
    for family, metrics in grouped.items():
        if metric in metrics:
            return draw(family_chart(labelled(comparison), family, metrics), ax)
    names = ", ".join(name for names in grouped.values() for name in names)
    raise BadInputError(f"metric must be among {names or 'those of a run'}, got {metric!r}.")


def plot_rates(comparison: Comparison, ax: Axes | None = None) -> Axes:
    """Draw the rate in use over the steps of every arm: as scheduled, and as dots what the optimizer had.

    Args:
        comparison: A comparison.
        ax: Where to draw; by default a new figure of pyplot.
    """
    return draw(rate_chart(labelled(comparison)), ax)


def plot_finals(comparison: Comparison, ax: Axes | None = None) -> Axes:
    """Draw the judged metric at the end of training: each arm's mean, its 95 % interval and its seeds."""
    return draw(finals_chart(labelled(comparison)), ax)


def _save(chart: Chart, folder: Path, height: float) -> None:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    folder.mkdir(parents=True, exist_ok=True)
    canvas = Figure(figsize=(WIDTH, height), layout="constrained", facecolor="white")
    with warnings.catch_warnings(), rc_context({"svg.hashsalt": "lrfind"}):  # the same data, the same file
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # a name in a script the font lacks
        draw(chart, canvas.subplots())
        for kind in KINDS:
            file = folder / f"{chart.name}.{kind}"
            canvas.savefig(file, dpi=180, metadata={"Date": None} if kind == "svg" else None)

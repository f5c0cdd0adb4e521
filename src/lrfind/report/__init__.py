"""The report of a comparison: a page, figures, Markdown, CSV and JSON."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from lrfind.charts import Chart, finding_charts
from lrfind.codec import write_json, write_text
from lrfind.compare.comparison import Comparison
from lrfind.errors import BadInputError, LRFindError
from lrfind.plots import draw, to_figure
from lrfind.report.charts import charts_of, family_chart, finals_chart, rate_chart
from lrfind.report.rows import families, labelled
from lrfind.report.texts import render, to_csv, to_markdown, write_finding_page

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["forget_report", "plot_finals", "plot_rates", "plot_runs", "to_csv", "to_markdown", "write_finding_page"]
__all__ += ["write_report"]

FIGURES = [f"figures/{name}.{kind}" for name in ("finals", "finding", "rates", "metric-*") for kind in ("png", "svg")]
FILES = ["report.html", "report.json", "report.md", "runs.csv", *FIGURES]


def write_report(comparison: Comparison, out: Path) -> Path:
    """Write ``report.html``, ``report.json``, ``report.md``, ``runs.csv`` and ``figures`` under a folder.

    Returns:
        The page.

    Raises:
        LRFindError: If the folder cannot be written.
        MissingExtraError: If Jinja is not installed; nothing is written then.
    """
    texts = {"report.html": render(comparison), "report.md": to_markdown(comparison), "runs.csv": to_csv(comparison)}
    write_json(out / "report.json", comparison.to_dict())
    for name, text in texts.items():
        write_text(out / name, text)
    try:
        _remove(out, FIGURES)
        _write_figures([*charts_of(labelled(comparison)), *finding_charts(comparison.finding)], out / "figures")
    except OSError as error:
        raise LRFindError(f"{error.filename} cannot be written ({error.strerror}); choose another place.") from error
    return out / "report.html"


def forget_report(out: Path) -> None:
    """Remove the files of an earlier report from a folder.

    Raises:
        LRFindError: If one cannot be removed.
    """
    try:
        _remove(out, FILES)
    except OSError as error:
        raise LRFindError(f"{error.filename} cannot be removed ({error.strerror}); choose another --out.") from error


def plot_runs(comparison: Comparison, metric: str, ax: Axes | None = None) -> Axes:
    """Draw a metric of every arm over the steps: the mean over the seeds, with a band from the lowest to the highest.

    Args:
        comparison: A comparison.
        metric: The metric's name. The metrics of its family (``train_loss`` beside ``val_loss``) are drawn with it.
        ax: Where to draw; by default in a new figure of pyplot.

    Raises:
        BadInputError: If no run has a metric of that name.
    """
    known = families(comparison)
    for family, metrics in known.items():
        if metric in metrics:
            return draw(family_chart(labelled(comparison), family), ax)
    names = ", ".join(name for metrics in known.values() for name in metrics)
    raise BadInputError(f"metric must be among {names or 'those of a run'}, got {metric!r}.")


def plot_rates(comparison: Comparison, ax: Axes | None = None) -> Axes:
    """Draw the rate of every arm over the steps: the schedule, and as dots the rate read back from the optimizer."""
    return draw(rate_chart(labelled(comparison)), ax)


def plot_finals(comparison: Comparison, ax: Axes | None = None) -> Axes:
    """Draw the metric that decides at the end of training: each arm's mean, its 95 % interval and its seeds."""
    return draw(finals_chart(labelled(comparison)), ax)


def _write_figures(charts: Iterable[Chart], folder: Path) -> None:
    from matplotlib import rc_context

    with warnings.catch_warnings(), rc_context({"svg.hashsalt": "lrfind"}):  # the same data gives the same file
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # a name in a script the font lacks
        for chart in charts:
            folder.mkdir(exist_ok=True)
            figure = to_figure(chart, (7.6, 4.9))
            figure.savefig(folder / f"{chart.name}.png", dpi=180)
            figure.savefig(folder / f"{chart.name}.svg", metadata={"Date": None})


def _remove(out: Path, patterns: Iterable[str]) -> None:
    for pattern in patterns:
        for file in out.glob(pattern):
            file.unlink()

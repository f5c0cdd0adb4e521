"""The report of a comparison, a function of its data only: a page, figures, Markdown, CSV and JSON."""

from __future__ import annotations

from pathlib import Path

from lrfind.codec import write_json, write_text
from lrfind.compare.comparison import Comparison
from lrfind.errors import LRFindError
from lrfind.report.figures import figure_files, plot_finals, plot_rates, plot_runs, write_figures
from lrfind.report.html import render, write_finding_page
from lrfind.report.markdown import to_markdown
from lrfind.report.table import to_csv

__all__ = [
    "forget_report",
    "plot_finals",
    "plot_rates",
    "plot_runs",
    "to_csv",
    "to_markdown",
    "write_finding_page",
    "write_report",
]

PAGE, DATA, SUMMARY, ROWS, FIGURES = "report.html", "report.json", "report.md", "runs.csv", "figures"


def write_report(comparison: Comparison, out: Path) -> Path:
    """Write ``report.html``, ``report.json``, ``report.md``, ``runs.csv`` and ``figures`` under a folder.

    Returns:
        The page.

    Raises:
        LRFindError: If the folder cannot be written.
        MissingExtraError: If Jinja is not installed; nothing is written then.
    """
    texts = {PAGE: render(comparison), SUMMARY: to_markdown(comparison), ROWS: to_csv(comparison)}
    write_json(out / DATA, comparison.to_dict())
    for name, text in texts.items():
        write_text(out / name, text)
    try:
        write_figures(comparison, out / FIGURES)
    except OSError as error:
        raise LRFindError(f"{out / FIGURES} cannot be written ({error.strerror}); choose another place.") from error
    return out / PAGE


def forget_report(out: Path) -> None:
    """Remove the files of an earlier report from a folder, if there are any, so that none outlives what it tells of.

    Raises:
        LRFindError: If one cannot be removed.
    """
    try:
        for file in (*(out / name for name in (PAGE, DATA, SUMMARY, ROWS)), *figure_files(out / FIGURES)):
            file.unlink(missing_ok=True)
    except OSError as error:
        raise LRFindError(f"{error.filename} cannot be removed ({error.strerror}); choose another --out.") from error

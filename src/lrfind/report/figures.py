"""The figures of a report: each drawn twice, for wide pages and for narrow ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from lrfind.compare.runs import Run
from lrfind.plots import plot_finding, plot_runs
from lrfind.records import Finding

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIZES = {"": (7.6, 4.9), "-narrow": (3.9, 4.4)}
"""What is appended to a figure's name, and the size in inches: for wide pages and for phones."""

NAMES = ("rate", "accuracy", "loss")


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure on disk.

    Attributes:
        name: A short name; also the file's.
        caption: What it shows, in a sentence.
        wide: The PNG for pages wider than a phone.
        narrow: The PNG for phones.
    """

    name: str
    caption: str
    wide: Path
    narrow: Path


def figure_files(folder: Path) -> list[Path]:
    """Return every file that ``draw`` writes into a folder."""
    return [_file(folder, name, suffix) for name in NAMES for suffix in SIZES]


def draw(finding: Finding, runs: Sequence[Run], folder: Path) -> list[Figure]:
    """Draw the three figures of an experiment as PNG files in a folder."""
    repeated = len(finding.records) - 1
    again = f", and of {repeated} more over the rates that matter" if repeated else ""
    range_caption = (
        f"Training loss at each rate of the range test{again}. The line marks the found rate, {finding.lr:.3g}; "
        f"the band the range from {finding.base_lr:.2g} to {finding.max_lr:.2g}."
    )
    runs_caption = "Solid lines: validation. Dashed lines: training, averaged since the last one."
    plots: tuple[tuple[str, Callable[[Axes], Axes]], ...] = (
        (range_caption, partial(plot_finding, finding)),
        (runs_caption, partial(plot_runs, runs, "accuracy")),
        (runs_caption, partial(plot_runs, runs, "loss")),
    )
    return [_save(name, *plot, folder) for name, plot in zip(NAMES, plots, strict=True)]


def _save(name: str, caption: str, plot: Callable[[Axes], Axes], folder: Path) -> Figure:
    from matplotlib.figure import Figure as Canvas

    folder.mkdir(parents=True, exist_ok=True)
    for suffix, size in SIZES.items():
        canvas = Canvas(figsize=size, layout="constrained", facecolor="white")
        plot(canvas.subplots())
        canvas.savefig(_file(folder, name, suffix), dpi=180)
    return Figure(name, caption, *(_file(folder, name, suffix) for suffix in SIZES))


def _file(folder: Path, name: str, suffix: str) -> Path:
    return folder / f"{name}{suffix}.png"

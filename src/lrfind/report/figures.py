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

WIDE, NARROW = (7.6, 4.9), (3.9, 4.4)


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


def draw(finding: Finding, runs: Sequence[Run], folder: Path) -> list[Figure]:
    """Draw the three figures of an experiment as PNG files in a folder."""
    range_caption = (
        f"Training loss at each rate of the range test. The line marks the found rate, {finding.lr:.3g}; the band "
        f"the range from {finding.base_lr:.2g} to {finding.max_lr:.2g}."
    )
    runs_caption = "Solid lines: validation. Dashed lines: training, averaged since the last one."
    return [
        _save("rate", range_caption, partial(plot_finding, finding), folder),
        _save("accuracy", runs_caption, partial(plot_runs, runs, "accuracy"), folder),
        _save("loss", runs_caption, partial(plot_runs, runs, "loss"), folder),
    ]


def _save(name: str, caption: str, plot: Callable[[Axes], Axes], folder: Path) -> Figure:
    from matplotlib.figure import Figure as Canvas

    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for suffix, size in (("", WIDE), ("-narrow", NARROW)):
        canvas = Canvas(figsize=size, layout="constrained", facecolor="white")
        plot(canvas.subplots())
        files.append(folder / f"{name}{suffix}.png")
        canvas.savefig(files[-1], dpi=180)
    return Figure(name, caption, *files)

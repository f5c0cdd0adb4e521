"""Charts as plain data: two axes and the marks between them; drawn by matplotlib, the HTML page and the terminal."""

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lrfind.curves import to_curve
from lrfind.errors import ProbeError
from lrfind.numbers import Show, counted, figure, rate, span
from lrfind.records import Finding
from lrfind.strategies.reading import Ramps
from lrfind.suggest import METHODS

Numbers: TypeAlias = Sequence[float] | NDArray[Any]

FindingKind = Literal["losses", "trend", "again", "interval", "yours", "found", "readings"]
CurveKind = Literal["band", "dashed", "line", "best", "dots"]
ResultKind = Literal["whisker", "mean", "seed", "beyond", "result"]
Kind: TypeAlias = FindingKind | CurveKind | ResultKind
"""The type of a mark, which decides its look: ``plots.LOOKS`` in matplotlib, a class of ``page.css`` in the page."""

DOTTED = ("losses", "readings", "dots", "mean", "seed")
"""Marks whose points are not joined."""

TEXTS = ("beyond", "result")
"""Marks drawn as their label: at an end of the axis, and outside of it."""

PALETTE = (
    *("#d1495b", "#30638e", "#b9770e", "#4f7d39", "#7b5ea7", "#00798c"),
    *("#8a5a44", "#c2558f", "#5b6b7f", "#2f8f6b", "#5a6fd8", "#8f8216"),
)
"""The colours, by number; the first is for the found rate and the best arm. ``page.css`` has those of the dark mode."""


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis: its label, its ends, whether it is logarithmic, how to write values; or names at 0, 1, ..."""

    label: str
    low: float
    high: float
    is_log: bool = False
    show: Show = figure
    names: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The label as it is shown."""
        return f"{self.label} (log scale)" if self.is_log else self.label

    def share(self, value: float) -> float:
        """Return where a value lies: 0 at the low end, 1 at the high one.

        Example:
            >>> Axis("rate", 1e-4, 1.0, is_log=True).share(1e-2)
            0.5
        """
        if not self.is_log:
            return (value - self.low) / (self.high - self.low)
        return math.log(value / self.low) / math.log(self.high / self.low) if value > 0 else -math.inf

    def ticks(self) -> dict[float, str]:
        """Return the values to label, and their labels.

        Example:
            >>> Axis("loss", 0.0, 1.1).ticks()
            {0.0: '0', 0.25: '0.25', 0.5: '0.5', 0.75: '0.75', 1.0: '1'}
            >>> [*Axis("loss", 0.03, 4.0, is_log=True).ticks()]
            [0.05, 0.1, 0.2, 0.5, 1.0, 2.0]
        """
        from matplotlib.ticker import LogLocator, MaxNLocator

        if self.names:
            return dict(enumerate(self.names))
        if not self.is_log:
            places = MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]).tick_values(self.low, self.high)
        else:
            ratio = self.high / self.low
            parts = (1, 1.5, 2, 3, 4, 5, 6, 8) if ratio < 6 else (1, 2, 5) if ratio < 1000 else (1,)
            places = LogLocator(subs=parts, numticks=9).tick_values(self.low, self.high)
        values = [float(f"{place:.10g}") for place in places if self.low <= place <= self.high]
        return {value: rate(value) if self.is_log else f"{value:,g}" for value in values}


@dataclass(frozen=True, slots=True)
class Mark:
    """Points of one type."""

    kind: Kind
    xs: Numbers  # places on the horizontal axis
    ys: Numbers  # places on the vertical axis; NaN makes a gap
    label: str = ""  # in a legend and under the pointer
    colour: int | None = None  # its number in the palette; None if the kind decides
    arm: str | None = None  # the arm of a comparison that it belongs to


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart: two axes, and marks from the back to the front."""

    name: str  # in a page, and as a file
    title: str
    caption: str  # how to read it
    x: Axis
    y: Axis
    marks: tuple[Mark, ...]
    read: tuple[Kind, ...] = ()  # marks whose values are shown under the pointer, and in a table


def finding_charts(finding: Finding | None) -> list[Chart]:
    """Return the chart of a finding in a list, which is empty if there is no curve to draw."""
    with suppress(ProbeError):
        return [] if finding is None else [finding_chart(finding)]
    return []


def finding_chart(finding: Finding) -> Chart:
    """Return loss against rate, each test's reading and the found rate; ``ProbeError`` if no curve can be drawn."""
    if not finding.records:
        raise ProbeError("the finding holds no range test, so that there is no curve to draw; search again.")
    curves = [to_curve(finding.records[0])]
    for record in finding.records[1:]:
        with suppress(ProbeError):
            curves.append(to_curve(record))
    low = min(float(np.nanmin(curve.losses)) for curve in curves)
    high = max(float(np.max(curve.smooth)) for curve in curves)
    margin = max(0.1 * (high - low), 1e-12)
    y = Axis("training loss", low - margin, high + 2 * margin)
    tried = [lr for curve in curves for lr in curve.lrs]
    x = Axis("learning rate", float(curves[0].lrs[0]) / 1.5, float(max(tried)) * 1.5, is_log=True, show=rate)
    low, high = finding.base_lr, finding.max_lr
    cycles, tests = span(low, high), counted(len(curves), "range test")
    marks = [Mark("band", (low, low, high, high), (y.low, y.high, y.high, y.low), f"cycles {cycles}", 1)]
    for number, curve in reversed([*enumerate(curves)]):
        colour, repeated = 1 + number % (len(PALETTE) - 1), ", repeated" if number else ""
        marks.append(Mark("losses", curve.lrs, curve.losses, f"loss of each step{repeated}", colour))
        marks.append(Mark("again" if number else "trend", curve.lrs, curve.smooth, f"smoothed{repeated}", colour))
    rates, how = _rates(finding, y, in_use=finding.used if min(tried) <= (finding.used or 0) <= max(tried) else None)
    caption = f"Dots: the training loss at each rate of {tests}; curves: smoothed. Shaded: the range, {cycles}. {how}"
    title = f"Loss against learning rate, {tests}"
    return Chart("finding", title, caption, x, y, (*marks, *rates), ("losses", "trend"))


def _rates(finding: Finding, y: Axis, in_use: float | None) -> tuple[list[Mark], str]:
    (low, high), interval, height = finding.interval, span(*finding.interval), y.high - y.low
    middle, top, bottom = y.high - 0.08 * height, y.high - 0.06 * height, y.high - 0.1 * height
    across = (low, low, math.nan, low, high, math.nan, high, high)
    bracket = (top, bottom, math.nan, middle, middle, math.nan, top, bottom)
    marks = [Mark("interval", across, bracket, f"interval {interval}", 0)]
    caption = f"Vertical line: the found rate, {rate(finding.lr)}; line across it: its interval, {interval}."
    if in_use is not None:
        marks.append(Mark("yours", (in_use, in_use), (y.low, y.high), f"yours {rate(in_use)}", 8))
        caption += f" Dashed line: the rate of your optimizer, {rate(in_use)}."
    marks.append(Mark("found", (finding.lr, finding.lr), (y.low, y.high), f"found {rate(finding.lr)}", 0))
    if finding.final_fraction is not None and finding.method in METHODS and len(finding.records) > 1:
        each = [lr for lr, _ in Ramps(finding.records, finding.method, finding.length).readings]
        marks.append(Mark("readings", each, [y.low + 0.03 * height] * len(each), "each test's rate", 0))
        caption += " Dots at the bottom: the rate that each range test gives by itself."
    return marks, caption

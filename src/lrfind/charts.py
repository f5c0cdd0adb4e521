"""Charts as plain data: two axes and the marks between them. Matplotlib, the page and the terminal draw them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lrfind.curves import to_curve
from lrfind.errors import ProbeError
from lrfind.numbers import Show, figure, rate, span
from lrfind.records import Finding
from lrfind.strategies.reading import Ramps
from lrfind.suggest import METHODS

Numbers: TypeAlias = Sequence[float] | NDArray[Any]

FindingKind = Literal["losses", "trend", "again", "interval", "yours", "found", "readings"]
CurveKind = Literal["band", "dashed", "line", "best", "dots"]
ResultKind = Literal["whisker", "mean", "seed"]
Kind: TypeAlias = FindingKind | CurveKind | ResultKind
"""What a mark is, which decides its look: ``plots.LOOKS`` in matplotlib, a class of ``page.css`` in the page."""

DOTTED = ("losses", "readings", "dots", "mean", "seed")
"""Kinds whose points are not joined."""


PALETTE = (
    *("#d1495b", "#30638e", "#b9770e", "#4f7d39", "#7b5ea7", "#00798c"),
    *("#8a5a44", "#c2558f", "#5b6b7f", "#2f8f6b", "#5a6fd8", "#8f8216"),
)
"""The colours by their places; the first one is for what was found and for the best arm."""

ON_DARK = (
    *("#ff8b9b", "#86b6e3", "#eab765", "#a3cf85", "#bfa8ea", "#63c3d3"),
    *("#d3aa8f", "#f0a3cb", "#aab7c7", "#83d3b2", "#a6b5ff", "#d4c967"),
)
"""The same colours for a dark ground."""


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis: its label, its ends, whether it is logarithmic, and how a value on it is written."""

    label: str
    low: float
    high: float
    is_log: bool = False
    show: Show = figure

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
        """Return the values to name, and their names.

        Example:
            >>> Axis("loss", 0.0, 1.1).ticks()
            {0.0: '0', 0.25: '0.25', 0.5: '0.5', 0.75: '0.75', 1.0: '1'}
            >>> [*Axis("loss", 0.03, 4.0, is_log=True).ticks()]
            [0.05, 0.1, 0.2, 0.5, 1.0, 2.0]
        """
        from matplotlib.ticker import LogLocator, MaxNLocator

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
    """Points, and what they are.

    Attributes:
        kind: What is drawn.
        xs: Where the points lie along.
        ys: Where they lie upward; NaN makes a gap.
        label: What it is called in a legend and where it is pointed at; may be empty.
        colour: Its place among the colours; None where its kind decides.
        arm: The arm of a comparison that it belongs to, if any.
    """

    kind: Kind
    xs: Numbers
    ys: Numbers
    label: str = ""
    colour: int | None = None
    arm: str | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """An arm in a chart of results.

    Attributes:
        arm: Its name.
        colour: Its place among the colours.
        seeds: The result of each seed.
        result: The mean in words.
        note: What else to say of it; may be empty.
        beyond: Whether the mean lies above the axis (1), below it (-1) or on it.
    """

    arm: str
    colour: int
    seeds: tuple[float, ...]
    result: str
    note: str
    beyond: int = 0


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart.

    Attributes:
        name: What it is called in a page and as a file.
        title: What it shows, in a few words.
        caption: How to read it.
        x: The axis along.
        y: The axis upward.
        marks: What is drawn, from the back to the front.
        read: The kinds of marks whose values are said where a reader points, and in a table.
        rows: The arms from the top, where the chart has a row for each; ``y`` counts them.
    """

    name: str
    title: str
    caption: str
    x: Axis
    y: Axis
    marks: tuple[Mark, ...]
    read: tuple[Kind, ...] = ()
    rows: tuple[Result, ...] = ()


def finding_chart(finding: Finding) -> Chart:
    """Return the loss against the rate for every range test, what each reads, and what is found.

    Raises:
        ProbeError: If the first range test has too few losses to be drawn.
    """
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
    marks = [Mark("band", *_box(finding.base_lr, finding.max_lr, y), f"cycles {_cycles(finding)}", 1)]
    for number, curve in reversed([*enumerate(curves)]):
        colour = 1 + number % (len(PALETTE) - 1)
        repeated = ", repeated" if number else ""
        marks.append(Mark("losses", curve.lrs, curve.losses, f"loss of each step{repeated}", colour))
        marks.append(Mark("again" if number else "trend", curve.lrs, curve.smooth, f"smoothed{repeated}", colour))
    interval = span(*finding.interval)
    marks.append(Mark("interval", *_bracket(*finding.interval, y), f"interval {interval}", 0))
    caption = (
        f"Dots: the training loss at each rate of the range test"
        f"{f' and of {len(curves) - 1} more' if len(curves) > 1 else ''}; curves: smoothed. "
        f"Upright line: the found rate, {rate(finding.lr)}; line across it: its interval, {interval}; "
        f"shaded: the range, {_cycles(finding)}."
    )
    used = finding.used
    if used is not None and min(tried) <= used <= max(tried):
        marks.append(Mark("yours", (used, used), (y.low, y.high), f"yours {rate(used)}", 8))
        caption += f" Dashed line: the rate of your optimizer, {rate(used)}."
    marks.append(Mark("found", (finding.lr, finding.lr), (y.low, y.high), f"found {rate(finding.lr)}", 0))
    if each := _readings(finding):
        marks.append(Mark("readings", each, [y.low + 0.03 * (y.high - y.low)] * len(each), "each test's rate", 0))
        caption += " Dots at the bottom: the rate that each range test gives for itself."
    several = f", {len(curves)} range tests" if len(curves) > 1 else ""
    title = f"Loss against learning rate{several}"
    return Chart("finding", title, caption, x, y, tuple(marks), ("losses", "trend"))


def _cycles(finding: Finding) -> str:
    return span(finding.base_lr, finding.max_lr)


def _readings(finding: Finding) -> list[float]:
    """Return the rate that each range test gives for itself; none where there is only one."""
    if finding.final_fraction is None or finding.method not in METHODS or len(finding.records) < 2:
        return []
    return [lr for lr, _ in Ramps(finding.records, finding.method, finding.length).readings]


def _box(low: float, high: float, y: Axis) -> tuple[Numbers, Numbers]:
    """Return the outline of all that lies between two values of the other axis."""
    return (low, low, high, high), (y.low, y.high, y.high, y.low)


def _bracket(low: float, high: float, y: Axis) -> tuple[Numbers, Numbers]:
    """Return a line with two ends near the top of a chart."""
    middle, end = y.high - 0.08 * (y.high - y.low), 0.02 * (y.high - y.low)
    upright = (middle - end, middle + end)
    return (low, low, math.nan, low, high, math.nan, high, high), (*upright, 0.0, middle, middle, 0.0, *upright)

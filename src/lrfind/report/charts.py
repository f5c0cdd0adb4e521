"""The charts of a comparison as numbers, whoever draws them: the page, matplotlib or the terminal."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lrfind.compare.comparison import Comparison, Interval
from lrfind.report.series import (
    Series,
    ceiling,
    falls,
    families,
    metric_series,
    needs_log_axis,
    rate_floor,
    rate_series,
    schedule_series,
)

MARGIN = 0.05
"""What an axis leaves free at either end, as a share of what it shows."""


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis: its label, its ends and whether it is logarithmic."""

    label: str
    low: float
    high: float
    is_log: bool = False

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

    def ticks(self) -> list[float]:
        """Return the values to name.

        Example:
            >>> Axis("loss", 0.0, 1.1).ticks(), Axis("loss", 0.03, 4.0, is_log=True).ticks()
            ([0.0, 0.25, 0.5, 0.75, 1.0], [0.05, 0.1, 0.2, 0.5, 1.0, 2.0])
        """
        from matplotlib.ticker import LogLocator, MaxNLocator

        if not self.is_log:
            places = MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]).tick_values(self.low, self.high)
        else:
            ratio = self.high / self.low
            parts = (1, 1.5, 2, 3, 4, 5, 6, 8) if ratio < 6 else (1, 2, 5) if ratio < 1000 else (1,)
            places = LogLocator(subs=parts, numticks=9).tick_values(self.low, self.high)
        return [float(f"{place:.10g}") for place in places if self.low <= place <= self.high]


@dataclass(frozen=True, slots=True)
class LinesChart:
    """Quantities of the arms over training.

    Attributes:
        name: What the chart is called in the page and as a file.
        title: What it shows, in a few words.
        caption: How to read it.
        x: The axis of optimizer steps.
        y: The axis of the quantity.
        lines: What is drawn as lines, with the seeds as bands.
        dashed: What is drawn beside them as dashed lines.
        dots: What is drawn as dots.
    """

    name: str
    title: str
    caption: str
    x: Axis
    y: Axis
    lines: tuple[Series, ...]
    dashed: tuple[Series, ...] = ()
    dots: tuple[Series, ...] = ()


@dataclass(frozen=True, slots=True)
class Mark:
    """The judged metric at the end of training of one arm.

    Attributes:
        arm: The arm's name.
        interval: The mean over the seeds where it is finite, and its interval; None where it is so in none.
        seeds: Each seed's value.
    """

    arm: str
    interval: Interval | None
    seeds: tuple[float, ...]

    @property
    def ends(self) -> tuple[float, float]:
        """The ends of the interval; the mean where they are not finite."""
        if self.interval is None:
            return math.nan, math.nan
        low, high = self.interval.low, self.interval.high
        return (low, high) if math.isfinite(low) and math.isfinite(high) else (self.interval.mean, self.interval.mean)


@dataclass(frozen=True, slots=True)
class FinalsChart:
    """The judged metric at the end of training of every arm with a run.

    Attributes:
        title: What it shows, in a few words.
        caption: How to read it.
        x: The axis of the metric; the mean of an arm that is far worse than the others may lie beyond it.
        marks: One per arm.
    """

    title: str
    caption: str
    x: Axis
    marks: tuple[Mark, ...]

    def beyond(self, mark: Mark) -> int:
        """Say whether a mean lies beyond the axis: 1 above its high end, -1 below its low end, else 0."""
        mean = mark.interval.mean if mark.interval else math.nan
        return (mean > self.x.high) - (mean < self.x.low)


def arm_places(comparison: Comparison) -> dict[str, int]:
    """Return each arm's place among the colours: the best one's stands out, the others follow in their order."""
    best = comparison.verdict.best
    others = [arm.name for arm in comparison.arms if arm.name != best]
    return {name: place for place, name in enumerate([best, *others] if best is not None else others)}


def finals_chart(comparison: Comparison) -> FinalsChart:
    """Return the judged metric at the end: each arm's mean, its interval and its seeds."""
    marks = []
    for arm in comparison.arms:
        seeds = tuple(run.final(comparison.metric) for run in comparison.runs_of(arm.name))
        summary = comparison.summaries.get(arm.name)
        if seeds:
            marks.append(Mark(arm.name, summary if summary and math.isfinite(summary.mean) else None, seeds))
    ends = [end for mark in marks if mark.interval for end in mark.ends]
    means = [mark.interval.mean for mark in marks if mark.interval]
    shown = _window(means, ends, lower_is_better=comparison.mode == "min") if means else ()
    caption = f"{'Lower' if comparison.mode == 'min' else 'Higher'} is better. "
    if max((len(mark.seeds) for mark in marks), default=1) > 1:
        caption += "Large dots: the mean over the seeds; lines: its 95 % interval; small dots: the seeds."
    else:
        caption += "One seed, so there is no interval."
    x = _axis(comparison.metric, shown)
    return FinalsChart(f"{comparison.metric} at the end", caption, x, tuple(marks))


def family_charts(comparison: Comparison) -> list[LinesChart]:
    """Return a chart for every family of metrics: the first of it as lines with the seeds as a band, others dashed."""
    return [_family_chart(comparison, family, metrics) for family, metrics in families(comparison).items()]


def rate_chart(comparison: Comparison) -> LinesChart:
    """Return the rate in use over the steps."""
    planned, used = schedule_series(comparison), rate_series(comparison)
    values = [value for series in (*planned, *used) for value in series.mean]
    y = _axis("learning rate", values, is_log=needs_log_axis(values), floor=rate_floor(comparison))
    caption = "Lines: the schedule. Dots: the rate read back from the optimizer at each evaluation."
    return LinesChart("rates", "The rate in use", caption, _steps((*planned, *used)), y, planned, dots=used)


def _family_chart(comparison: Comparison, family: str, metrics: Sequence[str]) -> LinesChart:
    lines, *rest = (metric_series(comparison, metric) for metric in metrics)
    dashed = tuple(series for others in rest for series in others)
    means = [value for series in (*lines, *dashed) for value in series.mean]
    bands = [value for series in lines for value in (*series.low, *series.high)]
    y = _axis(family, [*means, *bands], is_log=falls(lines) and needs_log_axis(means), top=ceiling(means))
    caption = f"Solid: {metrics[0]}." + "".join(f" Dashed: {metric}." for metric in metrics[1:])
    if any(series.seeds > 1 for series in lines):
        caption += " Lines are means over the seeds, bands reach from the lowest seed to the highest."
    return LinesChart(f"metric-{family}", f"{family} over training", caption, _steps(lines), y, lines, dashed)


def _steps(lines: Iterable[Series]) -> Axis:
    return Axis("optimizer steps", 0.0, 1.01 * max((series.steps[-1] for series in lines), default=1))


def _axis(
    label: str, values: Iterable[float], *, is_log: bool = False, top: float = math.inf, floor: float = 0.0
) -> Axis:
    """Return an axis that shows the finite values up to ``top`` and, where it is logarithmic, from ``floor``."""
    known = [value for value in values if math.isfinite(value) and (value > 0 or not is_log)]
    low, high = min(known, default=0.0), min(max(known, default=1.0), top)
    if is_log:
        low = max(low, floor)
        room = max(high / low, 1.01) ** MARGIN
        return Axis(label, low / room, high * room, is_log)
    margin = MARGIN * (high - low) or 0.1 * abs(high) or 1.0
    return Axis(label, low - margin, high + margin)


def _window(means: Sequence[float], ends: Iterable[float], *, lower_is_better: bool) -> tuple[float, float]:
    """Return what a chart of intervals shows: all, but for the worst where they would squash the best."""
    sign = 1.0 if lower_is_better else -1.0
    ordered = sorted(sign * mean for mean in means)
    inside = [sign * end for end in ends]
    best, middle = ordered[0], ordered[len(ordered) // 2 - (len(ordered) % 2 == 0)]
    limit = best + 6 * (middle - best) if middle > best else math.inf
    low, high = min(inside), min(max(inside), limit)
    return (low, high) if lower_is_better else (-high, -low)

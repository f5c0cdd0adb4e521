"""What a finding and a comparison look like in a terminal."""

from __future__ import annotations

import math
from itertools import chain

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from lrfind.cli.charts import interval_bar, rate_chart, window
from lrfind.compare.comparison import Comparison, Interval
from lrfind.compare.runs import Arm
from lrfind.errors import LRFindError
from lrfind.records import Finding

_CHART = 24
"""Columns of the chart of intervals, at least."""


def say(console: Console, words: str, style: str = "") -> None:
    """Print a sentence; long ones wrap in a terminal only, names in it are not markup."""
    console.print(Text(words, style), soft_wrap=not console.is_terminal)


def show_finding(console: Console, finding: Finding) -> None:
    """Print a finding: rate, range, what it rests on, and the curve."""
    first, *rest = str(finding).splitlines()
    say(console, first, "bold")
    for line in rest:
        say(console, line)
    try:
        chart = rate_chart(finding, console.width)
    except LRFindError:
        return
    console.print()
    console.print(chart, no_wrap=True, crop=False)


def show_comparison(console: Console, comparison: Comparison) -> None:
    """Print a comparison: the verdict, a row for each arm, what failed and what one should know."""
    say(console, comparison.verdict.sentence, "bold")
    say(console, f"{comparison.title}. {comparison.setting}")
    console.print()
    console.print(_table(comparison, console.width))
    for failure in comparison.failures:
        say(console, f"{failure.arm}, seed {failure.seed}, failed: {failure.error}", "red")
    for note in comparison.notes:
        say(console, note)
    if comparison.finding is not None:
        say(console, f"The search says: {comparison.finding.headline}")
        for note in comparison.finding.notes:
            say(console, note)


def _table(comparison: Comparison, width: int) -> RenderableType:
    best = comparison.verdict.best
    rows = [(arm, *_cells(comparison, arm)) for arm in comparison.arms]
    headings = ("arm", "lr", f"{comparison.metric}", "seeds")
    widths = [max(map(len, (heading, *column))) for heading, column in zip(headings, _columns(rows), strict=True)]
    room = max(width - sum(widths) - 2 * (len(widths) + 1), _CHART)
    bars = _bars(comparison, min(room, 3 * _CHART))
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    table.add_column(headings[0], overflow="fold")
    for heading in headings[1:]:
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column(f"mean and 95 % interval, {'least' if comparison.mode == 'min' else 'greatest'} is best")
    for arm, *cells in rows:
        style = "bold green" if arm.name == best else ""
        table.add_row(Text(arm.name), *cells, bars.get(arm.name, ""), style=style)
    return table


def _columns(rows: list[tuple[Arm, str, str, str]]) -> list[list[str]]:
    return [[row[0].name for row in rows], *([str(row[column]) for row in rows] for column in (1, 2, 3))]


def _cells(comparison: Comparison, arm: Arm) -> tuple[str, str, str]:
    """Return an arm's rate, mean and number of seeds."""
    rate = f"{arm.lr:.3g}" if arm.base_lr is None else f"{arm.base_lr:.2g}..{arm.lr:.3g}"
    summary = comparison.summaries.get(arm.name)
    runs = comparison.runs_of(arm.name)
    mean = f"{summary.mean:.4g}" if summary is not None else "not finite" if runs else "no run"
    return rate, mean, str(len(runs))


def _bars(comparison: Comparison, width: int) -> dict[str, str]:
    """Return each arm's interval as characters, all on one scale; none for an arm that has no finite mean."""
    finite = {name: one for name, one in comparison.summaries.items() if math.isfinite(one.mean)}
    if not finite:
        return {}
    ends = {name: _ends(one) for name, one in finite.items()}
    means = [one.mean for one in finite.values()]
    span = window(means, chain(*ends.values()), lower_is_better=comparison.mode == "min")
    return {name: interval_bar(finite[name].mean, *ends[name], span, width) for name in finite}


def _ends(summary: Interval) -> tuple[float, float]:
    """Return an interval's ends; one that is not finite is drawn at the mean."""
    low, high = (end if math.isfinite(end) else summary.mean for end in (summary.low, summary.high))
    return low, high

"""What a finding and a comparison look like in a terminal."""

from __future__ import annotations

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from lrfind.charts import finding_chart
from lrfind.cli.charts import interval_bar, rate_chart
from lrfind.compare.comparison import Comparison
from lrfind.errors import LRFindError
from lrfind.records import Finding
from lrfind.report.charts import finals_chart
from lrfind.report.rows import ArmRow, arm_rows, labelled

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
        chart = rate_chart(finding, finding_chart(finding), console.width)
    except LRFindError:
        return
    console.print()
    console.print(chart, no_wrap=True, crop=False)


def show_comparison(console: Console, comparison: Comparison) -> None:
    """Print a comparison: the verdict, a row for each arm, what failed and what one should know."""
    comparison = labelled(comparison)
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
    rows = [(row, (_name(row), row.result, str(len(row.seeds)))) for row in arm_rows(comparison)]
    headings = ("arm", comparison.metric, "runs")
    widths = [max(map(len, column)) for column in zip(headings, *(cells for _, cells in rows), strict=True)]
    room = max(width - sum(widths) - 2 * (len(widths) + 1), _CHART)
    chart = finals_chart(comparison)
    bars = {row.arm: interval_bar(chart, row, min(room, 3 * _CHART)) for row in chart.rows}
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    table.add_column(headings[0], overflow="fold")
    for heading in headings[1:]:
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column(f"mean and 95 % interval, {'lowest' if comparison.mode == 'min' else 'highest'} is best")
    for row, (name, *cells) in rows:
        table.add_row(Text(name), *cells, bars.get(row.name, ""), style="bold green" if row.is_best else "")
    return table


def _name(row: ArmRow) -> str:
    return row.name if row.rates in row.name else f"{row.name} ({row.rates})"

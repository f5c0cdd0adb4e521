"""A finding and a comparison in a terminal, with charts of characters (docs/decisions/0018)."""

from collections.abc import Sequence

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lrfind.charts import Axis, Chart, Mark, Numbers, finding_charts
from lrfind.compare.arms import rates_of
from lrfind.compare.comparison import Comparison
from lrfind.numbers import figure, rate, rough
from lrfind.records import Finding
from lrfind.report.charts import finals_chart
from lrfind.report.rows import arm_rows, labelled

_BITS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])
"""The bit of each dot of a braille character, by row and column."""

_ROWS = 12  # rows of the chart of a finding, without the axis
_BAR = 28  # least columns of the chart of intervals

Layer = tuple[Numbers, Numbers, str]  # x and y as shares of width and height, and a style
Part = tuple[int, str, str]  # column, text, style


def say(console: Console, words: str, style: str = "") -> None:
    """Print a sentence, not as markup; it wraps in a terminal only."""
    console.print(Text(words, style), soft_wrap=not console.is_terminal)


def show_finding(console: Console, finding: Finding) -> None:
    """Print a finding and its charts."""
    first, *rest = str(finding).splitlines()
    say(console, first, "bold")
    for line in rest:
        say(console, line)
    for chart in finding_charts(finding):
        console.print()
        console.print(rate_chart(chart, console.width), no_wrap=True, crop=False)


def show_comparison(console: Console, comparison: Comparison) -> None:
    """Print a comparison: verdict, table of arms, failures and notes."""
    comparison = labelled(comparison)
    say(console, comparison.verdict.sentence, "bold")
    say(console, f"{comparison.title}. {comparison.setting}")
    console.print()
    console.print(_table(comparison, console.width))
    if any(mark.kind == "beyond" for mark in finals_chart(comparison).marks):
        say(console, "An arrow: the mean lies beyond what is drawn.")
    for failure in comparison.failures:
        say(console, f"{failure.arm}, seed {failure.seed}, failed: {failure.error}", "red")
    for note in comparison.notes:
        say(console, note)
    if comparison.finding is not None:
        for words in (f"The search says: {comparison.finding.headline}", *comparison.finding.notes):
            say(console, words)


def _table(comparison: Comparison, width: int) -> Table:
    arms, chart = arm_rows(comparison), finals_chart(comparison)
    names = [row.name if rates_of(row.arm) in row.name else f"{row.name} ({rates_of(row.arm)})" for row in arms]
    cells = [(name, row.result, row.lost or str(len(row.runs))) for name, row in zip(names, arms, strict=True)]
    titles = ("arm", comparison.metric, "runs")
    taken = sum(2 + max(map(len, column)) for column in zip(titles, *cells, strict=True))
    room = min(max(width - taken - 2, _BAR), 3 * _BAR)
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    table.add_column(titles[0], overflow="fold")
    for title in titles[1:]:
        table.add_column(title, justify="right", no_wrap=True)
    best = "lowest" if comparison.mode == "min" else "highest"
    low, high = figure(chart.x.low), figure(chart.x.high)
    table.add_column(f"95 % interval, {best} is best\n{low}{high:>{room - len(low)}}")
    for row, (name, *others) in zip(arms, cells, strict=True):
        bar = interval_bar(chart, row.name, room)
        table.add_row(Text(name), *others, bar, style="bold green" if row.is_best else "")
    return table


def interval_bar(chart: Chart, arm: str, width: int) -> Text:
    """Draw an arm's interval and mean; an arrow if the mean is beyond the chart."""
    places = {mark.kind: [_column(chart.x, x, width) for x in mark.xs] for mark in chart.marks if mark.arm == arm}
    parts: list[Part] = []
    if ends := places.get("whisker"):
        parts.append((ends[0], f"├{'─' * (ends[1] - ends[0] - 1)}┤", ""))
    parts += [(place, "●", "") for place in places.get("mean", ())]
    parts += [(place, "→" if place else "←", "") for place in places.get("beyond", ())]
    return _line(parts, width)


def rate_chart(chart: Chart, width: int) -> Text:
    """Draw the chart of a finding, with rate and range on the x axis."""
    names = {round((1 - chart.y.share(value)) * (_ROWS - 1)): name for value, name in chart.y.ticks().items()}
    margin = max(map(len, names.values()))
    width = min(width, 100) - margin - 2
    layers: list[Layer] = [(*_shares(chart, mark), "dim") for mark in chart.marks if mark.kind == "losses"]
    last = {mark.kind: mark for mark in chart.marks}
    xs, ys = _shares(chart, last["trend"])
    fine = np.linspace(xs[0], xs[-1], 100 * width)  # 50 points per column of dots: none is missing where it is steep
    rows = braille([*layers, (fine, np.interp(fine, xs, ys), "cyan")], width, _ROWS)
    sides = [f"{names.get(row, ''):>{margin}} {'┤' if row in names else '│'}" for row in range(_ROWS)]
    base, top, found = min(last["band"].xs), max(last["band"].xs), last["found"].xs[0]
    low, high, at = (_column(chart.x, lr, width) for lr in (base, top, found))
    axis = [(0, "─" * width, ""), (low, "═" * (high + 1 - low), "bold blue"), (at, "▲", "bold red")]
    labels = [(found, rate(found), "bold red"), *((end, rough(end), "blue") for end in (base, top))]
    labels += [(value, name, "") for value, name in chart.x.ticks().items()]
    lines = [Text(f"{'':>{margin}} loss"), *map(Text.assemble, sides, rows)]
    lines.append(Text.assemble(" " * margin, " └", _line(axis, width)))
    lines.append(Text.assemble(" " * margin, "  ", _line(_spread(labels, chart.x, width), width)))
    lines.append(Text(f"{'':>{margin}}  ⠂ loss of a step  ━ smoothed  ▲ found rate  ═ range for cycles", "dim"))
    return Text("\n").join(lines)


def braille(layers: Sequence[Layer], width: int, height: int) -> list[Text]:
    """Draw layers over each other as rows of braille characters of 2 by 4 dots; leave out dots outside."""
    dots = np.zeros((4 * height, 2 * width), int)
    styles = np.full((height, width), "", object)
    for xs, ys, style in layers:
        places = np.array([xs, ys])
        across, up = places[:, ((places >= 0) & (places <= 1)).all(axis=0)]
        rows, columns = np.rint((1 - up) * (4 * height - 1)).astype(int), np.rint(across * (2 * width - 1)).astype(int)
        dots[rows, columns] = 1
        styles[rows // 4, columns // 2] = style
    codes = np.einsum("rycx,yx->rc", dots.reshape(height, 4, width, 2), _BITS)
    return [
        Text.assemble(*((chr(0x2800 + code) if code else " ", style) for code, style in zip(*row, strict=True)))
        for row in zip(codes, styles, strict=True)
    ]


def _shares(chart: Chart, mark: Mark) -> tuple[list[float], list[float]]:
    return [chart.x.share(x) for x in mark.xs], [chart.y.share(y) for y in mark.ys]


def _spread(labels: Sequence[tuple[float, str, str]], x: Axis, width: int) -> list[Part]:
    """Centre labels under their values; leave out one that would touch an earlier one."""
    parts: list[Part] = []
    taken: set[int] = set()
    for value, words, style in labels:
        start = min(max(_column(x, value, width) - len(words) // 2, 0), width - len(words))
        cells = range(start - 1, start + len(words) + 1)
        if taken.isdisjoint(cells):
            parts.append((start, words, style))
            taken.update(cells)
    return parts


def _line(parts: Sequence[Part], width: int) -> Text:
    line = Text(" " * width)
    for start, words, style in parts:
        line = Text.assemble(line[:start], (words, style), line[start + len(words) :])
    return line


def _column(x: Axis, value: float, width: int) -> int:
    return round(min(max(x.share(value), 0.0), 1.0) * (width - 1))

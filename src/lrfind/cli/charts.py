"""Charts of characters: legible without colour, at 80 columns; docs/decisions/0018 says why they are drawn here."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rich.text import Text

from lrfind.charts import Axis, Chart, Mark, Numbers, Result
from lrfind.numbers import rate, rough
from lrfind.records import Finding

_BRAILLE = 0x2800
_BITS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])
"""What each dot of a braille character adds to its code point, by row and column."""

_WIDEST = 100
_FINE = 50
"""A line is drawn by so many dots for each column of dots, so that it has no holes where it is steep."""

Layer = tuple[Numbers, Numbers, str]
"""Places as shares of width and height, and the style of the dots there."""

Part = tuple[int, str, str]
"""A column, what begins there, and its style."""


def braille(layers: Sequence[Layer], width: int, height: int) -> list[Text]:
    """Draw dots in characters of 2 by 4 dots; what lies outside is left out.

    Args:
        layers: What to draw, from the back to the front.
        width: Characters in a row.
        height: Rows.

    Returns:
        The rows, from the top.
    """
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
        Text.assemble(*((chr(_BRAILLE + code) if code else " ", style) for code, style in zip(*row, strict=True)))
        for row in zip(codes, styles, strict=True)
    ]


def rate_chart(finding: Finding, chart: Chart, width: int, height: int = 12) -> Text:
    """Draw the loss against the rate, the found rate and the range marked on the axis.

    Args:
        finding: A finding.
        chart: Its chart.
        width: Columns that there are.
        height: Rows of the plot, without the axis.
    """
    names = {round((1 - chart.y.share(value)) * (height - 1)): name for value, name in chart.y.ticks().items()}
    margin = max(map(len, names.values()))
    width = min(width, _WIDEST) - margin - 2
    layers: list[Layer] = [(*_shares(chart, mark), "dim") for mark in chart.marks if mark.kind == "losses"]
    xs, ys = next(_shares(chart, mark) for mark in chart.marks if mark.kind == "trend")
    fine = np.linspace(xs[0], xs[-1], 2 * width * _FINE)
    rows = braille([*layers, (fine, np.interp(fine, xs, ys), "cyan")], width, height)
    sides = [f"{names.get(row, ''):>{margin}} {'┤' if row in names else '│'}" for row in range(height)]
    low, high, found = (_column(chart.x, lr, width) for lr in (finding.base_lr, finding.max_lr, finding.lr))
    axis = [(0, "─" * width, ""), (low, "═" * (high + 1 - low), "bold blue"), (found, "▲", "bold red")]
    lines = [Text(f"{'':>{margin}} loss"), *map(Text.assemble, sides, rows)]
    lines.append(Text.assemble(" " * margin, " └", _line(axis, width)))
    lines.append(Text.assemble(" " * margin, "  ", _line(_labels(finding, chart.x, width), width)))
    lines.append(Text(f"{'':>{margin}}  ⠂ loss of a step  ━ smoothed  ▲ found rate  ═ useful range", "dim"))
    return Text("\n").join(lines)


def interval_bar(chart: Chart, row: Result, width: int) -> Text:
    """Return an arm's interval as characters: ends, line and mean; an arrow where its mean lies beyond the chart."""
    places = {mark.kind: [_column(chart.x, x, width) for x in mark.xs] for mark in chart.marks if mark.arm == row.arm}
    parts: list[Part] = [(place, "●", "") for place in places.get("mean", ())]
    if low_high := places.get("whisker"):
        parts.insert(0, (low_high[0], f"├{'─' * (low_high[1] - low_high[0] - 1)}┤", ""))
    if row.beyond:
        parts = [(width - 1, "→", "") if row.beyond > 0 else (0, "←", "")]
    return _line(parts, width)


def _shares(chart: Chart, mark: Mark) -> tuple[list[float], list[float]]:
    return [chart.x.share(x) for x in mark.xs], [chart.y.share(y) for y in mark.ys]


def _labels(finding: Finding, x: Axis, width: int) -> list[Part]:
    """Return what stands under the axis: the found rate, and of the others those that there is room for."""
    wanted = [(rate(finding.lr), finding.lr, "bold red")]
    wanted += [(rough(end), end, "blue") for end in (finding.base_lr, finding.max_lr)]
    wanted += [(name, value, "") for value, name in x.ticks().items()]
    parts: list[Part] = []
    taken: set[int] = set()
    for words, value, style in wanted:
        start = min(max(_column(x, value, width) - len(words) // 2, 0), width - len(words))
        cells = range(start - 1, start + len(words) + 1)
        if taken.isdisjoint(cells):
            parts.append((start, words, style))
            taken.update(cells)
    return parts


def _line(parts: Sequence[Part], width: int) -> Text:
    """Write words at their columns, the later ones over the earlier ones."""
    line, styles = [" "] * width, [""] * width
    for start, words, style in parts:
        cells = slice(start, start + len(words))
        line[cells], styles[cells] = words, [style] * len(words)
    return Text.assemble(*zip(line, styles, strict=True))


def _column(x: Axis, value: float, width: int) -> int:
    return round(min(max(x.share(value), 0.0), 1.0) * (width - 1))

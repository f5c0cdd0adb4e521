"""Charts of characters: legible without colour, at 80 columns."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise

from rich.text import Text

from lrfind.curves import to_curve
from lrfind.records import Finding

_BRAILLE = 0x2800
_BITS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""What each dot of a braille character adds to its code point, by row and column."""

_WIDEST = 100


class Canvas:
    """A grid of braille characters, each of 2 by 4 dots; places are fractions of its width and height.

    Args:
        width: Characters in a row.
        height: Rows.
    """

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self._cells: dict[tuple[int, int], tuple[int, str]] = {}

    def dot(self, x: float, y: float, style: str) -> None:
        """Set a dot; ``y`` counts from the bottom, and what lies outside is not drawn."""
        if 0 <= x <= 1 and 0 <= y <= 1:
            self._set(round(x * (2 * self.width - 1)), round((1 - y) * (4 * self.height - 1)), style)

    def line(self, xs: Sequence[float], ys: Sequence[float], style: str) -> None:
        """Join points, whose ``xs`` ascend, by straight lines."""
        rows, columns = 4 * self.height - 1, 2 * self.width - 1
        places = [(x * columns, (1 - y) * rows) for x, y in zip(xs, ys, strict=True)]
        for (x0, y0), (x1, y1) in pairwise(places):
            count = max(math.ceil(max(abs(x1 - x0), abs(y1 - y0))), 1)
            for part in range(count + 1):
                column, row = x0 + (x1 - x0) * part / count, y0 + (y1 - y0) * part / count
                if 0 <= column <= columns and 0 <= row <= rows:
                    self._set(round(column), round(row), style)

    def rows(self) -> list[Text]:
        """Return the characters, row by row, from the top."""
        lines = []
        for row in range(self.height):
            line = Text()
            for column in range(self.width):
                bits, style = self._cells.get((row, column), (0, ""))
                line.append(chr(_BRAILLE + bits) if bits else " ", style)
            lines.append(line)
        return lines

    def _set(self, column: int, row: int, style: str) -> None:
        cell = (row // 4, column // 2)
        bits = self._cells.get(cell, (0, ""))[0]
        self._cells[cell] = (bits | _BITS[row % 4][column % 2], style)


def rate_chart(finding: Finding, width: int, height: int = 12) -> Text:
    """Draw the loss against the rate, the found rate and the range marked on the axis.

    Args:
        finding: What to draw.
        width: Columns that there are.
        height: Rows of the plot, without the axis.
    """
    curve = to_curve(finding.records[0])
    known = [float(loss) for loss in curve.losses if math.isfinite(loss)]
    top, bottom = float(max(curve.smooth)), min(known)
    top += 0.05 * (top - bottom) or 1e-12
    ends = math.log(curve.lrs[0]), math.log(curve.lrs[-1])
    labels = [f"{top:.3g}", f"{bottom:.3g}"]
    margin = max(map(len, labels))
    canvas = Canvas(min(width, _WIDEST) - margin - 2, height)

    def x_of(lr: float) -> float:
        return (math.log(lr) - ends[0]) / (ends[1] - ends[0])

    def y_of(loss: float) -> float:
        return (loss - bottom) / (top - bottom)

    for record in finding.records:
        for lr, loss in zip(record.lrs, record.losses, strict=True):
            canvas.dot(x_of(lr), y_of(loss), "dim")
    canvas.line([x_of(lr) for lr in curve.lrs], [y_of(loss) for loss in curve.smooth], "cyan")
    sides = [f"{labels[0]:>{margin}} ┤", *[" " * margin + " │"] * (height - 2), f"{labels[1]:>{margin}} ┤"]
    lines = [Text(f"{'':>{margin}} loss"), *map(Text.assemble, sides, canvas.rows())]
    marks = {"lr": x_of(finding.lr), "low": x_of(finding.base_lr), "high": x_of(finding.max_lr)}
    axis, legend = _axis(marks, canvas.width), _labels(finding, curve.lrs[0], curve.lrs[-1], marks, canvas.width)
    lines += [Text.assemble(" " * margin, " └", axis), Text.assemble(" " * margin, "  ", legend)]
    lines.append(Text(f"{'':>{margin}}  ⠂ loss of a step  ━ smoothed  ▲ found rate  ═ useful range", "dim"))
    return Text("\n").join(lines)


def _axis(marks: dict[str, float], width: int) -> Text:
    """Return the axis: double where the range is, a triangle at the found rate."""
    place = {name: _column(x, width) for name, x in marks.items()}
    text = Text()
    for column in range(width):
        if column == place["lr"]:
            text.append("▲", "bold red")
        elif place["low"] <= column <= place["high"]:
            text.append("═", "bold blue")
        else:
            text.append("─")
    return text


def _labels(finding: Finding, first: float, last: float, marks: dict[str, float], width: int) -> Text:
    """Return the line under the axis: the found rate, and of the others those that there is room for."""
    wanted = [
        (f"{finding.lr:.3g}", marks["lr"], "bold red"),
        (f"{first:.0e}", 0.0, ""),
        (f"{last:.2g}", 1.0, ""),
        (f"{finding.base_lr:.2g}", marks["low"], "blue"),
        (f"{finding.max_lr:.2g}", marks["high"], "blue"),
    ]
    line, styles = [" "] * width, [""] * width
    for words, x, style in wanted:
        start = min(max(_column(x, width) - len(words) // 2, 0), width - len(words))
        around = line[max(start - 1, 0) : start + len(words) + 1]
        if set(around) == {" "}:
            line[start : start + len(words)] = words
            styles[start : start + len(words)] = [style] * len(words)
    return Text.assemble(*zip(line, styles, strict=True))


def _column(x: float, width: int) -> int:
    return round(min(max(x, 0.0), 1.0) * (width - 1))


def window(means: Sequence[float], ends: Iterable[float], *, lower_is_better: bool) -> tuple[float, float]:
    """Return what a chart of intervals should span: all, but for the worst where they would squash the best.

    Args:
        means: The means; at least one, all finite.
        ends: The ends of the intervals.
        lower_is_better: Whether the least is best.

    Example:
        >>> window([1.0, 1.5, 2.0, 99.0], [0.5, 2.5, 99.0], lower_is_better=True)
        (0.5, 4.0)
    """
    sign = 1.0 if lower_is_better else -1.0
    ordered = sorted(sign * mean for mean in means)
    inside = [sign * end for end in ends]
    best, middle = ordered[0], ordered[len(ordered) // 2 - (len(ordered) % 2 == 0)]
    limit = best + 6 * (middle - best) if middle > best else math.inf
    low, high = min(inside), min(max(inside), limit)
    return (low, high) if lower_is_better else (-high, -low)


def interval_bar(mean: float, low: float, high: float, span: tuple[float, float], width: int) -> str:
    """Return an interval as characters: ends, line and mean; an arrow where it lies beyond the chart.

    Example:
        >>> interval_bar(2.0, 1.0, 3.0, (0.0, 4.0), 9)
        '  ├─●─┤  '
    """
    least, greatest = span
    scale = (width - 1) / ((greatest - least) or 1.0)

    def column(value: float) -> int:
        return round((min(max(value, least), greatest) - least) * scale)

    cells = [" "] * width
    cells[column(low) : column(high) + 1] = "─" * (column(high) + 1 - column(low))
    if low < mean < high:
        cells[column(low)], cells[column(high)] = "├", "┤"
    cells[column(mean)] = "→" if mean > greatest else "←" if mean < least else "●"
    return "".join(cells)

"""Charts of characters: legible without colour, at 80 columns; docs/decisions/0018 says why they are drawn here."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from rich.text import Text

from lrfind.plots import FindingPlot
from lrfind.report.charts import Axis, FinalsChart, Mark
from lrfind.report.numbers import rate, rough

_BRAILLE = 0x2800
_BITS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])
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
        self._dots = np.zeros((4 * height, 2 * width), int)
        self._styles = np.full((height, width), "", object)

    def dot(self, x: float, y: float, style: str) -> None:
        """Set a dot; ``y`` counts from the bottom, and what lies outside is not drawn."""
        if 0 <= x <= 1 and 0 <= y <= 1:
            row, column = round((1 - y) * (4 * self.height - 1)), round(x * (2 * self.width - 1))
            self._dots[row, column] = 1
            self._styles[row // 4, column // 2] = style

    def line(self, xs: Sequence[float], ys: Sequence[float], style: str) -> None:
        """Join points, whose ``xs`` ascend, by straight lines."""
        for (x0, y0), (x1, y1) in pairwise(zip(xs, ys, strict=True)):
            count = 2 + int(max(abs(x1 - x0) * 2 * self.width, abs(y1 - y0) * 4 * self.height))
            for x, y in zip(np.linspace(x0, x1, count), np.linspace(y0, y1, count), strict=True):
                self.dot(float(x), float(y), style)

    def rows(self) -> list[Text]:
        """Return the characters, row by row, from the top."""
        cells = self._dots.reshape(self.height, 4, self.width, 2)
        codes = np.einsum("rycx,yx->rc", cells, _BITS)
        return [
            Text.assemble(*((chr(_BRAILLE + code) if code else " ", style) for code, style in zip(*row, strict=True)))
            for row in zip(codes, self._styles, strict=True)
        ]


def rate_chart(plot: FindingPlot, width: int, height: int = 12) -> Text:
    """Draw the loss against the rate, the found rate and the range marked on the axis.

    Args:
        plot: What to draw.
        width: Columns that there are.
        height: Rows of the plot, without the axis.
    """
    x, y = Axis("learning rate", *plot.rates, is_log=True), Axis("loss", *plot.losses)
    labels = [f"{y.high:.3g}", f"{y.low:.3g}"]
    margin = max(map(len, labels))
    canvas = Canvas(min(width, _WIDEST) - margin - 2, height)
    for curve in plot.curves:
        for lr, loss in zip(curve.lrs, curve.losses, strict=True):
            canvas.dot(x.share(lr), y.share(loss), "dim")
    first = plot.curves[0]
    canvas.line([x.share(lr) for lr in first.lrs], [y.share(loss) for loss in first.smooth], "cyan")
    sides = [f"{labels[0]:>{margin}} ┤", *[" " * margin + " │"] * (height - 2), f"{labels[1]:>{margin}} ┤"]
    lines = [Text(f"{'':>{margin}} loss"), *map(Text.assemble, sides, canvas.rows())]
    lines.append(Text.assemble(" " * margin, " └", _axis(plot, x, canvas.width)))
    lines.append(Text.assemble(" " * margin, "  ", _labels(plot, x, canvas.width)))
    lines.append(Text(f"{'':>{margin}}  ⠂ loss of a step  ━ smoothed  ▲ found rate  ═ useful range", "dim"))
    return Text("\n").join(lines)


def interval_bar(chart: FinalsChart, mark: Mark, width: int) -> str:
    """Return an arm's interval as characters: ends, line and mean; an arrow where its mean lies beyond the chart."""
    if mark.interval is None:
        return ""
    cells = [" "] * width
    mean, low, high = (_column(chart.x.share(value), width) for value in (mark.interval.mean, *mark.ends))
    cells[low : high + 1] = "─" * (high + 1 - low)
    if low < high:
        cells[low], cells[high] = "├", "┤"
    cells[mean] = "●→←"[chart.beyond(mark)]
    return "".join(cells)


def _axis(plot: FindingPlot, x: Axis, width: int) -> Text:
    """Return the axis: double where the range is, a triangle at the found rate."""
    low, high = (_column(x.share(end), width) for end in plot.range)
    found = _column(x.share(plot.lr), width)
    text = Text("─" * low).append("═" * (high + 1 - low), "bold blue").append("─" * (width - high - 1))
    return Text.assemble(text[:found], ("▲", "bold red"), text[found + 1 :])


def _labels(plot: FindingPlot, x: Axis, width: int) -> Text:
    """Return the line under the axis: the found rate, and of the others those that there is room for."""
    rates = plot.curves[0].lrs
    ends = [(f"{rates[0]:.0e}", float(rates[0]), ""), (rough(rates[-1]), float(rates[-1]), "")]
    wanted = [(rate(plot.lr), plot.lr, "bold red"), *ends, *((rough(end), end, "blue") for end in plot.range)]
    line, styles = [" "] * width, [""] * width
    for words, value, style in wanted:
        start = min(max(_column(x.share(value), width) - len(words) // 2, 0), width - len(words))
        if set(line[max(start - 1, 0) : start + len(words) + 1]) == {" "}:
            line[start : start + len(words)] = words
            styles[start : start + len(words)] = [style] * len(words)
    return Text.assemble(*zip(line, styles, strict=True))


def _column(share: float, width: int) -> int:
    return round(min(max(share, 0.0), 1.0) * (width - 1))

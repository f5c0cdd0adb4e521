"""The report in a few lines of Markdown, for a pull request."""

from __future__ import annotations

import re

from lrfind.compare.comparison import Comparison
from lrfind.report import view
from lrfind.report.numbers import Number
from lrfind.report.view import ArmRow, PairRow, Tile

NOWHERE = "\u200b"
"""A space of no width: it keeps ``@name`` from calling people, and ``#1`` from linking to anything."""


def to_markdown(comparison: Comparison) -> str:
    """Return the verdict, the table of arms, what is settled, and how it was run."""
    verdict, remarks = view.verdict(comparison)
    parts = [
        f"### {escape(comparison.title)}",
        f"**{escape(verdict)}** {escape(remarks)}".strip(),
        _arms(comparison),
        _pairs(view.pair_rows(comparison)),
        "\n".join(f"- Failed: {escape(one.arm)}, seed {one.seed}: {escape(one.error)}" for one in comparison.failures),
        _how(comparison),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def escape(text: str) -> str:
    r"""Return a text that Markdown shows as it is, on one line: no markup, no HTML, no table cell, nobody is called.

    Example:
        >>> print(escape("a|b *c* <d> val_loss _e_"))
        a\|b \*c\* &lt;d&gt; val_loss \_e\_
    """
    line = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    line = re.sub(r"([\\`*\[\]|~$]|(?<![^\W_])_|_(?![^\W_]))", r"\\\1", line)
    line = re.sub(r"^([-+#=]|\d+(?=[.)]\s))", lambda found: _unlisted(found.group()), line)
    return re.sub(r"([@#])(?=\w)", rf"\1{NOWHERE}", line).replace("://", f":{NOWHERE}//")


def _unlisted(start: str) -> str:
    """What would begin a list, a heading or a rule, so that it does not."""
    return f"{start}{NOWHERE}" if start.isdigit() else f"\\{start}"


def _arms(comparison: Comparison) -> str:
    metric = escape(comparison.metric)
    others = [name for name in view.other_metrics(comparison) if not name.startswith("train")]
    head = ["arm", "rate", metric, "95 % interval", *map(escape, others), "seeds"]
    rows = [_arm(row, others) for row in view.arm_rows(comparison)]
    return _table(head, rows)


def _arm(row: ArmRow, others: list[str]) -> list[str]:
    cells = [
        escape(row.name),
        escape(row.about),
        _mean(row),
        " to ".join(dict.fromkeys(map(_text, row.interval))) if row.interval else "–",
        *(_text(row.others[name]) for name in others),
        str(len(row.seeds)),
    ]
    return [f"**{cell}**" for cell in cells] if row.is_best else cells


def _mean(row: ArmRow) -> str:
    if row.mean is None:
        return "not finite" if row.seeds else "–"
    return f"{row.mean.text} (not finite in {row.lost} of {len(row.seeds)})" if row.lost else row.mean.text


def _pairs(rows: list[PairRow]) -> str:
    if not rows:
        return ""
    return "\n".join(
        f"- {escape(row.first)} is ahead of {escape(row.second)} by {row.difference.text}{_span(row)}: {_settled(row)}"
        for row in rows
    )


def _span(row: PairRow) -> str:
    return f" ({row.interval[0].text} to {row.interval[1].text})" if row.interval else ""


def _settled(row: PairRow) -> str:
    if row.is_settled:
        return "settled."
    if row.more is None:
        return "too close to call."
    return f"too close to call; about {row.more.text} more seed{'s' if row.more.value != 1 else ''} would settle it."


def _how(comparison: Comparison) -> str:
    told = [f"{tile.label}: {_tile(tile)}." for tile in view.tiles(comparison)[1:]]
    ran = ", ".join(f"{escape(name)} {escape(value)}" for name, value in comparison.environment.items())
    notes = [escape(note) for note in comparison.notes]
    return " ".join([escape(comparison.setting), *map(escape, told), *notes, *([f"{ran}."] if ran else [])])


def _tile(tile: Tile) -> str:
    return "".join(part if isinstance(part, str) else part.text for part in tile.parts)


def _text(number: Number | None) -> str:
    return "–" if number is None else number.text


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, [":--", ":--", *(["--:"] * (len(head) - 2))], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)

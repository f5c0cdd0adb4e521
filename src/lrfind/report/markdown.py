"""The report in a few lines of Markdown, for a pull request."""

from __future__ import annotations

import re

from lrfind.compare.comparison import Comparison, Pair
from lrfind.numbers import figure
from lrfind.report import rows
from lrfind.report.rows import ArmRow

NOWHERE = "\u200b"
"""A space of no width: it keeps ``@name`` from calling people, and ``#1`` from linking to anything."""


def to_markdown(comparison: Comparison) -> str:
    """Return the verdict, the table of arms, what is settled, and how it was run."""
    comparison = rows.labelled(comparison)
    verdict, *remarks = map(escape, rows.verdict(comparison))
    parts = [
        f"### {escape(comparison.title)}",
        " ".join([f"**{verdict}**", *remarks]),
        _arms(comparison),
        "\n".join(map(_pair, comparison.verdict.pairs)),
        "\n".join(
            f"- Failed: {escape(each.arm)}, seed {each.seed}: {escape(each.error)}" for each in comparison.failures
        ),
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
    others = [name for name in rows.other_metrics(comparison) if not name.startswith("train")]
    head = ["arm", "trained with", escape(comparison.metric), "95 % interval", *map(escape, others), "runs"]
    lines = [
        head,
        [":--", ":--", *(["--:"] * (len(head) - 2))],
        *(_arm(row, others) for row in rows.arm_rows(comparison)),
    ]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _arm(row: ArmRow, others: list[str]) -> list[str]:
    means = [row.others[name] for name in others]
    cells = [
        escape(row.name),
        escape(row.about),
        f"{row.result} ({row.lost})" if row.lost else row.result,
        row.between or "–",
        *("–" if mean is None else figure(mean) for mean in means),
        str(len(row.seeds)),
    ]
    return [f"**{cell}**" for cell in cells] if row.is_best else cells


def _pair(pair: Pair) -> str:
    by, between = rows.difference(pair)
    told = "settled" if pair.is_settled else "; ".join(filter(None, ("too close to call", rows.remedy(pair))))
    ends = f" ({between})" if between else ""
    return f"- {escape(pair.first)} is ahead of {escape(pair.second)} by {by}{ends}: {told}."


def _how(comparison: Comparison) -> str:
    told = [escape(f"{card.label}: {card.value}.") for card in rows.cards(comparison)[1:]]
    ran = ", ".join(f"{escape(name)} {escape(value)}" for name, value in comparison.environment.items())
    notes = map(escape, rows.notes(comparison))
    return " ".join([escape(comparison.setting), *told, *notes, *([f"{ran}."] if ran else [])])

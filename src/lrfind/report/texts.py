"""The report as text: Markdown for a pull request, and CSV with every evaluation of every run."""

from __future__ import annotations

import csv
import re
from io import StringIO
from typing import Any

from lrfind.compare.comparison import Comparison
from lrfind.report.html import fill
from lrfind.report.rows import labelled, metric_names

HEAD = ("arm", "schedule", "seed", "step", "epoch", "lr")  # of the CSV
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # how a formula of a spreadsheet begins
ZERO_WIDTH = "\u200b"  # keeps @name from notifying people, and #1 and URLs from becoming links


def to_markdown(comparison: Comparison) -> str:
    """Return the verdict, the table of arms, the pairs and the setting in Markdown.

    Raises:
        MissingExtraError: If Jinja is not installed.
    """
    return fill("report.md", finalize=escape, comparison=labelled(comparison))


def escape(value: Any) -> str:
    r"""Escape a text so that Markdown shows it as it is, on one line.

    Example:
        >>> print(escape("a|b *c* <d> val_loss _e_"))
        a\|b \*c\* &lt;d&gt; val_loss \_e\_
    """
    line = " ".join(str(value).split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    line = re.sub(r"([\\`*\[\]|~$]|(?<![^\W_])_|_(?![^\W_]))", r"\\\1", line)
    line = re.sub(r"^(?=[-+#=])", r"\\", line)  # no list, heading or rule
    line = re.sub(r"^\d+(?=[.)]\s)", rf"\g<0>{ZERO_WIDTH}", line)
    return re.sub(r"([@#])(?=\w)", rf"\1{ZERO_WIDTH}", line).replace("://", f":{ZERO_WIDTH}//")


def to_csv(comparison: Comparison) -> str:
    """Return a row per evaluation with the rate and every metric; cells without a value are empty.

    Metrics on test data are in a run's last row. A name that a spreadsheet would run as a formula gets an apostrophe
    in front.
    """
    metrics = metric_names(comparison)
    schedules = {arm.name: arm.schedule for arm in comparison.arms}
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(_escaped, (*HEAD, *metrics)))
    for run in comparison.runs:
        for row in run.rows:
            values = {**(run.tested if row is run.last else {}), **row.metrics}
            about = (_escaped(run.arm), _escaped(schedules.get(run.arm, "")), run.seed, row.step, row.epoch, row.lr)
            writer.writerow((*about, *(values.get(name, "") for name in metrics)))
    return text.getvalue()


def _escaped(text: str) -> str:
    return f"'{text}" if text.startswith(FORMULA) else text

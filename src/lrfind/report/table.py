"""Every evaluation of every run, as CSV."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from io import StringIO

from lrfind.compare.comparison import Comparison

HEAD = ("arm", "schedule", "seed", "step", "epoch", "lr")
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula."""


def to_csv(comparison: Comparison) -> str:
    """Return all rows: one per evaluation, with the rate in use and every metric; an empty cell where there is none.

    Metrics on test data stand in a run's last row. A name that a spreadsheet would run as a formula gets an
    apostrophe in front.
    """
    evaluated = {name: None for run in comparison.runs for row in run.rows for name in row.metrics}
    tested = {name: None for run in comparison.runs for name in run.tested}
    metrics = list(dict.fromkeys([*evaluated, *tested]))
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*HEAD, *map(_tame, metrics)])
    writer.writerows(_rows(comparison, metrics))
    return text.getvalue()


def _rows(comparison: Comparison, metrics: list[str]) -> Iterator[list[object]]:
    schedules = {arm.name: arm.schedule for arm in comparison.arms}
    for run in comparison.runs:
        for row in run.rows:
            values = {**(run.tested if row is run.last else {}), **row.metrics}
            about = [_tame(run.arm), _tame(schedules.get(run.arm, "")), run.seed, row.step, row.epoch, row.lr]
            yield [*about, *(values.get(name, "") for name in metrics)]


def _tame(text: str) -> str:
    return f"'{text}" if text.startswith(FORMULA) else text

"""Every evaluation of every run, as CSV."""

from __future__ import annotations

import csv
from io import StringIO

from lrfind.compare.comparison import Comparison
from lrfind.report.rows import metric_names

HEAD = ("arm", "schedule", "seed", "step", "epoch", "lr")
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # how a formula of a spreadsheet begins


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

"""How wide a finding's interval is to be: how far from the found rate the best one lies, by what the reading rests on.

Run: ``python -m benchmarks.widths``: prints the widths of ``lrfind.suggest.ranges`` fitted on every family that may be
fitted on, and how often the interval holds the best rate where the family is left out. Nothing is trained.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import log2
from typing import Any, get_args

import numpy as np

from benchmarks import sweeps
from benchmarks.schedules import SHAPES
from benchmarks.scoring import Stored
from benchmarks.task import Task
from lrfind import RangeTest
from lrfind.errors import LRFindError
from lrfind.strategies.reading import Ramps
from lrfind.suggest.calibrated import Evidence

OUTSIDE = 0.015
"""The share of tasks whose best rate may lie below the interval, and above it."""

LEAST, MOST = 0.85, 0.95
"""An interval should hold the best rate of so many."""

OTHERS = 6.0
"""All tasks together count as much as so many of those whose reading rests on the same: few tasks have no tails."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a stored search found for a schedule.

    Attributes:
        task: The task.
        schedule: The schedule.
        lr: The rate.
        rests_on: What the reading rests on.
        is_read: Whether a ramp shows something of this training, so that it is not only what is usual.
    """

    task: Task
    schedule: str
    lr: float
    rests_on: Evidence
    is_read: bool


def findings(stored: Stored) -> Iterator[Found]:
    """Yield what each stored search found for each schedule of its task; a search that finds nothing is left out."""
    for group in sweeps.searches(stored.sweeps):
        task, record = stored.tasks[group[0].task], group[0].record
        for schedule in stored.schedules(task.name):
            test = RangeTest(schedule=SHAPES[schedule], total_steps=task.horizon)
            try:
                found = test.find([sweep.record for sweep in group])
            except LRFindError:
                continue
            rests_on = Ramps(found.records, "calibrated", test.training(record)).reading.rests_on
            yield Found(task, schedule, found.lr, rests_on, found.judge(found.lr).is_read)


@dataclass(frozen=True, slots=True)
class Way:
    """How far the best rate lies above a found one, and the nearest that is as good, in octaves."""

    family: str
    group: str
    task: str
    rests_on: Evidence
    octaves: float
    to_good: float


def ways(stored: Stored) -> list[Way]:
    """Return the way from each found rate to the best one."""
    found = []
    for one in findings(stored):
        truth, at = stored.truths[one.task.name, one.schedule], log2(one.lr)
        low, high = (log2(end) - at for end in truth.band)
        of = (one.task.family, one.task.group, one.task.name, one.rests_on)
        found.append(Way(*of, truth.best - at, max(low, 0.0) + min(high, 0.0)))
    return found


def widths(known: Sequence[Way]) -> dict[Evidence, tuple[float, float]]:
    """Return, by evidence, the octaves below and above a found rate within which the best one lies.

    Every task counts alike, and all of them together as ``OTHERS`` more.
    """
    found = {}
    order = sorted(known, key=lambda way: way.octaves)
    everywhere = Counter(way.task for way in known)
    for kind in get_args(Evidence):
        alike = Counter(way.task for way in known if way.rests_on == kind)
        shares = np.cumsum(
            [
                (way.rests_on == kind) / max(alike[way.task], 1) + OTHERS / len(everywhere) / everywhere[way.task]
                for way in order
            ]
        )
        at = np.searchsorted(shares / shares[-1], (OUTSIDE, 1 - OUTSIDE))
        low, high = (order[min(int(place), len(order) - 1)].octaves for place in at)
        found[kind] = (round(max(-low, 1.0), 1), round(max(high, 1.0), 1))
    return found


def coverage(known: Sequence[Way]) -> dict[str, tuple[float, float, int]]:
    """Return, by family, how often an interval that is fitted without it holds the best rate, and one as good.

    The third number is how many intervals there are.
    """
    fitted = [one for one in known if one.group in ("seen", "wider")]
    found = {}
    for family in sorted({one.family for one in known}):
        table = widths([one for one in fitted if one.family != family])
        mine = [(one, *table[one.rests_on]) for one in known if one.family == family]
        holds = [-below <= one.octaves <= above for one, below, above in mine]
        reaches = [-below <= one.to_good <= above for one, below, above in mine]
        found[family] = (float(np.mean(holds)), float(np.mean(reaches)), len(mine))
    return found


def summaries(known: Sequence[Way]) -> dict[str, dict[str, Any]]:
    """Return, for each group of tasks, how often intervals hold the best rate, and how many families they do so in."""
    by_family, found = coverage(known), {}
    for group in ("seen", "unseen", "late", "wider", "kept"):
        mine = {one: by_family[one] for one in sorted({one.family for one in known if one.group == group})}
        if mine:
            holds, reaches, counts = map(np.array, zip(*mine.values(), strict=True))
            found[group] = {
                "mean": float(np.average(holds, weights=counts)),
                "reaches": float(np.average(reaches, weights=counts)),
                "families": len(mine),
                "below": [f"{family} ({held:.0%})" for family, (held, _, _) in mine.items() if held < LEAST],
                "within": int(((holds >= LEAST) & (holds <= MOST)).sum()),
                "above": int((holds > MOST).sum()),
                "findings": int(counts.sum()),
            }
    return found


def main() -> None:
    """Print the widths and the coverage."""
    from benchmarks.tasks import TASKS

    known = ways(Stored.load(TASKS))
    for kind, width in widths([one for one in known if one.group in ("seen", "wider")]).items():
        print(f"    {kind!r}: {width},")
    for group, one in summaries(known).items():
        print(group, one)


if __name__ == "__main__":
    main()

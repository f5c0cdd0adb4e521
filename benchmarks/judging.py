"""What ``finding.judge`` is worth, and the tables that it reads: rates of the grid against the found one.

Run: ``python -m benchmarks.judging``: prints the tables fitted on every family, and how judgements are right where the
tables are fitted without the family that is judged. Nothing is trained.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import log2
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from benchmarks.scoring import Stored
from benchmarks.widths import findings
from lrfind.suggest.calibrated import Evidence
from lrfind.suggest.judging import CLOSE, JUDGED_AS, PLACES, SURE, expected

Array = npt.NDArray[np.float64]

NEAR = 0.6
"""A pair counts at a place by a Gaussian of this width, relative to the distance to the next places."""

MATTERS = 0.02
"""A rate that loses more than this should be told."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One rate of a grid beside the rate that a search found.

    Attributes:
        family: Of the task.
        group: Of the task.
        task: Its name.
        rests_on: What the reading rests on, as tables go by it.
        place: Octaves of the rate above the reading.
        regret: Of the rate.
        more: By how much that is more than the reading's.
        is_read: Whether a ramp shows something of this training, so that it is not only what is usual.
    """

    family: str
    group: str
    task: str
    rests_on: Evidence
    place: float
    regret: float
    more: float
    is_read: bool


Tables = dict[Evidence, tuple[tuple[float, ...], tuple[float, ...]]]


def pairs(stored: Stored) -> Iterator[Pair]:
    """Yield every rate of every grid, for every stored search."""
    for one in findings(stored):
        truth = stored.truths[one.task.name, one.schedule]
        least, kind = truth.regret(one.lr), JUDGED_AS.get(one.rests_on, one.rests_on)
        for octave, regret in zip(truth.octaves, truth.regrets, strict=True):
            place = float(octave) - log2(one.lr)
            of = (one.task.family, one.task.group, one.task.name, kind)
            yield Pair(*of, place, float(regret), float(regret) - least, one.is_read)


def tables(known: Sequence[Pair]) -> Tables:
    """Return the mean regret and the share of pairs that lose more than the reading, by evidence and place.

    Every task counts alike. Farther from the reading neither gets less. Evidence without a pair is judged as an edge.
    """
    found = {kind: _table([one for one in known if one.rests_on == kind]) for kind in {one.rests_on for one in known}}
    return {kind: found.get(kind, found["edge"]) for kind in get_args(Evidence) if kind not in JUDGED_AS}


def _table(known: Sequence[Pair]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    counts = Counter(one.task for one in known)
    at, weight = np.array([one.place for one in known]), np.array([1 / counts[one.task] for one in known])
    values = np.array([(one.regret, one.more > 0) for one in known], dtype=float)
    means = []
    for place, width in zip(PLACES, np.gradient(PLACES), strict=True):
        near = weight * np.exp(-0.5 * ((at - place) / (NEAR * width)) ** 2) + 1e-12
        means.append(near @ values / near.sum())
    regret, share = np.array(means).T
    return _rising(regret), _rising(share)


def _rising(values: Array) -> tuple[float, ...]:
    """Return the values, made to rise away from the middle."""
    middle = PLACES.index(0.0)
    below = np.maximum.accumulate(values[: middle + 1][::-1])[::-1]
    both = np.concatenate([below, np.maximum.accumulate(values[middle:])[1:]])
    return tuple(float(f"{one:.3g}") for one in both)


def judged(pair: Pair, table: Tables) -> tuple[str, bool]:
    """Return the verdict on a pair, and whether it is sure; as ``lrfind.suggest.judging`` does."""
    regret, worse = expected(2.0**pair.place, 1.0, table[pair.rests_on])
    than, _ = expected(1.0, 1.0, table[pair.rests_on])
    if abs(regret - than) <= CLOSE:
        return "as good", pair.is_read and 1 - worse >= SURE
    return ("worse", pair.is_read and worse >= SURE) if regret > than else ("better", False)


def scores(known: Sequence[Pair]) -> dict[str, Any]:
    """Return, for each group, how often a sure judgement is right, and how many rates that lose much get one."""
    found: dict[str, Any] = {}
    fitted = [one for one in known if one.group in ("seen", "wider")]
    whole = tables(fitted)
    families = {one.family for one in fitted}
    without = {family: tables([one for one in fitted if one.family != family]) for family in families}
    for group in sorted({one.group for one in known}):
        verdicts = [(one, *judged(one, without.get(one.family, whole))) for one in known if one.group == group]
        right = [
            one.more > 0 if verdict == "worse" else abs(one.more) <= MATTERS
            for one, verdict, is_sure in verdicts
            if is_sure
        ]
        told = [is_sure for one, _, is_sure in verdicts if one.regret > MATTERS]
        found[group] = {
            "pairs": len(verdicts),
            "sure": len(right) / len(verdicts),
            "right": float(np.mean(right)) if right else None,
            "told": float(np.mean(told)) if told else None,
        }
    return found


def main() -> None:
    """Print the tables and the scores."""
    from benchmarks.tasks import TASKS

    known = list(pairs(Stored.load(TASKS)))
    for kind, table in tables([one for one in known if one.group in ("seen", "wider")]).items():
        print(f"    {kind!r}: (\n        {table[0]},\n        {table[1]},\n    ),")
    for group, one in scores(known).items():
        print(group, one)


if __name__ == "__main__":
    main()

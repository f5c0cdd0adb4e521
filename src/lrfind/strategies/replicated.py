"""The replicated range test: one ramp over all rates, then shorter ones over the part where something happened.

All of them take no more steps than the budget allows. Where training is short, a slower ramp looks closer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from lrfind.curves import START, Curve, to_curve
from lrfind.errors import BadInputError
from lrfind.records import Finding, Probe, Record
from lrfind.schedules import ramp
from lrfind.strategies.range_test import RangeTest
from lrfind.strategies.reading import steps_per_octave
from lrfind.suggest.calibrated import calibrated
from lrfind.suggest.closer import weight
from lrfind.suggest.edges import edge, has_edge, onset
from lrfind.suggest.replies import follows
from lrfind.suggest.training import Training

REPLICATES = 2
"""How many shorter ramps there are: more were measured to change nothing."""

SHARE = 0.5
"""They take this share of the steps per octave."""

AROUND = 8.0
"""They begin at the onset of the fall divided by this, and end at its edge times this."""

FEWEST = 48
"""A first ramp of fewer steps is not worth its cost."""

CLOSER = 60
"""Steps of the slower ramp."""

BELOW, ABOVE = 2.0**4.5, 2.0**5.5
"""It begins at the first reading divided by this, and ends at it times that."""

IN_ALL, AT_MOST = 3.0, 0.3
"""With it, a search may take so many times a budget that is a share, but no more than this share of training."""


@dataclass(frozen=True, slots=True)
class Replicated:
    """A range test, repeated from other seeds over the rates that matter; the readings are averaged in log-rate.

    Args:
        test: The first ramp, how it is read, and what training will be.
        budget: What the search may cost: a share of the training if below 1, else steps. The ramps are shortened and
            left out to stay within it, but for a first one of ``FEWEST`` steps. In trainings of fewer than
            ``lrfind.suggest.training.HORIZON`` steps, ``CLOSER`` ones come on top of a share. Without effect where
            the length of training is not known and it is a share.

    Raises:
        BadInputError: If the budget is not positive.

    Source:
        docs/decisions/0007-replicates-not-races.md and 0016-a-closer-look.md, which also have what was measured
        against it.
    """

    test: RangeTest = field(default_factory=RangeTest)
    budget: float = 0.1

    def __post_init__(self) -> None:
        budget: object = self.budget
        if not isinstance(budget, (int, float)) or not 0 < budget < math.inf:
            raise BadInputError(f"budget must be a share of the training below 1, or steps, got {self.budget!r}.")
        if 1 <= self.budget < (fewest := min(FEWEST, self.test.steps)):
            raise BadInputError(
                f"budget={self.budget!r} would be {self.budget:g} steps, and the shortest search has {fewest}; give a "
                f"share of the training below 1, or more steps."
            )

    def propose(self, records: Sequence[Record]) -> list[Probe] | Finding:
        """Return the first ramp, then the shorter ones and the slower one, then the finding."""
        if not records:
            return self._first().propose([])
        finding = self.test.find(records)  # which also says that the first ramp can be read
        return self._second(records[0])[len(records) - 1 :] or finding

    def so_far(self, records: Sequence[Record]) -> float | None:
        """Return the rate that some records show already; None where they cannot be read."""
        return self.test.so_far(records)

    def _first(self) -> RangeTest:
        allowed = _allowed(self.budget, self.test.length())
        return replace(self.test, steps=int(min(self.test.steps, max(allowed, FEWEST))))

    def _second(self, record: Record) -> list[Probe]:
        """The second round: shorter ramps, from before the loss falls to where it has diverged, and a slower one."""
        test, curve, known = self.test, to_curve(record), self.test.length(record)
        low, high, left = test.min_lr, test.max_lr, _allowed(self.budget, known) - len(record.lrs)
        if has_edge(curve):
            low, high = max(low, onset(curve) / AROUND), min(high, edge(curve) * AROUND)
        steps = max(2 * START, round(math.log2(high / low) * SHARE * steps_per_octave(record.probe)))
        count = int(min(REPLICATES, max(left // steps, 0)))
        shorter = [Probe(ramp(low, high, steps), record.probe.seed + 1 + index) for index in range(count)]
        closer = self._closer(record, curve, known)
        budget = self.budget if self.budget >= 1 else max(self.budget, min(IN_ALL * self.budget, AT_MOST))
        is_allowed = len(record.lrs) + count * steps + len(closer) * CLOSER <= _allowed(budget, known)
        return shorter + closer if is_allowed else shorter

    def _closer(self, record: Record, curve: Curve, known: Training) -> list[Probe]:
        """The slower ramp, around what a constant rate would be: every schedule then is read off the same records."""
        is_calibrated = self.test.method == "calibrated" and curve.is_fresh and follows(curve)
        if not is_calibrated or weight(curve, known) == 0:
            return []
        middle = calibrated(curve, known)
        low, high = max(middle / BELOW, self.test.min_lr), min(middle * ABOVE, self.test.max_lr)
        return [Probe(ramp(low, high, CLOSER), record.probe.seed + 1 + REPLICATES)] if low < high else []


def _allowed(budget: float, training: Training) -> float:
    """The steps that a search may take."""
    if budget >= 1:
        return budget
    return math.inf if training.steps is None else budget * training.steps

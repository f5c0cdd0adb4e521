"""The replicated range test: one ramp over all rates, then shorter or slower ones around the fall of the loss."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from numbers import Real
from typing import Any

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
"""The number of shorter ramps: more were measured to change nothing."""

SHARE = 0.5
"""Steps per octave of the shorter ramps, as a share of the first one's."""

AROUND = 8.0
"""The shorter ramps go from the onset of the fall divided by this to its edge times this."""

FEWEST = 48
"""A first ramp of fewer steps is not worth its cost."""

CLOSER = 60
"""Steps of the slower ramp."""

BELOW, ABOVE = 2.0**4.5, 2.0**5.5
"""The slower ramp goes from the first reading divided by the one to the reading times the other."""

IN_ALL, AT_MOST = 3.0, 0.3
"""With a slower or higher ramp, a search may take this many times a budget that is a share; at most this share of
training."""


@dataclass(frozen=True, slots=True)
class Replicated:
    """A range test, repeated with other seeds over the rates that matter; the readings are averaged in log-rate.

    Args:
        test: The first ramp, how it is read, and what training will be.
        budget: What the search may cost: a share of the training if below 1, else steps. Ramps are shortened and
            left out to stay within it, but the first one takes at least ``FEWEST`` steps. In trainings of fewer than
            ``lrfind.suggest.training.HORIZON`` steps, ``CLOSER`` steps are added to a share. A share has no effect if
            the length of training is unknown.

    Raises:
        BadInputError: If the budget is not positive.

    Source:
        docs/decisions/0007-replicates-not-races.md and 0016-a-closer-look.md, with the alternatives measured.
    """

    test: RangeTest = field(default_factory=RangeTest)
    budget: float = 0.1

    def __post_init__(self) -> None:
        budget: Any = self.budget
        if not isinstance(budget, Real) or not 0 < float(budget) < math.inf:
            raise BadInputError(f"budget must be a share of the training below 1, or steps, got {self.budget!r}.")
        if 1 <= self.budget < (fewest := min(FEWEST, self.test.steps)):
            raise BadInputError(
                f"budget={self.budget!r} would be {self.budget:g} steps, and the shortest search has {fewest}; give a "
                f"share of the training below 1, or more steps."
            )

    def propose(self, records: Sequence[Record]) -> list[Probe] | Finding:
        """Return the first ramp, then the shorter ones and the slower one, then the finding."""
        if not records:
            steps = min(self.test.steps, max(self._allowed(self.test.length()), FEWEST))
            return replace(self.test, steps=int(steps)).propose([])
        first, higher = records[0], self.test.higher(records[0])
        if higher and len(first.lrs) + higher.steps <= self._allowed(self.test.length(first), in_all=True):
            return self.test.propose(records)
        finding = self.test.find(records)  # a ProbeError if the first ramp cannot be read
        return self._second(first)[len(records) - 1 :] or finding

    def so_far(self, records: Sequence[Record]) -> float | None:
        """Return the rate that some records give so far; None if they cannot be read."""
        return self.test.so_far(records)

    def _second(self, record: Record) -> list[Probe]:
        """Return the shorter ramps, from before the fall to where the loss has diverged, and the slower one."""
        test, curve, known = self.test, to_curve(record), self.test.length(record)
        low, high, left = test.min_lr, test.max_lr, self._allowed(known) - len(record.lrs)
        if has_edge(curve):
            low, high = max(low, onset(curve) / AROUND), min(high, edge(curve) * AROUND)
        steps = max(2 * START, round(math.log2(high / low) * SHARE * steps_per_octave(record.probe)))
        count = int(min(REPLICATES, max(left // steps, 0)))
        shorter = [Probe(ramp(low, high, steps), record.probe.seed + 1 + index) for index in range(count)]
        closer = self._closer(record, curve, known)
        total = len(record.lrs) + count * steps + len(closer) * CLOSER
        return shorter + closer if total <= self._allowed(known, in_all=True) else shorter

    def _closer(self, record: Record, curve: Curve, known: Training) -> list[Probe]:
        """Return the slower ramp, around the reading for a constant rate, so that every schedule can be read off it."""
        is_calibrated = self.test.method == "calibrated" and curve.is_fresh and follows(curve)
        if not is_calibrated or weight(curve, known) == 0:
            return []
        middle = calibrated(curve, known)
        low, high = max(middle / BELOW, self.test.min_lr), min(middle * ABOVE, self.test.max_lr)
        return [Probe(ramp(low, high, CLOSER), record.probe.seed + 1 + REPLICATES)] if low < high else []

    def _allowed(self, training: Training, *, in_all: bool = False) -> float:
        """Return how many steps the budget allows; ``in_all`` also with a slower or a higher ramp."""
        if self.budget >= 1:
            return self.budget
        share = max(self.budget, min(IN_ALL * self.budget, AT_MOST)) if in_all else self.budget
        return math.inf if training.steps is None else share * training.steps

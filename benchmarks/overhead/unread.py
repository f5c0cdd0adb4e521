"""A strategy that reads nothing, for timing probes at rates at which nothing is learnt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import lrfind
from lrfind.records import Cost
from lrfind.schedules import ramp

MIN_LR, MAX_LR = 1e-6, 1e-4


@dataclass(frozen=True, slots=True)
class Unread:
    """The range test without its reading: at these rates nothing is learnt, and the peers' calls do not read either."""

    steps: int

    def propose(self, records: Sequence[lrfind.Record]) -> list[lrfind.Probe] | lrfind.Finding:
        """Return the ramp, then a finding that means nothing."""
        if not records:
            return [lrfind.Probe(ramp(MIN_LR, MAX_LR, self.steps))]
        return lrfind.Finding(
            lr=MIN_LR,
            base_lr=MIN_LR,
            max_lr=MAX_LR,
            interval=(MIN_LR, MAX_LR),
            method="unread",
            schedule="constant",
            records=tuple(records),
            cost=Cost(self.steps, 0.0),
        )

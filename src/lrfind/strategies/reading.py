"""What the records of range tests say about a training: pure, so that they can be read again for another one."""

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property

from lrfind.curves import Curve, to_curve
from lrfind.errors import BadInputError, ProbeError, check_rate
from lrfind.records import Cost, Finding, Probe, Record
from lrfind.strategies.notes import notes_on
from lrfind.suggest import METHODS, to_rule
from lrfind.suggest.calibrated import HALF, Reading, reading_of
from lrfind.suggest.closer import closer, is_enough, is_lost, weight
from lrfind.suggest.edges import edge, has_edge
from lrfind.suggest.judging import Judgement, judge
from lrfind.suggest.ranges import SPREAD, around, cyclical_range, interval
from lrfind.suggest.replies import highest
from lrfind.suggest.training import Training


@dataclass(frozen=True)
class Ramps:
    """Records of one or more range tests, read by a method for a training; ``ProbeError`` if they cannot be read."""

    records: Sequence[Record]
    method: str
    training: Training

    @cached_property
    def curve(self) -> Curve:
        """The first record's curve."""
        return to_curve(self.records[0])

    @property
    def known(self) -> Training:
        """The training, with what the first record knows of it."""
        return self.training.over(self.records[0])

    @cached_property
    def of_slower(self) -> float:
        """The weight of a slower ramp; they count only for short trainings."""
        return weight(self.curve, self.known) if self.method == "calibrated" else 0.0

    @cached_property
    def enough(self) -> Curve | None:
        """The curve of a slower ramp that shows so much that the others count the less the more it counts."""
        for record in self.records if self.of_slower else ():
            with suppress(ProbeError):
                if is_slower_than(self.records[0], record) and is_enough(curve := to_curve(record)):
                    return curve
        return None

    @property
    def counted(self) -> list[tuple[Record, float]]:
        """The records that count, each with its weight."""
        of_others = 1.0 - self.of_slower if self.enough else 1.0
        shares = [self.of_slower if is_slower_than(self.records[0], one) else of_others for one in self.records]
        return [(record, share) for record, share in zip(self.records, shares, strict=True) if share > 0]

    @cached_property
    def is_noisy(self) -> bool:
        """Whether noise hides the fall of plain SGD's first ramp, and no slower one shows it."""
        return self.method == "calibrated" and self.enough is None and is_lost(self.curve)

    @property
    def reading(self) -> Reading:
        """What is read off the ramp that the finding rests on: the first, or a slower one that shows enough."""
        return reading_of(self.enough if self.enough and self.of_slower >= HALF else self.curve, self.known)

    @cached_property
    def readings(self) -> list[tuple[float, float]]:
        """The rates read off the readable ones of these, each with its weight.

        If the search is noisy, slower ramps are read like the others; one that ends without an edge counts as if its
        edge were at its end, since none of its rates was too high.
        """
        found: list[tuple[float, float]] = []
        for record, share in self.counted:
            try:
                found.append((self._read(record), share))
            except ProbeError:
                if self.is_noisy and found and record.stop == "done":
                    found.append((found[0][0] * max(record.lrs[-1] / edge(self.curve), 1.0), share))
        return found

    @property
    def lr(self) -> float:
        """The weighted mean of the readings in log-rate; a ``ProbeError`` only if none can be read."""
        if not self.readings:
            self._read(self.records[0])  # says why
        if len(self.readings) == 1:
            return self.readings[0][0]
        total = sum(share for _, share in self.readings)
        return math.exp(sum(share * math.log(lr) for lr, share in self.readings) / total)

    @property
    def shown(self) -> float:
        """Of the ramps that the calibrated rule can read, the share that shows something of this training."""
        found: list[bool] = []
        for record in self.records:
            with suppress(ProbeError):
                found.append(reading_of(to_curve(record), self.training.over(record)).is_read)
        return sum(found) / len(found)

    def finding(self) -> Finding:
        """Return the finding: ``lr`` from all readings, the range from the first ramp, which must be readable."""
        first, curve, known = self.records[0], self.curve, self.known
        low, top = (factor * self._read(first) for factor in (1 / SPREAD, SPREAD))
        lr, lost = self.lr, len(self.counted) - len(self.readings)
        if self.method == "calibrated":
            reading, ramps = self.reading, [each for each in self.counted if self._can_read(each[0])]
            ends = around(lr, reading.rests_on, known.steps)
            like_first = sum(share for record, share in ramps if not is_slower_than(first, record))
            share = like_first / sum(share for _, share in ramps)
            notes = notes_on(first, curve, reading, share=share, steps=known.steps)
            has_range = has_edge(curve) and reading.rests_on not in ("capped", "none")
        else:
            ends, notes, has_range = interval(curve, lambda other: to_rule(self.method)(other, known)), [], True
        if has_range:
            low, top = cyclical_range(curve)
        if lost:
            notes.append(f"{lost} of {len(self.records)} ramps could not be read.")
        return Finding(
            lr=lr,
            base_lr=min(low, lr),
            max_lr=max(top, lr),
            interval=(min(ends[0], lr), max(ends[1], lr)),
            method=self.method,
            schedule=self.training.schedule,
            records=tuple(self.records),
            cost=Cost(sum(len(record.lrs) for record in self.records), sum(record.seconds for record in self.records)),
            notes=tuple(notes),
            final_fraction=self.training.final_fraction,
            total_steps=self.training.total_steps,
            epochs=self.training.epochs,
        )

    def _can_read(self, record: Record) -> bool:
        with suppress(ProbeError):
            return self._read(record) > 0
        return False

    def _read(self, record: Record) -> float:
        """Read one record; a slower ramp by its own rule, and at most at the highest rate that makes a difference."""
        curve, training = to_curve(record), self.training.over(record)
        if self.is_noisy or not is_slower_than(self.records[0], record):
            return to_rule(self.method)(curve, training)
        return min(closer(curve, training), highest(curve, training.steps))


def steps_per_octave(probe: Probe) -> float:
    """Return the steps that a ramp takes per octave of the rate."""
    return (len(probe.lrs) - 1) / math.log2(probe.lrs[-1] / probe.lrs[0])


def is_slower_than(first: Record, record: Record) -> bool:
    """Say whether a ramp takes more steps per octave than the first one."""
    return 0.99 * steps_per_octave(record.probe) > steps_per_octave(first.probe)


def check_readable(finding: Finding, what: str) -> None:
    """Check that a finding has the records of range tests that an operation needs."""
    if finding.method not in METHODS or not finding.records:
        raise BadInputError(
            f"a finding of the method {finding.method!r} and {len(finding.records)} records cannot {what}; "
            f"search again."
        )


def judged(finding: Finding, lr: float) -> Judgement:
    """Return what the records of a finding say of a rate; see ``lrfind.Finding.judge``."""
    check_rate(lr)
    check_readable(finding, "judge a rate")
    ramps = Ramps(finding.records, "calibrated", finding.length)
    judgement = judge(lr, finding.lr, finding.lr if finding.is_calibrated else ramps.lr, ramps.reading.rests_on)
    return replace(judgement, is_short=ramps.training.is_short, shown=ramps.shown)

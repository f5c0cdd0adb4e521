"""What the records of range tests say about a training: pure, so that they can be read again for another one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from lrfind.curves import Curve, to_curve
from lrfind.errors import BadInputError, ProbeError
from lrfind.records import Cost, Finding, Record
from lrfind.schedules import SCHEDULES, remaining
from lrfind.strategies.length import Length
from lrfind.strategies.notes import leaning_on, notes_on
from lrfind.suggest import METHODS, to_rule
from lrfind.suggest.calibrated import prior_for
from lrfind.suggest.closer import closer
from lrfind.suggest.cycles import cyclical_range
from lrfind.suggest.edges import has_edge
from lrfind.suggest.interval import interval
from lrfind.suggest.judging import Judgement, judge
from lrfind.suggest.prior import SPREAD
from lrfind.suggest.replies import highest
from lrfind.suggest.widths import around, evidence


@dataclass(frozen=True, slots=True)
class Training:
    """What a rate is for.

    Attributes:
        schedule: What its schedule is called.
        final_fraction: Mean of rate / peak over the last fifth of it, in [0, 1]; ``lrfind.schedules.remaining``.
        total_steps: How many optimizer steps it takes; None where that is not known.
        epochs: How often it goes over the data, likewise; of both, the lesser counts.
        steps_per_epoch: Optimizer steps in one pass over the data, for records that do not say; 0 if not known.
    """

    schedule: str
    final_fraction: float
    total_steps: int | None = None
    epochs: float | None = None
    steps_per_epoch: float = 0.0

    def over(self, record: Record) -> Length:
        """How long it is, as far as that is known with a record at hand."""
        return Length(self.total_steps, self.epochs, record.steps_per_epoch or self.steps_per_epoch)


def read(record: Record, method: str, training: Training) -> float:
    """Return the rate that a method reads off one record.

    Raises:
        ProbeError: If it cannot be read.
    """
    return to_rule(method, training.final_fraction, training.over(record).passes, training.over(record).steps)(
        to_curve(record)
    )


def read_all(records: Sequence[Record], method: str, training: Training) -> Finding:
    """Return the finding: the readings combined; the range is the first record's.

    Args:
        records: Of range tests, at least one; of those after the first, what cannot be read is left out.
        method: One of ``lrfind.suggest.METHODS``.
        training: What the rate is for.

    Raises:
        ProbeError: If the first one cannot be read.
    """
    first, own = records[0], read(records[0], method, training)
    lr, share, lost = combined(records, method, training)
    curve, length = to_curve(first), training.over(first)
    is_calibrated = method == "calibrated"
    prior = prior_for(curve, training.final_fraction, length.passes, length.steps) if is_calibrated else None
    rests_on = evidence(curve, training.final_fraction, length.passes, length.steps) if is_calibrated else "edge"
    has_none = is_calibrated and (not has_edge(curve) or rests_on in ("capped", "none"))
    low, top = (own / SPREAD, own * SPREAD) if has_none else cyclical_range(curve)
    notes = notes_on(first, curve, rests_on, leaning=share * leaning_on(curve, prior), steps=length.steps)
    if lost:
        notes.append(f"{lost} of {len(records)} ramps could not be read.")
    return Finding(
        lr=lr,
        base_lr=min(low, lr),
        max_lr=max(top, lr),
        interval=around(lr, rests_on, length.steps) if is_calibrated else _interval(curve, lr, method, training),
        method=method,
        schedule=training.schedule,
        records=tuple(records),
        cost=Cost(sum(len(one.lrs) for one in records), sum(one.seconds for one in records)),
        notes=tuple(notes),
        final_fraction=training.final_fraction,
        total_steps=training.total_steps,
        epochs=training.epochs,
    )


def combined(records: Sequence[Record], method: str, training: Training) -> tuple[float, float, int]:
    """Return the mean of the readings, in log-rate; the share of the first ramp and those like it; how many are lost.

    A slower ramp counts as much as all others together.

    Raises:
        ProbeError: If none can be read.
    """
    known = _each(records, method, training)
    parts = [[math.log(lr) for lr, is_slower in known if is_slower == which] for which in (False, True)]
    if not parts[0]:
        read(records[0], method, training)  # says why
    means = [fmean(part) for part in parts if part]
    lr = known[0][0] if len(known) == 1 else math.exp(fmean(means))
    return lr, 1 / len(means), len(records) - len(known)


def readings(records: Sequence[Record], method: str, training: Training) -> list[float]:
    """Return the rates read off those records that can be read."""
    return [lr for lr, _ in _each(records, method, training)]


def _each(records: Sequence[Record], method: str, training: Training) -> list[tuple[float, bool]]:
    """Return the rates read off those records that can be read, and whether each is of a slower ramp."""
    found = []
    for record in records:
        is_slower = is_slower_than(records[0], record)
        try:
            lr = _read_closer(record, training) if is_slower else read(record, method, training)
        except ProbeError:
            continue
        found.append((lr, is_slower))
    return found


def _read_closer(record: Record, training: Training) -> float:
    """Return what a slower ramp reads, but no rate that makes no difference."""
    curve = to_curve(record)
    return min(closer(curve, training.final_fraction), highest(curve, training.over(record).steps))


def is_slower_than(first: Record, record: Record) -> bool:
    """Say whether a ramp looks closer: it takes more steps per octave than the first one."""
    return _pace(record) < 0.99 * _pace(first)


def _pace(record: Record) -> float:
    lrs = record.probe.lrs
    return math.log2(lrs[-1] / lrs[0]) / (len(lrs) - 1)


def left_of(finding: Finding) -> float | None:
    """Return how much of the peak is left over the last fifth of a finding's schedule; None where that is not known."""
    if finding.final_fraction is not None or finding.schedule not in SCHEDULES:
        return finding.final_fraction
    return remaining(SCHEDULES[finding.schedule])


def judged(finding: Finding, lr: float) -> Judgement:
    """Return what the records of a finding say of a rate; see ``lrfind.Finding.judge``.

    Raises:
        BadInputError: If the rate is not positive and finite, there are no records, or they are not of ramps.
    """
    given: object = lr
    if not isinstance(given, (int, float)) or not 0 < given < math.inf:
        raise BadInputError(f"lr must be a number, positive and finite, got {lr!r}.")
    if finding.method not in METHODS or not finding.records:
        raise BadInputError(
            f"a finding of the method {finding.method!r} and {len(finding.records)} records cannot judge a rate; "
            f"search again."
        )
    final_fraction = left_of(finding)
    training = Training(
        finding.schedule, 1.0 if final_fraction is None else final_fraction, finding.total_steps, finding.epochs
    )
    known = finding
    if not finding.is_calibrated:
        known = read_all(finding.records, "calibrated", training)
    first = finding.records[0]
    length = training.over(first)
    rests_on = evidence(to_curve(first), training.final_fraction, length.passes, length.steps)
    return replace(judge(lr, finding.lr, known.lr, rests_on), is_short=finding.length.is_short)


def _interval(curve: Curve, lr: float, method: str, training: Training) -> tuple[float, float]:
    """Return what ``Finding.interval`` is for a rate that another method has read."""
    low, high = interval(curve, to_rule(method, training.final_fraction))
    return min(low, lr), max(high, lr)

"""What the records of range tests say about a training: pure, so that they can be read again for another one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from lrfind.curves import to_curve
from lrfind.errors import BadInputError, ProbeError
from lrfind.records import Cost, Finding, Record
from lrfind.strategies.notes import notes_on
from lrfind.suggest import METHODS, to_rule
from lrfind.suggest.calibrated import reading_of
from lrfind.suggest.closer import closer, is_lost, weight
from lrfind.suggest.edges import edge, has_edge
from lrfind.suggest.judging import Judgement, judge
from lrfind.suggest.ranges import SPREAD, around, cyclical_range, interval
from lrfind.suggest.replies import highest
from lrfind.suggest.training import Training


def read(record: Record, method: str, training: Training) -> float:
    """Return the rate that a method reads off one record.

    Raises:
        ProbeError: If it cannot be read.
    """
    return to_rule(method)(to_curve(record), training.over(record))


def read_all(records: Sequence[Record], method: str, training: Training) -> Finding:
    """Return the finding: the readings combined; the range is the first record's.

    Args:
        records: Of range tests, at least one; of those after the first, what cannot be read is left out.
        method: One of ``lrfind.suggest.METHODS``.
        training: What the rate is for.

    Raises:
        ProbeError: If the first one cannot be read.
    """
    first = records[0]
    own, curve, known = read(first, method, training), to_curve(first), training.over(first)
    lr, share, lost = combined(records, method, training)
    has_range, notes = True, list[str]()
    if method == "calibrated":
        reading = reading_of(curve, known)
        has_range = has_edge(curve) and reading.rests_on not in ("capped", "none")
        ends = around(lr, reading.rests_on, known.steps)
        notes = notes_on(first, curve, reading, share=share, steps=known.steps)
    else:
        ends = interval(curve, lambda replicate: to_rule(method)(replicate, known))
    low, top = cyclical_range(curve) if has_range else (own / SPREAD, own * SPREAD)
    if lost:
        notes.append(f"{lost} of {len(records)} ramps could not be read.")
    return Finding(
        lr=lr,
        base_lr=min(low, lr),
        max_lr=max(top, lr),
        interval=(min(ends[0], lr), max(ends[1], lr)),
        method=method,
        schedule=training.schedule,
        records=tuple(records),
        cost=Cost(sum(len(record.lrs) for record in records), sum(record.seconds for record in records)),
        notes=tuple(notes),
        final_fraction=training.final_fraction,
        total_steps=training.total_steps,
        epochs=training.epochs,
    )


def combined(records: Sequence[Record], method: str, training: Training) -> tuple[float, float, int]:
    """Return the mean of the readings in log-rate; the share of ramps like the first one in it; how many are lost.

    Raises:
        ProbeError: If none can be read.
    """
    used = counted(records, method, training)
    known = _each(used, method, training)
    if not known:
        read(records[0], method, training)  # says why
    total = sum(share for _, share in known)
    mean = sum(share * math.log(lr) for lr, share in known) / total
    lr = known[0][0] if len(known) == 1 else math.exp(mean)
    return lr, sum(share for _, share in known if share == 1.0) / total, len(used) - len(known)


def readings(records: Sequence[Record], method: str, training: Training) -> list[float]:
    """Return the rates read off those records that can be read."""
    return [lr for lr, _ in _each(counted(records, method, training), method, training)]


def counted(records: Sequence[Record], method: str, training: Training) -> list[tuple[Record, float]]:
    """Return the records that count, and how much beside the first one."""
    first = records[0]
    of_slower = weight(to_curve(first), training.over(first)) if method == "calibrated" else 0.0
    weights = [of_slower if is_slower_than(first, record) else 1.0 for record in records]
    return [(record, share) for record, share in zip(records, weights, strict=True) if share > 0]


def _each(used: Sequence[tuple[Record, float]], method: str, training: Training) -> list[tuple[float, float]]:
    """Return the rates read off those records that can be read, and how much each counts.

    Where the fall of the first ramp is lost in the noise of plain SGD, slower ramps are read like the others, and one
    that ends without an edge counts as if it had its edge at its end: it shows that no rate of it is too high.
    """
    first, found = used[0][0], list[tuple[float, float]]()
    curve = to_curve(first)
    is_noisy = method == "calibrated" and is_lost(curve)
    for record, share in used:
        try:
            if is_slower_than(first, record) and not is_noisy:
                lr = _read_closer(record, training)
            else:
                lr = read(record, method, training)
        except ProbeError:
            if not (is_noisy and found and record.stop == "done"):
                continue
            lr = found[0][0] * max(record.lrs[-1] / edge(curve), 1.0)
        found.append((lr, share))
    return found


def _read_closer(record: Record, training: Training) -> float:
    """Return what a slower ramp reads, but no rate that makes no difference."""
    curve = to_curve(record)
    return min(closer(curve, training), highest(curve, training.over(record).steps))


def is_slower_than(first: Record, record: Record) -> bool:
    """Say whether a ramp looks closer: it takes more steps per octave than the first one."""
    return _pace(record) < 0.99 * _pace(first)


def _pace(record: Record) -> float:
    lrs = record.probe.lrs
    return math.log2(lrs[-1] / lrs[0]) / (len(lrs) - 1)


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
    records, training = finding.records, finding.length
    known = finding.lr if finding.is_calibrated else combined(records, "calibrated", training)[0]
    reading = reading_of(to_curve(records[0]), training)
    judgement = judge(lr, finding.lr, known, reading.rests_on)
    is_read = all(_is_read(record, training) for record in records if not is_slower_than(records[0], record))
    return replace(judgement, is_short=training.is_short, is_read=is_read)


def _is_read(record: Record, training: Training) -> bool:
    """Say whether a ramp shows anything of this training; one that cannot be read is left out, and does no harm."""
    try:
        return reading_of(to_curve(record), training.over(record)).is_read
    except ProbeError:
        return True

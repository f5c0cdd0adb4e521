"""What the records of range tests say about a training: pure, so that they can be read again for another one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lrfind.curves import Curve, to_curve
from lrfind.errors import ProbeError
from lrfind.records import Cost, Finding, Record
from lrfind.strategies.length import Length
from lrfind.suggest import to_rule
from lrfind.suggest.calibrated import around, doubt, usual_for
from lrfind.suggest.cycles import cyclical_range
from lrfind.suggest.edges import edge, fall, has_edge, is_weak
from lrfind.suggest.interval import interval
from lrfind.suggest.usual import SPREAD

HALF = 0.5
"""From this share on, a finding says that it leans on the usual rate."""


@dataclass(frozen=True, slots=True)
class Training:
    """What a rate is for.

    Attributes:
        schedule: What its schedule is called.
        left: How much of the peak is left over the last fifth of it, in [0, 1]; ``lrfind.schedules.remaining``.
        horizon: How many optimizer steps it takes; None where that is not known.
        epochs: How often it goes over the data, likewise; of both, the lesser counts.
    """

    schedule: str
    left: float
    horizon: int | None = None
    epochs: float | None = None

    def over(self, record: Record) -> Length:
        """How long it is, as far as that is known with a record at hand."""
        return Length(self.horizon, self.epochs, record.epoch)


def read(record: Record, method: str, training: Training) -> float:
    """Return the rate that a method reads off one record.

    Raises:
        ProbeError: If it cannot be read.
    """
    return to_rule(method, training.left, training.over(record).passes)(to_curve(record))


def read_all(records: Sequence[Record], method: str, training: Training) -> Finding:
    """Return the finding: the readings averaged in log-rate; the range is the first record's.

    Args:
        records: Of range tests, at least one; of those after the first, what cannot be read is left out.
        method: One of ``lrfind.suggest.METHODS``.
        training: What the rate is for.

    Raises:
        ProbeError: If the first one cannot be read.
    """
    first, *others = records
    lrs = [read(first, method, training), *readings(others, method, training)]
    lr = float(np.exp(np.mean(np.log(lrs)))) if len(lrs) > 1 else lrs[0]
    curve = to_curve(first)
    usual = usual_for(curve, training.left, training.over(first).passes) if method == "calibrated" else None
    is_usual = usual is not None and not has_edge(curve)
    low, top = (lrs[0] / SPREAD, lrs[0] * SPREAD) if is_usual else cyclical_range(curve)
    notes = _notes(first, curve, leaning=0.0 if usual is None else doubt(curve))
    if lost := len(records) - len(lrs):
        notes.append(f"{lost} of {len(records)} ramps could not be read.")
    return Finding(
        lr=lr,
        base_lr=min(low, lr),
        max_lr=max(top, lr),
        interval=_interval(first, lr, method, training, is_weak=usual is None and is_weak(curve)),
        method=method,
        schedule=training.schedule,
        records=tuple(records),
        cost=Cost(sum(len(one.lrs) for one in records), sum(one.seconds for one in records)),
        notes=tuple(notes),
        left=training.left,
        horizon=training.horizon,
        epochs=training.epochs,
    )


def readings(records: Sequence[Record], method: str, training: Training) -> list[float]:
    """Return the rates read off those records that can be read."""
    found = []
    for record in records:
        try:
            found.append(read(record, method, training))
        except ProbeError:
            continue
    return found


def _interval(record: Record, lr: float, method: str, training: Training, *, is_weak: bool) -> tuple[float, float]:
    """Return what ``Finding.interval`` is for a rate that rests on a record."""
    if method == "calibrated":
        return around(lr, training.over(record).steps, is_weak=is_weak)
    low, high = interval(to_curve(record), to_rule(method, training.left))
    return min(low, lr), max(high, lr)


def _notes(record: Record, curve: Curve, *, leaning: float) -> list[str]:
    """What a person should know about this reading."""
    notes = []
    if record.passes > 1:
        notes.append(
            f"The loader is shorter than the {len(record.probe.lrs)} steps of the range test; "
            f"it was begun {record.passes} times."
        )
    if leaning >= HALF:
        fell = max(fall(curve), 0.0) / curve.noise
        notes.append(
            f"The loss fell by {fell:.1f} times its noise, so the rate leans by {leaning:.0%} on what is usual for "
            f"{curve.optimizer}; for more evidence take more steps or larger batches."
        )
    elif is_weak(curve):
        notes.append(
            "The loss fell by no more than its noise, so the rate rests on where it began to rise; the evidence is "
            "weak: take more steps or larger batches."
        )
    if record.stop == "done" and has_edge(curve) and edge(curve) >= curve.lrs[-1]:
        notes.append(
            f"The loss was still falling at the highest rate tried, {curve.lrs[-1]:.3g}; raise max_lr to see its edge."
        )
    if gaps := sum(not math.isfinite(loss) for loss in record.losses):
        notes.append(f"{gaps} of {len(record.losses)} losses were not finite.")
    return notes

"""The range test: one probe whose rates ramp up, read by a rule."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real

from lrfind.curves import START, Curve, to_curve
from lrfind.errors import BadInputError
from lrfind.records import Cost, Finding, Probe, Record
from lrfind.schedules import Ramp, Shape, Stretched, constant, name_of, ramp, to_shape
from lrfind.suggest import Rule, to_rule
from lrfind.suggest.calibrated import around, doubt
from lrfind.suggest.edges import edge, fall, has_edge, is_weak, onset
from lrfind.suggest.interval import interval
from lrfind.suggest.usual import SPREAD, has_usual

HALF = 0.5
"""From this share on, a finding says that it leans on the usual rate."""


@dataclass(frozen=True, slots=True)
class RangeTest:
    """One probe from ``min_lr`` up to ``max_lr``; the loss against the rate gives the rate and the range.

    Args:
        min_lr: The first rate, above 0.
        max_lr: The last rate, above ``min_lr``; the probe stops earlier where the loss diverges.
        steps: Optimizer steps, at least 8; 100 or more for a reading one can trust.
        ramp: ``"exponential"`` or ``"linear"``.
        method: One of ``lrfind.suggest.METHODS``.
        schedule: What the rate will do in training: a name or a callable, as ``lrfind.schedules.to_shape`` takes, or
            one that is read over the steps of training, as ``lrfind.optim.Scheduled``.
        horizon: How many optimizer steps training will take; None where that is not known.
        epochs: Instead, or beside it, how often training will go over the data; the lesser counts.
        seed: Seeds the batch order and the random numbers of the probe.

    Raises:
        BadInputError: If an argument is out of its range.

    Source:
        Smith, arXiv 1506.01186, section 3.3 (the test); docs/decisions/0006-edge-or-usual.md (the rule).
    """

    min_lr: float = 1e-6
    max_lr: float = 30.0
    steps: int = 128
    ramp: Ramp = "exponential"
    method: str = "calibrated"
    schedule: str | Shape | Stretched = "constant"
    horizon: int | None = None
    epochs: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name, kind, words in (("min_lr", Real, "a number"), ("max_lr", Real, "a number"), ("steps", int, "whole")):
            if not isinstance(getattr(self, name), kind):
                raise BadInputError(f"{name} must be {words}, got {getattr(self, name)!r}.")
        if self.steps < START:
            raise BadInputError(
                f"steps must be at least {START}, the losses that a curve is judged by, got {self.steps}."
            )
        if not isinstance(self.seed, int) or not 0 <= self.seed < 2**63:
            raise BadInputError(f"seed must be a whole number from 0 up to 2**63, got {self.seed!r}.")
        for name in ("horizon", "epochs"):
            if not (getattr(self, name) is None or 0 < getattr(self, name) < math.inf):
                raise BadInputError(f"{name} must be above 0 and finite, or None, got {getattr(self, name)!r}.")
        self._probe()
        to_rule(self.method, constant if isinstance(self.schedule, Stretched) else to_shape(self.schedule))

    def propose(self, records: Sequence[Record]) -> list[Probe] | Finding:
        """Return the ramp as the only probe of the only round, then the finding read off its record."""
        if not records:
            return [self._probe()]
        record = records[0]
        curve = to_curve(record)
        lr = self.read(record)
        low, top = (lr / SPREAD, lr * SPREAD) if self._is_usual(curve) else (onset(curve), edge(curve))
        return Finding(
            lr=lr,
            base_lr=min(low, lr),
            max_lr=max(top, lr),
            interval=self.interval(record, lr),
            method=self.method,
            schedule=name_of(self.schedule),
            records=(record,),
            cost=Cost(steps=len(record.lrs), seconds=record.seconds),
            notes=(*self._assumed(record), *_notes(record, curve, top, leaning=self._leaning(curve))),
        )

    def read(self, record: Record) -> float:
        """Return the rate that the method reads off a record.

        Raises:
            ProbeError: If it cannot be read.
        """
        return self._rule(record)(to_curve(record))

    def interval(self, record: Record, lr: float) -> tuple[float, float]:
        """Return what ``Finding.interval`` is for a rate that rests on a record."""
        if self.method == "calibrated":
            return around(lr)
        low, high = interval(to_curve(record), self._rule(record))
        return min(low, lr), max(high, lr)

    def steps_of_training(self, record: Record) -> float | None:
        """Return how many steps training will take, as far as that is known with a record at hand."""
        passes = self._passes(record)
        return self.horizon if passes is None or not record.epoch else passes * record.epoch

    def _rule(self, record: Record) -> Rule:
        return to_rule(self.method, self._shape(record), self._passes(record))

    def _shape(self, record: Record) -> Shape:
        if not isinstance(self.schedule, Stretched):
            return to_shape(self.schedule)
        steps = self.steps_of_training(record)
        return self.schedule.over(max(round(steps), 1)) if steps else constant

    def _assumed(self, record: Record) -> list[str]:
        """Say where a schedule had to be taken for a constant rate."""
        if not isinstance(self.schedule, Stretched) or self.steps_of_training(record):
            return []
        name = name_of(self.schedule)
        return [f"How long training will be is not known, so {name} was read as constant; pass horizon=."]

    def _passes(self, record: Record) -> float | None:
        """How often training goes over the data, as far as that is known."""
        steps = self.horizon / record.epoch if self.horizon and record.epoch else None
        known = [one for one in (steps, self.epochs) if one is not None]
        return min(known, default=None)

    def _is_calibrated(self, curve: Curve) -> bool:
        """Whether the reading may lean on the usual rate."""
        return self.method == "calibrated" and has_usual(curve)

    def _leaning(self, curve: Curve) -> float:
        """How far the reading leans on the usual rate."""
        return doubt(curve) if self._is_calibrated(curve) else 0.0

    def _is_usual(self, curve: Curve) -> bool:
        """Whether it is the usual rate, since the curve shows nothing."""
        return self._is_calibrated(curve) and not has_edge(curve)

    def _probe(self) -> Probe:
        return Probe(ramp(self.min_lr, self.max_lr, self.steps, kind=self.ramp), self.seed)


def _notes(record: Record, curve: Curve, top: float, *, leaning: float) -> tuple[str, ...]:
    """What a person should know about this reading."""
    notes = []
    if record.passes > 1:
        notes.append(
            f"The loader is shorter than the {len(record.probe.lrs)} steps of the range test; "
            f"it was begun {record.passes} times."
        )
    if leaning >= HALF:
        notes.append(
            f"The loss fell by {fall(curve) / curve.noise:.1f} times its noise, so the rate leans by {leaning:.0%} on "
            f"what is usual for {curve.optimizer}; for more evidence take more steps or larger batches."
        )
    elif is_weak(curve):
        notes.append(
            "The loss fell by no more than its noise; the evidence is weak: take more steps or larger batches."
        )
    if record.stop == "done" and top >= curve.lrs[-1]:
        notes.append(
            f"The loss was still falling at the highest rate tried, {curve.lrs[-1]:.3g}; raise max_lr to see its edge."
        )
    if gaps := sum(not math.isfinite(loss) for loss in record.losses):
        notes.append(f"{gaps} of {len(record.losses)} losses were not finite.")
    return tuple(notes)

"""The range test: one probe whose rates ramp up, read by a rule."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Integral, Real

from lrfind.curves import START
from lrfind.errors import BadInputError, ProbeError
from lrfind.records import Finding, Probe, Record
from lrfind.schedules import Ramp, Shape, Stretched, constant, name_of, over, ramp, remaining, to_shape
from lrfind.strategies.reading import Ramps
from lrfind.suggest import to_rule
from lrfind.suggest.training import Training, with_length_of

_KINDS = (
    ("min_lr", Real, "a number"),
    ("max_lr", Real, "a number"),
    ("steps", Integral, "a whole number"),
    ("total_steps", Integral, "a whole number of steps"),
    ("epochs", Real, "a number"),
)
LENGTHS = ("total_steps", "epochs")
UNKNOWN = "How long training will be is not known; with epochs or total_steps, the rate is chosen for that length."


@dataclass(frozen=True, slots=True)
class RangeTest:
    """One probe from ``min_lr`` up to ``max_lr``; the loss against the rate gives the rate and the range.

    The arguments are the options of these names, see ``lrfind.SearchOptions``, with

    Args:
        steps: At least 8; for a reliable reading, 100 or more.
        schedule: As ``lrfind.schedules.over`` takes it.
        steps_per_epoch: Optimizer steps in one pass over the data, if known before the first probe; else 0.

    Raises:
        BadInputError: If an argument is out of its range.

    Source:
        Smith, arXiv 1506.01186, section 3.3 (the test); docs/decisions/0006-edge-or-prior.md (the rule).
    """

    min_lr: float = 1e-6
    max_lr: float = 30.0
    steps: int = 128
    ramp: Ramp = "exponential"
    method: str = "calibrated"
    schedule: str | Shape | Stretched = "constant"
    total_steps: int | None = None
    epochs: float | None = None
    seed: int = 0
    steps_per_epoch: float = 0.0

    def __post_init__(self) -> None:
        for name, kind, words in _KINDS:
            value = getattr(self, name)
            if value is None and name in LENGTHS:
                continue
            if not isinstance(value, kind):
                raise BadInputError(f"{name} must be {words}, got {value!r}.")
            if name in LENGTHS and not 0 < float(value) < math.inf:
                raise BadInputError(f"{name} must be above 0 and finite, or None, got {value!r}.")
        if self.steps < START:
            raise BadInputError(
                f"steps must be at least {START}, the losses that a curve is judged by, got {self.steps}."
            )
        if not isinstance(self.seed, int) or not 0 <= self.seed < 2**63:
            raise BadInputError(f"seed must be a whole number from 0 up to 2**63, got {self.seed!r}.")
        self._probe()
        to_rule(self.method)
        if not isinstance(self.schedule, Stretched):
            to_shape(self.schedule)

    def propose(self, records: Sequence[Record]) -> list[Probe] | Finding:
        """Return the ramp, in the first round; then the finding."""
        return self.find(records[:1]) if records else [self._probe()]

    def find(self, records: Sequence[Record]) -> Finding:
        """Return the finding from the records of one or more ramps; ``ProbeError`` if they cannot be read."""
        training, is_assumed = self._planned(records[0])
        finding, note = Ramps(records, self.method, training).finding(), getattr(self.schedule, "note", "")
        is_unknown = training.total_steps is None and training.epochs is None
        if is_assumed and not note:
            name = name_of(self.schedule)
            note = f"How long training will be is not known, so {name} was read as constant; pass total_steps=."
            finding = replace(finding, final_fraction=None)
        elif is_unknown and finding.is_calibrated:
            note = f"{note} {UNKNOWN}".strip()
        return replace(finding, notes=(*filter(None, (note,)), *finding.notes))

    def read(self, record: Record) -> float:
        """Return the rate that the method reads off one record; ``ProbeError`` if it cannot be read."""
        return Ramps([record], self.method, self.training(record)).lr

    def so_far(self, records: Sequence[Record]) -> float | None:
        """Return the rate that some records give so far; None if they cannot be read."""
        try:
            return Ramps(records, self.method, self.training(records[0])).lr
        except ProbeError:
            return None

    def training(self, record: Record) -> Training:
        """Return what is known of training, with a record at hand."""
        return self._planned(record)[0]

    def length(self, record: Record | None = None) -> Training:
        """Return the same without ``final_fraction``, also before the first record."""
        steps_per_epoch = (record and record.steps_per_epoch) or self.steps_per_epoch
        known = Training(self.total_steps, self.epochs, steps_per_epoch, schedule=name_of(self.schedule))
        return with_length_of(known, self.schedule)

    def _planned(self, record: Record) -> tuple[Training, bool]:
        """Return what is known of training, and whether its schedule is read as constant for want of a length."""
        known = self.length(record)
        shape = over(self.schedule, known.steps, known.passes)
        return replace(known, final_fraction=remaining(shape or constant)), shape is None

    def _probe(self) -> Probe:
        return Probe(ramp(self.min_lr, self.max_lr, self.steps, kind=self.ramp), self.seed)

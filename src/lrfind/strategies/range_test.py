"""The range test: one probe whose rates ramp up, read by a rule."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Integral, Real

from lrfind.curves import START
from lrfind.errors import BadInputError, ProbeError
from lrfind.records import Finding, Probe, Record
from lrfind.schedules import Ramp, Shape, Stretched, constant, name_of, ramp, remaining, to_shape
from lrfind.strategies.reading import combined, read, read_all
from lrfind.suggest import to_rule
from lrfind.suggest.training import Training, with_length_of

_KINDS = (
    ("min_lr", Real, "a number"),
    ("max_lr", Real, "a number"),
    ("steps", Integral, "a whole number"),
    ("total_steps", Integral, "a whole number of steps"),
    ("epochs", Real, "a number"),
)


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
        total_steps: How many optimizer steps training will take; None where that is not known.
        epochs: Instead, or beside it, how often training will go over the data; the lesser counts.
        seed: Seeds the batch order and the random numbers of the probe.
        steps_per_epoch: Optimizer steps in one pass over the data, where they are known before the first probe; else 0.

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
            if not isinstance(value, kind) and not (value is None and name in ("total_steps", "epochs")):
                raise BadInputError(f"{name} must be {words}, got {value!r}.")
        if self.steps < START:
            raise BadInputError(
                f"steps must be at least {START}, the losses that a curve is judged by, got {self.steps}."
            )
        if not isinstance(self.seed, int) or not 0 <= self.seed < 2**63:
            raise BadInputError(f"seed must be a whole number from 0 up to 2**63, got {self.seed!r}.")
        for name in ("total_steps", "epochs"):
            if not (getattr(self, name) is None or 0 < getattr(self, name) < math.inf):
                raise BadInputError(f"{name} must be above 0 and finite, or None, got {getattr(self, name)!r}.")
        self._probe()
        to_rule(self.method)
        if not isinstance(self.schedule, Stretched):
            to_shape(self.schedule)

    def propose(self, records: Sequence[Record]) -> list[Probe] | Finding:
        """Return the ramp as the only probe of the only round, then the finding read off its record."""
        return self.find(records[:1]) if records else [self._probe()]

    def find(self, records: Sequence[Record]) -> Finding:
        """Return the finding read off the records of one or more ramps.

        Raises:
            ProbeError: If the first one cannot be read.
        """
        finding, assumed = read_all(records, self.method, self.training(records[0])), self._assumed(records[0])
        notes = (*filter(None, (assumed, self._note)), *finding.notes)
        return replace(finding, final_fraction=None if assumed else finding.final_fraction, notes=notes)

    def read(self, record: Record) -> float:
        """Return the rate that the method reads off one record.

        Raises:
            ProbeError: If it cannot be read.
        """
        return read(record, self.method, self.training(record))

    def so_far(self, records: Sequence[Record]) -> float | None:
        """Return the rate that some records show already; None where they cannot be read."""
        try:
            return combined(records, self.method, self.training(records[0]))[0]
        except ProbeError:
            return None

    def training(self, record: Record) -> Training:
        """Return what training will be, as far as that is known with a record at hand."""
        known = self.length(record)
        return replace(known, final_fraction=remaining(self._shape(known)))

    def length(self, record: Record | None = None) -> Training:
        """Return the same without ``final_fraction``, with a record at hand or before the first."""
        steps_per_epoch = self.steps_per_epoch if record is None else record.steps_per_epoch or self.steps_per_epoch
        known = Training(self.total_steps, self.epochs, steps_per_epoch, schedule=name_of(self.schedule))
        return with_length_of(known, self.schedule)

    def _shape(self, known: Training) -> Shape:
        if not isinstance(self.schedule, Stretched):
            return to_shape(self.schedule)
        steps = known.steps or getattr(self.schedule, "length", None)
        return self.schedule.over(max(round(steps), 1), known.passes) if steps else constant

    @property
    def _note(self) -> str:
        """What the schedule has to say about how it is read."""
        return getattr(self.schedule, "note", "")

    def _assumed(self, record: Record) -> str:
        """Say where a schedule had to be taken for a constant rate until its length is known."""
        is_known = not isinstance(self.schedule, Stretched) or self._note
        if is_known or self.length(record).steps or getattr(self.schedule, "length", None):
            return ""
        name = name_of(self.schedule)
        return f"How long training will be is not known, so {name} was read as constant; pass total_steps=."

    def _probe(self) -> Probe:
        return Probe(ramp(self.min_lr, self.max_lr, self.steps, kind=self.ramp), self.seed)

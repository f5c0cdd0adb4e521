"""The range test: one probe whose rates ramp up, read by a rule."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Integral, Real
from typing import Any

from lrfind.curves import START, to_curve
from lrfind.errors import BadInputError, ProbeError
from lrfind.records import Finding, Probe, Record
from lrfind.schedules import Ramp, Shape, Stretched, constant, name_of, over, ramp, remaining, to_shape
from lrfind.strategies.reading import Ramps, steps_per_octave
from lrfind.suggest import to_rule
from lrfind.suggest.calibrated import has_prior
from lrfind.suggest.edges import has_edge
from lrfind.suggest.training import Training, with_length_of

_POSITIVE = sys.float_info.min, sys.float_info.max
_NUMBERS: tuple[tuple[str, Any, tuple[float, float], str], ...] = (
    ("min_lr", Real, _POSITIVE, "a number, positive and finite"),
    ("max_lr", Real, _POSITIVE, "a number, positive and finite"),
    ("steps", Integral, (START, math.inf), f"a whole number, at least {START}: a curve is judged by its first losses"),
    ("seed", Integral, (0, 2**63 - 1), "a whole number from 0 up to 2**63"),
    ("total_steps", Integral, (1, math.inf), "above 0: a whole number of steps, or None"),
    ("epochs", Real, _POSITIVE, "above 0: a finite number, or None"),
)
"""Type, range and its words, of each option that is a number."""

LENGTHS = ("total_steps", "epochs")
UNKNOWN = "How long training will be is not known; with epochs or total_steps, the rate is chosen for that length."

HIGHEST = 30.0
"""The default ``max_lr``: high enough for every task of the benchmark."""

BELOW, BEYOND = 2.0**4, 2.0**10
"""If no rate up to ``HIGHEST`` moves the loss, another ramp goes from it divided by the one to it times the other."""


@dataclass(frozen=True, slots=True)
class RangeTest:
    """One probe from ``min_lr`` up to ``max_lr``; the loss against the rate gives the rate and the range.

    If plain SGD moves nothing up to the default ``max_lr``, a second probe goes higher, and is read instead. The
    arguments are the options of these names, see ``lrfind.SearchOptions``, with

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
    max_lr: float = HIGHEST
    steps: int = 128
    ramp: Ramp = "exponential"
    method: str = "calibrated"
    schedule: str | Shape | Stretched = "constant"
    total_steps: int | None = None
    epochs: float | None = None
    seed: int = 0
    steps_per_epoch: float = 0.0

    def __post_init__(self) -> None:
        for name, kind, (low, high), words in _NUMBERS:
            value = getattr(self, name)
            if value is None and name in LENGTHS:
                continue
            plain = value  # else it is NumPy's, which JSON does not take
            if isinstance(value, kind) and not isinstance(value, (int, float)):
                plain = int(value) if kind is Integral else float(value)
                object.__setattr__(self, name, plain)
            if not isinstance(plain, kind) or not low <= plain <= high:
                raise BadInputError(f"{name} must be {words}, got {value!r}.")
        self._probe()
        to_rule(self.method)
        if not isinstance(self.schedule, Stretched):
            to_shape(self.schedule)

    def propose(self, records: Sequence[Record]) -> list[Probe] | Finding:
        """Return the ramp, in the first round; then the finding, or first a higher ramp if nothing moved."""
        if not records:
            return [self._probe()]
        if (higher := self.higher(records[0])) is None:
            return self.find(records[:1])
        answer = higher.propose(records[1:])
        if not isinstance(answer, Finding):
            return answer
        note = f"No rate up to {HIGHEST:g} moved the loss, so another range test went up to {higher.max_lr:.2g}."
        return replace(answer, notes=(note, *answer.notes))

    def higher(self, record: Record) -> RangeTest | None:
        """Return the test of higher rates, if plain SGD moved nothing up to the default ``max_lr``; else None."""
        curve = to_curve(record)
        is_whole = record.stop == "done" and record.probe.lrs[-1] == HIGHEST
        if not is_whole or has_edge(curve) or has_prior(curve) or not curve.noise:
            return None
        low, high = HIGHEST / BELOW, HIGHEST * BEYOND
        steps = max(2 * START, round(math.log2(high / low) * steps_per_octave(record.probe)))
        return replace(self, min_lr=low, max_lr=high, steps=steps)

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

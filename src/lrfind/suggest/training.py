"""What a rate is for: the one place that works out a training's schedule and length from what is known."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import log2
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lrfind.records import Record

SHORT = 480
"""Fewer steps are a short training: a tenth of it is no readable range test, and an octave off its best rate costs more
than in a longer one (docs/benchmark.md, *Other kinds of training*)."""

HORIZON = 2_000
"""Steps of the trainings that most constants are fitted on."""


@dataclass(frozen=True, slots=True)
class Training:
    """What is known of a training.

    Attributes:
        total_steps: Optimizer steps; None if not given.
        epochs: Passes over the data, likewise; of both, the lesser counts.
        steps_per_epoch: Optimizer steps in one pass over the data; 0 if unknown.
        schedule: The name of its schedule.
        final_fraction: Mean of rate / peak over the last fifth of it, in [0, 1]; ``lrfind.schedules.remaining``.
    """

    total_steps: int | None = None
    epochs: float | None = None
    steps_per_epoch: float = 0.0
    schedule: str = "constant"
    final_fraction: float = 1.0

    @property
    def passes(self) -> float | None:
        """Passes over the data; None if unknown."""
        by_steps = self.total_steps / self.steps_per_epoch if self.total_steps and self.steps_per_epoch else None
        return min((known for known in (by_steps, self.epochs) if known is not None), default=None)

    @property
    def steps(self) -> float | None:
        """Optimizer steps; None if unknown."""
        passes = self.passes
        return self.total_steps if passes is None or not self.steps_per_epoch else passes * self.steps_per_epoch

    @property
    def is_short(self) -> bool:
        """Whether it is known to be too short for a finder to be sure."""
        return self.steps is not None and self.steps < SHORT

    @property
    def halvings(self) -> float:
        """How often ``HORIZON`` is halved to give it; 0 for a longer training."""
        return max(log2(HORIZON / self.steps), 0.0) if self.steps else 0.0

    def between(self, annealed: float, steady: float) -> float:
        """Interpolate a constant for its schedule, from that of a rate that falls to zero to that of a steady one."""
        return annealed + (steady - annealed) * self.final_fraction

    def over(self, record: Record) -> Training:
        """Return the same with a record's ``steps_per_epoch``."""
        return replace(self, steps_per_epoch=record.steps_per_epoch or self.steps_per_epoch)


def with_length_of(training: Training, schedule: Any) -> Training:
    """Return a training with the length of its schedule (``length`` in its ``unit``), if none was given.

    A scheduler does not say whether it is stepped per batch or per epoch. One that would end within the first pass over
    the data is taken to be stepped per epoch; if the length of a pass is unknown, its length is ignored.
    """
    own, unit = getattr(schedule, "length", None), getattr(schedule, "unit", None)
    if own is None or training.total_steps is not None or training.epochs is not None:
        return training
    if unit is None and not training.steps_per_epoch:  # steps or epochs: unknown
        return training
    if unit == "epoch" or (unit is None and own < training.steps_per_epoch):
        return replace(training, epochs=own)
    return replace(training, total_steps=own)

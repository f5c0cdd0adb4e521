"""How long a training is: worked out here, from whatever is known of it, and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

SHORT = 480
"""Fewer steps than this are a short training: a tenth of it is no range test that can be read, and one octave off its
best rate costs more than in a longer one (docs/benchmark.md, *Other kinds of training*)."""


@dataclass(frozen=True, slots=True)
class Length:
    """How long a training is, as far as that is known.

    Attributes:
        total_steps: How many optimizer steps it takes; None where that is not said.
        epochs: How often it goes over the data, likewise; of both, the lesser counts.
        steps_per_epoch: Optimizer steps in one pass over the data; 0 where that is not known.
    """

    total_steps: int | None = None
    epochs: float | None = None
    steps_per_epoch: float = 0.0

    @property
    def passes(self) -> float | None:
        """How often it goes over the data."""
        by_steps = self.total_steps / self.steps_per_epoch if self.total_steps and self.steps_per_epoch else None
        return min((one for one in (by_steps, self.epochs) if one is not None), default=None)

    @property
    def steps(self) -> float | None:
        """How many optimizer steps it takes."""
        passes = self.passes
        return self.total_steps if passes is None or not self.steps_per_epoch else passes * self.steps_per_epoch

    @property
    def is_short(self) -> bool:
        """Whether it is known to be too short for a finder to be sure."""
        return self.steps is not None and self.steps < SHORT


def with_own(length: Length, schedule: Any) -> Length:
    """Return the length that a schedule has by itself, where nothing else is said.

    A scheduler does not say whether it is stepped per batch or per epoch. One that would end within the first pass
    over the data is taken to be stepped per epoch; where it is not known how long a pass is, its length says nothing.

    Args:
        length: What is said.
        schedule: Read for ``length``, how often it is stepped, and ``unit``, what it counts, if it has them.
    """
    own, unit = getattr(schedule, "length", None), getattr(schedule, "unit", None)
    if own is None or length.total_steps is not None or length.epochs is not None:
        return length
    if unit is None and not length.steps_per_epoch:  # nobody knows which
        return length
    if unit == "epoch" or (unit is None and own < length.steps_per_epoch):
        return replace(length, epochs=own)
    return replace(length, total_steps=own)

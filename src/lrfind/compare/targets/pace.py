"""Gives every optimizer step of a run its rate, and reads back what the optimizer really has."""

from __future__ import annotations

import math
from collections.abc import Sequence

from typing_extensions import Self

from lrfind.errors import BadInputError, RateNotAppliedError
from lrfind.loop import IDLE
from lrfind.optim import Optimizers, Stepping, differing

CLOSE = 1e-6
"""How far, relatively, a rate may be from the one that was asked for."""


class Patience:
    """Watches for a training that makes no steps: a scaler that finds no finite gradient would try for ever."""

    def __init__(self) -> None:
        self._idle, self._steps = 0, 0

    def check(self, steps: int) -> bool:
        """Say whether a step was made since the last batch.

        Args:
            steps: How many have been made.

        Raises:
            BadInputError: If there are many batches and no step.
        """
        if steps > self._steps:
            self._idle, self._steps = 0, steps
            return True
        self._idle += 1
        if self._idle > IDLE:
            raise BadInputError(
                f"the optimizer made no step for {self._idle} batches: the gradients may never be finite, or step= "
                f"does not step it."
            )
        return False


class Pace:
    """Sets the rate of each step inside ``step()``, after whatever else sets it, within ``with``.

    Args:
        optimizers: What is stepped; of several, the first one counts the steps and the others move with it.
        rates: The rate of each step.
    """

    def __init__(self, optimizers: Optimizers, rates: Sequence[float]) -> None:
        self._rates = rates
        self._stepping = Stepping(optimizers, rates[0], after=self._check)

    @property
    def steps(self) -> int:
        """How many steps the first optimizer has made."""
        return self._stepping.steps

    @property
    def last(self) -> float:
        """The rate read back at the last of them; NaN before the first."""
        return math.nan if self._stepping.read is None else self._stepping.read

    @property
    def span(self) -> tuple[float, float]:
        """The least and the greatest rate read back."""
        return self._stepping.least, self._stepping.greatest

    @property
    def is_done(self) -> bool:
        """Whether all steps have been made."""
        return self.steps >= len(self._rates)

    def __enter__(self) -> Self:
        """Begin to set rates."""
        self._stepping.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop setting rates."""
        self._stepping.__exit__()

    def _check(self) -> None:
        held, wanted = self.last, self._rate(self.steps - 1)
        if differing([held], [wanted], CLOSE) is not None:
            raise RateNotAppliedError(
                f"step {self.steps} was made with lr={held}, not {wanted}: "
                f"the step itself changes the rate, so that arms cannot be compared on it."
            )
        self._stepping.rate = self._rate(self.steps)

    def _rate(self, step: int) -> float:
        return self._rates[min(step, len(self._rates) - 1)]

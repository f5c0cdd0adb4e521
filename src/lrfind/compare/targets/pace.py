"""Gives every optimizer step of a run its rate, and reads back what the optimizer really has."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from typing_extensions import Self

from lrfind.errors import BadInputError, RateNotAppliedError
from lrfind.loop import IDLE
from lrfind.optim import Group, Optimizers, as_list, rates_of, read_rate, set_rate

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

    Attributes:
        steps: How many steps the first optimizer has made.
        last: The rate read back at the last of them; NaN before the first.
        span: The least and the greatest rate read back.
    """

    def __init__(self, optimizers: Optimizers, rates: Sequence[float]) -> None:
        self.steps, self.last, self.span = 0, math.nan, (math.inf, 0.0)
        self._optimizers, self._rates = as_list(optimizers), rates
        self._ratios = rates_of(self._optimizers).ratios
        self._groups: list[Group] = []
        self._is_within = False
        self._hooks: list[Any] = []

    @property
    def is_done(self) -> bool:
        """Whether all steps have been made."""
        return self.steps >= len(self._rates)

    def __enter__(self) -> Self:
        """Begin to set rates."""
        self._hooks = [one.register_step_pre_hook(self._before) for one in self._optimizers]
        self._hooks.append(self._optimizers[0].register_step_post_hook(self._after))
        return self

    def __exit__(self, *_: object) -> None:
        """Stop setting rates."""
        for hook in self._hooks:
            hook.remove()

    def _before(self, optimizer: Any, *_: Any) -> None:
        self._groups = [group for one in self._optimizers for group in one.param_groups]
        if len(self._groups) != len(self._ratios):
            raise BadInputError(
                f"the optimizers had {len(self._ratios)} param groups when training began and have "
                f"{len(self._groups)} now, so the ratios of their rates are unknown; add the groups before it."
            )
        set_rate(self._groups, self._rate(self.steps), self._ratios)
        self._is_within |= optimizer is self._optimizers[0]

    def _after(self, *_: Any) -> None:
        """Check a step; count it once, also where it calls its parent's: torch calls the hooks of both."""
        self.steps += self._is_within
        self._is_within = False
        held, wanted = read_rate(self._groups, self._ratios), self._rate(self.steps - 1)
        if not math.isclose(held, wanted, rel_tol=CLOSE):
            raise RateNotAppliedError(
                f"step {self.steps} was made with lr={held}, not {wanted}: "
                f"the step itself changes the rate, so that arms cannot be compared on it."
            )
        self.last = held
        self.span = (min(self.span[0], held), max(self.span[1], held))

    def _rate(self, step: int) -> float:
        return self._rates[min(step, len(self._rates) - 1)]

"""The shape of a schedule, read off a scheduler."""

from __future__ import annotations

from typing import Any

from lrfind.errors import BadInputError
from lrfind.optim.schedulers import (
    is_scheduler,
    known_length,
    optimizer_of,
    step_call,
    steps_per_call,
    unwrapped,
    without_wrapper,
)
from lrfind.optim.trajectory import ENOUGH, on_dummy, rates_of, trajectory
from lrfind.schedules import AsConstant, Shape, constant

_LEAST, _MOST = 0.5, 1.1
"""A schedule whose peak is between these multiples of the optimizer's rate is taken to have that rate as its peak."""


class Scheduled:
    """What a scheduler will make of the rate; it and its optimizer are only read.

    Args:
        scheduler: Whoever wrote it, before training or in the middle of it.
        steps: How often training will step it, where that does not depend on the number of optimizer steps
            (once per epoch, say).
        every: Otherwise, after how many optimizer steps it is stepped.

    Attributes:
        length: After how many steps of training, or epochs, it ends; None where it does not say.
        unit: ``"epoch"`` or ``"step"``, where its arguments say what it counts; else None.
        is_given: Whether the user gave it, who is told what is wrong with it; else it is read as constant then.

    Raises:
        BadInputError: If it is no scheduler, or cannot be stepped.
    """

    def __init__(self, scheduler: Any, steps: int | None = None, every: int = 1) -> None:
        if not is_scheduler(scheduler):
            raise BadInputError(f"schedule must be a name, a callable or a scheduler, got {scheduler!r}.")
        self._steps_per_call, scheduler = steps_per_call(scheduler), without_wrapper(scheduler)
        self.__name__ = type(scheduler).__name__
        self._steps, self._every, self.is_given, self._has_no_peak = steps, every, True, False
        self._twin = on_dummy(scheduler)
        call = step_call(self._twin)
        self._is_constant, self.unit = (call.needs_metric, call.unit) if call else (True, None)
        done = max(getattr(scheduler, "last_epoch", 0), 0)
        left = (known_length(scheduler) or 0) - done
        is_told = left > 0 and steps is None and not self._is_constant
        self.length = max(left * every // self._steps_per_call, 1) if is_told else None
        self._is_begun = done > 0
        self._peaks = rates_of(unwrapped(optimizer_of(scheduler)), None if self._is_constant else scheduler).peaks

    @property
    def note(self) -> str:
        """What a person should know about how it is read."""
        if self._is_constant:
            return f"{self.__name__} was read as constant: when it will change the rate is not known."
        return f"{self.__name__} was read as constant: training does not reach its peak." if self._has_no_peak else ""

    def over(self, steps: int, epochs: float | None = None) -> Shape:
        """Return the shape over a training of so many optimizer steps, which go so often over the data.

        A scheduler that waits for a metric counts as constant: nobody knows when it will act.

        Raises:
            BadInputError: If its peak is not the rate that the optimizer is given.
        """
        if self._is_constant:
            return constant
        times = self._steps or self._epochs(steps, epochs) or max(steps // self._every, 1)
        rates = trajectory(self._twin, times * self._steps_per_call)[:: self._steps_per_call]
        multipliers = [max(one / peak for one, peak in zip(row, self._peaks, strict=True) if peak) for row in rates]
        peak = 1.0 if self._is_begun else max(multipliers)
        self._has_no_peak = not _LEAST <= peak <= _MOST
        if not self._has_no_peak:
            return lambda fraction: multipliers[min(int(fraction * times), len(multipliers) - 1)] / peak
        if not self.is_given:
            return constant
        raise BadInputError(
            f"{self.__name__} takes the rate to {peak:.3g} times the optimizer's, so that no rate is its peak; "
            f"pass schedule= as a function of the fraction of training done, with 1 at its peak."
        )

    def _epochs(self, steps: int, epochs: float | None) -> int | None:
        """Return how often it is stepped if that is once per epoch; None if it is not."""
        if epochs is None or self.unit == "step":
            return None
        count = max(round(epochs), 1)
        is_per_epoch = self.unit == "epoch" or (self.length == count and count != steps)
        return count if is_per_epoch else None


def to_schedule(scheduler: Any, steps: int | None = None, every: int = 1) -> Scheduled | AsConstant:
    """Return what ``Scheduled`` is, or a constant rate, with the reason, where that cannot be read."""
    name = type(without_wrapper(scheduler)).__name__
    try:
        schedule = Scheduled(scheduler, steps, every)
    except BadInputError:
        return AsConstant(name, "how it is stepped cannot be told")
    try:
        schedule.over(schedule.length or 10 * ENOUGH)
    except BadInputError:
        return AsConstant(name, "its peak is not the rate that the optimizer is given")
    schedule.is_given = False
    return schedule

"""Read the shape of a schedule off a torch scheduler, by stepping a copy of it on a dummy."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import torch
from torch.optim.lr_scheduler import ReduceLROnPlateau

from lrfind.errors import BadInputError
from lrfind.optim.rates import rates_of, unwrapped
from lrfind.schedules import AsConstant, Shape, constant

_LEAST, _MOST = 0.5, 1.1
"""A schedule whose peak is between these multiples of the optimizer's rate is taken to have that rate as its peak."""

_ENOUGH = 10_000
"""Steps by which a schedule is expected to have come to its peak."""


class Scheduled:
    """What a torch scheduler will make of the rate; it and its optimizer are only read.

    Args:
        scheduler: Any scheduler that torch ships, or one like them, before training.
        steps: How often training will step it, where that does not depend on the number of optimizer steps
            (once per epoch, say).

    Raises:
        BadInputError: If it is no scheduler.
    """

    def __init__(self, scheduler: Any, steps: int | None = None) -> None:
        if not (hasattr(scheduler, "optimizer") and hasattr(scheduler, "step")):
            raise BadInputError(f"schedule must be a name, a callable or a scheduler, got {scheduler!r}.")
        self.__name__ = type(scheduler).__name__
        self._steps = steps
        self._is_steady = isinstance(scheduler, ReduceLROnPlateau)
        cyclical = [float(rate) for rate in getattr(scheduler, "max_lrs", ())]
        self._base = max(cyclical, default=rates_of(unwrapped(scheduler.optimizer)).lr)
        self._scheduler = scheduler if self._is_steady else _on_dummy(scheduler)

    @property
    def note(self) -> str:
        """What a person should know about how it is read."""
        name = self.__name__
        return f"{name} was read as constant: when it will lower the rate is not known." if self._is_steady else ""

    def over(self, steps: int) -> Shape:
        """Return the shape over a training of so many optimizer steps.

        A scheduler that waits for a plateau counts as constant: nobody knows when it will act.

        Raises:
            BadInputError: If its peak is not the rate that the optimizer is given.
        """
        if self._is_steady:
            return constant
        multipliers = self._multipliers(self._steps or steps)
        peak = max(multipliers)
        if not _LEAST <= peak <= _MOST:
            raise BadInputError(
                f"{self.__name__} takes the rate to {peak:.3g} times the optimizer's own, so that no rate is its peak; "
                f"pass schedule= as a function of the fraction of training done, with 1 at its peak."
            )
        return lambda fraction: multipliers[min(int(fraction * len(multipliers)), len(multipliers) - 1)] / peak

    def _multipliers(self, steps: int) -> list[float]:
        scheduler, found = copy.deepcopy(self._scheduler), []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for _ in range(steps):
                found.append(max(float(group["lr"]) for group in scheduler.optimizer.param_groups) / self._base)
                try:
                    scheduler.step()
                except ValueError:  # OneCycleLR beyond its end
                    break
        return found


def to_schedule(scheduler: Any, steps: int | None = None) -> Scheduled | AsConstant:
    """Return what a scheduler will make of the rate; a constant rate, with the reason, where that cannot be read.

    Args:
        scheduler: As ``Scheduled`` takes it.
        steps: Likewise.
    """
    schedule = Scheduled(scheduler, steps)
    try:
        schedule.over(_ENOUGH)
    except BadInputError:
        return AsConstant(schedule.__name__, "its peak is not the rate that the optimizer is given")
    return schedule


def _on_dummy(scheduler: Any) -> Any:
    """Copy a scheduler onto an optimizer of one number per group, at the rates of its own."""
    optimizer = unwrapped(scheduler.optimizer)
    dummy = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    groups = [{name: value for name, value in group.items() if name != "params"} for group in optimizer.param_groups]
    dummy.param_groups = [{"params": [torch.zeros(1)], **copy.deepcopy(group)} for group in groups]
    dummy.defaults = dict(optimizer.defaults)
    return copy.deepcopy(scheduler, {id(scheduler.optimizer): dummy, id(optimizer): dummy})

"""The learning rate of one optimizer, or of several that move together, and what each param group makes of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch.optim import Optimizer

from lrfind.errors import BadInputError
from lrfind.optim.schedulers import drives, flatten, own_length, unwrapped, waits, with_inner
from lrfind.optim.trial import ENOUGH, is_absolute, on_dummy, trajectory

Optimizers = Optimizer | Sequence[Optimizer]
"""One optimizer, or several whose rates move together; the first one's rate is the rate."""

Group = dict[str, Any]
"""A param group of an optimizer."""


CLOSE = 1e-6
"""Rates this close, relatively, are the same: a tensor rate holds single precision."""


@dataclass(frozen=True, slots=True)
class Rates:
    """The learning rate of an optimizer and what each param group makes of it.

    Attributes:
        lr: A rate that a param group has, under a schedule its peak: the optimizer's ``defaults["lr"]`` where a group
            has that, else the first group's that is not 0. Of several optimizers, the first one's.
        peaks: Each group's rate, under a schedule its peak; the groups of several optimizers in a row.
    """

    lr: float
    peaks: tuple[float, ...]

    @property
    def ratios(self) -> tuple[float, ...]:
        """Each group's rate as a multiple of ``lr``."""
        return tuple(peak / self.lr for peak in self.peaks)


def as_list(optimizers: Optimizers) -> list[Optimizer]:
    """Return one optimizer, or several, as a list; a wrapper (Accelerate's) gives way to what it wraps."""
    if isinstance(optimizers, Optimizer):  # the usual case, at every step
        return [unwrapped(optimizers)]
    each = list(optimizers) if isinstance(optimizers, Sequence) else [optimizers]
    return [unwrapped(one) for one in each]


def groups_of(optimizers: Optimizers) -> list[Group]:
    """Return the param groups of one optimizer, or of several in a row."""
    return [group for optimizer in as_list(optimizers) for group in optimizer.param_groups]


def rates_of(optimizers: Optimizers, scheduler: Any = None) -> Rates:
    """Return the rate of an optimizer and of its param groups.

    Args:
        optimizers: One, or several.
        scheduler: The schedulers that drive them, as far as they are known; without them a cycle's peak is not known
            but where its scheduler leaves it in the groups.

    Raises:
        BadInputError: If the optimizer has no positive learning rate to measure the ratios against.
    """
    each, schedulers = as_list(optimizers), list(with_inner(flatten(scheduler)))
    peaks = [_peaks(one, schedulers) for one in each]
    lead = each[0]
    usual = float(lead.defaults.get("lr") or 0.0)
    named = (peak for peak in peaks[0] if peak and math.isclose(peak, usual, rel_tol=CLOSE))
    lr = next(named, next(filter(None, peaks[0]), 0.0))
    if not 0 < lr < math.inf:
        raise BadInputError(
            f"{type(lead).__name__} has lr={lr}, so the ratios of its param groups are unknown; "
            f"construct it with a positive lr (any will do)."
        )
    return Rates(lr, tuple(peak for some in peaks for peak in some))


def _peaks(optimizer: Optimizer, schedulers: Sequence[Any]) -> list[float]:
    """Return the peak of each param group under the schedulers that drive an optimizer."""
    drivers = [one for one in schedulers if drives(one, optimizer)]
    cycles = [one for one in drivers if hasattr(one, "max_lrs") and not waits(one)]
    if cycles:
        return [float(peak) for peak in cycles[-1].max_lrs]
    if drivers and is_absolute(drivers[-1]):
        steps = own_length(drivers[-1]) or ENOUGH
        return [max(rates) for rates in zip(*trajectory(on_dummy(drivers[-1]), steps), strict=True)]
    names: tuple[str, ...] = ("initial_lr", "lr")
    if not schedulers or any(hasattr(one, "_schedule_phases") for one in drivers):  # OneCycleLR, which may be over
        names = ("max_lr", *names)
    return [float(next(group[name] for name in names if name in group)) for group in optimizer.param_groups]

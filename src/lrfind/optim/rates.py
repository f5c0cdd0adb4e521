"""The learning rate of one optimizer, or of several that move together, and what each param group makes of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from torch.optim import Optimizer

from lrfind.errors import BadInputError

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
        ratios: Each group's rate as a multiple of ``lr``; the groups of several optimizers in a row.
    """

    lr: float
    ratios: tuple[float, ...]


def as_list(optimizers: Optimizers) -> list[Optimizer]:
    """Return one optimizer, or several, as a list; a wrapper (Accelerate's) gives way to what it wraps."""
    if isinstance(optimizers, Optimizer):  # the usual case, at every step
        return [unwrapped(optimizers)]
    each = list(optimizers) if isinstance(optimizers, Sequence) else [optimizers]
    return [unwrapped(one) for one in each]


def unwrapped(optimizer: Any) -> Optimizer:
    """Return the optimizer that steps, without the wrapper that Accelerate puts around it."""
    while not hasattr(optimizer, "_optimizer_step_pre_hooks") and hasattr(optimizer, "optimizer"):
        optimizer = optimizer.optimizer
    return cast(Optimizer, optimizer)


def groups_of(optimizers: Optimizers) -> list[Group]:
    """Return the param groups of one optimizer, or of several in a row."""
    return [group for optimizer in as_list(optimizers) for group in optimizer.param_groups]


def rates_of(optimizers: Optimizers) -> Rates:
    """Return the rate of an optimizer and the ratios of its param groups.

    Raises:
        BadInputError: If the optimizer has no positive learning rate to measure the ratios against.
    """
    lead = as_list(optimizers)[0]
    peaks = [_peak(group) for group in lead.param_groups]
    usual = float(lead.defaults.get("lr") or 0.0)
    named = (peak for peak in peaks if peak and math.isclose(peak, usual, rel_tol=CLOSE))
    lr = next(named, next(filter(None, peaks), 0.0))
    if not 0 < lr < math.inf:
        raise BadInputError(
            f"{type(lead).__name__} has lr={lr}, so the ratios of its param groups are unknown; "
            f"construct it with a positive lr (any will do)."
        )
    return Rates(lr, tuple(_peak(group) / lr for group in groups_of(optimizers)))


def _peak(group: Group) -> float:
    return float(next(group[name] for name in ("max_lr", "initial_lr", "lr") if name in group))

"""The one place where the rates of param groups are read, written and compared."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch.optim import Optimizer

from lrfind.errors import RateNotAppliedError
from lrfind.optim.schedulers import unwrapped

Optimizers = Optimizer | Sequence[Optimizer]
"""One optimizer, or several whose rates move together; the first one's rate is the rate."""

Group = dict[str, Any]

RATES = ("lr", "initial_lr", "max_lr", "min_lr", "swa_lr")
"""The keys under which schedulers keep rates in param groups."""

CLOSE = 1e-6
"""Rates this close, relatively, are the same: a tensor holds them in single precision."""


def as_list(optimizers: Optimizers) -> list[Optimizer]:
    """Return one optimizer, or several, as a list, without wrappers such as Accelerate's."""
    each = optimizers if isinstance(optimizers, (list, tuple)) else [optimizers]
    return [unwrapped(item) for item in each]


def groups_of(optimizers: Optimizers) -> list[Group]:
    """Return the param groups of one optimizer, or of several in a row."""
    return [group for optimizer in as_list(optimizers) for group in optimizer.param_groups]


def write(group: Any, value: float, name: str = "lr") -> None:
    """Set a rate in a param group; a tensor is filled in place."""
    if isinstance(group.get(name), torch.Tensor):
        group[name].fill_(value)
    else:
        group[name] = value


def held_by(groups: Sequence[Any]) -> list[float]:
    """Return the rate that each param group holds."""
    return [float(group["lr"]) for group in groups]


def differing(held: Sequence[float], wanted: Sequence[float], close: float = 0.0) -> int | None:
    """Return the index of the first param group whose rate is not as wanted; None if all are.

    Groups beyond those wanted may hold any rate. Two rates may be ``close`` apart, relatively.
    """
    pairs = enumerate(zip(held, wanted, strict=False))
    return next((index for index, (each, other) in pairs if not math.isclose(each, other, rel_tol=close)), None)


def read_rate(groups: Sequence[Group], ratios: Sequence[float]) -> float:
    """Return the rate that the param groups hold, divided by their ratios; ``RateNotAppliedError`` if it is not one."""
    held = held_by(groups)
    base = next((rate / ratio for rate, ratio in zip(held, ratios, strict=True) if ratio), held[0])
    wanted = [base * ratio for ratio in ratios]
    if (index := differing(held, wanted, CLOSE)) is not None:
        raise RateNotAppliedError(
            f"param group {index} has lr={held[index]}, not {wanted[index]}: "
            f"something else sets its rate; let lrfind or the scheduler be the only one."
        )
    return base

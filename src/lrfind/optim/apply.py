"""Apply a rate so that it lasts: on the param groups, and on every scheduler that drives them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

from torch.optim import Optimizer

from lrfind.errors import BadInputError, RateNotAppliedError
from lrfind.optim.rates import Optimizers, as_list, groups_of, rates_of, unwrapped
from lrfind.optim.stepping import write
from lrfind.optim.watch import AppliedRate

_GROUP_RATES = ("initial_lr", "max_lr", "min_lr", "swa_lr")
_SCHEDULER_RATES = ("base_lrs", "max_lrs", "min_lrs", "_last_lr", "eta_min")


def apply_rate(optimizers: Optimizers, lr: float, scheduler: Any = None) -> AppliedRate:
    """Set a rate on an optimizer and its schedulers, check it, and watch it from now on.

    Args:
        optimizers: Any torch optimizer, or several that move together; ratios between all their param groups are
            kept, and ``lr`` is the first one's.
        lr: The rate, positive and finite; under a cyclical schedule, its peak.
        scheduler: The scheduler, or several, that drive the optimizer; each is rebased in place so that its
            whole trajectory scales.

    Returns:
        The watch; it raises inside ``optimizer.step()`` as soon as another rate is about to be used.

    Raises:
        BadInputError: If ``lr`` is not positive and finite.
        RateNotAppliedError: If a scheduler drives the optimizer but was not given, or the rate does not hold.
    """
    if not 0 < lr < math.inf:
        raise BadInputError(f"lr must be positive and finite, got {lr=}.")
    schedulers = tuple(flatten(scheduler))
    each = as_list(optimizers)
    for one in each:
        if not hasattr(one, "param_groups"):
            raise BadInputError(
                f"a rate is applied to an optimizer, got a {type(one).__name__}; a LightningModule's is by "
                f"lrfind.lightning.apply(finding, model)."
            )
        _check_driven(one, schedulers)
    for one in _with_inner(schedulers):
        for group, peak in zip(one.optimizer.param_groups, getattr(one, "max_lrs", ()), strict=False):
            group.setdefault("max_lr", float(peak))
    old = rates_of(each)
    for group, ratio in zip(groups_of(each), old.ratios, strict=True):
        scheduled = float(group["lr"]) / (old.lr * ratio) if schedulers and ratio else 1.0
        write(group, lr * ratio * scheduled)
        for name in _GROUP_RATES:
            if name in group:
                peak = float(group[name]) / (old.lr * ratio) if ratio else 1.0
                write(group, lr * ratio * peak, name)
    each[0].defaults["lr"] = lr
    for one in each[1:]:
        if one.defaults.get("lr"):
            one.defaults["lr"] *= lr / old.lr
    for one in _with_inner(schedulers):
        _rebase(one, lr / old.lr)
    return AppliedRate(each, schedulers)


def flatten(scheduler: Any) -> Iterator[Any]:
    """Yield the schedulers in None, one scheduler or nested containers of them."""
    if isinstance(scheduler, Iterable):
        for one in scheduler:
            yield from flatten(one)
    elif scheduler is not None:
        yield scheduler


def _with_inner(schedulers: Iterable[Any]) -> Iterator[Any]:
    """Yield schedulers with those that they hold (``SequentialLR``, ``ChainedScheduler``), inner ones first."""
    for one in schedulers:
        yield from _with_inner(getattr(one, "_schedulers", ()))
        yield one


def _check_driven(optimizer: Optimizer, schedulers: tuple[Any, ...]) -> None:
    is_driven = any("initial_lr" in group for group in optimizer.param_groups)
    if is_driven and not any(unwrapped(one.optimizer) is optimizer for one in schedulers):
        raise RateNotAppliedError(
            f"a scheduler drives this {type(optimizer).__name__} and would undo the rate at its next step; "
            f"pass it too: finding.apply(optimizer, scheduler)."
        )


def _rebase(scheduler: Any, factor: float) -> None:
    """Scale every absolute rate a scheduler keeps; its base rates become exactly the groups' new ones."""
    for name in _SCHEDULER_RATES:
        value = getattr(scheduler, name, None)
        if isinstance(value, (list, tuple)):
            setattr(scheduler, name, [rate * factor for rate in value])
        elif isinstance(value, (int, float)):
            setattr(scheduler, name, value * factor)
    groups = scheduler.optimizer.param_groups
    if hasattr(scheduler, "base_lrs"):
        bases = zip(groups, scheduler.base_lrs, strict=True)
        scheduler.base_lrs = [group.get("initial_lr", base) for group, base in bases]
    scheduler._last_lr = [float(group["lr"]) for group in groups]

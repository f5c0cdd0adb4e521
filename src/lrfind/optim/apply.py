"""Apply a rate so that it lasts: on the param groups, and on every scheduler that drives them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch.optim import Optimizer

from lrfind.errors import BadInputError, RateNotAppliedError
from lrfind.optim.rates import Optimizers, Rates, as_list, groups_of, rates_of
from lrfind.optim.rebase import begin_again, note_rates, rebase_of
from lrfind.optim.schedulers import RATES, drives, is_scheduler, once, unwrapped, waits, with_inner
from lrfind.optim.stepping import write
from lrfind.optim.trial import WAY_OUT
from lrfind.optim.watch import AppliedRate, living_schedulers, watches_over


def apply_rate(optimizers: Optimizers, lr: float, scheduler: Any = None) -> AppliedRate:
    """Set a rate on an optimizer and its schedulers, check it, and watch it from now on.

    Args:
        optimizers: Any torch optimizer, or several that move together; ratios between all their param groups are
            kept, and ``lr`` is the first one's. An earlier watch of this function over them ends.
        lr: The rate, positive and finite; under a schedule, its peak. In the middle of a schedule that nothing says the
            peak of (no ``initial_lr`` in the groups), what the groups hold counts as it.
        scheduler: The scheduler, or several, that drive the optimizer, whoever wrote them; each is rebased in place
            so that its whole trajectory scales, with what was given to it as a rate (``eta_min``, ``min_lr``).

    Returns:
        The watch; it raises inside ``optimizer.step()`` as soon as another rate is about to be used.

    Raises:
        BadInputError: If ``lr`` is not positive and finite, or a scheduler drives another optimizer or cannot be
            driven.
        RateNotAppliedError: If a scheduler drives the optimizer but was not given, or the rate does not hold.
    """
    if not 0 < lr < math.inf:
        raise BadInputError(f"lr must be positive and finite, got {lr=}.")
    schedulers, each = once(scheduler), as_list(optimizers)
    for one in each:
        if not hasattr(one, "param_groups"):
            raise BadInputError(
                f"a rate is applied to an optimizer, got a {type(one).__name__}; a LightningModule's is by "
                f"lrfind.lightning.apply(finding, model)."
            )
    _check_drivers(each, schedulers)
    old = rates_of(each, schedulers)
    rebases = [rebase_of(one, lr / old.lr) for one in schedulers]
    for watch in watches_over(each):
        watch.remove()
    bases = [_bases(one) for one in with_inner(schedulers)]
    for one, rebase in zip(schedulers, rebases, strict=True):
        rebase(one, lr / old.lr)
    _write_groups(each, lr, old, is_driven=not all(map(_is_idle, schedulers)))
    for one, base in zip(with_inner(schedulers), bases, strict=True):
        _take_bases(one, base)
    for one in each:
        begin_again([driver for driver in schedulers if drives(driver, one)])
    for one in schedulers:
        note_rates(one)
    return AppliedRate(each, schedulers, is_replaceable=True)


def _write_groups(each: Sequence[Optimizer], lr: float, old: Rates, *, is_driven: bool) -> None:
    """Set every rate that the param groups keep; a schedule goes on from where it is."""
    ratios = old.ratios
    for group, ratio, peak in zip(groups_of(each), ratios, old.peaks, strict=True):
        scheduled = float(group["lr"]) / peak if is_driven and peak else 1.0
        write(group, lr * ratio * scheduled)
        for name in RATES[1:]:
            if name in group:
                write(group, lr * ratio * (float(group[name]) / peak if peak else 1.0), name)
    each[0].defaults["lr"] = lr
    for one in each[1:]:
        if one.defaults.get("lr"):
            one.defaults["lr"] *= lr / old.lr


def _is_idle(scheduler: Any) -> bool:
    """Say whether a scheduler waits for a metric and has not been given one: the rate is its optimizer's own."""
    return waits(scheduler) and getattr(scheduler, "last_epoch", 0) == 0


def _bases(scheduler: Any) -> list[bool]:
    """Say of which groups a scheduler's base rate is their ``initial_lr``."""
    pairs = zip(scheduler.optimizer.param_groups, getattr(scheduler, "base_lrs", ()), strict=False)
    return [math.isclose(float(group.get("initial_lr", math.nan)), float(base), rel_tol=1e-6) for group, base in pairs]


def _take_bases(scheduler: Any, is_base: Sequence[bool]) -> None:
    """Give a scheduler the groups' new ``initial_lr`` to the last bit, where its base rates were these."""
    for index, (group, same) in enumerate(zip(scheduler.optimizer.param_groups, is_base, strict=False)):
        if same:
            value = group["initial_lr"]
            scheduler.base_lrs[index] = value.clone() if isinstance(value, torch.Tensor) else value


def _check_drivers(each: Sequence[Optimizer], schedulers: Sequence[Any]) -> None:
    """Check that the schedulers drive these optimizers, and that no other one does."""
    for one in schedulers:
        name = type(one).__name__
        if not is_scheduler(one):
            raise BadInputError(f"{name} is no scheduler with an optimizer of its own that it steps; {WAY_OUT}.")
        if not any(drives(one, optimizer) for optimizer in each):
            raise BadInputError(
                f"{name} drives another {type(unwrapped(one.optimizer)).__name__}, not this "
                f"{type(each[0]).__name__}; build the scheduler on the optimizer that trains, or leave it out."
            )
    for optimizer in each:
        is_driven = any("initial_lr" in group for group in optimizer.param_groups)
        if is_driven and not any(drives(one, optimizer) for one in schedulers) and living_schedulers(optimizer):
            raise RateNotAppliedError(
                f"a scheduler drives this {type(optimizer).__name__} and would undo the rate at its next step; "
                f"pass it too: finding.apply(optimizer, scheduler)."
            )

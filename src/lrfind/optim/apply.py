"""Apply a rate so that it lasts: on the param groups, and on every scheduler that drives them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from torch.optim import Optimizer

from lrfind.errors import BadInputError, RateNotAppliedError
from lrfind.optim.rates import CLOSE, RATES, Optimizers, as_list, differing, groups_of, write
from lrfind.optim.rebase import begin_again, note_rates, rebase_of
from lrfind.optim.schedulers import (
    check_hooks,
    drives,
    is_scheduler,
    needs_metric,
    optimizer_of,
    outermost,
    unwrapped,
    with_inner,
)
from lrfind.optim.trajectory import REMEDY, Change, rates_of
from lrfind.optim.watch import AppliedRate, living_schedulers, watches_over


def apply_rate(
    optimizers: Optimizers, lr: float, scheduler: Any = None, *, ratios: Sequence[float] = (), max_lr: float = 0.0
) -> AppliedRate:
    """Set a rate on an optimizer and its schedulers, check it, and watch it from now on.

    Args:
        optimizers: Any torch optimizer, or several that move together; ratios between all their param groups are
            kept, and ``lr`` is the first one's. An earlier watch of this function over them ends.
        lr: The rate, positive and finite; under a schedule, its peak. In the middle of a schedule that nothing says the
            peak of (no ``initial_lr`` in the groups), what the groups hold counts as it.
        scheduler: The scheduler, or several, that drive the optimizer, whoever wrote them; each is rebased in place
            so that its whole trajectory scales, with what was given to it as a rate (``eta_min``, ``min_lr``).
        ratios: Of the param groups, as ``rates_of`` takes them: a finding's, say.
        max_lr: The top of a range: a ``CyclicLR`` or ``OneCycleLR`` that was built with it is left as it was built.

    Returns:
        The watch; it raises inside ``optimizer.step()`` as soon as another rate is about to be used.

    Raises:
        BadInputError: If ``lr`` is not positive and finite, or a scheduler drives another optimizer or cannot be
            driven.
        RateNotAppliedError: If a scheduler drives the optimizer but was not given, or the rate does not hold.
    """
    if not 0 < lr < math.inf:
        raise BadInputError(f"lr must be positive and finite, got {lr=}.")
    schedulers, each = outermost(scheduler), as_list(optimizers)
    _check(each, schedulers)
    old = rates_of(each, schedulers, ratios)
    change = old.to(lr)
    if any(map(_is_cycle, with_inner(schedulers))) and differing([old.lr], [max_lr], CLOSE) is None:
        lr, change = old.lr, Change(1.0, {})
    rebases = [rebase_of(one, change.factor) for one in schedulers]
    for watch in watches_over(each):
        watch.remove()
    for one, rebase in zip(schedulers, rebases, strict=True):
        rebase(one, change)
    for group, ratio in zip(groups_of(each), old.ratios, strict=True):
        for name in RATES:
            if name in group:
                write(group, change.of(float(group[name])), name)
        if all(map(_is_idle, schedulers)):  # no schedule, which would go on from where it is
            write(group, lr * ratio)
    for one in each:
        if one is each[0] or one.defaults.get("lr"):
            one.defaults["lr"] = lr if one is each[0] else one.defaults["lr"] * change.factor
        begin_again([driver for driver in schedulers if drives(driver, one)])
    for one in schedulers:
        note_rates(one)
    return AppliedRate(each, schedulers, is_replaceable=True, ratios=old.ratios)


def _is_cycle(scheduler: Any) -> bool:
    """Say whether a scheduler was given its peak as a number of its own, as ``CyclicLR`` and ``OneCycleLR`` are."""
    return hasattr(scheduler, "_schedule_phases") or (hasattr(scheduler, "max_lrs") and not needs_metric(scheduler))


def _is_idle(scheduler: Any) -> bool:
    """Say whether a scheduler needs a metric and has not been given one: the rate is its optimizer's own."""
    return needs_metric(scheduler) and getattr(scheduler, "last_epoch", 0) == 0


def _check(each: Sequence[Optimizer], schedulers: Sequence[Any]) -> None:
    """Check that these are optimizers, that the schedulers drive them, and that no other one does."""
    for optimizer in each:
        if not hasattr(optimizer, "param_groups"):
            raise BadInputError(
                f"a rate is applied to an optimizer, got a {type(optimizer).__name__}; a LightningModule's is by "
                f"lrfind.lightning.apply(finding, model)."
            )
        check_hooks(optimizer)
    for one in schedulers:
        name = type(one).__name__
        if not is_scheduler(one):
            raise BadInputError(f"{name} has no attribute optimizer, which says whose rates it changes; {REMEDY}.")
        if not any(drives(one, optimizer) for optimizer in each):
            raise BadInputError(
                f"{name} drives another {type(unwrapped(optimizer_of(one))).__name__}, not this "
                f"{type(each[0]).__name__}; build the scheduler on the optimizer that trains, or leave it out."
            )
    for optimizer in each:
        is_driven = any("initial_lr" in group for group in optimizer.param_groups)
        if is_driven and not any(drives(one, optimizer) for one in schedulers) and living_schedulers(optimizer):
            raise RateNotAppliedError(
                f"a scheduler drives this {type(optimizer).__name__} and would undo the rate at its next step; "
                f"pass it too: finding.apply(optimizer, scheduler)."
            )

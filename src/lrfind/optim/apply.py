"""Apply a rate so that it lasts: on the param groups, and on every scheduler that drives them."""

import math
import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import MultiplicativeLR

from lrfind.errors import BadInputError, RateNotAppliedError
from lrfind.optim import schedulers as sched
from lrfind.optim.rates import CLOSE, RATES, Optimizers, View, as_list, differing, held_by, latest_rates, view_of, write
from lrfind.optim.stepping import AppliedRate, watches_over
from lrfind.optim.trajectory import ENOUGH, REMEDY, Change, on_dummy, rates_of, trajectory

_TORCH = re.compile(r"^(base_lrs|max_lrs|min_lrs|default_min_lr|_last_lr|eta_min|_init_lrs)$")
_TIMM = re.compile(rf"{_TORCH.pattern}|^(base_values|lr_min|warmup_lr_init|warmup_steps)$")
_LIKELY = re.compile(r"(^|_)(lr|lrs|eta)(_|$)|lrs?$")
"""Names of the attributes in which torch's, timm's and other schedulers keep rates."""

_CLOSE = 1e-9

Rebase = Callable[[Any, Change], None]


def apply_rate(
    optimizers: Optimizers, lr: float, scheduler: Any = None, *, ratios: Sequence[float] = (), max_lr: float = 0.0
) -> AppliedRate:
    """Set a rate on an optimizer and its schedulers, check it, and watch it from now on.

    Args:
        optimizers: Any torch optimizer, or several that move together: the ratios between all their param groups are
            kept, and ``lr`` is the first one's. An earlier watch of this function over them ends.
        lr: The rate, positive and finite; under a schedule, its peak. In the middle of a schedule whose peak is
            unknown (no ``initial_lr`` in the groups), the rate that it last set counts as the peak.
        scheduler: The scheduler, or several, that drive the optimizer, from any library; each is rebased in place, so
            that its whole trajectory scales, with the rates that it was given (``eta_min``, ``min_lr``).
        ratios: Each param group's rate as a multiple of ``lr``, if known, such as a finding's.
        max_lr: The top of a range: a ``CyclicLR`` or ``OneCycleLR`` that was built with it is left as it is.

    Returns:
        The watch; it raises inside ``optimizer.step()`` as soon as another rate is about to be used.

    Raises:
        BadInputError: If ``lr`` is not positive and finite, or a scheduler drives another optimizer or cannot be
            driven.
        RateNotAppliedError: If a scheduler drives the optimizer but was not given, or the rate does not hold.
    """
    if not 0 < lr < math.inf:
        raise BadInputError(f"lr must be positive and finite, got {lr=}.")
    schedulers, each = sched.outermost(scheduler), as_list(optimizers)
    _check(each, schedulers)
    _undo_by_hand(each, schedulers)
    old = rates_of(each, schedulers, ratios)
    change = old.to(lr)
    held = sched.with_inner(schedulers)
    cycles = [item for item in held if hasattr(item, "max_lrs") and not sched.needs_metric(item)]
    cycles += [item for item in held if hasattr(item, "_schedule_phases")]  # which has its own peak
    if cycles and differing([old.lr], [max_lr], CLOSE) is None:
        lr, change = old.lr, Change(1.0, {})
    rebases = [_rebase_of(item, change.factor) for item in schedulers]
    for watch in watches_over(each):
        watch.remove()
    for item, rebase in zip(schedulers, rebases, strict=True):
        rebase(item, change)
    # no schedule, or one that waits for its first metric: the groups get the exact rate
    is_idle = all(sched.needs_metric(item) and getattr(item, "last_epoch", 0) == 0 for item in schedulers)
    _write_all(each, lr, change, old.ratios if is_idle else ())
    for item in each:
        _begin_again(sched.driving([item], schedulers))
    noted = [item for one in schedulers for item in (sched.with_inner([one]) if sched.is_known(one) else [one])]
    for item in (item for item in noted if "_last_lr" in vars(item)):  # _last_lr repeats the groups' rates
        item._last_lr = held_by(item.optimizer.param_groups)
    watch = AppliedRate(each, schedulers, ratios=old.ratios)
    watch.is_replaceable = True
    return watch


def _write_all(optimizers: Sequence[Optimizer], lr: float, change: Change, ratios: Sequence[float]) -> None:
    """Change the rates of all param groups, with ratios to these multiples of ``lr``; and those of groups to come."""
    groups = [group for each in optimizers for group in each.param_groups]
    changed = [(group, name, change.of(float(group[name]))) for group in groups for name in RATES if name in group]
    changed += [(group, "lr", lr * ratio) for group, ratio in zip(groups, ratios, strict=False)]
    defaults = [lr, *(change.factor * float(each.defaults.get("lr") or 0.0) for each in optimizers[1:])]
    for group, name, rate in changed:  # only now: groups, and the defaults, may share a tensor
        write(group, rate, name)
    for each, default in zip(optimizers, defaults, strict=True):
        if default:
            each.defaults["lr"] = default


def _undo_by_hand(optimizers: Sequence[Optimizer], schedulers: Sequence[Any]) -> None:
    telling = [each for each in schedulers if sched.is_known(each) or isinstance(sched.optimizer_of(each), View)]
    for optimizer in optimizers:
        rates = [latest_rates(each) for each in sched.driving([optimizer], telling)]
        held = held_by(optimizer.param_groups)
        if rates and all(differing(held, each, CLOSE) is not None for each in rates):
            for group, rate in zip(optimizer.param_groups, rates[-1], strict=False):
                write(group, rate)


def _check(each: Sequence[Optimizer], schedulers: Sequence[Any]) -> None:
    for optimizer in each:
        if not hasattr(optimizer, "param_groups"):
            raise BadInputError(
                f"a rate is applied to an optimizer, got a {type(optimizer).__name__}; a LightningModule's is by "
                f"lrfind.lightning.apply(finding, model)."
            )
        sched.check_optimizer(optimizer)
    for item in schedulers:
        name = type(item).__name__
        if hasattr(item, "param_groups"):
            raise BadInputError(f"apply takes the optimizer and then the scheduler, got {name} as the scheduler.")
        if not sched.is_scheduler(item):
            raise BadInputError(f"{name} has no attribute optimizer, which says whose rates it changes; {REMEDY}.")
        if not sched.driving(each, item):
            raise BadInputError(
                f"{name} drives another {type(sched.driven_by(item)).__name__}, not this "
                f"{type(each[0]).__name__}; build the scheduler on the optimizer that trains, or leave it out."
            )
    for optimizer in each:
        is_driven = any("initial_lr" in group for group in optimizer.param_groups)
        if is_driven and not sched.driving([optimizer], schedulers) and sched.living_schedulers(optimizer):
            raise RateNotAppliedError(
                f"a scheduler drives this {type(optimizer).__name__} and would undo the rate at its next step; "
                f"pass it too: finding.apply(optimizer, scheduler)."
            )


def _by_names(names: re.Pattern[str], scheduler: Any, change: Change) -> None:
    for each in sched.with_inner([scheduler]):
        for name in filter(names.search, tuple(vars(each))):
            setattr(each, name, _changed(getattr(each, name), change))


def _by_view(scheduler: Any, change: Change) -> None:
    view_of(scheduler).factor *= change.factor


def _rebase_of(scheduler: Any, factor: float) -> Rebase:
    """Return what scales the trajectory of a scheduler; for an unknown class, found by trial on copies."""
    if sched.is_known(scheduler) and sched.step_call(scheduler) is not None:
        return partial(_by_names, _TORCH)
    steps = max(ENOUGH, sched.known_length(scheduler) or 0)
    goals = [rate * factor for row in trajectory(on_dummy(scheduler), steps) for rate in row]
    is_single = any(isinstance(group["lr"], torch.Tensor) for group in sched.optimizer_of(scheduler).param_groups)
    most = (CLOSE if is_single else _CLOSE) * max(map(abs, goals), default=0.0)
    ways: list[Rebase] = [partial(_by_names, names) for names in (_TORCH, _TIMM, _LIKELY)]
    for rebase in (*ways, _by_view):
        rebase(twin := on_dummy(scheduler, factor), Change(factor, {}))
        rates = [rate for row in trajectory(twin, steps) for rate in row]
        if len(rates) == len(goals) and all(abs(each - goal) <= most for each, goal in zip(rates, goals, strict=True)):
            return rebase
    name = type(scheduler).__name__
    raise BadInputError(f"{name} sets rates that do not scale with anything that it keeps; {REMEDY}.")


def _begin_again(schedulers: Sequence[Any]) -> None:
    """Let torch's schedulers that have not been stepped set their first rate again from the groups' ``initial_lr``.

    A user's function is not called again, since it may count calls: its first result is kept, scaled.
    """
    leaves = [leaf for each in schedulers for leaf in _first_ones(each)]
    for each in leaves:
        is_new = (getattr(each, "last_epoch", None), getattr(each, "_step_count", 0)) == (0, 1)
        if not is_new or not sched.is_known(each) or sched.needs_metric(each):
            return
    for group in leaves[0].optimizer.param_groups if leaves else ():
        write(group, float(group["initial_lr"]))
    for each in leaves:
        if hasattr(each, "lr_lambdas") and not isinstance(each, MultiplicativeLR):
            for group, rate in zip(each.optimizer.param_groups, each._last_lr, strict=True):
                write(group, float(rate))
        else:
            each.last_epoch -= 1
            each._initial_step()


def _first_ones(scheduler: Any) -> list[Any]:
    inner = sched.inner_of(scheduler) if sched.is_known(scheduler) else []
    if hasattr(scheduler, "_milestones"):
        inner = inner[bisect_right(scheduler._milestones, 0) :][:1]
    return [first for each in inner for first in _first_ones(each)] or [scheduler]


def _changed(value: Any, change: Change) -> Any:
    """Return a rate or a list of rates after the change; anything else as it is."""
    if isinstance(value, (list, tuple)):
        changed = [_changed(each, change) for each in value]
        return changed if isinstance(value, list) else tuple(changed)
    if isinstance(value, torch.Tensor):
        return torch.full_like(value, change.of(float(value)))
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return change.of(value) if is_number else value

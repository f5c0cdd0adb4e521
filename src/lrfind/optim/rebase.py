"""Scale a scheduler with its rate: by what it keeps of rates where that is known, else by what it writes."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch.optim.lr_scheduler import MultiplicativeLR

from lrfind.errors import BadInputError
from lrfind.optim.rates import CLOSE, held_by, write
from lrfind.optim.scaled import view_of
from lrfind.optim.schedulers import (
    inner_of,
    is_known,
    known_length,
    needs_metric,
    optimizer_of,
    step_call,
    unwrapped,
    with_inner,
)
from lrfind.optim.trajectory import ENOUGH, REMEDY, Change, on_dummy, trajectory

_TORCH = re.compile(r"^(base_lrs|max_lrs|min_lrs|default_min_lr|_last_lr|eta_min|_init_lrs)$")
_TIMM = re.compile(rf"{_TORCH.pattern}|^(base_values|lr_min|warmup_lr_init|warmup_steps)$")
_LIKELY = re.compile(r"(^|_)(lr|lrs|eta)(_|$)|lrs?$")
"""What schedulers call the rates that they keep: torch's, timm's, and what others may."""

_CLOSE = 1e-9

Rebase = Callable[[Any, Change], None]
"""Changes the rates of a scheduler."""


def _by_names(names: re.Pattern[str], scheduler: Any, change: Change) -> None:
    """Change the attributes of these names."""
    for one in with_inner([scheduler]):
        for name in filter(names.search, tuple(vars(one))):
            setattr(one, name, _changed(getattr(one, name), change))


def _by_view(scheduler: Any, change: Change) -> None:
    """Scale what a scheduler writes."""
    view_of(scheduler, unwrapped(optimizer_of(scheduler))).factor *= change.factor


def rebase_of(scheduler: Any, factor: float) -> Rebase:
    """Return what scales the whole trajectory of a scheduler; of an unknown one, tried on copies."""
    if step_call(scheduler) is None:
        on_dummy(scheduler)  # which says so
    if is_known(scheduler):
        return partial(_by_names, _TORCH)
    steps = max(ENOUGH, known_length(scheduler) or 0)
    goals = [rate * factor for row in trajectory(on_dummy(scheduler), steps) for rate in row]
    is_single = any(isinstance(group["lr"], torch.Tensor) for group in optimizer_of(scheduler).param_groups)
    most = (CLOSE if is_single else _CLOSE) * max(map(abs, goals), default=0.0)
    ways: list[Rebase] = [partial(_by_names, names) for names in (_TORCH, _TIMM, _LIKELY)]
    for rebase in (*ways, _by_view):
        rebase(twin := on_dummy(scheduler, factor), Change(factor, {}))
        rates = [rate for row in trajectory(twin, steps) for rate in row]
        if len(rates) == len(goals) and all(abs(one - goal) <= most for one, goal in zip(rates, goals, strict=True)):
            return rebase
    name = type(scheduler).__name__
    raise BadInputError(f"{name} sets rates that do not scale with anything that it keeps; {REMEDY}.")


def begin_again(schedulers: Sequence[Any]) -> None:
    """Let torch's schedulers that have not been stepped make their first rate anew from the groups' ``initial_lr``.

    A function of the user's is not called again, which it may count: what came of it is put back, scaled as it is.
    """
    leaves = [leaf for one in schedulers for leaf in _first_ones(one)]
    if not leaves or not all(map(_is_unstepped, leaves)):
        return
    for group in leaves[0].optimizer.param_groups:
        write(group, float(group["initial_lr"]))
    for one in leaves:
        if hasattr(one, "lr_lambdas") and not isinstance(one, MultiplicativeLR):
            for group, rate in zip(one.optimizer.param_groups, one._last_lr, strict=True):
                write(group, float(rate))
        else:
            one.last_epoch -= 1
            one._initial_step()


def _first_ones(scheduler: Any) -> list[Any]:
    """Return the schedulers that make the first rate, in order."""
    inner = inner_of(scheduler) if is_known(scheduler) else []
    if hasattr(scheduler, "_milestones"):
        inner = inner[bisect_right(scheduler._milestones, 0) :][:1]
    return [first for one in inner for first in _first_ones(one)] or [scheduler]


def _is_unstepped(scheduler: Any) -> bool:
    is_new = getattr(scheduler, "last_epoch", None) == 0 and getattr(scheduler, "_step_count", 0) == 1
    return is_new and is_known(scheduler) and not needs_metric(scheduler)


def note_rates(scheduler: Any) -> None:
    """Let torch's schedulers say what the groups hold when they are asked for their latest rates."""
    for one in with_inner([scheduler]) if is_known(scheduler) else [scheduler]:
        if "_last_lr" in vars(one):
            one._last_lr = held_by(one.optimizer.param_groups)


def _changed(value: Any, change: Change) -> Any:
    """Return what becomes of a rate, or of a list of rates; anything else as it is."""
    if isinstance(value, (list, tuple)):
        changed = [_changed(one, change) for one in value]
        return changed if isinstance(value, list) else tuple(changed)
    if isinstance(value, torch.Tensor):
        return torch.full_like(value, change.of(float(value)))
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return change.of(value) if is_number else value

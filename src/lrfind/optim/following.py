"""What a scheduler makes of the rates from step to step: computed, where its class is known, or seen."""

from __future__ import annotations

import copy
import math
from collections import UserDict
from contextlib import ExitStack, suppress
from types import SimpleNamespace
from typing import Any

import torch
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts, CyclicLR, LambdaLR, MultiplicativeLR, OneCycleLR

from lrfind.errors import BadInputError
from lrfind.isolation import Kept
from lrfind.optim.rates import CLOSE, RATES, Group, differing, held_by, write
from lrfind.optim.schedulers import drives, inner_of, is_known, needs_metric, optimizer_of, unwrapped, with_inner
from lrfind.optim.trajectory import counts, is_recursive

_CLOSED = (LambdaLR, CyclicLR, OneCycleLR, CosineAnnealingWarmRestarts)
"""Schedulers whose next rates do not depend on those before."""

_MANY = 64
"""So often, at most, a scheduler is stepped between two steps of its optimizer (by Accelerate, once per process)."""


class _Group(UserDict[str, Any]):
    """A param group whose rates are divided by the factor when read, and multiplied by it when written.

    Attributes:
        found: The rate that its scheduler found in it when it first read it since ``Scaled.begin``.
        written: The rate that its scheduler has last written.
    """

    def __init__(self, view: Scaled, group: Group) -> None:
        self.view, self.data = view, group
        self.found: float | None = None
        self.written: float | None = None

    def __getitem__(self, name: str) -> Any:
        value, factor = self.data[name], self.view.factor
        if name == "lr" and self.found is None:
            self.found = float(value)
        return value / factor if name in RATES and factor != 1 else value

    def __setitem__(self, name: str, value: Any) -> None:
        if name not in RATES:
            self.data[name] = value
            return
        write(self.data, float(value) * self.view.factor, name)
        if name == "lr":
            (self.written,) = held_by([self.data])


class Scaled:
    """An optimizer, or its wrapper, as its scheduler sees it: with rates a factor below those that it trains with."""

    def __init__(self, optimizer: Any, factor: float = 1.0) -> None:
        self.optimizer, self.factor = optimizer, factor
        self._groups: list[_Group] = []

    @property
    def param_groups(self) -> list[_Group]:
        """Views of the param groups, those included that were added since."""
        real = unwrapped(self.optimizer).param_groups
        self._groups = [*self._groups[: len(real)], *(_Group(self, each) for each in real[len(self._groups) :])]
        for view, group in zip(self._groups, real, strict=True):
            view.data = group  # load_state_dict makes new ones
        return self._groups

    @property
    def written(self) -> list[float]:
        """The rates that the scheduler has last written, or that the groups hold where it has not."""
        return [held_by([each.data])[0] if each.written is None else each.written for each in self.param_groups]

    def begin(self) -> None:
        """Forget what the scheduler found in the groups: a step is made with what they hold now."""
        for each in self.param_groups:
            each.found = None

    def made_of(self, rates: list[float]) -> list[float]:
        """Return what the scheduler would have written if it had found these rates in the groups."""
        founds = [each.found for each in self.param_groups]
        return [
            written if found in (None, rate) else written * rate / found if found else rate
            for written, found, rate in zip(self.written, founds, rates, strict=False)
        ]

    def __getattr__(self, name: str) -> Any:
        if name.startswith(("__", "_optimizer_step_")) or name == "optimizer":
            raise AttributeError(name)
        return getattr(self.optimizer, name)


def view_of(scheduler: Any) -> Scaled:
    """Let a scheduler, with those that it holds, see its optimizer through a view; return the view."""
    seen, optimizer = optimizer_of(scheduler), unwrapped(optimizer_of(scheduler))
    view = seen if isinstance(seen, Scaled) else Scaled(seen)
    for each in with_inner([scheduler]):
        if drives(each, optimizer) and "optimizer" in vars(each):
            each.optimizer = view
    return view


def remove_view(scheduler: Any) -> None:
    """Let a scheduler see its optimizer itself again, where the view changes nothing."""
    view = optimizer_of(scheduler)
    for each in with_inner([scheduler]) if isinstance(view, Scaled) and view.factor == 1 else ():
        if optimizer_of(each) is view:
            each.optimizer = view.optimizer


def latest_rates(scheduler: Any) -> list[float]:
    """Return the rates that a scheduler has last set."""
    seen = optimizer_of(scheduler)
    return seen.written if isinstance(seen, Scaled) else [float(rate) for rate in scheduler.get_last_lr()]


class Follower:
    """Follows a scheduler and its optimizer from step to step.

    Args:
        scheduler: What is followed. Where its class is not known, it sees the optimizer through a view from now on if
            it does not say which rates it has set, or makes them of those that the groups hold.
    """

    def __init__(self, scheduler: Any) -> None:
        self.scheduler, self._optimizer = scheduler, unwrapped(optimizer_of(scheduler))
        self._leaves = [each for each in with_inner([scheduler]) if not inner_of(each)] if is_known(scheduler) else []
        self._places: list[tuple[int, int]] = []
        self._counts = any(isinstance(each, MultiplicativeLR) for each in self._leaves) and counts(scheduler)
        is_seen = isinstance(optimizer_of(scheduler), Scaled) or not hasattr(scheduler, "get_last_lr")
        self._view = view_of(scheduler) if is_seen or self._needs_view() else None
        if self._view is not None:
            self._view.begin()

    def _needs_view(self) -> bool:
        if self._leaves or any(isinstance(group["lr"], torch.Tensor) for group in self._optimizer.param_groups):
            return False
        with suppress(BadInputError):  # where it cannot be stepped on a copy
            return not needs_metric(self.scheduler) and is_recursive(self.scheduler)
        return False

    def begin(self) -> None:
        """Note that a step is made with what the groups hold now."""
        self._places = list(map(_place, self._leaves))
        if self._view is not None:
            self._view.begin()

    @property
    def has_moved(self) -> bool:
        """Whether the scheduler may have been stepped since."""
        return not self._leaves or self._places != list(map(_place, self._leaves))

    def made_of(self, rates: list[float]) -> list[float]:
        """Return what the scheduler makes of the rates of the latest step; what it has set, where that is not known."""
        if self._view is not None:
            return self._view.made_of(rates)
        latest, made = latest_rates(self.scheduler), rates
        places = zip(self._leaves, self._places, strict=False)
        moved = [(leaf, leaf.last_epoch - place[0]) for leaf, place in places if _place(leaf) != place]
        most = _MANY if len(moved) == 1 else 1  # of several, the order is not known
        if self._counts or not all(_is_recursive(leaf) and 0 < count <= most for leaf, count in moved):
            return latest
        for leaf, count in moved:
            made = _chosen(leaf, made, latest) if needs_metric(leaf) else self._stepped(leaf, count, made)
        return latest if not moved or differing(latest, made, CLOSE) is None else made

    def _stepped(self, leaf: Any, count: int, rates: list[float]) -> list[float]:
        """Return what some steps of one of torch's schedulers make of some rates; its functions are put back."""
        groups = [dict(group) for group in self._optimizer.param_groups]
        twin = copy.copy(leaf)
        twin.optimizer, twin._get_lr_called_within_step = SimpleNamespace(param_groups=groups), True
        for group, rate in zip(groups, rates, strict=False):
            group["lr"] = rate
        with ExitStack() as stack:
            if functions := getattr(leaf, "lr_lambdas", None):
                stack.enter_context(stack.enter_context(Kept(functions)).probe(0))
            for back in range(count - 1, -1, -1):
                twin.last_epoch, twin._step_count = leaf.last_epoch - back, leaf._step_count - back
                for group, rate in zip(groups, twin.get_lr(), strict=True):
                    group["lr"] = float(rate)
        return held_by(groups[: len(rates)])


def _is_recursive(leaf: Any) -> bool:
    """Say whether one of torch's or transformers' schedulers has made its latest rates of those before."""
    return leaf.last_epoch > 0 and not isinstance(leaf, _CLOSED)


def _place(leaf: Any) -> tuple[int, int]:
    """Return where one of torch's or transformers' schedulers is: its epoch, and how often it was stepped."""
    return leaf.last_epoch, getattr(leaf, "_step_count", 0)


def _chosen(leaf: Any, rates: list[float], latest: list[float]) -> list[float]:
    """Return what a scheduler that is given a metric has set, if it may have made that of some rates; else these."""
    lowered = [max(rate * leaf.factor, least) for rate, least in zip(rates, leaf.min_lrs, strict=False)]
    raised = [min(rate / leaf.factor, most) for rate, most in zip(rates, getattr(leaf, "max_lrs", rates), strict=False)]
    first = getattr(leaf, "_init_lrs", rates)
    each = zip(latest, rates, lowered, raised, first, strict=False)
    is_made = all(any(math.isclose(rate, other, rel_tol=CLOSE) for other in some) for rate, *some in each)
    return latest if is_made else rates

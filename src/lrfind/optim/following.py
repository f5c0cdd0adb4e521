"""What a scheduler makes of the rates from step to step: computed, where its class is known, or seen."""

from __future__ import annotations

import copy
import math
from collections import UserDict
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import torch
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts, CyclicLR, LambdaLR, MultiplicativeLR, OneCycleLR

from lrfind.errors import BadInputError
from lrfind.optim.rates import CLOSE, RATES, Group, differing, held_by, write
from lrfind.optim.schedulers import drives, inner_of, is_known, needs_metric, optimizer_of, unwrapped, with_inner
from lrfind.optim.trajectory import is_recursive

_CLOSED = (LambdaLR, CyclicLR, OneCycleLR, CosineAnnealingWarmRestarts, MultiplicativeLR)
"""Schedulers whose next rates do not depend on those before, or on what only their functions know."""

_MANY = 64
"""So often, at most, a scheduler is stepped between two steps of its optimizer (by Accelerate, once per process)."""


class _Group(UserDict[str, Any]):
    """A param group whose rates are divided by the factor when read, and multiplied by it when written.

    Attributes:
        found: The rate that was read in it since ``Scaled.begin``, before the first one was written.
        written: The rate that its scheduler has last written.
        is_untouched: Whether nothing was written since.
    """

    def __init__(self, view: Scaled, group: Group) -> None:
        self.view, self.data = view, group
        self.found: float | None = None
        self.written: float | None = None
        self.is_untouched = True

    def __getitem__(self, name: str) -> Any:
        value, factor = self.data[name], self.view.factor
        if name == "lr" and self.found is None and self.is_untouched:
            self.found = float(value)
        return value / factor if name in RATES and factor != 1 else value

    def __setitem__(self, name: str, value: Any) -> None:
        if name not in RATES:
            self.data[name] = value
            return
        write(self.data, float(value) * self.view.factor, name)
        if name == "lr":
            (self.written,), self.is_untouched = held_by([self.data]), False


class Scaled:
    """An optimizer, or its wrapper, as its scheduler sees it: with rates a factor below those that it trains with.

    Whoever looks at it there (Lightning's monitor of rates) takes it for the optimizer.
    """

    __class__ = property(lambda self: type(self.optimizer))  # type: ignore[assignment]

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
            each.found, each.is_untouched = None, True

    def made_of(self, rates: list[float]) -> list[float]:
        """Return what the scheduler would have written if it had found these rates in the groups."""
        founds = [each.found for each in self.param_groups]
        return [
            written if found in (None, rate) else written * rate / found if found else rate
            for written, found, rate in zip(self.written, founds, rates, strict=False)
        ]

    def __eq__(self, other: object) -> bool:
        return other is self or other is self.optimizer

    def __hash__(self) -> int:
        return hash(self.optimizer)

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
    """Follows a scheduler from step to step.

    Args:
        scheduler: What is followed. Where what it will make of the rates cannot be computed, it sees its optimizer
            through a view from now on, if it makes them of those before or does not say which it has set.

    Attributes:
        optimizer: What it drives.
    """

    def __init__(self, scheduler: Any) -> None:
        self.scheduler, self.optimizer = scheduler, unwrapped(optimizer_of(scheduler))
        self._leaves = [each for each in with_inner([scheduler]) if not inner_of(each)] if is_known(scheduler) else []
        is_seen = isinstance(optimizer_of(scheduler), Scaled) or not hasattr(scheduler, "get_last_lr")
        self._view = view_of(scheduler) if is_seen or self._is_to_be_seen() else None
        self._leaves = [] if self._view else self._leaves
        self._waits = any(map(needs_metric, self._leaves))
        self._places: list[tuple[int, int]] = []
        if self._view is not None:
            self._view.begin()

    def _is_to_be_seen(self) -> bool:
        if any(isinstance(group["lr"], torch.Tensor) for group in self.optimizer.param_groups):
            return False  # which is filled in place
        if self._leaves:
            return any(isinstance(each, MultiplicativeLR) for each in self._leaves)  # its functions may count
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
        if any(isinstance(leaf, _CLOSED) or leaf.last_epoch < 1 or not 0 < count <= most for leaf, count in moved):
            return latest
        for leaf, count in moved:
            made = _chosen(leaf, made, latest) if self._waits else self._stepped(leaf, count, made)
        return latest if not moved or differing(latest, made, CLOSE) is None else made

    def _stepped(self, leaf: Any, count: int, rates: list[float]) -> list[float]:
        """Return what some steps of one of torch's schedulers make of some rates."""
        groups = [dict(group) for group in self.optimizer.param_groups]
        twin = copy.copy(leaf)
        twin.optimizer, twin._get_lr_called_within_step = SimpleNamespace(param_groups=groups), True
        for group, rate in zip(groups, rates, strict=False):
            group["lr"] = rate
        for back in range(count - 1, -1, -1):
            twin.last_epoch, twin._step_count = leaf.last_epoch - back, leaf._step_count - back
            for group, rate in zip(groups, twin.get_lr(), strict=True):
                group["lr"] = float(rate)
        return held_by(groups[: len(rates)])


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

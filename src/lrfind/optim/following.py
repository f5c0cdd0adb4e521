"""How a scheduler is followed: through a view of its optimizer that records, or scales, what it reads and writes."""

from __future__ import annotations

from collections import UserDict
from contextlib import suppress
from typing import Any

import torch
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts, CyclicLR, LambdaLR, OneCycleLR

from lrfind.errors import BadInputError
from lrfind.optim.rates import RATES, Group, held_by, write
from lrfind.optim.schedulers import drives, inner_of, is_known, optimizer_of, unwrapped, with_inner
from lrfind.optim.trajectory import is_recursive

_CLOSED = (LambdaLR, CyclicLR, OneCycleLR, CosineAnnealingWarmRestarts)
"""torch's schedulers whose next rates do not depend on the previous ones."""


class _Group(UserDict[str, Any]):
    """A param group whose rates are divided by the view's factor when read, and multiplied by it when written."""

    def __init__(self, view: View, group: Group) -> None:
        self.view, self.data = view, group
        self.found: float | None = None
        self.written: float | None = None
        self.is_written = False

    def __getitem__(self, name: str) -> Any:
        value, factor = self.data[name], self.view.factor
        is_filled = isinstance(value, torch.Tensor)  # may be filled in place after it was read, unseen
        if name == "lr" and not self.is_written and (self.found is None or not is_filled):
            self.found = float(value)
        return value / factor if name in RATES and factor != 1 else value

    def __setitem__(self, name: str, value: Any) -> None:
        if name not in RATES:
            self.data[name] = value
            return
        write(self.data, float(value) * self.view.factor, name)
        if name == "lr":
            (self.written,), self.is_written = held_by([self.data]), True


class View:
    """An optimizer as its scheduler sees it, with all rates divided by a factor.

    ``isinstance`` takes it for the optimizer, as Lightning's monitor of rates needs.
    """

    __class__ = property(lambda self: type(self.optimizer))

    def __init__(self, optimizer: Any, factor: float = 1.0) -> None:
        self.optimizer, self.factor, self._real = optimizer, factor, unwrapped(optimizer)
        self._groups: list[_Group] = []

    @property
    def param_groups(self) -> list[_Group]:
        """Views of the param groups, also of those added later."""
        real = self._real.param_groups
        self._groups = [*self._groups[: len(real)], *(_Group(self, each) for each in real[len(self._groups) :])]
        for view, group in zip(self._groups, real, strict=True):
            view.data = group  # load_state_dict makes new ones
        return self._groups

    @property
    def written(self) -> list[float]:
        """The rates last written by the scheduler, else those that the groups hold."""
        return [held_by([each.data])[0] if each.written is None else each.written for each in self.param_groups]

    def __eq__(self, other: object) -> bool:
        return other is self or other is self.optimizer

    def __hash__(self) -> int:
        return hash(self.optimizer)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return (_itself, (self.optimizer,)) if self.factor == 1 else super().__reduce_ex__(protocol)

    def __getattr__(self, name: str) -> Any:
        if name.startswith(("__", "_optimizer_step_")) or name == "optimizer":
            raise AttributeError(name)
        return getattr(self.optimizer, name)


def _itself(value: Any) -> Any:
    return value


def view_of(scheduler: Any) -> View:
    """Let a scheduler, with its inner ones, see its optimizer through a view; return the view."""
    seen, optimizer = optimizer_of(scheduler), unwrapped(optimizer_of(scheduler))
    view = seen if isinstance(seen, View) else View(seen)
    for each in with_inner([scheduler]):
        if drives(each, optimizer) and "optimizer" in vars(each):
            each.optimizer = view
    return view


def remove_view(scheduler: Any) -> None:
    """Let a scheduler see its optimizer itself again, if the view changes nothing."""
    view = optimizer_of(scheduler)
    for each in with_inner([scheduler]) if isinstance(view, View) and view.factor == 1 else ():
        if optimizer_of(each) is view:
            each.optimizer = view.optimizer


def latest_rates(scheduler: Any) -> list[float]:
    """Return the rates that a scheduler last set."""
    seen = optimizer_of(scheduler)
    if hasattr(scheduler, "get_last_lr") and not (isinstance(seen, View) and seen.factor != 1):
        return [float(rate) for rate in scheduler.get_last_lr()]
    return view_of(scheduler).written


class Follower:
    """Follows a scheduler from step to step, through a view if its next rates depend on the previous ones."""

    def __init__(self, scheduler: Any) -> None:
        self.scheduler, self.optimizer = scheduler, unwrapped(optimizer_of(scheduler))
        self._view: View | None = None
        self._is_recursive = _goes_on(scheduler)
        self._is_seen = self._is_recursive or not hasattr(scheduler, "get_last_lr")
        self._latest: list[float] | None = None

    def _groups(self) -> list[_Group]:
        if self._is_seen and optimizer_of(self.scheduler) is not self._view:  # another watch ended
            self._view = view_of(self.scheduler)
        return self._view.param_groups if self._view else []

    def begin(self) -> None:
        """Note that a step uses the rates that the groups hold now."""
        self._latest = latest_rates(self.scheduler)
        for group in self._groups():
            group.found, group.is_written = None, False

    def found(self) -> list[float | None]:
        """Return the rates that the scheduler started from, by group, if it moved since the latest step."""
        return [group.found for group in self._groups()] if self._is_recursive else []

    def has_moved(self) -> bool:
        """Say whether the scheduler has set rates since the latest step; True if unknown."""
        groups = self._groups()
        is_told = hasattr(self.scheduler, "get_last_lr") or all(group.written is not None for group in groups)
        is_set = any(group.is_written for group in groups)
        return is_set or not is_told or self._latest is None or self._latest != latest_rates(self.scheduler)


def _goes_on(scheduler: Any) -> bool:
    """Say whether a scheduler's next rates depend on the previous ones; known classes are not tried."""
    if is_known(scheduler):
        return not all(isinstance(each, _CLOSED) for each in with_inner([scheduler]) if not inner_of(each))
    with suppress(BadInputError):  # it cannot be stepped on a copy
        return is_recursive(scheduler)
    return False

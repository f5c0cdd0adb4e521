"""The one place where the rates of param groups are read, written and compared, also by what schedulers see."""

from __future__ import annotations

import math
from collections import UserDict
from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from torch.optim import Optimizer

from lrfind.errors import RateNotAppliedError
from lrfind.optim.schedulers import driven_by, optimizer_of, unwrapped, with_inner

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


class _Group(UserDict[str, Any]):
    """A param group whose rates are divided by the view's factor when read, and multiplied by it when written."""

    def __init__(self, view: View, index: int) -> None:
        self.view, self.index = view, index

    @property
    def data(self) -> Group:  # type: ignore[override]
        """The param group itself; ``load_state_dict`` makes new ones."""
        return self.view.real.param_groups[self.index]

    def __getitem__(self, name: str) -> Any:
        view, index = self.view, self.index
        value = view.real.param_groups[index][name]
        if name not in RATES:
            return value
        if name == "lr" and index not in view.moved:
            view.begun[index] = float(value)
        if isinstance(value, torch.Tensor):
            rate = (value / view.factor).as_subclass(_Fillable)
            rate.group, rate.key = self, name
            return rate
        return value if view.factor == 1 else value / view.factor

    def __setitem__(self, name: str, value: Any) -> None:
        view, group = self.view, self.data
        if name in RATES and (view.factor != 1 or isinstance(value, _Fillable)):
            write(group, float(value) * view.factor, name)
        else:
            group[name] = value
        if name == "lr":
            rate = group[name]
            for index, each in enumerate(view.real.param_groups):
                if index == self.index or (isinstance(rate, torch.Tensor) and each["lr"] is rate):
                    view.moved.add(index)
                    view.written[index] = float(rate)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return dict, (self.data,)

    def __ior__(self, other: Any) -> _Group:  # type: ignore[override, misc]
        self.update(other)
        return self


class _Fillable(torch.Tensor):
    """A copy of a rate that is a tensor; what is written into it is set in the param group."""

    group: _Group
    key: str

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        with torch._C.DisableTorchFunctionSubclass():
            result = function(*args, **kwargs or {})
            if isinstance(result, cls) and result is args[0]:  # as of any operation in place
                result.group[result.key] = result
        return result


class View:
    """An optimizer as its scheduler sees it, with all rates divided by a factor.

    ``isinstance`` takes it for the optimizer, and its type has the name of the optimizer's, as Lightning's monitor of
    rates needs.

    Attributes:
        written: The rates that the scheduler last wrote, by the index of the param group.
        moved: The groups to which it wrote since a watch cleared this.
        begun: The rates that it last read before it wrote, likewise.
    """

    __class__ = property(lambda self: type(self.optimizer))

    def __init__(self, optimizer: Any, factor: float = 1.0) -> None:
        self.optimizer, self.factor, self.real = optimizer, factor, unwrapped(optimizer)
        self.written: dict[int, float] = {}
        self.begun: dict[int, float] = {}
        self.moved: set[int] = set()
        self._groups: list[_Group] = []

    @property
    def param_groups(self) -> list[_Group]:
        """Views of the param groups, also of those added later."""
        if len(self._groups) != len(self.real.param_groups):
            self._groups = [_Group(self, index) for index in range(len(self.real.param_groups))]
        return self._groups

    def __eq__(self, other: object) -> bool:
        return other is self or other is self.optimizer

    def __hash__(self) -> int:
        return hash(self.optimizer)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _viewed, (self.optimizer, self.factor)

    def __getattr__(self, name: str) -> Any:
        if name.startswith(("__", "_optimizer_step_")) or name == "optimizer":
            raise AttributeError(name)
        return getattr(self.optimizer, name)


@cache
def _view_type(name: str) -> type[View]:
    return type(name, (View,), {})


def _viewed(optimizer: Any, factor: float) -> Any:
    """Return a view that scales; in place of a copy of one that does not, the optimizer itself."""
    return optimizer if factor == 1 else _view_type(type(optimizer).__name__)(optimizer, factor)


def view_of(scheduler: Any) -> View:
    """Let a scheduler, with its inner ones, see its optimizer through a view; return the view."""
    seen = optimizer_of(scheduler)
    view: View = seen if isinstance(seen, View) else _view_type(type(seen).__name__)(seen)
    for each in with_inner([scheduler]):
        if driven_by(each) is view.real and "optimizer" in vars(each):
            each.optimizer = view
    return view


def latest_rates(scheduler: Any) -> list[float]:
    """Return the rates that a scheduler last set, as it tells, or as its view has seen."""
    seen = optimizer_of(scheduler)
    if hasattr(scheduler, "_last_lr") and not (isinstance(seen, View) and seen.factor != 1):
        return [float(rate) for rate in scheduler._last_lr]
    view = view_of(scheduler)
    return [view.written.get(index, rate) for index, rate in enumerate(held_by(view.real.param_groups))]

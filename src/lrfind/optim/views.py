"""A scheduler's view of its optimizer, which notes, and may scale, the rates that it reads and writes."""

from __future__ import annotations

from collections import UserDict
from functools import cache
from typing import Any

import torch

from lrfind.optim.rates import RATES, Group, held_by, write
from lrfind.optim.schedulers import driven_by, optimizer_of, unwrapped, with_inner


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

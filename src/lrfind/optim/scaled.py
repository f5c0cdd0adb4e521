"""A view of an optimizer for a scheduler that nothing is known of: what it reads and writes is scaled."""

from __future__ import annotations

from collections import UserDict
from typing import Any

from torch.optim import Optimizer

from lrfind.optim.rates import RATES, Group, held_by, write
from lrfind.optim.schedulers import drives, optimizer_of, unwrapped, with_inner


class _Group(UserDict[str, Any]):
    """A param group whose rates are divided by the factor when read, and multiplied by it when written."""

    def __init__(self, view: Scaled, group: Group) -> None:
        self.view, self.data = view, group
        self.written: float | None = None

    def __getitem__(self, name: str) -> Any:
        value, factor = self.data[name], self.view.factor
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

    def __getattr__(self, name: str) -> Any:
        if name.startswith(("__", "_optimizer_step_")) or name == "optimizer":
            raise AttributeError(name)
        return getattr(self.optimizer, name)


def view_of(scheduler: Any, optimizer: Optimizer) -> Scaled:
    """Let a scheduler, with those that it holds, see its optimizer through a view; return the view."""
    seen = optimizer_of(scheduler)
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

"""The one place where the rate of every step is set and read back, inside ``step()``."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, cast

from typing_extensions import Self

from lrfind.errors import BadInputError
from lrfind.optim.rates import Group, Optimizers, as_list, read_rate, set_rate
from lrfind.optim.trajectory import rates_of


class Stepping:
    """Sets the rate of every step inside ``step()``, after whatever else sets it, and reads it back.

    Args:
        optimizers: What is stepped; of several, the first one counts the steps and the others move with it.
        rate: Of the next step.
        scheduler: What drives it, as ``rates_of`` takes it.
        known: The ratios of the param groups, likewise.

    Attributes:
        rate: The rate that the next step is given.
        read: The rate read back at the latest step, freed of the ratio of its group; None before the first.
        lr: The rate that the optimizers had at the start, under a schedule its peak.
        ratios: Each param group's rate as a multiple of ``rate``.
    """

    watches_only = False
    """Whether the rate is somebody else's, and is only read. Probes are not training, and are not watched."""

    def __init__(
        self, optimizers: Optimizers, rate: float = 0.0, *, scheduler: Any = None, known: Sequence[float] = ()
    ) -> None:
        self.rate = rate
        self.read: float | None = None
        self.optimizers = as_list(optimizers)
        self.lr, self.ratios = (rates := rates_of(self.optimizers, scheduler, known)).lr, rates.ratios
        self._lead = self.optimizers[0]
        self._is_usual = self.ratios == (1.0,)
        self._groups: list[Group] = []
        self._hooks: list[Any] = []

    def __enter__(self) -> Self:
        """Begin, if that has not been done."""
        if self._hooks:
            return self
        self._hooks = [one.register_step_pre_hook(self._begin) for one in self.optimizers]
        post = self._lead.register_step_post_hook(self._end)
        hooks = cast(OrderedDict[int, Any], self._lead._optimizer_step_post_hooks)
        hooks.move_to_end(post.id, last=False)  # before a scheduler that is stepped in such a hook
        self._hooks.append(post)
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        for hook in self._hooks:
            hook.remove()
        self._hooks = []

    def _begin(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        """Set the rate of every group, those included that were added a moment ago."""
        groups = self._groups = self._lead.param_groups
        if self._is_usual and len(groups) == 1 and type(groups[0]["lr"]) is float:  # the usual case, kept short
            groups[0]["lr"] = self.rate
            return
        groups = self._groups = [group for one in self.optimizers for group in one.param_groups]
        if len(groups) != len(self.ratios):
            raise BadInputError(
                f"the optimizers had {len(self.ratios)} param groups at the start and have {len(groups)} now, "
                f"so the ratios of their rates are unknown; add the groups before it."
            )
        set_rate(groups, self.rate, self.ratios)

    def _end(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        """Read the rate of a step back."""
        self.read = float(self._groups[0]["lr"]) if self._is_usual else read_rate(self._groups, self.ratios)

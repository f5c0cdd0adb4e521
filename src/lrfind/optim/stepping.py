"""The one place where the rate of every step is set, read back and counted, inside ``step()``."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, cast

from torch.optim import Optimizer
from typing_extensions import Self

from lrfind.errors import BadInputError
from lrfind.optim.rates import Group, Optimizers, as_list, read_rate, set_rate, write
from lrfind.optim.trajectory import rates_of


class Stepping:
    """Sets the rate of every step inside ``step()``, after whatever else sets it, reads it back, and counts.

    Args:
        optimizers: What is stepped; of several, the first one counts the steps and the others move with it.
        rate: Of the next step; None where the rate is somebody else's, and is only read.
        scheduler: What drives it, as ``rates_of`` takes it.
        known: The ratios of the param groups, likewise.

    Attributes:
        rate: The rate that the next step is given; None where it is only read.
        read: The rate read back at the latest step, freed of the ratio of its group; None before the first.
        steps: How many steps the first optimizer has made.
        least: The least rate read back; infinity before the first step.
        greatest: The greatest; 0 before the first step.
        lr: The rate that the optimizers had at the start, under a schedule its peak.
        ratios: Each param group's rate as a multiple of ``rate``.
    """

    _before: Callable[[Optimizer], None] | None = None
    """Told the optimizer before each of its steps."""

    _after: Callable[[], None] | None = None
    """Called after each step of the first optimizer; twice where a step calls its parent's, and torch both hooks."""

    def __init__(
        self,
        optimizers: Optimizers,
        rate: float | None = None,
        *,
        scheduler: Any = None,
        known: Sequence[float] = (),
    ) -> None:
        self.rate, self.steps = rate, 0
        self.read: float | None = None
        self.least, self.greatest = math.inf, 0.0
        self.optimizers = as_list(optimizers)
        self.lr, self.ratios = (rates := rates_of(self.optimizers, scheduler, known)).lr, rates.ratios
        self.watches_only = rate is None  # probes are not training: copies of the optimizer are not watched
        self._lead = self.optimizers[0]
        self._is_usual = self.ratios == (1.0,)
        self._first = self.ratios.index(1.0)
        self._groups: list[Group] = []
        self._is_within = False
        self._hooks: list[Any] = []

    def __enter__(self) -> Self:
        """Begin, if that has not been done."""
        if self._hooks:
            return self
        hook = self._look if self.watches_only else self._set
        self._hooks = [one.register_step_pre_hook(hook) for one in self.optimizers]
        post = self._lead.register_step_post_hook(self._read)
        hooks = cast(OrderedDict[int, Any], self._lead._optimizer_step_post_hooks)
        hooks.move_to_end(post.id, last=False)  # before a scheduler that is stepped in such a hook
        self._hooks.append(post)
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        for hook in self._hooks:
            hook.remove()
        self._hooks = []

    def _look(self, optimizer: Optimizer, *_: Any) -> None:
        if self._before is not None:
            self._before(optimizer)
        self._groups = self._lead.param_groups[self._first : self._first + 1]
        self._is_within |= optimizer is self._lead

    def _set(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        """Set the rate of every group, those included that were added a moment ago."""
        rate, groups = self.rate, self._lead.param_groups
        if self._is_usual and len(groups) == 1:  # one group, the usual case
            self._groups, self._is_within = groups, True
            write(groups[0], rate)  # type: ignore[arg-type]
            return
        self._groups = [group for one in self.optimizers for group in one.param_groups]
        if len(self._groups) != len(self.ratios):
            raise BadInputError(
                f"the optimizers had {len(self.ratios)} param groups at the start and have {len(self._groups)} now, "
                f"so the ratios of their rates are unknown; add the groups before it."
            )
        set_rate(self._groups, rate, self.ratios)  # type: ignore[arg-type]
        self._is_within |= optimizer is self._lead

    def _read(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        """Read a step's rate back; count it once."""
        groups = self._groups
        is_one = self._is_usual or self.watches_only
        read = float(groups[0]["lr"]) if is_one else read_rate(groups, self.ratios)
        self.read = read
        if read < self.least:
            self.least = read
        if read > self.greatest:
            self.greatest = read
        if self._is_within:
            self.steps += 1
            self._is_within = False
        if self._after is not None:
            self._after()

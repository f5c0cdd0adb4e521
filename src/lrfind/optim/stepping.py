"""The one place where rates are set, read back, compared and counted, inside every step of an optimizer."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch.optim import Optimizer
from typing_extensions import Self

from lrfind.errors import BadInputError, RateNotAppliedError
from lrfind.optim.rates import CLOSE, Group, Optimizers, as_list, rates_of


def write(group: Group, value: float, name: str = "lr") -> None:
    """Set a rate in a param group; a tensor is filled in place."""
    if isinstance(group[name], torch.Tensor):
        group[name].fill_(value)
    else:
        group[name] = value


def held_by(groups: Sequence[Group]) -> list[float]:
    """Return the rate that each param group holds."""
    return [float(group["lr"]) for group in groups]


def differing(held: Sequence[float], wanted: Sequence[float], close: float = 0.0) -> int | None:
    """Return the index of the first param group that does not hold the rate wanted of it; None if all do.

    Args:
        held: The rate of each group.
        wanted: Likewise; groups beyond these were added since, and may hold any.
        close: How far, relatively, two rates may be apart; by default not at all.
    """
    pairs = enumerate(zip(held, wanted, strict=False))
    return next((index for index, (one, other) in pairs if not math.isclose(one, other, rel_tol=close)), None)


def set_rate(groups: Sequence[Group], lr: float, ratios: Sequence[float]) -> None:
    """Give each param group ``lr`` times its ratio; a tensor rate is filled in place."""
    for group, ratio in zip(groups, ratios, strict=True):
        write(group, lr * ratio)


def read_rate(groups: Sequence[Group], ratios: Sequence[float]) -> float:
    """Return the rate that the param groups hold, read back and freed of their ratios.

    Raises:
        RateNotAppliedError: If the groups do not hold one rate in these ratios.
    """
    held = held_by(groups)
    base = next((rate / ratio for rate, ratio in zip(held, ratios, strict=True) if ratio), held[0])
    wanted = [base * ratio for ratio in ratios]
    if (index := differing(held, wanted, CLOSE)) is not None:
        raise RateNotAppliedError(
            f"param group {index} has lr={held[index]}, not {wanted[index]}: "
            f"something else sets its rate; let lrfind or the scheduler be the only one."
        )
    return base


class Stepping:
    """Sets the rate of every step inside ``step()``, after whatever else sets it, reads it back, and counts.

    Args:
        optimizers: What is stepped; of several, the first one counts the steps and the others move with it.
        rate: Of the next step; None where the rate is somebody else's, and is only read.
        scheduler: What drives it, as ``rates_of`` takes it.
        before: Told the optimizer before each of its steps.
        after: Told after each step of the first optimizer, which may be twice: where a step calls its parent's, torch
            calls the hooks of both.
        owner: Whose it is; found from the hooks of an optimizer.

    Attributes:
        rate: The rate that the next step is given; None where it is only read.
        read: The rate read back at the latest step, freed of the ratio of its group; None before the first.
        steps: How many steps the first optimizer has made.
        least: The least rate read back; infinity before the first step.
        greatest: The greatest; 0 before the first step.
        lr: The rate that the optimizers had at the start, under a schedule its peak.
        ratios: Each param group's rate as a multiple of ``rate``.
    """

    def __init__(
        self,
        optimizers: Optimizers,
        rate: float | None = None,
        *,
        scheduler: Any = None,
        before: Callable[[Optimizer], None] | None = None,
        after: Callable[[], None] | None = None,
        owner: object = None,
    ) -> None:
        self.rate, self.steps = rate, 0
        self.read: float | None = None
        self.least, self.greatest = math.inf, 0.0
        self.optimizers = as_list(optimizers)
        self.lr, self.ratios = (rates := rates_of(self.optimizers, scheduler)).lr, rates.ratios
        self.watches_only = rate is None  # probes are not training: copies of the optimizer are not watched
        self._lead = self.optimizers[0]
        self._is_usual = self.ratios == (1.0,)
        self._first = self.ratios.index(1.0)
        self.owner, self._before, self._after = owner, before, after
        self._groups: list[Group] = []
        self._is_within = False
        self._hooks: list[Any] = []

    def __enter__(self) -> Self:
        """Begin."""
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

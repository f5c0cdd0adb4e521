"""The one place where the rate of every step is set, read back, counted and verified, inside ``step()``."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, cast

from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts, CyclicLR, LambdaLR, OneCycleLR
from typing_extensions import Self

from lrfind.errors import BadInputError, RateNotAppliedError
from lrfind.optim.rates import Group, Optimizers, as_list, held_by, latest_rates, read_rate, view_of, write
from lrfind.optim.schedulers import driving, inner_of, is_known, living_schedulers, optimizer_of, with_inner
from lrfind.optim.trajectory import Rates, is_recursive, rates_of

_CLOSED = (LambdaLR, CyclicLR, OneCycleLR, CosineAnnealingWarmRestarts)
"""torch's schedulers whose next rates do not depend on the previous ones."""


class Stepping:
    """Sets the rate of every step inside ``step()``, after anything else has set it, and reads it back.

    The first optimizer counts the steps, the others move with it. ``rates`` are those at the start, ``rate`` is that of
    the next step, ``read`` that of the latest, divided by the ratio of its group (None before the first).
    """

    def __init__(self, optimizers: Optimizers, rates: Rates, rate: float = 0.0) -> None:
        self.rate = rate
        self.read: float | None = None
        self.optimizers = as_list(optimizers)
        self.lr, self.ratios = rates.lr, rates.ratios
        self._lead = self.optimizers[0]
        self._is_usual = self.ratios == (1.0,)
        self._groups: list[Group] = []
        self._hooks: list[Any] = []

    def __enter__(self) -> Self:
        if self._hooks:
            return self
        post = self._lead.register_step_post_hook(self._end)
        cast(Any, self._lead)._optimizer_step_post_hooks.move_to_end(post.id, last=False)  # before a scheduler's own
        self._hooks = [post, *(each.register_step_pre_hook(self._begin) for each in self.optimizers)]
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()
        self._hooks = []

    def _begin(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        """Set the rate of every group, also of those just added."""
        groups = self._groups = self._lead.param_groups
        if self._is_usual and len(groups) == 1 and type(groups[0]["lr"]) is float:  # fast path
            groups[0]["lr"] = self.rate
            return
        groups = self._groups = [group for each in self.optimizers for group in each.param_groups]
        if len(groups) != len(self.ratios):
            raise BadInputError(
                f"the optimizers had {len(self.ratios)} param groups at the start and have {len(groups)} now, "
                f"so the ratios of their rates are unknown; add the groups before it."
            )
        for group, ratio in zip(groups, self.ratios, strict=True):
            write(group, self.rate * ratio)

    def _end(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        self.read = float(self._groups[0]["lr"]) if self._is_usual else read_rate(self._groups, self.ratios)


class Follower:
    """Follows a scheduler for one watch."""

    def __init__(self, scheduler: Any) -> None:
        self.scheduler, self._is_recursive = scheduler, _goes_on(scheduler)
        self.view = view_of(scheduler)
        self.settle()
        self._told: Any = None  # it may just have set rates

    def __reduce__(self) -> Any:
        return Follower, (self.scheduler,)  # a copy follows the copy

    def settle(self) -> None:
        """Note that the rates are as they should be now."""
        if optimizer_of(self.scheduler) is not self.view:  # another watch has ended
            self.view = view_of(self.scheduler)
        view = self.view
        self._written, self._groups = dict(view.written), view.real.param_groups
        self._told = getattr(self.scheduler, "_last_lr", None)
        view.begun.clear()
        view.moved.clear()

    def has_moved(self) -> bool:
        """Say whether the scheduler has written rates since."""
        return bool(self.view.moved) or self.view.written != self._written  # another watch may have settled

    def written(self, rates: list[float]) -> list[float]:
        """Return the rates after what the scheduler wrote to groups that had these."""
        return [self.view.written.get(index, rate) for index, rate in enumerate(rates)]

    def begun(self, rates: list[float]) -> list[float]:
        """Return the rates that a recursive scheduler started from, where it did not start from these."""
        if not self._is_recursive or self._groups is not self.view.real.param_groups:  # a state was loaded
            return rates
        return [self.view.begun.get(index, rate) for index, rate in enumerate(rates)]

    def may_have_set(self, rates: list[float]) -> bool:
        """Say whether the scheduler may have set these rates though it was not seen to, as when its state is loaded."""
        told = getattr(self.scheduler, "_last_lr", None)
        if told is not None and self.view.factor == 1:
            return told is not self._told and latest_rates(self.scheduler)[: len(rates)] == rates
        return not self.view.written or optimizer_of(self.scheduler) is not self.view

    def end(self) -> None:
        """Let the scheduler see its optimizer itself again, if the view changes nothing."""
        for each in with_inner([self.scheduler]) if self.view.factor == 1 else ():
            if optimizer_of(each) is self.view:
                each.optimizer = self.view.optimizer


def _goes_on(scheduler: Any) -> bool:
    """Say whether a scheduler's next rates depend on the previous ones; known classes are not tried."""
    if is_known(scheduler):
        return not all(isinstance(each, _CLOSED) for each in with_inner([scheduler]) if not inner_of(each))
    with suppress(BadInputError):  # it cannot be stepped on a copy
        return is_recursive(scheduler)
    return False


class AppliedRate(Stepping):
    """Watches the rate an optimizer really uses, at every step.

    Its ``steps``, ``least`` and ``greatest`` say how many steps it saw and at which rates.

    Args:
        optimizers: What is watched: one optimizer, or several that move together.
        schedulers: What may change its rate, or a function that returns it, if more may come; without any, the rate
            must stay as it is now.
        suspects: Called when the rate was changed; returns the names of what may have changed it.
        groups: How many param groups of each optimizer are watched, by default all; those added may hold any rate.
        ratios: Each param group's rate as a multiple of ``lr``, if known.
        before: The watch that this one continues, with its counts.
    """

    watches_only = True
    """That the rate is only read; such hooks are removed during probes."""
    is_replaceable = False
    """Whether the watch ends when another rate is applied."""

    def __init__(
        self,
        optimizers: Optimizers,
        schedulers: Sequence[Any] | Callable[[], Sequence[Any]] = (),
        *,
        suspects: Callable[[], Sequence[str]] = tuple,
        groups: Sequence[int] = (),
        ratios: Sequence[float] = (),
        before: AppliedRate | None = None,
    ) -> None:
        self._schedulers = schedulers if callable(schedulers) else partial(tuple, schedulers)
        super().__init__(optimizers, rates_of(optimizers, self._schedulers(), ratios))
        self.steps, self.least, self.greatest = 0, math.inf, 0.0
        if before is not None:
            self.steps, self.least, self.greatest = before.steps, before.least, before.greatest
        places = [(each, index) for each in self.optimizers for index in range(len(each.param_groups))]
        self._first, self._is_within, self.has_begun = places[self.ratios.index(1.0)], False, False
        self._followers: list[Follower] = []
        self._follow()
        self._suspects = suspects
        now = [len(each.param_groups) for each in self.optimizers]
        self.groups = list(groups) if len(groups) == len(now) else now
        counts = zip(self.optimizers, self.groups, strict=True)
        self._held = {each: held_by(each.param_groups[:count]) for each, count in counts}
        self.__enter__()
        self._hooks += [each.register_step_post_hook(self._verify) for each in self.optimizers[1:]]

    def __repr__(self) -> str:
        names = ", ".join(type(each).__name__ for each in self.optimizers)
        used = f"rates used {self.least:.3g} to {self.greatest:.3g}" if self.steps else "no step yet"
        return f"<AppliedRate of {names}: {self.steps} steps, {used}>"

    def _follow(self) -> None:
        """Follow the schedulers that there are now."""
        known = {id(each.scheduler): each for each in self._followers}
        given = driving(self.optimizers, self._schedulers())
        self._followers = [known.get(id(each)) or Follower(each) for each in given]

    def verify(self) -> None:
        """Check that every param group holds the rate that was applied, or that its scheduler last set.

        Raises:
            RateNotAppliedError: If one does not; names the step, the group, the rate wanted, the rate held and, if
                known, what set it.
        """
        for optimizer in self.optimizers:
            self._verify(optimizer)

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        for each in self._followers:
            each.end()

    def remove(self) -> None:
        """Stop watching."""
        self.__exit__()

    def _begin(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        self._verify(optimizer)
        self.has_begun = True
        self._is_within |= optimizer is self._lead

    def _end(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        """Count a step once, even if ``step()`` calls its parent's; verify that its rate did not change within."""
        first, index = self._first
        self.read = float(first.param_groups[index]["lr"])
        self.least, self.greatest = min(self.least, self.read), max(self.greatest, self.read)
        self.steps, self._is_within = self.steps + self._is_within, False
        self._verify(self._lead, step=self.steps)

    def _verify(self, optimizer: Optimizer, *_: Any, step: int | None = None) -> None:
        """Compare with the rates of the latest step, or with what schedulers that moved since have set."""
        before = self._held[optimizer][: len(optimizer.param_groups)]  # some may have been removed
        held = held_by(optimizer.param_groups[: len(before)])
        moved = [each for each in self._followers if each.has_moved() and each.view.real is optimizer]
        if not moved and held == before:
            return
        wanted = [each.written(before) for each in moved] or [before]  # any of several may have been stepped last
        if held not in wanted:
            self._follow()
        drivers = [each for each in self._followers if each.view.real is optimizer]
        faults = []
        if held not in wanted and not any(each.may_have_set(held) for each in drivers):
            faults.append((held, wanted[-1]))
        for each in drivers:  # each must start from the step's rates, or from another scheduler's
            begun = each.begun(before)
            if begun != before and begun not in [other.written(before) for other in moved if other is not each]:
                faults.append((begun, before))
        if faults:
            message = self._complaint(optimizer, *faults[0], [each.scheduler for each in drivers])
            raise RateNotAppliedError(f"at step {self.steps + 1 if step is None else step} {message}")
        self._held[optimizer] = held
        for each in drivers:
            each.settle()

    def _complaint(self, optimizer: Optimizer, held: list[float], wanted: list[float], drivers: Sequence[Any]) -> str:
        """Return what to say of rates that are not those wanted."""
        index = next(index for index, rates in enumerate(zip(held, wanted, strict=False)) if rates[0] != rates[1])
        rate, known = held[index], list(map(id, with_inner(drivers)))
        others = [each for each in living_schedulers(optimizer) if id(each) not in known]
        others = [each for each in others if not hasattr(each, "_last_lr") or float(each._last_lr[index]) == rate]
        names = [type(each).__name__ for each in others] or self._suspects()
        culprit = f"{' or '.join(names)} may have changed it" if names else "your own code, maybe, changed it"
        source = "as applied"
        remedy = (
            "if a scheduler drives it, pass it: finding.apply(optimizer, scheduler); if your own code sets it, "
            "search with schedule= as a function, and call remove() on the watch or use LRFinder(apply=False)"
        )
        if drivers:
            source = f"as set by {', '.join(type(each).__name__ for each in drivers)}"
            remedy = "set the rate through the scheduler only, or call remove() on the watch"
        elif others:
            remedy = "pass the scheduler: finding.apply(optimizer, scheduler)"
        return (
            f"param group {index} of {type(optimizer).__name__} has lr={rate}, "
            f"not {wanted[index]} {source}: {culprit}; {remedy}."
        )


def watches_over(optimizers: Sequence[Optimizer]) -> list[AppliedRate]:
    """Return the watches over optimizers that end when another rate is applied."""
    hooks = [hook for each in optimizers for hook in each._optimizer_step_pre_hooks.values()]
    watches = {id(each): each for hook in hooks if isinstance(each := getattr(hook, "__self__", None), AppliedRate)}
    return [each for each in watches.values() if each.is_replaceable]

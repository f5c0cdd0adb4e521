"""The one place where the rate of every step is set, read back, counted and verified, inside ``step()``."""

from __future__ import annotations

import dis
import gc
import math
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from types import CodeType
from typing import Any, cast

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from typing_extensions import Self

from lrfind.errors import BadInputError, RateNotAppliedError
from lrfind.optim.following import Follower, View, latest_rates, remove_view
from lrfind.optim.rates import Group, Optimizers, as_list, differing, held_by, read_rate, write
from lrfind.optim.schedulers import driving, unwrapped, with_inner
from lrfind.optim.trajectory import Rates, rates_of


class Stepping:
    """Sets the rate of every step inside ``step()``, after anything else has set it, and reads it back.

    The first optimizer counts the steps, the others move with it. ``rates`` are those at the start, ``rate`` is that of
    the next step, ``read`` that of the latest, divided by the ratio of its group (None before the first).
    """

    watches_only = False
    """Whether the rate is only read; such hooks are removed during probes."""

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
        self._hooks = [each.register_step_pre_hook(self._begin) for each in self.optimizers]
        post = self._lead.register_step_post_hook(self._end)
        hooks = cast(OrderedDict[int, Any], self._lead._optimizer_step_post_hooks)
        hooks.move_to_end(post.id, last=False)  # before a scheduler's own post hook
        self._hooks.append(post)
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


class AppliedRate(Stepping):
    """Watches the rate an optimizer really uses, at every step.

    Its ``steps``, ``least`` and ``greatest`` say how many steps it saw and at which rates.

    Args:
        optimizers: What is watched: one optimizer, or several that move together.
        schedulers: What may change its rate; without any, the rate must stay as it is now.
        suspects: Called when the rate was changed; returns the names of what may have changed it.
        groups: How many param groups of each optimizer are watched, by default all; those added may hold any rate.
        ratios: Each param group's rate as a multiple of ``lr``, if known.
        before: The watch that this one continues, with its counts.
    """

    watches_only = True
    is_replaceable = False
    """Whether the watch ends when another rate is applied."""

    def __init__(
        self,
        optimizers: Optimizers,
        schedulers: Sequence[Any] = (),
        *,
        suspects: Callable[[], Sequence[str]] = tuple,
        groups: Sequence[int] = (),
        ratios: Sequence[float] = (),
        before: AppliedRate | None = None,
    ) -> None:
        super().__init__(optimizers, rates_of(optimizers, schedulers, ratios))
        self.steps, self.least, self.greatest = 0, math.inf, 0.0
        if before is not None:
            self.steps, self.least, self.greatest = before.steps, before.least, before.greatest
        places = [(each, index) for each in self.optimizers for index in range(len(each.param_groups))]
        self._first, self._is_within, self.has_begun = places[self.ratios.index(1.0)], False, False
        self._followers: list[Follower] = []
        self._suspects = suspects
        self.schedulers = tuple(schedulers)
        now = [len(each.param_groups) for each in self.optimizers]
        self.groups = list(groups) if len(groups) == len(now) else now
        counts = zip(self.optimizers, self.groups, strict=True)
        self._held = {id(each): held_by(each.param_groups[:count]) for each, count in counts}
        self.__enter__()
        self._hooks += [each.register_step_post_hook(self._verify_after) for each in self.optimizers[1:]]

    def __repr__(self) -> str:
        names = ", ".join(type(each).__name__ for each in self.optimizers)
        used = f"rates used {self.least:.3g} to {self.greatest:.3g}" if self.steps else "no step yet"
        return f"<AppliedRate of {names}: {self.steps} steps, {used}>"

    @property
    def schedulers(self) -> tuple[Any, ...]:
        """The schedulers that may change the rate."""
        return tuple(each.scheduler for each in self._followers)

    @schedulers.setter
    def schedulers(self, schedulers: Sequence[Any]) -> None:
        known = {id(each.scheduler): each for each in self._followers}
        given = driving(self.optimizers, schedulers)
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
        for each in self.schedulers:
            remove_view(each)

    def remove(self) -> None:
        """Stop watching."""
        self.__exit__()

    def _begin(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        self._verify(optimizer)
        self.has_begun = True
        self._is_within |= optimizer is self._lead

    def _verify_after(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        self._verify(optimizer)

    def _end(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        """Count a step once, even if ``step()`` calls its parent's; verify that its rate did not change within."""
        first, index = self._first
        self.read = float(first.param_groups[index]["lr"])
        self.least, self.greatest = min(self.least, self.read), max(self.greatest, self.read)
        self.steps, self._is_within = self.steps + self._is_within, False
        self._verify(self._lead, self.steps)

    def _verify(self, optimizer: Optimizer, step: int | None = None) -> None:
        """Compare with the rates of the latest step, or with what schedulers that moved since have set."""
        before = self._held[id(optimizer)]
        held = held_by(optimizer.param_groups[: len(before)])
        drivers = [each for each in self._followers if each.optimizer is optimizer]
        founds = {each: each.found() for each in drivers if each.has_moved()}
        latest = {each: latest_rates(each.scheduler) for each in founds}
        wanted = list(latest.values()) or [before]  # any of several may have been stepped last
        faults = [] if any(differing(held, rates) is None for rates in wanted) else [(held, wanted[-1])]
        for each, found in founds.items():  # each must start from the step's rates, or from another scheduler's
            begun = [rate if other is None else other for other, rate in zip(found, before, strict=False)]
            others = (rates for other, rates in latest.items() if other is not each)
            if all(differing(begun, rates) is not None for rates in (before, *others)):
                faults.append((begun, before))
        if faults:
            names = ", ".join(type(each.scheduler).__name__ for each in drivers)
            message = self._complaint(optimizer, *faults[0], names)
            raise RateNotAppliedError(f"at step {self.steps + 1 if step is None else step} {message}")
        self._held[id(optimizer)] = held
        for each in drivers:
            each.begin()

    def _complaint(self, optimizer: Optimizer, held: list[float], wanted: list[float], driver: str) -> str:
        index = differing(held, wanted) or 0
        rate = held[index]
        known = list(map(id, with_inner(self.schedulers)))
        strangers = [
            each for each in living_schedulers(optimizer) if id(each) not in known and _has_set(each, index, rate)
        ]
        names = [type(each).__name__ for each in strangers] or self._suspects()
        culprit = f"{' or '.join(names)} may have changed it" if names else "your own code, maybe, changed it"
        remedy = (
            "if a scheduler drives it, pass it: finding.apply(optimizer, scheduler); if your own code sets it, "
            "search with schedule= as a function, and call remove() on the watch or use LRFinder(apply=False)"
        )
        if driver:
            remedy = "set the rate through the scheduler only, or call remove() on the watch"
        elif strangers:
            remedy = "pass the scheduler: finding.apply(optimizer, scheduler)"
        return (
            f"param group {index} of {type(optimizer).__name__} has lr={rate}, "
            f"not {wanted[index]} {f'as set by {driver}' if driver else 'as applied'}: {culprit}; {remedy}."
        )


def _has_set(scheduler: Any, index: int, rate: float) -> bool:
    latest = getattr(scheduler, "_last_lr", None)
    return latest is None or float(latest[index]) == rate


def handling_groups(holders: Iterable[Any], framework: str) -> list[str]:
    """Name the methods of callbacks, modules and trainers that set something in param groups.

    Classes in modules that match the pattern ``framework`` are the framework's own, and left out.
    """
    names = []
    for kind in map(type, holders):
        kinds = [each for each in reversed(kind.__mro__) if not re.search(framework, each.__module__)]
        methods = {name: value for each in kinds for name, value in vars(each).items()}
        codes = {name: getattr(method, "__code__", None) for name, method in methods.items()}
        names += [f"{kind.__name__}.{name}" for name, code in codes.items() if code and _sets_in_groups(code)]
    return names


def _sets_in_groups(code: CodeType) -> bool:
    sets = "update" in code.co_names or any(each.opname == "STORE_SUBSCR" for each in dis.get_instructions(code))
    return "param_groups" in code.co_names and sets


def watches_over(optimizers: Sequence[Optimizer]) -> list[AppliedRate]:
    """Return the watches over optimizers that end when another rate is applied."""
    hooks = [hook for each in optimizers for hook in each._optimizer_step_pre_hooks.values()]
    watches = {id(each): each for hook in hooks if isinstance(each := getattr(hook, "__self__", None), AppliedRate)}
    return [each for each in watches.values() if each.is_replaceable]


def living_schedulers(optimizer: Optimizer) -> list[Any]:
    """Return the living schedulers that drive an optimizer; slow, for error messages."""
    kinds = ((each, type(each)) for each in gc.get_objects())
    named = [each for each, kind in kinds if issubclass(kind, LRScheduler) or "schedule" in kind.__name__.lower()]
    held = ((each, getattr(each, "__dict__", {}).get("optimizer")) for each in named)
    return [each for each, other in held if (unwrapped(other) if type(other) is View else other) is optimizer]

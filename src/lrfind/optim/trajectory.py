"""The rates that a scheduler sets, read from a copy of it on a dummy optimizer: its trajectory, peak and shape."""

import copy
import math
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.optim import Optimizer

from lrfind.errors import BadInputError
from lrfind.isolation import Kept
from lrfind.optim import schedulers as sched
from lrfind.optim.rates import CLOSE, RATES, Optimizers, View, as_list, differing, held_by
from lrfind.schedules import AsConstant, Shape, constant

ENOUGH, _SHORT = 1_000, 20
"""Steps that show what a scheduler of unknown length does; steps that show whether it depends on rates."""

REMEDY = (
    "search with schedule= as a function of the fraction of training done, and set the rates yourself: apply without "
    "it and call remove() on the watch"
)

_BASE = re.compile("lr|base|init|peak")
"""Names of numbers that may be an optimizer's original rate."""

_LEAST, _MOST = 0.5, 1.1
"""If a schedule's peak is between these multiples of the optimizer's rate, the rate counts as the peak."""


def on_dummy(scheduler: Any, factor: float = 1.0, names: Sequence[str] = RATES) -> Any:
    """Copy a scheduler onto an optimizer of one number per group; multiply the rates of these names by a factor."""
    name, seen, optimizer = type(scheduler).__name__, sched.optimizer_of(scheduler), sched.driven_by(scheduler)
    dummy = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    dummy.defaults, dummy.param_groups = dict(optimizer.defaults), []
    memo: dict[int, Any] = {id(optimizer): dummy, id(optimizer.param_groups): dummy.param_groups}
    memo[id(seen.optimizer if isinstance(seen, View) else seen)] = dummy  # a view that scales is copied too
    scaled: dict[int, Any] = {}
    for group in optimizer.param_groups:
        kept = {name: value for name, value in group.items() if name != "params"}
        for name in names if factor != 1 else ():
            if name in kept:  # groups may share a tensor
                kept[name] = scaled.setdefault(id(kept[name]), kept[name] * factor)
        memo[id(group)] = {"params": [torch.zeros(1)], **copy.deepcopy(kept, memo)}
        dummy.param_groups.append(memo[id(group)])
    try:
        twin = copy.deepcopy(scheduler, memo)
    except Exception as error:
        raise BadInputError(f"{name} cannot be copied to see what it does ({error}); {REMEDY}.") from error
    if sched.step_call(twin) is None:
        raise BadInputError(f"how {name} is to be stepped cannot be told from its arguments; {REMEDY}.")
    return twin


def trajectory(twin: Any, steps: int) -> list[list[float]]:
    """Return the rates of the groups at each step of a copy from ``on_dummy``; fewer if it ends earlier.

    The copy, random numbers, and what its functions change (a lambda's counter, say) are put back.
    """
    call, groups, rates = sched.step_call(twin), sched.driven_by(twin).param_groups, list[list[float]]()
    with warnings.catch_warnings(), Kept((twin,)) as kept, kept.probe(0):
        warnings.simplefilter("ignore")
        for done in range(steps):
            try:
                if call and (call.is_ahead or done):
                    call.make(done if call.is_ahead else done - 1)
            except Exception as error:
                if len(rates) > 1:  # the end of a table, of OneCycleLR, or an overflow in CyclicLR
                    break
                name = type(twin).__name__
                raise BadInputError(f"{name} cannot be stepped to see what it does ({error}); {REMEDY}.") from error
            rates.append(held_by(groups))
    return rates


def counts(schedulers: Any) -> bool:
    """Say whether functions of schedulers return other numbers when called again."""
    functions = [each for one in sched.with_inner(sched.flatten(schedulers)) for each in getattr(one, "lr_lambdas", ())]
    try:
        with Kept(functions) as kept, kept.probe(0):
            return any(len({float(each(0)) for _ in range(ENOUGH)}) > 1 for each in functions)
    except Exception:  # noqa: BLE001, such as the end of a table
        return True


class Change(NamedTuple):
    """A change of all rates by a factor; each group's peak becomes exactly the new one."""

    factor: float
    new: Mapping[float, float]  # from each group's old peak to its new one

    def of(self, rate: float) -> float:
        """Return what a rate becomes."""
        return self.new.get(rate, rate * self.factor)


@dataclass(frozen=True, slots=True)
class Rates:
    """The learning rate of an optimizer and of each of its param groups.

    Attributes:
        lr: A rate of a param group: the one that training names, if a group has it, else the optimizer's
            ``defaults["lr"]`` likewise, else the first group's that is not 0. Of several optimizers, the first one's.
        peaks: Each group's rate, under a schedule its peak; the groups of several optimizers in a row.
    """

    lr: float
    peaks: tuple[float, ...]

    @property
    def ratios(self) -> tuple[float, ...]:
        """Each group's rate as a multiple of ``lr``."""
        return tuple(peak / self.lr for peak in self.peaks)

    def to(self, lr: float) -> Change:
        """Return the change to another rate."""
        new = {peak: lr * ratio for peak, ratio in zip(self.peaks, self.ratios, strict=True)}
        return Change(lr / self.lr, new)


def rates_of(
    optimizers: Optimizers, scheduler: Any = None, ratios: Sequence[float] = (), named: Sequence[float] = ()
) -> Rates:
    """Return the rate of one optimizer or several, and of their param groups; ``BadInputError`` if it is not positive.

    Args:
        optimizers: The optimizers.
        scheduler: The schedulers that drive them, if known.
        ratios: Each group's rate as a multiple of ``lr``, if known from before. An optimizer's state has no
            ``defaults``: loaded into one that was built with another rate, these tell which group has ``lr``.
        named: Rates that training names, in attributes or arguments.
    """
    each, schedulers = as_list(optimizers), sched.with_inner(sched.flatten(scheduler))
    for item in each:
        sched.check_optimizer(item)
    first, *others = [_peaks(item, schedulers) for item in each]
    peaks = [*first, *(peak for some in others for peak in some)]
    known, is_same = _rate_in(ratios, peaks), len(ratios) == len(peaks)
    wanted = [*named, float(each[0].defaults.get("lr") or 0.0)]
    held = (peak for rate in wanted for peak in first if peak and differing([peak], [rate], CLOSE) is None)
    lr = (is_same and known) or next(held, known or next(filter(None, first), 0.0))
    if not 0 < lr < math.inf:
        raise BadInputError(
            f"{type(each[0]).__name__} has lr={lr}, so the ratios of its param groups are unknown; "
            f"construct it with a positive lr (any will do)."
        )
    return Rates(lr, tuple(peaks))


def _rate_in(ratios: Sequence[float], peaks: Sequence[float]) -> float:
    """Return the rate whose multiples the groups hold; 0 if they hold others, or all ratios are equal."""
    if len(set(ratios)) < 2 or 1.0 not in ratios[: len(peaks)]:
        return 0.0
    rate = peaks[ratios.index(1.0)]
    return rate if differing(peaks, [rate * ratio for ratio in ratios], CLOSE) is None else 0.0


def _peaks(optimizer: Optimizer, schedulers: Sequence[Any]) -> list[float]:
    drivers = [each for each in schedulers if sched.driven_by(each) is optimizer]
    cycles = [each for each in drivers if hasattr(each, "max_lrs") and not sched.needs_metric(each)]
    if cycles:
        return [float(peak) for peak in cycles[-1].max_lrs]
    for last in drivers[-1:]:
        if not (sched.is_known(last) or sched.needs_metric(last) or _keeps_rates(last) or is_recursive(last, RATES)):
            rates = trajectory(on_dummy(last), sched.known_length(last) or ENOUGH)  # as ignite's
            return [max(column) for column in zip(*rates, strict=True)]
    names: tuple[str, ...] = ("initial_lr", "lr")
    if not schedulers or any(hasattr(each, "_schedule_phases") for each in drivers):  # OneCycleLR, which may have ended
        names = ("max_lr", *names)
    return [float(next(group[name] for name in names if name in group)) for group in optimizer.param_groups]


def is_recursive(scheduler: Any, names: Sequence[str] = ("lr",)) -> bool:
    """Say whether a scheduler's next rates depend on those in the groups under these names."""
    once, twice = (trajectory(on_dummy(scheduler, factor, names), _SHORT) for factor in (1.0, 2.0))
    return once[1:] != twice[1:] or len(once) < 2


def _keeps_rates(scheduler: Any) -> bool:
    """Say whether a scheduler, or one that it holds, has stored the rates of its optimizer."""
    groups = sched.driven_by(scheduler).param_groups
    rates = [held_by(groups), [float(group["initial_lr"]) for group in groups if "initial_lr" in group]]
    kept = [(name, value) for item in sched.with_inner([scheduler]) for name, value in vars(item).items()]
    lists = [value for _, value in kept if isinstance(value, (list, tuple)) and len(value) == len(groups)]
    lists += [[value] * len(groups) for name, value in kept if isinstance(value, float) and _BASE.search(name)]
    numbers = [list(map(float, item)) for item in lists if all(isinstance(each, (int, float, Tensor)) for each in item)]
    return any(differing(item, each, 1e-9) is None for item in numbers for each in rates if each)


class Scheduled:
    """What a scheduler will make of the rate; the scheduler and its optimizer are only read.

    Args:
        scheduler: A scheduler from any library, new or in the middle of training; else a BadInputError is raised.
        steps: How often training will step it, if that does not depend on the number of optimizer steps (once per
            epoch, say).
        every: Else, it is stepped once per this many optimizer steps.

    Attributes:
        length: After how many steps of training, or epochs, it ends; None if unknown.
        unit: ``"epoch"`` or ``"step"``, if its arguments say what it counts; else None.
        is_given: Whether the user gave it: then an unreadable one is an error, else it is read as constant.
    """

    def __init__(self, scheduler: Any, steps: int | None = None, every: int = 1) -> None:
        if not sched.is_scheduler(scheduler):
            raise BadInputError(
                f"schedule must be a name, a function of the fraction of training done, with 1 at its peak, or a "
                f"scheduler with an attribute optimizer, which says whose rates it changes; got {scheduler!r}."
            )
        self._steps_per_call, scheduler = sched.steps_per_call(scheduler), sched.without_wrapper(scheduler)
        self.__name__ = type(scheduler).__name__
        self._steps, self._every, self.is_given, self._has_no_peak = steps, every, True, False
        self._twin = on_dummy(scheduler)
        call = cast(sched.StepCall, sched.step_call(self._twin))
        self._is_constant, self.unit = call.needs_metric, call.unit
        done = max(getattr(scheduler, "last_epoch", 0), 0)
        left = (sched.known_length(scheduler) or 0) - done
        is_told = left > 0 and steps is None and not self._is_constant
        self.length = max(left * every // self._steps_per_call, 1) if is_told else None
        self._is_begun = done > 0
        self._peaks = rates_of(sched.driven_by(scheduler), None if self._is_constant else scheduler).peaks

    @property
    def note(self) -> str:
        """What a person should know about how it was read."""
        if self._is_constant:
            return f"{self.__name__} was read as constant: when it will change the rate is not known."
        return f"{self.__name__} was read as constant: training does not reach its peak." if self._has_no_peak else ""

    def over(self, steps: int, epochs: float | None = None) -> Shape:
        """Return the shape over this many optimizer steps and passes over the data.

        Raises:
            BadInputError: If its peak is not the rate that the optimizer is given.
        """
        if self._is_constant:
            return constant
        count = 0 if epochs is None or self.unit == "step" else max(round(epochs), 1)
        is_per_epoch = self.unit == "epoch" or (self.length == count and count != steps)
        times = self._steps or (count if is_per_epoch else 0) or max(steps // self._every, 1)
        rates = trajectory(self._twin, times * self._steps_per_call)[:: self._steps_per_call]
        multipliers = [max(each / peak for each, peak in zip(row, self._peaks, strict=True) if peak) for row in rates]
        peak = 1.0 if self._is_begun else max(multipliers)
        self._has_no_peak = not _LEAST <= peak <= _MOST
        if not self._has_no_peak:
            return lambda fraction: multipliers[min(int(fraction * times), len(multipliers) - 1)] / peak
        if not self.is_given:
            return constant
        raise BadInputError(
            f"{self.__name__} takes the rate to {peak:.3g} times the optimizer's, so that no rate is its peak; "
            f"pass schedule= as a function of the fraction of training done, with 1 at its peak."
        )


def to_schedule(scheduler: Any, steps: int | None = None, every: int = 1) -> Scheduled | AsConstant:
    """Return a ``Scheduled``, or a constant with the reason if the scheduler cannot be read."""
    why = "how it is stepped cannot be told"
    try:
        schedule = Scheduled(scheduler, steps, every)
        why = "its peak is not the rate that the optimizer is given"
        schedule.over(schedule.length or 10 * ENOUGH)
    except BadInputError:
        return AsConstant(type(sched.without_wrapper(scheduler)).__name__, why)
    schedule.is_given = False
    return schedule

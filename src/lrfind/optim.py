"""Read, set and verify learning rates on an optimizer, whatever its param groups and schedulers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.optim import Optimizer

from lrfind.errors import BadInputError, RateNotAppliedError

_GROUP_RATES = ("initial_lr", "max_lr", "min_lr")
_SCHEDULER_RATES = ("base_lrs", "max_lrs", "min_lrs", "_last_lr", "eta_min")

_CLOSE = 1e-6
"""Rates this close, relatively, are the same: a tensor rate holds single precision."""


@dataclass(frozen=True, slots=True)
class Rates:
    """The learning rate of an optimizer and what each param group makes of it.

    Attributes:
        lr: The optimizer's own rate: what its param groups hold where they agree, else its ``defaults["lr"]``, or
            the peak where a cyclical schedule drives it.
        ratios: Each group's rate as a multiple of ``lr``.
    """

    lr: float
    ratios: tuple[float, ...]


def rates_of(optimizer: Optimizer) -> Rates:
    """Return the rate of an optimizer and the ratios of its param groups.

    Raises:
        BadInputError: If the optimizer has no positive learning rate to measure the ratios against.
    """
    peaks = [float(group.get("max_lr", group.get("initial_lr", group["lr"]))) for group in optimizer.param_groups]
    cycled = any("max_lr" in group for group in optimizer.param_groups)
    lr = max(peaks) if cycled or len(set(peaks)) == 1 else float(optimizer.defaults.get("lr", peaks[0]))
    if not 0 < lr < math.inf:
        raise BadInputError(
            f"{type(optimizer).__name__} has lr={lr}, so the ratios of its param groups are unknown; "
            f"construct it with a positive lr (any will do)."
        )
    return Rates(lr, tuple(peak / lr for peak in peaks))


def set_rate(optimizer: Optimizer, lr: float, ratios: Sequence[float]) -> None:
    """Give each param group ``lr`` times its ratio; a tensor rate is filled in place."""
    for group, ratio in zip(optimizer.param_groups, ratios, strict=True):
        _write(group, "lr", lr * ratio)


def read_rate(optimizer: Optimizer, ratios: Sequence[float]) -> float:
    """Return the rate that the param groups hold, read back and freed of their ratios.

    Raises:
        RateNotAppliedError: If the groups do not hold one rate in these ratios.
    """
    held = [float(group["lr"]) for group in optimizer.param_groups]
    base = next((rate / ratio for rate, ratio in zip(held, ratios, strict=True) if ratio), held[0])
    for index, (rate, ratio) in enumerate(zip(held, ratios, strict=True)):
        if not math.isclose(rate, base * ratio, rel_tol=_CLOSE):
            raise RateNotAppliedError(
                f"param group {index} of {type(optimizer).__name__} has lr={rate}, not {base * ratio}: "
                f"something else sets its rate; let lrfind or the scheduler be the only one."
            )
    return base


def apply_rate(optimizer: Optimizer, lr: float, scheduler: Any = None) -> AppliedRate:
    """Set a rate on an optimizer and its schedulers, check it, and watch it from now on.

    Args:
        optimizer: Any torch optimizer; ratios between its param groups are kept.
        lr: The rate, positive and finite; under a cyclical schedule, its peak.
        scheduler: The scheduler, or several, that drive the optimizer; each is rebased in place so that its
            whole trajectory scales.

    Returns:
        The watch; it raises inside ``optimizer.step()`` as soon as another rate is about to be used.

    Raises:
        BadInputError: If ``lr`` is not positive and finite.
        RateNotAppliedError: If a scheduler drives the optimizer but was not given, or the rate does not hold.
    """
    if not 0 < lr < math.inf:
        raise BadInputError(f"lr must be positive and finite, got {lr=}.")
    schedulers = tuple(_flatten(scheduler))
    if not schedulers and any("initial_lr" in group for group in optimizer.param_groups):
        raise RateNotAppliedError(
            f"a scheduler drives this {type(optimizer).__name__} and would undo the rate at its next step; "
            f"pass it too: finding.apply(optimizer, scheduler)."
        )
    for one in schedulers:
        for group, peak in zip(optimizer.param_groups, getattr(one, "max_lrs", ()), strict=False):
            group.setdefault("max_lr", float(peak))
    old = rates_of(optimizer)
    factor = lr / old.lr
    for group, ratio in zip(optimizer.param_groups, old.ratios, strict=True):
        scheduled = float(group["lr"]) / (old.lr * ratio) if schedulers and ratio else 1.0
        _write(group, "lr", lr * ratio * scheduled)
        for name in _GROUP_RATES:
            if name in group:
                peak = float(group[name]) / (old.lr * ratio) if ratio else 1.0
                group[name] = lr * ratio * peak
    optimizer.defaults["lr"] = lr
    for one in schedulers:
        _rebase(one, factor, optimizer)
    return AppliedRate(optimizer, schedulers)


@dataclass(eq=False)
class AppliedRate:
    """Watches the rate an optimizer really uses, at every step.

    Attributes:
        optimizer: The optimizer that is watched.
        schedulers: What may change its rate; without any, the rate must stay as it is now.
        least: The least rate used so far; infinity before the first step.
        greatest: The greatest rate used so far; 0 before the first step.
        steps: How many steps were watched.
    """

    optimizer: Optimizer
    schedulers: tuple[Any, ...] = ()
    least: float = field(default=math.inf, init=False)
    greatest: float = field(default=0.0, init=False)
    steps: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._ratios = rates_of(self.optimizer).ratios
        self._held = [float(group["lr"]) for group in self.optimizer.param_groups]
        self._hook = self.optimizer.register_step_pre_hook(self._observe)

    def verify(self) -> None:
        """Check that every param group holds the rate that was applied, or that its scheduler last set.

        Raises:
            RateNotAppliedError: If one does not; names the step, the group, the rate wanted and the rate held.
        """
        for index, group in enumerate(self.optimizer.param_groups):
            wanted = [scheduler.get_last_lr()[index] for scheduler in self.schedulers] or self._held[index : index + 1]
            rate = float(group["lr"])
            if rate not in [float(one) for one in wanted]:
                raise RateNotAppliedError(self._complaint(index, rate, float(wanted[-1])))

    def remove(self) -> None:
        """Stop watching."""
        self._hook.remove()

    def _observe(self, *_: Any) -> None:
        self.verify()
        index = next((index for index, ratio in enumerate(self._ratios) if ratio), 0)
        rate = float(self.optimizer.param_groups[index]["lr"]) / self._ratios[index]
        self.least, self.greatest = min(self.least, rate), max(self.greatest, rate)
        self.steps += 1

    def _complaint(self, index: int, rate: float, wanted: float) -> str:
        driver = ", ".join(type(scheduler).__name__ for scheduler in self.schedulers)
        source = f"as set by {driver}" if driver else "as applied"
        remedy = (
            "set the rate through the scheduler only"
            if driver
            else "if a scheduler drives it, pass it: finding.apply(optimizer, scheduler)"
        )
        return (
            f"at step {self.steps + 1} param group {index} of {type(self.optimizer).__name__} has lr={rate}, "
            f"not {wanted} {source}: something else changed it; {remedy}."
        )


def _write(group: dict[str, Any], name: str, value: float) -> None:
    if isinstance(group[name], torch.Tensor):
        group[name].fill_(value)
    else:
        group[name] = value


def _flatten(scheduler: Any) -> Iterator[Any]:
    if scheduler is None:
        return
    if isinstance(scheduler, Iterable):
        for one in scheduler:
            yield from _flatten(one)
    else:
        yield scheduler


def _rebase(scheduler: Any, factor: float, optimizer: Optimizer) -> None:
    """Scale every absolute rate a scheduler keeps; its base rates become exactly the groups' new ones."""
    for inner in getattr(scheduler, "_schedulers", ()):
        _rebase(inner, factor, optimizer)
    for name in _SCHEDULER_RATES:
        value = getattr(scheduler, name, None)
        if isinstance(value, (list, tuple)):
            setattr(scheduler, name, [rate * factor for rate in value])
        elif isinstance(value, (int, float)):
            setattr(scheduler, name, value * factor)
    groups = optimizer.param_groups
    if hasattr(scheduler, "base_lrs"):
        bases = zip(groups, scheduler.base_lrs, strict=True)
        scheduler.base_lrs = [group.get("initial_lr", base) for group, base in bases]
    scheduler._last_lr = [float(group["lr"]) for group in groups]

"""The arms of a comparison and the rate of each of their steps."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from operator import index
from typing import Any, cast, get_args

from lrfind.compare.comparison import Arm, Mode
from lrfind.errors import BadInputError, check_rate
from lrfind.numbers import rate, span
from lrfind.records import Finding
from lrfind.schedules import SCHEDULES, Cycle, Cyclical

ARMS = ("constant", "linear", "one-cycle", "restarts", "triangular", "triangular2", "exp_range")
"""The default schedules."""

CYCLICAL = get_args(Cycle)
CYCLES = 4
RATE_NAMES = ("lr", "learning_rate")  # arguments of a model or an optimizer that every arm sets itself
FIXED = "found"  # the name of the arm of the found fixed rate; the other found arms are named after their schedules


def to_arms(
    findings: Mapping[str, Finding],
    *,
    lrs: Sequence[float] = (),
    schedules: Sequence[str] = ARMS,
    cycles: int = CYCLES,
    variant: str = "",
) -> tuple[Arm, ...]:
    """Return the arms, those of given rates first.

    Args:
        findings: By schedule; cyclical schedules take the range of ``"constant"``.
        lrs: Given rates, constant over training.
        schedules: Names of schedules; ``"constant"`` is the found fixed rate.
        cycles: The number of cycles of a cyclical schedule.
        variant: The name of the target, if there are several.
    """
    arms = [Arm(repr(float(lr)), float(lr)) for lr in lrs]
    arms += [_found(name, findings, cycles) for name in schedules]
    return tuple(replace(arm, name=f"{arm.name} {variant}".rstrip(), variant=variant) for arm in arms)


def needs(schedules: Sequence[str]) -> tuple[str, ...]:
    """Return the schedules to search a rate for, the constant one first."""
    each = dict.fromkeys("constant" if name in CYCLICAL else name for name in schedules)
    return tuple(sorted(each, key=lambda name: name != "constant"))


def check_arms(
    lrs: Sequence[float], schedules: Sequence[str], cycles: int, *, variants: int = 1, mode: Mode | None = None
) -> None:
    """Raise unless these rates and schedules make a comparison, which the metric's ``mode`` decides."""
    for name, given in {"lrs": lrs, "schedules": schedules}.items():
        if isinstance(given, str) or not isinstance(given, Iterable):
            raise BadInputError(f"{name} must be several, in a list, got {given!r}.")
    for lr in lrs:
        check_rate(lr)
    known = (*SCHEDULES, *CYCLICAL)
    if unknown := [name for name in schedules if name not in known]:
        raise BadInputError(f"schedules must be among {', '.join(known)}, got {unknown[0]!r}.")
    names = [*map(float, lrs), *schedules]
    if twice := [name for name in names if names.count(name) > 1]:
        raise BadInputError(f"{twice[0]} is named twice; an arm is compared once.")
    if (count := len(names) * variants) < 2:
        raise BadInputError(f"a comparison needs two arms or more, got {count}: name lrs= or schedules=.")
    if not isinstance(cycles, int) or cycles < 1:
        raise BadInputError(f"cycles must be a whole number from 1 up, got {cycles!r}.")
    if mode not in (None, *get_args(Mode)):
        raise BadInputError(f'mode must be "min" or "max", got {mode!r}.')


def mode_of(metric: str) -> Mode:
    """Return whether the minimum or the maximum of a metric is best, by its name.

    Example:
        >>> [mode_of(name) for name in ("val_accuracy", "test_top5", "BinaryF1Score", "BinaryAUROC", "val_loss")]
        ['max', 'max', 'max', 'max', 'min']
    """
    words = r"acc(uracy)?|f1(score)?|auc|auroc|precision|recall|iou|dice|map|bleu|rouge|r2|psnr|ssim|top\d+"
    parts = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", metric).lower()  # MulticlassAccuracy is two words
    is_gain = re.search(rf"(?<![a-z])({words})(?![a-z])", parts) and not re.search("loss|err", parts)
    return "max" if is_gain else "min"


def to_seeds(seeds: int | Sequence[int]) -> tuple[int, ...]:
    """Return the given seeds, or as many from 0 up."""
    try:
        which = tuple(map(index, seeds if isinstance(seeds, Iterable) else range(seeds)))
    except TypeError:  # not whole numbers
        which = ()
    if not which or len(set(which)) < len(which) or any(seed < 0 for seed in which):
        raise BadInputError(f"seeds must be a number from 1 up, or different numbers from 0 up, got {seeds!r}.")
    return which


def check_cycles(schedules: Sequence[str], cycles: int, steps: int) -> None:
    """Raise if a cycle would have fewer than two steps."""
    if steps < 2 * cycles and not set(CYCLICAL).isdisjoint(schedules):
        raise BadInputError(f"cycles={cycles} need at least {2 * cycles} optimizer steps, got {steps}; train longer.")


def rates(arm: Arm, steps: int) -> tuple[float, ...]:
    """Return the rate of each optimizer step; a schedule, and a cycle, ends after the last step.

    Example:
        >>> rates(Arm("linear", 0.5, "linear"), 4)
        (0.5, 0.375, 0.25, 0.125)
        >>> rates(Arm("triangular", 1.0, "triangular", base_lr=0.5, cycles=2), 8)
        (0.5, 0.75, 1.0, 0.75, 0.5, 0.75, 1.0, 0.75)
    """
    if arm.base_lr is None or arm.cycles is None:
        shape = SCHEDULES[arm.schedule]
    else:
        shape = Cyclical(cast(Cycle, arm.schedule), cycles=arm.cycles, low=arm.base_lr / arm.lr)
    return tuple(arm.lr * shape(step / steps) for step in range(steps))


def labels(arms: Sequence[Arm]) -> dict[str, str]:
    """Return by name what to call each arm, so that it says its rate; nothing where two would be called alike.

    Example:
        >>> labels([Arm("0.01", 0.01), Arm("found", 0.0023412), Arm("mine", 0.1)])
        {'0.01': 'lr 0.01', 'found': 'found 0.00234', 'mine': 'mine'}
    """
    made = {arm.name: label(arm) for arm in arms}
    return made if len(set(made.values())) == len(made) else {}


def renamed(value: Any, names: Mapping[str, str]) -> Any:
    """Replace the names of arms in a verdict: each of its texts is one, but for the sentence."""
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{field.name: renamed(getattr(value, field.name), names) for field in fields(value)})
    if isinstance(value, tuple):
        return tuple(renamed(each, names) for each in value)
    return names.get(value, value) if isinstance(value, str) else value


def rates_of(arm: Arm) -> str:
    """Return an arm's rate in words, or the ends of its range."""
    return rate(arm.lr) if arm.base_lr is None else span(arm.base_lr, arm.lr)


def label(arm: Arm) -> str:
    """Return a name for an arm that says its rate, unless a person has named it."""
    if arm.name == repr(float(arm.lr)):
        return f"lr {rate(arm.lr)}"
    return f"{arm.name} {rates_of(arm)}" if arm.name in (FIXED, arm.schedule) else arm.name


def _found(schedule: str, findings: Mapping[str, Finding], cycles: int) -> Arm:
    if schedule in CYCLICAL:
        base, top = findings["constant"].base_lr, findings["constant"].max_lr
        if base >= top:
            raise BadInputError(
                f"the found range is {base}..{top}, so that {schedule} has nowhere to go; leave it out of schedules."
            )
        return Arm(schedule, top, schedule, base_lr=base, cycles=cycles, origin="found")
    name = FIXED if schedule == "constant" else schedule
    return Arm(name, findings[schedule].lr, schedule, origin="found")

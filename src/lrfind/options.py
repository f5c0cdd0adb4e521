"""The options of every search: what each means, how they are shown, and the strategy that they ask for."""

from __future__ import annotations

import inspect
import os
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, Literal, TypeVar, cast

from torch.optim.lr_scheduler import LRScheduler
from typing_extensions import TypedDict, Unpack

from lrfind.errors import BadInputError
from lrfind.optim import Scheduled, is_scheduler
from lrfind.schedules import Ramp, Shape, Stretched
from lrfind.strategies import Strategy
from lrfind.strategies.range_test import RangeTest
from lrfind.strategies.replicated import Replicated

Schedule = str | Shape | Stretched | LRScheduler

F = TypeVar("F", bound=Callable[..., Any])


class RangeOptions(TypedDict, total=False):
    """What tunes the range test; ``SearchOptions`` says what each means."""

    schedule: Schedule
    total_steps: int | None
    epochs: float | None
    min_lr: float
    max_lr: float
    steps: int
    ramp: Ramp
    method: str
    seed: int


class SearchOptions(RangeOptions, total=False):
    """The keyword arguments of every ``find``.

    Attributes:
        strategy: ``"auto"`` (a range test, and shorter ones beside it: ``lrfind.Replicated``), ``"range"`` (one range
            test, ``lrfind.RangeTest``) or an object with ``propose``.
        schedule: What the rate will do in training: ``"constant"``, ``"linear"``, ``"cosine"``, ``"cosine-warmup"``,
            ``"one-cycle"``, a scheduler, or a function of the fraction of training done.
        total_steps: How many optimizer steps training will take.
        epochs: Or how often it will go over the data; of both, the lesser counts.
        budget: What ``"auto"`` may cost: a share of the training if below 1, else steps.
        min_lr: The first rate that is tried.
        max_lr: The last one; a search stops earlier where the loss diverges.
        steps: Optimizer steps of the first range test.
        ramp: How its rates rise: ``"exponential"`` or ``"linear"``.
        method: How the curve is read: ``"calibrated"``, ``"steepest"``, ``"valley"``, ``"minimum"`` or ``"slide"``.
        seed: Seeds the batch order and the random numbers of the search.
        progress: Whether to show a bar, or in a log a line now and then; of a callback, to say what was found.
        resume: A file for what the search has run so far; started again with the same options after a kill, the search
            goes on from it and gives the same finding. It is removed at the end. Another search, another model or
            other data need another file: only the probes are compared.
        isolation: Has no effect any more: the originals are probed, and put back, always.
    """

    strategy: Literal["auto", "range"] | Strategy
    budget: float
    progress: bool
    resume: str | os.PathLike[str] | None
    isolation: str


NAMES = tuple(name for name in SearchOptions.__annotations__ if name != "isolation")

_DEFAULTS = {one.name: one.default for kind in (RangeTest, Replicated) for one in fields(kind)}
_DEFAULTS |= {"strategy": "auto", "progress": True}
del _DEFAULTS["schedule"]  # which is by default what drives the training's own optimizer


def with_options(function: F) -> F:
    """Name every option in the signature and the docstring of a function that takes them as ``**options``.

    That is what ``help`` and completion show of them; how the function is called does not change.
    """
    given = inspect.signature(function)
    first = [one for one in given.parameters.values() if one.kind is not one.VAR_KEYWORD]
    kinds = {name: kind.__forward_arg__ for name, kind in SearchOptions.__annotations__.items()}
    options = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=_DEFAULTS.get(name), annotation=kinds[name])
        for name in NAMES
    ]
    function.__signature__ = given.replace(parameters=[*first, *options])  # type: ignore[attr-defined]
    return with_meanings(function)


def with_meanings(documented: F) -> F:
    """Say in the docstring of what takes ``**options`` what each option means."""
    each = (inspect.getdoc(SearchOptions) or "").partition("Attributes:\n")[2].partition("    isolation:")[0]
    before, options, after = re.split(r"(?<=\n)( +\*\*options: .+\n(?: {8}.+\n)*)", inspect.getdoc(documented) or "")
    documented.__doc__ = before + options + each + after
    return documented


def with_new_names(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options with ``total_steps`` for ``horizon``, as it was called before, and say so."""
    if "horizon" not in options:
        return dict(options)
    warnings.warn("horizon= is called total_steps= now.", DeprecationWarning, stacklevel=4)
    return {"total_steps" if name == "horizon" else name: value for name, value in options.items()}


def to_strategy(
    *,
    steps_per_epoch: float = 0.0,
    strategy: str | Strategy = "auto",
    budget: float | None = None,
    progress: bool = True,
    resume: str | os.PathLike[str] | None = None,
    isolation: str | None = None,
    **options: Unpack[RangeOptions],
) -> Strategy:
    """Return the strategy that the options ask for.

    Args:
        steps_per_epoch: Optimizer steps in one pass over the data; 0 where they are not known.
        strategy: As every ``find`` takes it.
        budget: Likewise.
        progress: Likewise; without effect here.
        resume: Likewise; without effect here.
        isolation: Likewise.
        **options: Likewise.

    Raises:
        BadInputError: If an option is unknown, out of its range, or given beside a strategy that is an object.
    """
    if isolation is not None:
        warnings.warn(
            "isolation= has no effect any more, leave it out: nothing moves.", DeprecationWarning, stacklevel=3
        )
    options = cast(RangeOptions, with_new_names(options))
    if unknown := sorted(set(options) - set(RangeOptions.__annotations__)):
        raise BadInputError(f"unknown option {unknown[0]!r}; there are {', '.join(sorted(NAMES))}.")
    if "schedule" in options:
        options["schedule"] = unstepped(options["schedule"])
    if strategy == "auto":
        test = RangeTest(steps_per_epoch=steps_per_epoch, **options)  # type: ignore[arg-type]
        return Replicated(test) if budget is None else Replicated(test, budget=budget)
    if strategy == "range":
        if budget is not None:
            raise BadInputError('budget is for strategy="auto"; give strategy="range" its steps instead.')
        return RangeTest(steps_per_epoch=steps_per_epoch, **options)  # type: ignore[arg-type]
    if isinstance(strategy, str):
        raise BadInputError(f'strategy must be "auto", "range" or an object with propose, got {strategy!r}.')
    if given := sorted([*options, *([] if budget is None else ["budget"])]):
        raise BadInputError(f"give {', '.join(given)} to the strategy {type(strategy).__name__} itself.")
    return strategy


def unstepped(schedule: Schedule) -> str | Shape | Stretched:
    """Return a schedule as strategies take it: of a torch scheduler, what it will do."""
    return Scheduled(schedule) if is_scheduler(schedule) else schedule  # type: ignore[return-value]

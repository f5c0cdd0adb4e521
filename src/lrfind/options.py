"""The options of every search: their meaning, their defaults, and the strategy that they select."""

from __future__ import annotations

import inspect
import os
import re
import warnings
from collections.abc import Collection, Mapping
from dataclasses import fields, replace
from difflib import get_close_matches
from functools import wraps
from typing import Any, Literal, cast

from torch.optim.lr_scheduler import LRScheduler
from typing_extensions import TypedDict, Unpack

from lrfind.errors import TYPO, BadInputError
from lrfind.flags import F as F
from lrfind.flags import takes
from lrfind.loop import check_length
from lrfind.optim import Scheduled, is_scheduler
from lrfind.records import Finding
from lrfind.schedules import SCHEDULES, Ramp, Shape, Stretched
from lrfind.strategies import Strategy
from lrfind.strategies.notes import with_advice
from lrfind.strategies.range_test import LENGTHS, RangeTest
from lrfind.strategies.reading import Ramps, check_readable
from lrfind.strategies.replicated import Replicated

Schedule = str | Shape | Stretched | LRScheduler


class SearchOptions(TypedDict, total=False):
    """The keyword arguments of every ``find``.

    Attributes:
        strategy: ``"auto"`` (a range test, and shorter ones beside it: ``lrfind.Replicated``), ``"range"`` (one range
            test, ``lrfind.RangeTest``) or an object with ``propose``.
        schedule: What the rate will do in training: ``"constant"``, ``"linear"``, ``"cosine"``, ``"cosine-warmup"``,
            ``"one-cycle"``, a scheduler, or a function of the fraction of training done.
        total_steps: How many optimizer steps training will take.
        epochs: Or the passes over the data.
        budget: What ``"auto"`` may cost: a share of the training if below 1, else steps; but a search takes 48 steps
            at least, and of a share up to three times as much in short trainings (``lrfind.Replicated``).
        min_lr: The first rate to try.
        max_lr: The last rate to try; a search stops earlier if the loss diverges.
        steps: Optimizer steps of the first range test.
        ramp: How its rates rise: ``"exponential"`` or ``"linear"``.
        method: How the curve is read: ``"calibrated"``, ``"steepest"``, ``"valley"``, ``"minimum"`` or ``"slide"``.
        seed: Seeds the batch order and the random numbers of the search.
        progress: Whether to show a progress bar, or lines in a log; for a callback, also to print what was found.
        resume: A file for what the search has run so far. After a kill, a search with the same options goes on from it
            and gives the same finding. It is removed at the end. Use another file for another search, model or data:
            only the probes are compared.
        isolation: Has no effect any more: the originals are always probed and put back.
    """

    schedule: Schedule
    total_steps: int | None
    epochs: float | None
    min_lr: float
    max_lr: float
    steps: int
    ramp: Ramp
    method: str
    seed: int
    strategy: Literal["auto", "range"] | Strategy
    budget: float
    progress: bool
    resume: str | os.PathLike[str] | None
    isolation: str


NAMES = tuple(name for name in SearchOptions.__annotations__ if name != "isolation")

_ELSEWHERE = {
    "criterion": "loss_fn",
    "train_loader": "loader",
    **dict.fromkeys(("mode", "step_mode"), "ramp"),
    **dict.fromkeys(("start_lr", "init_value"), "min_lr"),
    **dict.fromkeys(("end_lr", "final_value"), "max_lr"),
    **dict.fromkeys(("num_iter", "num_it", "num_training"), "steps"),
    **dict.fromkeys(("max_steps", "num_steps"), "total_steps"),
}
"""Other finders' and trainers' names of these options."""

_DEFAULTS = {field.name: field.default for kind in (RangeTest, Replicated) for field in fields(kind)}
_DEFAULTS |= {"strategy": "auto", "progress": True, "schedule": None}  # what drives the training's own optimizer
_TABLE = {name: (SearchOptions.__annotations__[name].__forward_arg__, _DEFAULTS.get(name)) for name in NAMES}


def with_options(function: F) -> F:
    """Check the names in a function's ``**options``, and list each in its signature and docstring."""
    parameters = inspect.signature(takes(_TABLE, eval_str=False)(function)).parameters
    places = [name for name, parameter in parameters.items() if parameter.kind is parameter.POSITIONAL_OR_KEYWORD]

    @wraps(function)
    def checked(*args: Any, **kwargs: Any) -> Any:
        if len(args) > len(places):
            kinds = ", ".join(type(each).__name__ for each in args)
            raise BadInputError(f"{function.__name__} takes ({', '.join(places)}), all else by name, got ({kinds}).")
        return function(*args, **with_names(kwargs, parameters))

    return cast(F, with_meanings(checked))


def with_meanings(documented: F) -> F:
    """Add the meaning of each option to a docstring with ``**options``."""
    each = (inspect.getdoc(SearchOptions) or "").partition("Attributes:\n")[2].partition("    isolation:")[0]
    before, options, after = re.split(r"(?<=\n)( +\*\*options: .+\n(?: {8}.+\n)*)", inspect.getdoc(documented) or "")
    documented.__doc__ = before + options + each + after
    return documented


def with_names(given: Mapping[str, Any], known: Collection[str], *, stacklevel: int = 3) -> dict[str, Any]:
    """Return options by their current names, ``BadInputError`` if one is unknown; ``stacklevel`` is for warnings.

    An option that is None is not given; but a length that is None is unknown, also where a trainer has one.
    """
    has_default = {*NAMES} - {*LENGTHS}
    options = {name: value for name, value in given.items() if value is not None or name not in has_default}
    if "horizon" in options:
        warnings.warn("horizon= is called total_steps= now.", DeprecationWarning, stacklevel)
        options["total_steps"] = options.pop("horizon")
    if options.pop("isolation", None) is not None:
        said = "isolation= has no effect any more, leave it out: nothing moves."
        warnings.warn(said, DeprecationWarning, stacklevel)
    for name in sorted(options.keys() - known):
        near = [other for other in (_ELSEWHERE.get(name), *get_close_matches(name, known, 1, TYPO)) if other in known]
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(known))}."
        raise BadInputError(f"unknown option {name!r}; {hint}")
    return options


def to_strategy(*, steps_per_epoch: float = 0.0, **options: Unpack[SearchOptions]) -> Strategy:
    """Return the strategy that the options of a search select; ``BadInputError`` if they cannot be used."""
    given = with_names(options, NAMES)
    strategy: Any = given.pop("strategy", "auto")
    test = {name: value for name, value in given.items() if name not in ("progress", "resume")}
    if strategy not in ("auto", "range"):
        if isinstance(strategy, type) or not hasattr(strategy, "propose"):
            raise BadInputError(f'strategy must be "auto", "range" or an object with propose, got {strategy!r}.')
        if test:
            raise BadInputError(f"give {', '.join(sorted(test))} to the strategy {type(strategy).__name__} itself.")
        return cast(Strategy, strategy)
    budget = {"budget": test.pop("budget")} if "budget" in test else {}
    if strategy == "range" and budget:
        raise BadInputError('budget is for strategy="auto"; give strategy="range" its steps instead.')
    if "schedule" in test:
        test["schedule"] = _unstepped(test["schedule"])
    range_test = RangeTest(steps_per_epoch=steps_per_epoch, **test)
    return range_test if strategy == "range" else Replicated(range_test, **budget)


def reread(finding: Finding, **training: Any) -> Finding:
    """Return what a finding's records say about another training; see ``lrfind.Finding.at``."""
    given = with_names(training, ("schedule", *LENGTHS), stacklevel=4)
    given = {name: value for name, value in given.items() if value is not None}
    if not given:
        return finding
    check_readable(finding, "be read for another training")
    is_as_long, is_known = given.keys() == {"schedule"}, finding.schedule in SCHEDULES
    length: dict[str, Any] = {name: getattr(finding, name) if is_as_long else given.get(name) for name in LENGTHS}
    if "schedule" not in given and finding.final_fraction is None and not is_known:
        raise BadInputError(
            f"the finding does not hold the shape of its schedule {finding.schedule!r}; pass schedule=."
        )
    test = RangeTest(method=finding.method, schedule=_unstepped(given.get("schedule", "constant")), **length)
    check_length(given.get("total_steps"), given.get("epochs"), finding.length.steps_per_epoch)
    if "schedule" in given:
        found = test.find(finding.records)
    else:
        found = Ramps(finding.records, finding.method, replace(finding.length, **length)).finding()
    notes = list(found.notes)
    if not finding.is_calibrated:
        notes.append(
            f"The {finding.method} reading knows nothing of the schedule and the length of training: lr is the same."
        )
    elif "schedule" not in given and not is_known:
        notes.append(f"The shape of {finding.schedule} is taken to be the same over the other length.")
    if finding.is_calibrated and found.length.halvings > finding.length.halvings:
        notes.append("A search told of so short a training would take a second, slower range test: search again.")
    return with_advice(replace(found, cost=finding.cost, notes=tuple(notes)))


def _unstepped(schedule: Schedule) -> str | Shape | Stretched:
    """Return a schedule as strategies take it; a scheduler as ``Scheduled``."""
    is_stepped = is_scheduler(schedule) or (hasattr(schedule, "step") and not isinstance(schedule, type))
    return Scheduled(schedule) if is_stepped else schedule  # type: ignore[return-value]

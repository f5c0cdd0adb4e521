"""The options of a search on a command line, as a table; torch is not imported."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from lrfind.schedules import SCHEDULES
from lrfind.suggest import METHODS

F = TypeVar("F", bound=Callable[..., Any])

SEARCH: dict[str, tuple[Any, Any, str]] = {
    "schedule": (
        str | None,
        None,
        f"What the rate will do: {', '.join(SCHEDULES)}. By default what the module's schedulers do.",
    ),
    "total_steps": (int | None, None, "How many optimizer steps training will take."),
    "epochs": (float | None, None, "Or how many passes over the data; by default --trainer.max_epochs."),
    "method": (str, "calibrated", f"The reading: {', '.join(METHODS)}."),
    "min_lr": (float, 1e-6, "The least rate to try."),
    "max_lr": (float, 30.0, "The greatest rate to try."),
    "steps": (int, 128, "Optimizer steps of the range test."),
    "seed": (int, 0, "Seeds the weights, batches and search."),
    "strategy": (Literal["auto", "range"], "auto", "One range test (range), or shorter ones beside it (auto)."),
    "budget": (float | None, None, "What auto may cost: a share of training below 1, else steps."),
    "resume": (Path | None, None, "Keep the search in this file; killed, it goes on from it."),
}
"""Type, default and meaning, by the names of ``lrfind.SearchOptions``."""


def takes(options: Mapping[str, tuple[Any, ...]], *, eval_str: bool = True) -> Callable[[F], F]:
    """Make a function take the options of a table, with their types and defaults, as its ``**given``."""

    def decorate(function: F) -> F:
        kind, given = inspect.Parameter.KEYWORD_ONLY, inspect.signature(function, eval_str=eval_str)
        parameters = [each for each in given.parameters.values() if each.kind is not each.VAR_KEYWORD]
        parameters += [
            inspect.Parameter(name, kind, annotation=of, default=by) for name, (of, by, *_) in options.items()
        ]
        function.__signature__ = given.replace(parameters=parameters)  # type: ignore[attr-defined]
        function.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return function

    return decorate

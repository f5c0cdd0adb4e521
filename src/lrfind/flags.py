"""The options of a search on a command line as a table, and what is wrong with a command; torch is not imported."""

import inspect
import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, TypeVar

from lrfind.errors import TYPO
from lrfind.schedules import SCHEDULES
from lrfind.suggest import METHODS

F = TypeVar("F", bound=Callable[..., Any])

SEARCH: dict[str, tuple[Any, Any, str]] = {
    "schedule": (str | None, None, f"What the rate does: {', '.join(SCHEDULES)}; by default the module's schedulers."),
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
        for name, (of, default, *_) in options.items():
            parameters.append(inspect.Parameter(name, kind, annotation=of, default=default))
        function.__signature__ = given.replace(parameters=parameters)  # type: ignore[attr-defined]
        function.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return function

    return decorate


def condensed(message: str, parser: Any = None) -> str:
    """Return a message of jsonargparse as one line, without the type alternatives that were not meant."""
    none = "- Expected a <class 'NoneType'>"
    noise = ("Does not validate", "Subtypes:", "Errors:", none, "- Expected a path", "Given")
    lines = [line.strip() for line in message.splitlines()]
    words = " ".join(line.removeprefix("- ") for line in lines if line and not line.startswith(noise))
    if unnamed := re.search(r"class_path '[\w.]*\.Lightning(Data)?Module'", words):
        part, kind = ("data", "LightningDataModule") if unnamed[1] else ("model", "LightningModule")
        return f"the configuration does not name the {kind} that {part} is for; give --{part} module:Class."
    words = re.sub(r'Parser key "([^"]+)":', r"--\1:", words)
    words = re.sub(r"Expected a <class '([^']+)'>", r"expected \1", words)
    words = re.sub(r"\. Got value: ", ", got ", words)
    if unknown := re.search(r"[Uu]nrecognized arguments: ((--[^\s=]*).*|.*)", words):
        known = [] if parser is None else [f"--{name}" for name, _ in parser.get_defaults().items()]
        near = get_close_matches(unknown[2] or "", known, 1, TYPO)
        remedy = f"did you mean {near[0]}?" if near else "--print_config lists what there is."
        return f"no such argument: {unknown[1]}; {remedy}"
    if "'init_args." in words or "'class_path'" in words:
        words += "; where the configuration names a class_path and init_args, leave out --model or --data"
    return words.rstrip(".") + "."

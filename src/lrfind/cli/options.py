"""The options of the commands, as tables, and how lists on the command line are read."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import partial
from itertools import product
from typing import Annotated, Any, TypeVar

import typer

from lrfind.cli.faults import WHAT_TO_TRAIN, UsageError

F = TypeVar("F", bound=Callable[..., Any])

PASSES_ON = {"allow_extra_args": True, "ignore_unknown_options": True}
"""For commands that hand on ``--model.*``, ``--data.*``, ``--trainer.*``, ``--task.*`` and ``--config``."""

_LIGHTNINGS = ("--config", "--print_config", "--trainer", "--model", "--data", "--optimizer", "--lr_scheduler")
"""Options of LightningCLI's own."""

Option = tuple[Any, Any]
"""The annotated type of an option, and its default."""


def option(kind: Any, default: Any, help: str, *flags: str, panel: str | None = None, **more: Any) -> Option:
    """Return an option as Typer takes it; ``more`` is what ``typer.Option`` takes."""
    annotated: Any = Annotated
    return annotated[kind, typer.Option(*flags, help=help, rich_help_panel=panel, **more)], default


def takes(options: Mapping[str, Option]) -> Callable[[F], F]:
    """Have a command take the options of a table as ``**given``."""

    def decorate(command: F) -> F:
        kind = inspect.Parameter.KEYWORD_ONLY
        own = inspect.signature(command, eval_str=True).parameters.values()
        parameters = [parameter for parameter in own if parameter.kind is not parameter.VAR_KEYWORD]
        parameters += [inspect.Parameter(name, kind, annotation=of, default=by) for name, (of, by) in options.items()]
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return command

    return decorate


_what = partial(option, str | None, None, panel="What to train")

Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output, and nothing else there.")]
JSON: Option = (Json, False)

TRAINED: dict[str, Option] = {
    "model": _what("Your LightningModule. Its arguments: --model.NAME VALUE.", metavar="MODULE:CLASS"),
    "data": _what(
        "Your LightningDataModule, arguments --data.NAME VALUE. Without it, the model's own loaders.",
        metavar="MODULE:CLASS",
    ),
    "task": _what(
        "Instead, for plain PyTorch: a function that returns (model, optimizer, loader, loss_fn), or a dict of "
        "them. Its arguments: --task.NAME VALUE. Or, to try it, digits or fashion-mnist: LeNet on that.",
        metavar="MODULE:FUNCTION",
    ),
}


def load_named(spec: str, option: str) -> Any:
    """Import what ``module:name`` names; ``module.name`` is understood too."""
    from lrfind.compare.targets.specs import imported

    module, _, name = spec.rpartition(":" if ":" in spec else ".")
    if not re.fullmatch(r"\w+(\.\w+)*", module) or not name or module.endswith(".py") or name == "py":
        raise UsageError(f"{option} must be written module:name, as in train:Net for Net in train.py, got {spec!r}.")
    return imported(f"{module}:{name}", option)


def check_words(context: typer.Context, *, is_named: bool) -> None:
    """Find out before any work whether what is left of the command line can be meant."""
    names = [name for option in context.command.params for name in option.opts]
    before = ""
    for word in context.args:
        name = word.split("=")[0]
        if not word.startswith("-") and not before.startswith("-"):
            raise UsageError(f"{word} stands alone; {_meant(word, names)}")
        near = get_close_matches(name, names, n=1, cutoff=0.75) if "." not in name and word.startswith("--") else []
        if near and name not in _LIGHTNINGS:
            raise UsageError(f"no such option: {name}; did you mean {near[0]}?")
        before = word
    is_configured = any(word == "-c" or word.startswith(("--config", "-c=")) for word in context.args)
    if not (is_named or is_configured):
        raise UsageError(WHAT_TO_TRAIN)


def _meant(word: str, names: list[str]) -> str:
    """Guess what a word was meant for that follows no option."""
    if word.endswith((".yaml", ".yml")):
        return f"did you mean --config {word}?"
    if word.endswith(".py"):
        return f"did you mean --model {word.removesuffix('.py').replace('/', '.')}:CLASS?"
    if ":" in word or all(part.isidentifier() for part in word.split(".")):
        return f"did you mean --model {word}?"
    if "--lrs" in names:
        return "write lists with commas: --lrs 1e-4,1e-2."
    return "write the option that it is for before it."


def parse_lrs(text: str) -> tuple[float, ...]:
    """Read learning rates separated by commas.

    Example:
        >>> parse_lrs("1e-5, 0.1")
        (1e-05, 0.1)
    """
    rates: list[float] = []
    for word in map(str.strip, text.split(",")):
        try:
            rates.append(float(word))
        except ValueError:
            raise UsageError(f"--lrs: {word!r} is not a number; write rates like 1e-5,1e-4,1e-1.") from None
        if not 0 < rates[-1] < math.inf:
            raise UsageError(f"--lrs: every rate must be positive and finite, got {word}.")
        if rates[-1] in rates[:-1]:
            raise UsageError(f"--lrs: {word} is given twice.")
    return tuple(rates)


def parse_seeds(text: str) -> tuple[int, ...]:
    """Read how many seeds, from 0 on, or which ones, separated by commas.

    Example:
        >>> parse_seeds("3"), parse_seeds("0,7,8")
        ((0, 1, 2), (0, 7, 8))
    """
    try:
        seeds = [int(word) for word in text.split(",")]
    except ValueError:
        raise UsageError(f"--seeds: write how many (3) or which ones (0,7,8), got {text!r}.") from None
    if "," not in text:
        seeds = list(range(seeds[0]))
    if not seeds or min(seeds) < 0 or len(set(seeds)) < len(seeds):
        raise UsageError(f"--seeds: there must be at least one, none below 0 and none twice, got {text!r}.")
    return tuple(seeds)


def parse_settings(settings: list[str]) -> dict[str, tuple[str, ...]]:
    """Read arguments with several values; return the words of each combination, by what to call it.

    Example:
        >>> parse_settings(["model.width=8,16"])
        {'width=8': ('--model.width=8',), 'width=16': ('--model.width=16',)}
    """
    each: dict[str, list[tuple[str, str]]] = {}
    for text in settings:
        key, _, values = text.partition("=")
        if not re.fullmatch(r"\w+(\.\w+)+", key) or not values:
            raise UsageError(f"--set: write --set model.NAME=VALUE,VALUE, or data., task., trainer., got {text!r}.")
        if key in each:
            raise UsageError(f"--set: {key} is given twice; write its values with commas.")
        words = re.split(r",(?![^\[({]*[\])}])", values)  # not at the commas within brackets
        each[key] = [(f"{key.rpartition('.')[2]}={value}", f"--{key}={value}") for value in words]
    named = {" ".join(name for name, _ in item): tuple(word for _, word in item) for item in product(*each.values())}
    if len(named) < math.prod(map(len, each.values())):
        raise UsageError(f"--set: a value is given twice, or two names end alike, in {' '.join(settings)}.")
    return named

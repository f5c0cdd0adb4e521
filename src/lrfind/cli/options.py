"""Options that commands share, what they name to be trained, and parsing of lists."""

from __future__ import annotations

import math
import re
from argparse import ArgumentError
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin

import typer

from lrfind.cli.faults import WHAT_TO_TRAIN, UsageError, load_named
from lrfind.compare.arms import RATE_NAMES
from lrfind.errors import TYPO, BadInputError
from lrfind.flags import condensed

if TYPE_CHECKING:
    from lrfind.compare.targets.protocol import Target

PASSES_ON = {"allow_extra_args": True, "ignore_unknown_options": True}
"""For commands that pass on ``--model.*``, ``--data.*``, ``--trainer.*``, ``--task.*`` and ``--config``."""

_LIGHTNINGS = ("--config", "--print_config", "--trainer", "--model", "--data", "--optimizer", "--lr_scheduler")
"""LightningCLI's options."""

Option = tuple[Any, Any]  # annotated type and default

BUILT_IN = ("fashion-mnist", "digits")  # names for --task


def option(kind: Any, default: Any, help: str, *flags: str, panel: str | None = None, **more: Any) -> Option:
    """Return an option for Typer; ``more`` goes to ``typer.Option``."""
    annotated: Any = Annotated
    if names := get_args(kind) if get_origin(kind) is Literal else ():  # checked by the function that takes it
        kind, more = str | None, {"metavar": "|".join(names), "autocompletion": lambda: [*names], **more}
    return annotated[kind, typer.Option(*flags, help=help, rich_help_panel=panel, **more)], default


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


@dataclass(frozen=True)
class Named:
    """A target, and what its configuration says."""

    target: Target
    length: Mapping[str, Any] = field(default_factory=dict)  # of training, in steps and epochs
    seed: int | None = None
    advice: Callable[[float], str] = lambda _: ""  # after a search, on how to use the rate


def named(given: Mapping[str, Any], arguments: tuple[str, ...]) -> Named:
    """Return the target of ``--model``, ``--data`` and ``--task``; ``arguments`` is the rest of the command line."""
    model, data, task = given["model"], given["data"], given["task"]
    if task is None:
        from lrfind.cli.lightning import Described

        target = Described(model, data, arguments)
        return Named(target, target.length, target.seed, target.advice)
    if model is not None or data is not None:
        raise UsageError("--task brings its own model and data; leave out --model and --data.")
    if task not in BUILT_IN:
        return _function(task, arguments)
    if arguments:
        raise UsageError(f"the built-in task {task} takes no arguments, got {' '.join(arguments)}.")
    from lrfind.demo.experiment import Experiment, dataset_of

    return Named(Experiment(dataset=task), {"epochs": dataset_of(task, None).epochs})


def _function(spec: str, words: tuple[str, ...]) -> Named:
    if spec.isidentifier():
        near = get_close_matches(spec, BUILT_IN, 1, TYPO)
        hint = f"did you mean {near[0]}?" if near else f"there are {' and '.join(BUILT_IN)}, or name your function."
        raise UsageError(f"there is no built-in task {spec}; {hint}")
    if of_trainer := [word for word in words if word.startswith("--trainer")]:
        raise UsageError(f"a --task has no trainer, got {of_trainer[0]}; how long it trains is said by --epochs.")
    function = load_named(spec, "--task")
    if not callable(function) or isinstance(function, type):
        kind = "class; a LightningModule goes to --model" if callable(function) else type(function).__name__
        raise BadInputError(
            f"--task {spec} must be a function that returns (model, optimizer, loader, loss_fn), got a {kind}."
        )
    from jsonargparse import ActionConfigFile, ArgumentParser  # type: ignore[attr-defined]

    from lrfind.compare.targets.pytorch import PyTorchTarget
    from lrfind.isolation import generators_kept
    from lrfind.loop import quiet

    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--config", action=ActionConfigFile)
    parser.add_function_arguments(function, "task", fail_untyped=False)
    try:
        with quiet(), generators_kept():  # jsonargparse warns of its next major version
            config = parser.instantiate_classes(parser.parse_args(list(words)))
    except ArgumentError as error:
        raise UsageError(condensed(str(error), parser)) from error
    return Named(PyTorchTarget(function, dict(config.get("task") or {}), f"--task {spec}"))


def check_words(context: typer.Context, *, is_named: bool) -> None:
    """Raise if the rest of the command line has a stray word or a misspelt option, or nothing is to be trained."""
    names = [name for option in context.command.params for name in option.opts]
    before = ""
    for word in context.args:
        name = word.split("=")[0]
        if not word.startswith("-") and not before.startswith("-"):
            raise UsageError(f"{word} stands alone; {_meant(word, names)}")
        near = get_close_matches(name, names, 1, TYPO) if "." not in name and word.startswith("--") else []
        if near and name not in _LIGHTNINGS:
            raise UsageError(f"no such option: {name}; did you mean {near[0]}?")
        before = word
    is_configured = any(word == "-c" or word.startswith(("--config", "-c=")) for word in context.args)
    if not (is_named or is_configured):
        raise UsageError(WHAT_TO_TRAIN)


def _meant(word: str, names: list[str]) -> str:
    """Suggest what a word that follows no option was meant for."""
    if word.endswith((".yaml", ".yml")):
        return f"did you mean --config {word}?"
    if word.endswith(".py"):
        return f"did you mean --model {word.removesuffix('.py').replace('/', '.')}:CLASS?"
    if ":" in word or all(part.isidentifier() for part in word.split(".")):
        is_class = re.split(r"[:.]", word)[-1][:1].isupper()
        return f"did you mean {'--model' if is_class else '--task'} {word}?"
    return "write lists with commas: --lrs 1e-4,1e-2." if "--lrs" in names else "write its option before it."


def numbers(text: str, kind: Callable[[str], Any], option: str) -> tuple[Any, ...]:
    """Parse numbers separated by commas."""
    try:
        return tuple(map(kind, text.split(",")))
    except ValueError:
        raise UsageError(f"{option}: write numbers separated by commas, got {text!r}.") from None


def parse_settings(settings: list[str]) -> dict[str, tuple[str, ...]]:
    """Parse arguments with several values into the words of each combination, by its name.

    Example:
        >>> parse_settings(["model.width=8,16"])
        {'width=8': ('--model.width=8',), 'width=16': ('--model.width=16',)}
    """
    each: dict[str, list[tuple[str, str]]] = {}
    for text in settings:
        key, _, values = text.partition("=")
        if not re.fullmatch(r"\w+(\.\w+)+", key) or not values:
            raise UsageError(f"--set: write --set model.NAME=VALUE,VALUE, or data., task., trainer., got {text!r}.")
        if key.rpartition(".")[2] in RATE_NAMES:
            raise UsageError(f"--set: each arm has its own rate, whatever {key} is; write --lrs {values}.")
        if key in each:
            raise UsageError(f"--set: {key} is given twice; write its values with commas.")
        words = re.split(r",(?![^\[({]*[\])}])", values)  # not within brackets
        each[key] = [(f"{key.rpartition('.')[2]}={value}", f"--{key}={value}") for value in words]
    named = {" ".join(name for name, _ in item): tuple(word for _, word in item) for item in product(*each.values())}
    if len(named) < math.prod(map(len, each.values())):
        raise UsageError(f"--set: a value is given twice, or two names end alike, in {' '.join(settings)}.")
    return named

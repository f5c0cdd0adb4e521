"""The options that several commands share, and how lists on the command line are read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated

import typer

from lrfind.cli.faults import WHAT_TO_TRAIN, UsageError

PASSES_ON = {"allow_extra_args": True, "ignore_unknown_options": True}
"""For commands that hand on ``--model.*``, ``--data.*``, ``--trainer.*``, ``--task.*`` and ``--config``."""

BUILT_IN = ("fashion-mnist", "digits")
"""What ``--task`` takes beside a function."""

_LIGHTNINGS = ("--config", "--print_config", "--trainer", "--model", "--data", "--optimizer", "--lr_scheduler")
"""Options of LightningCLI's own."""

_WHAT = "What to train"

Model = Annotated[
    str | None,
    typer.Option(
        metavar="MODULE:CLASS",
        help="Your LightningModule. Its arguments: --model.NAME VALUE.",
        rich_help_panel=_WHAT,
    ),
]
Data = Annotated[
    str | None,
    typer.Option(
        metavar="MODULE:CLASS",
        help="Your LightningDataModule, arguments --data.NAME VALUE. Without it, the model's own loaders.",
        rich_help_panel=_WHAT,
    ),
]
Task = Annotated[
    str | None,
    typer.Option(
        metavar="MODULE:FUNCTION",
        help="Instead, for plain PyTorch: a function that returns (model, optimizer, loader, loss_fn), or a dict of "
        "them. Its arguments: --task.NAME VALUE. Or, to try it, digits or fashion-mnist: LeNet on that.",
        rich_help_panel=_WHAT,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output, and nothing else there.")]


def check_words(context: typer.Context, model: str | None, task: str | None) -> None:
    """Find out before any work whether what is left of the command line can be meant.

    Raises:
        UsageError: If nothing is named to be trained, a word stands alone, or one is close to an option's name.
    """
    names = [name for option in context.command.params for name in option.opts]
    before = ""
    for word in context.args:
        name = word.split("=")[0]
        if not word.startswith("-") and not before.startswith("-"):
            raise UsageError(f"{word} stands alone; {_meant(word, names)}")
        near = get_close_matches(name, names, n=1, cutoff=0.8) if "." not in name and word.startswith("--") else []
        if near and name not in _LIGHTNINGS:
            raise UsageError(f"no such option: {name}; did you mean {near[0]}?")
        before = word
    is_configured = any(word == "-c" or word.startswith(("--config", "-c=")) for word in context.args)
    if model is None and task is None and not is_configured:
        raise UsageError(WHAT_TO_TRAIN)


def check_bare(task: str, arguments: Sequence[str]) -> None:
    """Find out whether a built-in task is given arguments, of which it has none.

    Raises:
        UsageError: If it is.
    """
    if arguments:
        raise UsageError(f"the built-in task {task} takes no arguments, got {' '.join(arguments)}.")


def _meant(word: str, names: Sequence[str]) -> str:
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

    Raises:
        UsageError: If one is unreadable, not finite or not positive, or is given twice.

    Example:
        >>> parse_lrs("1e-5, 0.1")
        (1e-05, 0.1)
    """
    rates: list[float] = []
    for word in text.split(","):
        try:
            rate = float(word)
        except ValueError:
            raise UsageError(f"--lrs: {word.strip()!r} is not a number; write rates like 1e-5,1e-4,1e-1.") from None
        if not (math.isfinite(rate) and rate > 0):
            raise UsageError(f"--lrs: every rate must be positive and finite, got {word.strip()}.")
        if rate in rates:
            raise UsageError(f"--lrs: {word.strip()} is given twice.")
        rates.append(rate)
    return tuple(rates)


def parse_names(text: str) -> tuple[str, ...]:
    """Read names separated by commas.

    Example:
        >>> parse_names("linear, cosine")
        ('linear', 'cosine')
    """
    return tuple(word.strip() for word in text.split(",") if word.strip())


def parse_seeds(text: str) -> tuple[int, ...]:
    """Read how many seeds, from 0 on, or which ones, separated by commas.

    Raises:
        UsageError: If one is no whole number of 0 or more, or is given twice, or there is none.

    Example:
        >>> parse_seeds("3"), parse_seeds("0,7,8")
        ((0, 1, 2), (0, 7, 8))
    """
    words = text.split(",")
    try:
        seeds = [int(word) for word in words]
    except ValueError:
        raise UsageError(f"--seeds: write how many (3) or which ones (0,7,8), got {text!r}.") from None
    if len(seeds) == 1 and "," not in text:
        seeds = list(range(seeds[0]))
    if not seeds or min(seeds) < 0 or len(set(seeds)) < len(seeds):
        raise UsageError(f"--seeds: there must be at least one, none below 0 and none twice, got {text!r}.")
    return tuple(seeds)


def check_figure(path: Path | None) -> None:
    """Find out before any work whether a figure can be written in the format that its name asks for.

    Raises:
        UsageError: If the format is unknown.
    """
    formats = (".png", ".svg", ".pdf")
    if path is not None and path.suffix.lower() not in formats:
        raise UsageError(f"--plot {path}: the name must end in one of {', '.join(formats)}.")

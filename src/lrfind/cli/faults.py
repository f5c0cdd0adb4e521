"""Errors as one sentence and an exit code, and checks of files, packages and names."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.status import Status

from lrfind.errors import BadInputError, LRFindError, MissingExtraError

WHAT_TO_TRAIN = "what is to be trained? Give --model, --task, or a --config that has a model with a class_path."


class UsageError(BadInputError):
    """An option is missing, unknown, or has an invalid value."""


@contextmanager
def spoken_faults(*, advice: str = "") -> Iterator[None]:
    """Print an error as one sentence and exit with 1 or 2; with 130 on Ctrl-C."""
    console = Console(stderr=True)
    try:
        yield
    except LRFindError as error:
        console.print(f"[bold red]lrfind:[/] {escape(str(error))}", soft_wrap=True, highlight=False)
        raise typer.Exit(2 if isinstance(error, UsageError) else 1) from error
    except KeyboardInterrupt:
        console.print(f"lrfind: interrupted. {advice}".rstrip(), soft_wrap=True, highlight=False)
        raise typer.Exit(130) from None


@contextmanager
def misuse() -> Iterator[None]:
    """Raise ``BadInputError`` as ``UsageError``, with options in place of arguments."""
    try:
        yield
    except BadInputError as error:
        words = re.sub(r"(?<!-)\b(lrs|schedules|seeds|cycles|mode)\b=?(?! \()", r"--\1", str(error))
        raise UsageError(words) from error


def starting() -> Status:
    """Show a status in a terminal during slow imports."""
    return Console(stderr=True).status("starting: importing torch and what is to be trained")


def check_folder(folder: Path, *, option: str = "--out") -> None:
    """Raise if a folder cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise LRFindError(f"{option} {folder} cannot be written ({error.strerror}); choose another folder.") from error


def check_installed(*packages: str, extra: str) -> None:
    """Raise if a package is not installed."""
    for package in packages:
        if find_spec(package) is None:
            raise MissingExtraError(package, extra)


def load_named(spec: str, option: str) -> Any:
    """Import ``module:name`` or ``module.name``."""
    from lrfind.compare.targets.specs import imported

    module, _, name = spec.rpartition(":" if ":" in spec else ".")
    if not re.fullmatch(r"\w+(\.\w+)*", module) or not name or module.endswith(".py") or name == "py":
        raise UsageError(f"{option} must be written module:name, as in train:Net for Net in train.py, got {spec!r}.")
    return imported(f"{module}:{name}", option)

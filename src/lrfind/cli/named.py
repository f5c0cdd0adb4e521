"""What the user names on the command line: imported from ``module:name``, with the current directory importable."""

from __future__ import annotations

import os
import sysconfig
import traceback
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any

import lrfind
from lrfind.cli.faults import UsageError
from lrfind.errors import BadInputError


def load_named(spec: str, option: str) -> Any:
    """Import what ``module:name`` names; ``module.name`` is understood too.

    Args:
        spec: What was given.
        option: For which option, for messages.

    Raises:
        UsageError: If it does not look like a name.
        BadInputError: If there is no such module, it fails when imported, or has no such name.
    """
    separator = ":" if ":" in spec else "."
    module, _, name = spec.rpartition(separator)
    if not (module and name) or "/" in spec or module.endswith(".py") or name == "py":
        raise UsageError(f"{option} must be written module:name, as in train:Net for Net in train.py, got {spec!r}.")
    found = _load_module(module, option)
    for part in name.split("."):
        if not hasattr(found, part):
            near = get_close_matches(part, dir(found), n=1)
            hint = f"; did you mean {near[0]}?" if near else "."
            raise BadInputError(f"{option} {spec}: the module {module} has no {part}{hint}")
        found = getattr(found, part)
    return found


def _load_module(name: str, option: str) -> Any:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if not f"{name}.".startswith(f"{error.name}."):
            raise BadInputError(f"{option}: importing {name} raised {described(error)}.") from error
        place = f"in {os.getcwd()} or among the installed packages"
        raise BadInputError(f"{option}: there is no module {error.name} {place}.") from error
    except Exception as error:
        raise BadInputError(f"{option}: importing {name} raised {described(error)}.") from error


def described(error: BaseException) -> str:
    """Return an error's type and message in a line, and the last place in the user's own code that it came through.

    Example:
        >>> described(ValueError("no such width."))
        'ValueError: no such width'
    """
    words = f"{type(error).__name__}: {' '.join(str(error).split())}".rstrip(".: ")
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_users(frame.filename)]
    return f"{words} ({frames[-1].filename}, line {frames[-1].lineno})" if frames else words


def _is_users(filename: str) -> bool:
    """Say whether a file is neither installed nor part of Python or of this package."""
    ours = (*map(sysconfig.get_path, ("stdlib", "purelib", "platlib")), str(Path(lrfind.__file__).parent))
    return not filename.startswith(("<", *ours))

"""Building the parts of a target from a callable or its name, ``package.module:name``."""

from __future__ import annotations

import os
import re
import sysconfig
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from difflib import get_close_matches
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from torch import nn

import lrfind
from lrfind.errors import TYPO, BadInputError, LRFindError

Builder = Callable[..., Any] | str
"""A class, a function or a ``package.module:name``."""


def to_callable(builder: Builder, argument: str) -> Callable[..., Any]:
    """Return the callable; ``argument`` is its name in error messages."""
    if isinstance(builder, str):
        return cast(Callable[..., Any], imported(builder, argument))
    if not callable(builder) or isinstance(builder, nn.Module):
        raise BadInputError(
            f"{argument} must be a class, a function or 'package.module:name' that builds it anew for every run, "
            f"got a {type(builder).__name__}."
        )
    return builder


def imported(name: str, argument: str) -> Any:
    """Import what ``package.module:name`` names."""
    module, _, path = name.partition(":")
    if not (module and path):
        raise BadInputError(f"{argument} must be named as package.module:name, got {name!r}.")
    try:
        found: Any = import_module(module)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{error.name}."):
            place = f"in {os.getcwd()} or among the installed packages"
            raise BadInputError(f"{argument}: there is no module {error.name} {place}.") from error
        raise BadInputError(f"{argument}: importing {module} raised {described(error)}.") from error
    for part in path.split("."):
        if not hasattr(found, part):
            near = get_close_matches(part, dir(found), 1, TYPO)
            hint = f"; did you mean {near[0]}?" if near else "."
            raise BadInputError(f"{argument} {name}: the module {module} has no {part}{hint}")
        found = getattr(found, part)
    return found


def described(error: BaseException) -> str:
    """Return an error's type and message in one line, with the innermost line of the user's code."""
    words = f"{type(error).__name__}: {' '.join(str(error).split())}".rstrip(".: ")
    installed = (*map(sysconfig.get_path, ("stdlib", "purelib", "platlib")), str(Path(lrfind.__file__).parent))
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith("<")]
    own = [frame for frame in frames if not frame.filename.startswith(installed)]
    return f"{words} ({own[-1].filename}, line {own[-1].lineno})" if own else words


@contextmanager
def faults_of(what: str) -> Iterator[None]:
    """Raise errors of the user's code as ``LRFindError``, which says where."""
    try:
        yield
    except LRFindError:
        raise
    except Exception as error:
        raise LRFindError(f"{what} raised {described(error)}.") from error


def build(builder: Builder, arguments: Mapping[str, Any], argument: str) -> Any:
    """Build a part, with copies of the modules among its arguments, which another run may have trained."""
    make, memo = to_callable(builder, argument), dict[int, Any]()
    given = {name: deepcopy(each, memo) if isinstance(each, nn.Module) else each for name, each in arguments.items()}
    with faults_of(argument):
        return make(**given)


def name_of_builder(builder: Builder) -> str:
    """Return the last part of the builder's name."""
    if isinstance(builder, partial):
        return name_of_builder(builder.func)
    name = builder if isinstance(builder, str) else getattr(builder, "__qualname__", type(builder).__name__)
    return re.split(r"[.:]", name.replace("<locals>.", ""))[-1]


def setting_of(*arguments: Mapping[str, Any]) -> str:
    """Return arguments as ``name=value, name=value``."""
    return ", ".join(f"{name}={value}" for each in arguments for name, value in each.items())

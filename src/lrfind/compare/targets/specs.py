"""What builds a part of a target: a callable, or its name as ``package.module:name``."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from copy import deepcopy
from functools import partial, reduce
from importlib import import_module
from typing import Any, cast

from torch import nn

from lrfind.errors import BadInputError

Builder = Callable[..., Any] | str
"""A class or function, or where to import it from."""


def to_callable(builder: Builder, argument: str) -> Callable[..., Any]:
    """Return what a builder stands for.

    Args:
        builder: A callable, or ``"package.module:name"``.
        argument: What the user calls it, for messages.

    Raises:
        BadInputError: If it is neither, or cannot be imported.

    Example:
        >>> to_callable("collections:OrderedDict", "model").__name__
        'OrderedDict'
    """
    if not isinstance(builder, str):
        if not callable(builder) or isinstance(builder, nn.Module):
            raise BadInputError(
                f"{argument} must be a class, a function or 'package.module:name' that builds it anew for every run, "
                f"got a {type(builder).__name__}."
            )
        return builder
    module, _, name = builder.partition(":")
    if not (module and name):
        raise BadInputError(f"{argument} must be named as package.module:name, got {builder!r}.")
    try:
        found: Any = import_module(module)
        return cast(Callable[..., Any], reduce(getattr, name.split("."), found))
    except ImportError as error:
        raise BadInputError(f"{argument}: {module} cannot be imported ({error}); is its folder on sys.path?") from error
    except AttributeError as error:
        raise BadInputError(f"{argument}: {module} has no {name}.") from error


def build(builder: Builder, arguments: Mapping[str, Any], argument: str) -> Any:
    """Build a part.

    Raises:
        BadInputError: If it cannot be imported or does not take the arguments.
    """
    made = to_callable(builder, argument)
    try:
        return made(**arguments)
    except TypeError as error:
        if error.__traceback__ is not None and error.__traceback__.tb_next is None:  # the call itself, not its body
            raise BadInputError(f"{argument}: {error}.") from error
        raise


def with_modules_copied(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return a user's arguments with copies of the modules among them: no run trains what another one has trained."""
    memo: dict[int, Any] = {}
    return {name: deepcopy(one, memo) if isinstance(one, nn.Module) else one for name, one in arguments.items()}


def name_of_builder(builder: Builder) -> str:
    """Return what is built, for people: the last part of a name."""
    if isinstance(builder, partial):
        return name_of_builder(builder.func)
    name = builder if isinstance(builder, str) else getattr(builder, "__qualname__", type(builder).__name__)
    return re.split(r"[.:]", name.replace("<locals>.", ""))[-1]

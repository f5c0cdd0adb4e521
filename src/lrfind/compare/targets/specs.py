"""What builds the parts of a target: a callable or its name; and plain data that identifies what is trained."""

import ast
import gc
import inspect
import os
import re
import sys
import sysconfig
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from copy import deepcopy
from difflib import get_close_matches
from functools import cache, partial
from hashlib import sha256
from importlib import import_module
from logging import Logger
from pathlib import Path, PurePath
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any, cast

import numpy as np
import torch
from torch import nn

import lrfind
from lrfind.errors import TYPO, BadInputError, LRFindError
from lrfind.isolation.kinds import is_of_user_by, names_of

Builder = Callable[..., Any] | str
"""A class, a function or a ``package.module:name``."""

_PLAIN = (str, int, float, complex, bool, bytes, type(None), PurePath, torch.dtype, torch.device, np.generic)

_PARTS = {
    partial: ("func", "args", "keywords"),
    MethodType: ("__func__", "__self__"),
    staticmethod: ("__func__",),
    classmethod: ("__func__",),
    property: ("fget", "fset", "fdel"),
    CodeType: ("co_code", "co_names", "co_varnames", "co_consts"),
}
"""Attributes that identify objects of Python's own types; of code, not its place in the file."""


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


def builder_name(builder: Builder) -> str:
    """Return the last part of the builder's name."""
    if isinstance(builder, partial):
        return builder_name(builder.func)
    name = builder if isinstance(builder, str) else getattr(builder, "__qualname__", type(builder).__name__)
    return re.split(r"[.:]", name.replace("<locals>.", ""))[-1]


def setting_of(*arguments: Mapping[str, Any]) -> str:
    """Return arguments as ``name=value, name=value``."""
    return ", ".join(f"{name}={value}" for each in arguments for name, value in each.items())


def identity_of(value: Any) -> Any:
    """Return plain data that identifies a value, the same in every process.

    A function or a class is identified by its name and a digest of its module's source, without comments and layout; a
    class also by the digests of its bases. If it cannot be imported, as in a notebook, the digest is of its code and
    the values that it uses. Installed functions and classes, modules and loggers are identified by their name only, any
    other object by its class and its attributes.
    """
    try:
        return _named(value, {})
    except Exception as error:
        raise BadInputError(
            f"a {type(value).__name__} cannot be named ({type(error).__name__}: {error}), so that kept runs could be "
            f"taken for those of another comparison; name what is trained as 'package.module:name', or leave out out=."
        ) from error


def _named(value: Any, met: dict[int, tuple[int, Any]]) -> Any:
    """Identify a value; ``met`` are the objects already named: one that is met again is its number, so cycles end."""
    named, named_code = partial(_named, met=met), partial(_named_code, met=met)
    if isinstance(value, _PLAIN):
        return repr(value)
    if isinstance(value, (ModuleType, Logger)):
        return f"{type(value).__name__} {getattr(value, '__name__', None) or vars(value)['name']}"
    if id(value) in met:
        return f"as number {met[id(value)][0]}"
    met[id(value)] = (len(met), value)
    if isinstance(value, Mapping):
        if all(isinstance(name, _PLAIN) for name in value):
            return {str(name): named(each) for name, each in value.items()}
        return [[named(name), named(each)] for name, each in value.items()]
    if isinstance(value, (list, tuple)):
        return list(map(named, value))
    if isinstance(value, (set, frozenset)):
        return sorted(str(named(each)) for each in value)
    if isinstance(value, (torch.Tensor, np.ndarray)):
        return _of_array(value)
    for kind, names in _PARTS.items():
        if isinstance(value, kind):
            return [named(getattr(value, name)) for name in names]
    if isinstance(value, (FunctionType, type)):
        return named_code(value)
    if held := getattr(value, "__dict__", None):
        return [named_code(type(value)), named(dict(held))]
    if hasattr(value, "__qualname__"):  # built in
        return f"{getattr(value, '__module__', '')}:{value.__qualname__}"
    return [named_code(type(value)), re.sub(r"( at )?\b0x[0-9a-f]{6,}", "", repr(value))]


def _named_code(value: FunctionType | type, met: dict[int, tuple[int, Any]]) -> str:
    """Return the name of a function or class with a digest of its source, or of its code and the values it uses."""
    digests: dict[str, None] = {}
    for each in value.__mro__ if isinstance(value, type) else (value,):
        if each.__module__ not in (None, "__main__") and "<" not in each.__qualname__:
            digests[_digest_of_module(each.__module__)] = None
        else:
            used = _written_in(each) if isinstance(each, type) else _used_by(each)
            digests[_short(repr(_named(used, met)).encode())] = None
    known = "".join(digests)
    return f"{value.__module__}:{value.__qualname__}" + (f"#{_short(known.encode())}" if known else "")


def _used_by(function: FunctionType) -> list[Any]:
    """Return a function's code, closure, defaults and the globals that it and its inner functions use."""
    named = [function.__globals__[name] for name in names_of(function) if name in function.__globals__]
    cells = [cell.cell_contents for cell in function.__closure__ or () if gc.get_referents(cell)]  # no empty cell
    return [function.__code__, cells, function.__defaults__, function.__kwdefaults__, named]


def _written_in(kind: type) -> dict[str, Any]:
    """Return a class's attributes as written, without Python's own and the ``step`` that torch wraps and puts there."""
    of_bases = [value for base in kind.__mro__[1:] for value in vars(base).values()]
    inherited = [inspect.unwrap(value) for value in of_bases if isinstance(value, FunctionType)]
    plain = {name: inspect.unwrap(v) if isinstance(v, FunctionType) else v for name, v in vars(kind).items()}
    methods = (FunctionType, staticmethod, classmethod, property)
    return {
        name: value
        for name, value in plain.items()
        if isinstance(value, methods) or not re.fullmatch("__.+__", name)
        if not any(value is each for each in inherited)
    }


@cache
def _digest_of_module(name: str) -> str:
    """Return a digest of a module's source; empty if it is installed or has no source."""
    file = getattr(sys.modules.get(name), "__file__", None)
    if file is None or not file.endswith(".py") or not is_of_user_by(name, file):
        return ""
    text = Path(file).read_text(encoding="utf-8")
    with suppress(SyntaxError):
        text = ast.dump(ast.parse(text))
    return _short(text.encode())


def _of_array(value: torch.Tensor | np.ndarray[Any, Any]) -> list[Any]:
    about = [str(value.dtype), list(value.shape)]
    try:
        if isinstance(value, torch.Tensor):
            dense = value.detach().cpu().to_dense().resolve_conj().resolve_neg().contiguous()
            value = dense.reshape(-1).view(torch.uint8).numpy()
        content = repr(value).encode() if value.dtype == object else np.ascontiguousarray(value).tobytes()
        return [*about, _short(content)]
    except (RuntimeError, NotImplementedError, TypeError):  # no content, as on the meta device
        return about


def _short(data: bytes) -> str:
    return sha256(data).hexdigest()[:16]

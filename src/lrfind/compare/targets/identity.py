"""What names a value in a file, so that runs of one training are never taken for those of another."""

from __future__ import annotations

import ast
import dis
import gc
import os
import re
import sys
from collections.abc import Mapping
from functools import cache, partial
from hashlib import sha256
from logging import Logger
from pathlib import PurePath
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch

from lrfind.errors import BadInputError
from lrfind.isolation.reach import codes

_PLAIN = (str, int, float, complex, bool, bytes, type(None), PurePath, torch.dtype, torch.device, np.generic)

_READS = {"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"}
"""How code reads a name of its module."""

_INSTALLED = ("site-packages", "dist-packages", os.path.dirname(os.__file__) + os.sep)


def identity_of(value: Any) -> Any:
    """Return plain data that names a value, the same in every process.

    A function or class of a module is named with a digest of that module's code, and of those that its base classes
    come from; one without a name that others could import, with its own code and the values that it uses, also those
    that it reads of its module. Comments and layout do not count; installed packages are named only. An object is named
    by its class and what it holds, a module or a logger by its name.

    Raises:
        BadInputError: If it cannot be named.

    Example:
        >>> identity_of({"width": 8, "kind": dict})
        {'width': '8', 'kind': 'builtins:dict'}
    """
    try:
        return _Names().of(value)
    except Exception as error:
        raise BadInputError(
            f"a {type(value).__name__} cannot be named ({type(error).__name__}: {error}), so that kept runs could be "
            f"taken for those of another comparison; name what is trained as 'package.module:name', or leave out out=."
        ) from error


class _Names:
    """Names values, each once: what holds itself is named where it is met first."""

    def __init__(self) -> None:
        self._met: dict[int, tuple[int, Any]] = {}
        self._classes: dict[int, str] = {}

    def of(self, value: Any) -> Any:
        if isinstance(value, _PLAIN):
            return repr(value)
        if isinstance(value, (ModuleType, Logger)):
            return f"{type(value).__name__} {value.__name__ if isinstance(value, ModuleType) else value.name}"
        if id(value) in self._met:
            return f"as number {self._met[id(value)][0]}"
        self._met[id(value)] = (len(self._met), value)
        if isinstance(value, Mapping):
            if all(isinstance(name, _PLAIN) for name in value):
                return {str(name): self.of(one) for name, one in value.items()}
            return [[self.of(name), self.of(one)] for name, one in value.items()]
        if isinstance(value, (list, tuple)):
            return [self.of(one) for one in value]
        if isinstance(value, (set, frozenset)):
            return sorted(str(self.of(one)) for one in value)
        if isinstance(value, partial):
            return [self.of(value.func), self.of(value.args), self.of(value.keywords)]
        if isinstance(value, MethodType):
            return [self.of(value.__func__), self.of(value.__self__)]
        if isinstance(value, (staticmethod, classmethod)):
            return self.of(value.__func__)
        if isinstance(value, property):
            return [self.of(one) for one in (value.fget, value.fset, value.fdel)]
        if isinstance(value, (torch.Tensor, np.ndarray)):
            return _of_array(value)
        if isinstance(value, FunctionType):
            return self._of_function(value)
        return self._of_class(value) if isinstance(value, type) else self._of_object(value)

    def _of_function(self, value: FunctionType) -> str:
        """A function; what it holds and reads too, where its name alone does not lead to it."""
        name = f"{value.__module__}:{value.__qualname__}"
        if _is_importable(value):
            return f"{name}#{_digest_of_module(value.__module__)}"
        cells = [
            cell.cell_contents for cell in value.__closure__ or () if gc.get_referents(cell)
        ]  # but for empty cells
        given = [*(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values()]
        return f"{name}#{self._digest(repr(_of_bytecode(value.__code__)), *cells, *given, *_globals_read(value))}"

    def _of_object(self, value: Any) -> Any:
        held = getattr(value, "__dict__", None)
        if held:
            return [self._of_class(type(value)), {str(name): self.of(one) for name, one in held.items()}]
        if hasattr(value, "__qualname__"):  # built in
            return f"{getattr(value, '__module__', '')}:{value.__qualname__}"
        return [self._of_class(type(value)), re.sub(r"( at )?\b0x[0-9a-f]{6,}", "", repr(value))]

    def _of_class(self, kind: type) -> str:
        """A class, with the code that it and its bases stand in."""
        code = "".join(dict.fromkeys(map(self._code_of, kind.__mro__)))
        return f"{kind.__module__}:{kind.__qualname__}" + (f"#{_short(code.encode())}" if code else "")

    def _code_of(self, kind: type) -> str:
        """A digest of the code of a class; of what it holds and reads too, where its name does not lead to it."""
        if _is_importable(kind):
            return _digest_of_module(kind.__module__)
        if id(kind) not in self._classes:
            self._classes[id(kind)] = ""  # its methods may lead to it
            self._classes[id(kind)] = self._digest(_written_in(kind))
        return self._classes[id(kind)]

    def _digest(self, *values: Any) -> str:
        return _short(repr([self.of(one) for one in values]).encode())


def _is_importable(value: Any) -> bool:
    """Say whether a function or class can be had by its name from a module that is not the script itself."""
    return value.__module__ not in (None, "__main__") and "<" not in value.__qualname__


def _written_in(kind: type) -> dict[str, Any]:
    """Return the attributes that a class was written with, and not what Python or torch keep there of their own."""
    special, methods = re.compile("__.+__"), (FunctionType, staticmethod, classmethod, property)
    own = {name: one for name, one in vars(kind).items() if isinstance(one, methods) or not special.fullmatch(name)}
    return {name: _unhooked(one) for name, one in own.items() if not _is_hook_of_parent(one, kind)}


def _unhooked(value: Any) -> Any:
    """Undo what torch does to a class of optimizers when the first one is made: it wraps its step."""
    return getattr(value, "__wrapped__", value) if _is_hook(value) else value


def _is_hook_of_parent(value: Any, kind: type) -> bool:
    """Say whether torch put a step there that the class had from its parent."""
    own = kind.__module__, f"{kind.__qualname__}.step"
    return _is_hook(value) and (value.__module__, value.__qualname__) != own


def _is_hook(value: Any) -> bool:
    return isinstance(value, FunctionType) and "hooked" in vars(value)


def _globals_read(function: FunctionType) -> list[Any]:
    """Return what a function, or one defined in it, reads of its module."""
    read = [one for code in codes(function.__code__) for one in dis.get_instructions(code) if one.opname in _READS]
    names = dict.fromkeys(one.argval for one in read)
    return [function.__globals__[name] for name in names if name in function.__globals__]


@cache
def _digest_of_module(name: str) -> str:
    """A digest of a module's code; empty for what is installed, or has no code to read."""
    file = getattr(sys.modules.get(name), "__file__", None)
    if file is None or not file.endswith(".py") or any(part in file for part in _INSTALLED):
        return ""
    with open(file, encoding="utf-8") as source:
        return _digest_of_source(source.read())


def _digest_of_source(source: str) -> str:
    try:
        return _short(ast.dump(ast.parse(source)).encode())
    except SyntaxError:
        return _short(source.encode())


def _of_bytecode(code: CodeType) -> list[Any]:
    """What code does, without where it stands."""
    constants = [_of_bytecode(one) if isinstance(one, CodeType) else _constant(one) for one in code.co_consts]
    return [code.co_code.hex(), code.co_names, code.co_varnames, constants]


def _constant(value: Any) -> str:
    return repr(sorted(map(repr, value)) if isinstance(value, frozenset) else value)


def _of_array(value: torch.Tensor | np.ndarray[Any, Any]) -> list[Any]:
    """An array: its kind, shape and content."""
    about = [str(value.dtype), list(value.shape)]
    try:
        if isinstance(value, torch.Tensor):
            dense = value.detach().cpu().to_dense().resolve_conj().resolve_neg().contiguous()
            return [*about, _short(dense.reshape(-1).view(torch.uint8).numpy().tobytes())]
        return [
            *about,
            _short(np.ascontiguousarray(value).tobytes() if value.dtype != object else repr(value).encode()),
        ]
    except (RuntimeError, NotImplementedError, TypeError):  # without content, as on the meta device
        return about


def _short(data: bytes) -> str:
    return sha256(data).hexdigest()[:16]

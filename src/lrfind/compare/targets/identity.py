"""What names a value in a file, so that runs of one training are never taken for those of another."""

from __future__ import annotations

import ast
import inspect
import os
import re
import sys
import textwrap
from collections.abc import Mapping
from functools import cache, partial
from hashlib import sha256
from pathlib import PurePath
from types import CodeType, FunctionType, MethodType
from typing import Any

import numpy as np
import torch

_PLAIN = (str, int, float, complex, bool, bytes, type(None), PurePath, torch.dtype, torch.device, np.generic)
_TELLING = (*_PLAIN, list, tuple, dict, torch.Tensor, np.ndarray, FunctionType, type)
"""What a function that is named with its own code may use of its module."""

_INSTALLED = ("site-packages", "dist-packages", os.path.dirname(os.__file__) + os.sep)


def identity_of(value: Any) -> Any:
    """Return plain data that names a value, the same in every process.

    A function or class of a module is named with a digest of that module's code, and of those that its base classes
    come from; one without a name that others could import, with its own code and the values that it uses. Comments and
    layout do not count; installed packages are named only. An object is named by its class and what it holds.

    Example:
        >>> identity_of({"width": 8, "kind": dict})
        {'width': '8', 'kind': 'builtins:dict'}
    """
    return _Names().of(value)


class _Names:
    """Names values, each once: what holds itself is named where it is met first."""

    def __init__(self) -> None:
        self._met: dict[int, tuple[int, Any]] = {}

    def of(self, value: Any) -> Any:
        if isinstance(value, _PLAIN):
            return repr(value)
        if id(value) in self._met:
            return f"as number {self._met[id(value)][0]}"
        self._met[id(value)] = (len(self._met), value)
        if isinstance(value, Mapping):
            return {str(name): self.of(one) for name, one in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.of(one) for one in value]
        if isinstance(value, (set, frozenset)):
            return sorted(str(self.of(one)) for one in value)
        if isinstance(value, partial):
            return [self.of(value.func), self.of(value.args), self.of(value.keywords)]
        if isinstance(value, MethodType):
            return [self.of(value.__func__), self.of(value.__self__)]
        if isinstance(value, (torch.Tensor, np.ndarray)):
            return _of_array(value)
        if isinstance(value, FunctionType):
            return self._of_function(value)
        return _of_class(value) if isinstance(value, type) else self._of_object(value)

    def _of_function(self, value: FunctionType) -> Any:
        """A function; what it holds too, where its name alone does not lead to it."""
        name = f"{value.__module__}:{value.__qualname__}"
        if _is_importable(value):
            return f"{name}#{_digest_of_module(value.__module__)}"
        cells = [cell.cell_contents for cell in value.__closure__ or () if _is_filled(cell)]
        given = [*(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values()]
        used = [value.__globals__[one] for one in value.__code__.co_names if one in value.__globals__]
        held = [*cells, *given, *(one for one in used if isinstance(one, _TELLING))]
        return [f"{name}#{_short(repr(_of_bytecode(value.__code__)).encode())}", *(self.of(one) for one in held)]

    def _of_object(self, value: Any) -> Any:
        held = getattr(value, "__dict__", None)
        if held:
            return [_of_class(type(value)), {str(name): self.of(one) for name, one in held.items()}]
        if hasattr(value, "__qualname__"):  # built in
            return f"{getattr(value, '__module__', '')}:{value.__qualname__}"
        return [_of_class(type(value)), re.sub(r" at 0x[0-9a-f]+", "", repr(value))]


def _of_class(kind: type) -> str:
    """A class, with the code that it and its bases stand in."""
    digests = [_digest_of_class(one) for one in kind.__mro__]
    code = "".join(digest for digest in dict.fromkeys(digests) if digest)
    return f"{kind.__module__}:{kind.__qualname__}" + (f"#{_short(code.encode())}" if code else "")


def _digest_of_class(kind: type) -> str:
    if _is_importable(kind):
        return _digest_of_module(kind.__module__)
    try:
        return _digest_of_source(textwrap.dedent(inspect.getsource(kind)))
    except (OSError, TypeError):  # typed in, or built in
        code = [one.__code__ for one in vars(kind).values() if isinstance(one, FunctionType)]
        return _short(repr([_of_bytecode(one) for one in code]).encode()) if code else ""


def _is_importable(value: Any) -> bool:
    """Say whether a function or class can be had by its name from a module that is not the script itself."""
    return value.__module__ not in (None, "__main__") and "<" not in value.__qualname__


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


def _is_filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018  an empty cell raises
    except ValueError:
        return False
    return True


def _short(data: bytes) -> str:
    return sha256(data).hexdigest()[:16]

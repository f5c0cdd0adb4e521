"""What names a value in a file, so that runs of one training are never taken for those of another."""

from __future__ import annotations

import ast
import inspect
import os
import pickle
import re
import textwrap
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import partial
from hashlib import sha256
from pathlib import PurePath
from types import MethodType
from typing import Any

import numpy as np
import torch

_PLAIN = (str, int, float, complex, bool, bytes, type(None), PurePath, torch.dtype, torch.device, np.generic)
_INSTALLED = ("site-packages", "dist-packages", f"{os.sep}lib{os.sep}python")


def identity_of(value: Any) -> Any:
    """Return plain data that names a value, the same in every process.

    Functions and classes are named with a digest of their code, so that one that was edited, or another one of the same
    name, is not the same; those of installed packages by their name alone. A function that holds values of its
    surroundings is named with them. What it calls is not looked into.

    Example:
        >>> identity_of({"width": 8, "kind": dict})
        {'width': '8', 'kind': 'builtins:dict'}
    """
    if isinstance(value, Mapping):
        return {str(name): identity_of(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [identity_of(one) for one in value]
    if isinstance(value, (set, frozenset)):
        return sorted(map(str, map(identity_of, value)))
    if isinstance(value, partial):
        return [identity_of(value.func), identity_of(value.args), identity_of(value.keywords)]
    if isinstance(value, MethodType):
        return [identity_of(value.__func__), identity_of(value.__self__)]
    if callable(value) and hasattr(value, "__qualname__"):
        return _of_code(value)
    if isinstance(value, _PLAIN):
        return value if isinstance(value, str) else repr(value)
    return _of_object(value)


def _of_code(value: Any) -> Any:
    """A class or function: its name with a digest of its code, and the values that it holds."""
    if inspect.isclass(value) or not hasattr(value, "__code__"):
        return _name(value)
    cells = [cell.cell_contents for cell in value.__closure__ or () if _is_filled(cell)]
    held = [*cells, *(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values()]
    known = [_name(one) if hasattr(one, "__qualname__") else identity_of(one) for one in held]
    return [_name(value), *known] if known else _name(value)


def _name(value: Any) -> str:
    digest = _digest_of_code(value)
    return f"{value.__module__}:{value.__qualname__}" + (f"#{digest}" if digest else "")


def _digest_of_code(value: Any) -> str:
    """A digest that comments and layout do not change; empty for what is installed, or has no code to read."""
    try:
        if any(part in (inspect.getsourcefile(value) or "") for part in _INSTALLED):
            return ""
        source = textwrap.dedent(inspect.getsource(value))
    except (OSError, TypeError):  # typed in, or built in
        code = getattr(value, "__code__", None)
        return "" if code is None else _short(code.co_code + repr(code.co_names).encode())
    try:
        return _short(ast.dump(ast.parse(source)).encode())
    except SyntaxError:  # a lambda in the midst of something
        return _short(source.encode())


def _of_object(value: Any) -> Any:
    """An object: its class, and a digest of what it holds."""
    kind = f"{type(value).__module__}:{type(value).__qualname__}"
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().numpy() if value.dtype != torch.bfloat16 else value.detach().cpu().float().numpy()
    if isinstance(value, np.ndarray) and value.dtype != object:
        return [kind, str(value.dtype), list(value.shape), _short(np.ascontiguousarray(value).tobytes())]
    if is_dataclass(value):
        return [kind, {field.name: identity_of(getattr(value, field.name)) for field in fields(value)}]
    try:
        return [kind, _short(pickle.dumps(value, protocol=4))]
    except Exception:  # noqa: BLE001  a user's object may raise anything; then it is named by what it says of itself
        return [kind, re.sub(r" at 0x[0-9a-f]+", "", repr(value))]


def _is_filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018  an empty cell raises
    except ValueError:
        return False
    return True


def _short(data: bytes) -> str:
    return sha256(data).hexdigest()[:16]

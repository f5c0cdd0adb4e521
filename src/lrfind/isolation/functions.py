"""Functions that close over what is trained: a copy that sees the copies instead."""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterator
from types import CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from lrfind.isolation.loaders import is_loader

_STATEFUL = (torch.nn.Module, Optimizer, LRScheduler, torch.amp.GradScaler)
"""Kinds that training moves: where a function refers to one, its copy refers to a copy."""

_CONTAINERS = (list, tuple, set, dict)
"""What a step may count or collect in; its copy counts in copies."""

_SMALL = 1_000
_DEPTH = 4

Memo = dict[int, Any]


def rebound(function: Any, memo: Memo) -> Any:
    """Copy a function so that what it closes over, or reads from its module, are the copies in ``memo``.

    Args:
        function: A function, a bound method, a partial, or an object that is called.
        memo: As ``copy.deepcopy`` keeps it: from the identity of an original to its copy; extended.
    """
    if id(function) in memo:
        return memo[id(function)]
    if isinstance(function, FunctionType):
        return _rebound_function(function, memo)
    if isinstance(function, MethodType):
        inner: Any = function.__func__
        is_plain = isinstance(inner, FunctionType) and not inner.__closure__
        return MethodType(inner if is_plain else rebound(inner, memo), _twin(function.__self__, memo))
    if isinstance(function, functools.partial):
        parts = rebound(function.func, memo), _twin(function.args, memo), _twin(function.keywords, memo)
        twin = functools.partial(parts[0], *parts[1], **parts[2])
        vars(twin).update(vars(function))
        return twin
    return _twin(function, memo)


def rebind_attributes(original: Any, twin: Any, memo: Memo) -> None:
    """Let the functions that an object holds see the copies; ``copy.deepcopy`` leaves functions as they are."""
    for name, value in vars(original).items():
        if isinstance(value, (FunctionType, MethodType, functools.partial)) and _touches(value, memo):
            memo.pop(id(value), None)  # what deepcopy made of it: a method whose function sees the originals
            vars(twin)[name] = rebound(value, memo)


def globals_of(function: FunctionType) -> list[str]:
    """Return the names of its module that a function, or one defined in it, may read."""
    names = dict.fromkeys(name for code in codes(function.__code__) for name in code.co_names)
    return [name for name in names if name in function.__globals__]


def copied(value: Any, memo: Memo) -> Any:
    """Deep-copy a value; also a wrapper of an optimizer, which has not the attributes that torch copies by."""
    if isinstance(value, (list, tuple)) and any(isinstance(one, Optimizer) for one in value):
        return type(value)(copied(one, memo) for one in value)
    if not isinstance(value, Optimizer) or hasattr(value, "_optimizer_step_pre_hooks") or id(value) in memo:
        return copy.deepcopy(value, memo)
    twin = object.__new__(type(value))
    memo[id(value)] = twin
    vars(twin).update({name: copied(one, memo) for name, one in vars(value).items()})
    return twin


def cells_of(function: FunctionType) -> list[CellType]:
    """Return the cells a function closes over, but for empty ones."""
    return [cell for cell in function.__closure__ or () if _is_filled(cell)]


def _rebound_function(function: FunctionType, memo: Memo) -> FunctionType:
    names = _globals(function, memo)
    cells = tuple(CellType() for _ in function.__closure__ or ())
    twin = FunctionType(function.__code__, names, function.__name__, function.__defaults__, cells)
    twin.__kwdefaults__, twin.__dict__ = function.__kwdefaults__, dict(function.__dict__)
    memo[id(function)] = twin
    for cell, new in zip(function.__closure__ or (), cells, strict=True):
        if _is_filled(cell):
            new.cell_contents = _twin(cell.cell_contents, memo)
    for name in globals_of(function):
        value = function.__globals__[name]
        is_own = not isinstance(value, FunctionType) or value.__module__ == function.__module__
        if is_own and (type(value) in _CONTAINERS or _touches(value, memo)):
            names[name] = _twin(value, memo)
    return twin


def _globals(function: FunctionType, memo: Memo) -> dict[str, Any]:
    """The module's names, shared by the copies of all its functions."""
    key = id(function.__globals__)
    if key not in memo:
        memo[key] = dict(function.__globals__)
    names: dict[str, Any] = memo[key]
    return names


def _twin(value: Any, memo: Memo) -> Any:
    """Return what stands for a value in the copy: its copy where training can move it, else itself."""
    if id(value) in memo:
        return memo[id(value)]
    if isinstance(value, _STATEFUL):
        return copied(value, memo)
    if isinstance(value, (FunctionType, MethodType, functools.partial)):
        return rebound(value, memo)
    if type(value) in _CONTAINERS:
        twin = memo[id(value)] = _twin_container(value, memo)
        return twin
    if _touches(value, memo):
        for data in _search(value, is_loader):
            memo[id(data)] = data
        for function in list(_search(value, lambda one: isinstance(one, FunctionType))):
            rebound(function, memo)
        return copy.deepcopy(value, memo)
    return value


def _twin_container(value: Any, memo: Memo) -> Any:
    """Return a container of twins; a large one is copied as it is, since it is data."""
    if len(value) >= _SMALL:
        return copy.copy(value)
    if isinstance(value, dict):
        return {name: _twin(one, memo) for name, one in value.items()}
    return type(value)(_twin(one, memo) for one in value)


def _touches(value: Any, memo: Memo) -> bool:
    """Say whether a value reaches something that training moves."""
    return any(True for _ in _search(value, lambda one: id(one) in memo or isinstance(one, _STATEFUL)))


def _search(value: Any, is_wanted: Any) -> Iterator[Any]:
    seen: set[int] = set()
    level = [value]
    for _ in range(_DEPTH):
        below: list[Any] = []
        for one in level:
            if id(one) in seen or isinstance(one, (type, ModuleType)):
                continue
            seen.add(id(one))
            if is_wanted(one):
                yield one
            else:
                below += _reached(one)
        level = below


def _reached(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values()) if len(value) < _SMALL else []
    if isinstance(value, (list, tuple, set)):
        return list(value) if len(value) < _SMALL else []
    if isinstance(value, FunctionType):
        contents = [cell.cell_contents for cell in cells_of(value)]
        return [*contents, *(value.__globals__[name] for name in globals_of(value))]
    if isinstance(value, MethodType):
        return [value.__self__, value.__func__]
    if isinstance(value, functools.partial):
        return [value.func, *value.args, *value.keywords.values()]
    if is_loader(value) or isinstance(value, torch.Tensor):
        return []
    attributes = getattr(value, "__dict__", None)
    return list(attributes.values()) if isinstance(attributes, dict) else []


def _is_filled(cell: CellType) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True


def codes(code: CodeType) -> Iterator[CodeType]:
    """Yield the code of a function and of those defined in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from codes(constant)

"""Snapshots: note, in host memory, everything reachable that a probe can move, and put it back in place."""

from __future__ import annotations

import functools
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import nn

from lrfind.errors import BadInputError
from lrfind.isolation.functions import cells_of, globals_of
from lrfind.isolation.generators import remember, remember_globals
from lrfind.isolation.loaders import is_file, is_loader

PutBack = Callable[[], None]

_MAPPINGS = (dict, OrderedDict, defaultdict, Counter)
_OPAQUE = (type, ModuleType, BuiltinFunctionType, str, bytes, int, float, complex, type(None))
_MANY = 10_000
"""Containers of data above this size are not looked into: nobody trains by changing them."""


@contextmanager
def preserved(*data: Any, state: Iterable[Any] = (), apart: Iterable[Any] = ()) -> Iterator[None]:
    """Put everything back on leaving, however that comes about: the random number generators, and what is given.

    Args:
        data: Loaders, samplers, datasets, data modules: their Python attributes and generators are put back; tensors
            in them are taken to be data that nothing changes.
        state: Models, optimizers, schedulers, scalers, functions: everything they reach is put back, tensors in
            place, from copies in host memory.
        apart: What is not entered on the way: a trainer, say.
    """
    put_back_globals = remember_globals()
    put_back_data, put_back_state = _noted(data, apart, is_state=False), noted(state, apart)
    try:
        yield
    finally:
        put_back_globals()
        put_back_data()
        put_back_state()


def noted(state: Iterable[Any], apart: Iterable[Any] = ()) -> PutBack:
    """Note everything that models, optimizers, schedulers, scalers and functions reach; return what puts it back.

    Raises:
        BadInputError: If something cannot be put back in place (lazy parameters).
    """
    return _noted(state, apart, is_state=True)


def untouched(model: nn.Module, optimizers: Any, remedy: str) -> PutBack:
    """Return a check that a first step on copies has left the originals alone.

    Args:
        model: The original.
        optimizers: What else is put back if not: its optimizer, or several.
        remedy: What the user should do.

    Returns:
        The check; it puts everything back and raises ``BadInputError`` if the model was written to.
    """
    if any(map(nn.parameter.is_lazy, model.parameters())):
        return lambda: None
    before, put_back = _versions(model), noted((model, optimizers))

    def check() -> None:
        if _versions(model) != before:
            put_back()
            raise BadInputError(
                f"training touched the original {type(model).__name__} and not only the copy that is probed: {remedy}."
            )

    return check


def _versions(model: nn.Module) -> list[tuple[int, int]]:
    """How often each tensor of a model and its gradient were written to."""
    tensors = [*model.parameters(), *model.buffers()]
    return [(one._version, -1 if one.grad is None else one.grad._version) for one in tensors]


def _noted(roots: Iterable[Any], apart: Iterable[Any], *, is_state: bool) -> PutBack:
    notes = _Snapshot(apart, is_state=is_state).notes(roots)

    def put_back() -> None:
        for each in notes:
            each()

    return put_back


class _Snapshot:
    """Walks everything reachable from some objects, each object once, and notes how to put it back."""

    def __init__(self, apart: Iterable[Any], *, is_state: bool) -> None:
        self._is_state = is_state
        self._seen: dict[int, Any] = {id(one): one for one in apart}

    def notes(self, roots: Iterable[Any]) -> list[PutBack]:
        notes: list[PutBack] = []
        open_ = list(roots)
        while open_:
            each = open_.pop()
            if id(each) in self._seen or isinstance(each, _OPAQUE):
                continue
            self._seen[id(each)] = each
            put_back, parts = self._visit(each)
            open_ += parts
            if put_back is not None:
                notes.append(put_back)
        return notes

    def _visit(self, each: Any) -> tuple[PutBack | None, list[Any]]:
        """Return what puts one object back, without its parts, and its parts."""
        if (put_back := remember(each)) is not None:
            return put_back, []
        if isinstance(each, torch.Tensor):
            return _tensor(each) if self._is_state else (None, [])
        if isinstance(each, np.ndarray):
            return (_array(each) if self._is_state and each.flags.writeable else None), []
        if isinstance(each, (*_MAPPINGS, list, set, deque, tuple)):
            return self._container(each)
        if isinstance(each, (FunctionType, MethodType, functools.partial)):
            return _function(each) if self._is_state else (None, [])
        if isinstance(each, torch.nn.Module) and not self._is_state:
            return None, []
        if self._is_state and is_loader(each):
            return None, []
        if not self._is_state and is_file(each):
            return _file(each), []
        if isinstance(attributes := getattr(each, "__dict__", None), dict):
            return _mapping(attributes), list(attributes.values())
        return None, []

    def _container(self, each: Any) -> tuple[PutBack | None, list[Any]]:
        parts = list(each.values()) if isinstance(each, _MAPPINGS) else each
        if not self._is_state and len(each) > _MANY:
            return None, []
        if type(each) in _MAPPINGS:
            return _mapping(each), list(parts)
        if type(each) is list:
            return _list(each), list(parts)
        if type(each) in (set, deque):
            return _collection(each), list(parts)
        return None, list(parts)


def _tensor(tensor: torch.Tensor) -> tuple[PutBack, list[Any]]:
    if torch.nn.parameter.is_lazy(tensor):
        raise BadInputError(
            'lazy parameters cannot be put back in place; search with isolation="copy", or pass one batch through '
            "the model first."
        )
    kept, device, grad = tensor.detach().to("cpu", copy=True), tensor.device, tensor.grad if tensor.is_leaf else None
    needs_grad, is_leaf = tensor.requires_grad, tensor.is_leaf

    def put_back() -> None:
        with torch.no_grad():
            if tensor.shape == kept.shape and tensor.device == device and tensor.dtype == kept.dtype:
                tensor.detach().copy_(kept)
            else:
                tensor.data = kept.to(device)
        if is_leaf:
            tensor.requires_grad_(needs_grad)
            tensor.grad = grad

    return put_back, [grad] if grad is not None else []


def _file(file: Any) -> PutBack:
    place = file.tell()
    return lambda: None if file.closed else file.seek(place)


def _array(array: np.ndarray[Any, Any]) -> PutBack:
    kept = array.copy()
    return lambda: np.copyto(array, kept)


def _mapping(mapping: dict[Any, Any]) -> PutBack:
    kept = dict(mapping)

    def put_back() -> None:
        if list(mapping) != list(kept) or any(mapping[key] is not value for key, value in kept.items()):
            mapping.clear()
            mapping.update(kept)

    return put_back


def _list(values: list[Any]) -> PutBack:
    kept = list(values)

    def put_back() -> None:
        values[:] = kept

    return put_back


def _collection(values: Any) -> PutBack:
    kept = list(values)

    def put_back() -> None:
        values.clear()
        values.update(kept) if isinstance(values, set) else values.extend(kept)

    return put_back


def _function(each: Any) -> tuple[PutBack | None, list[Any]]:
    if isinstance(each, MethodType):
        return None, [each.__self__, each.__func__]
    if isinstance(each, functools.partial):
        return None, [each.func, *each.args, *each.keywords.values()]
    cells = cells_of(each)
    contents = [cell.cell_contents for cell in cells]
    names = globals_of(each)
    bound = {name: each.__globals__[name] for name in names}

    def put_back() -> None:
        for cell, content in zip(cells, contents, strict=True):
            cell.cell_contents = content
        each.__globals__.update(bound)

    return put_back, [*contents, *bound.values()]

"""One walk over everything that training can move.

An object is entered through all that it refers to; a function through its closure, its defaults, and the names of
modules that its code mentions; a tensor through its gradient, its hooks and the tensors that it wraps. What is not
entered, ``kinds.py`` says.
"""

import gc
import logging
import threading
import weakref
from collections import defaultdict, deque
from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import suppress
from contextvars import ContextVar
from functools import cached_property
from itertools import chain
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
import torch
from torch.nn.parameter import is_lazy

from lrfind.isolation import kinds
from lrfind.isolation.kinds import attributes_of, is_kind, is_of_user

MOST = 100_000
"""A larger container is data: it is put back, and its elements are not entered. Containers among these are put back,
too, and those within them until they hold ten times as many elements."""


class Found(dict[int, tuple[Any, Any]]):
    """Each object that was reached, by ``id``, with the object it was reached from (None for a root)."""

    @cached_property
    def by_type(self) -> list[tuple[type, list[Any]]]:
        """The objects, grouped by type."""
        grouped = defaultdict[int, list[Any]](list)
        for each, _ in self.values():
            grouped[id(type(each))].append(each)
        return [(type(some[0]), some) for some in grouped.values()]


def reach(roots: Iterable[Any], known: Container[int] = (), later: list[Any] | None = None) -> Found:
    """Return everything that can be reached from some objects, in the order of the walk.

    Objects whose ``id`` is in ``known`` are not entered; if ``later`` is given, data is appended to it, not entered.
    """
    found, unentered, atoms = Found(), Found(), kinds.ATOMS
    open_: deque[tuple[Any, Any]] = deque((root, None) for root in roots)
    while open_:
        each, holder = open_.popleft()
        key = id(each)
        if key in found or key in known or id(type(each)) in atoms:
            continue
        parts_of, is_data, is_container = _about(type(each))
        if is_data and later is not None:
            later.append(each)
            continue
        found[key] = each, holder
        if is_container and len(each) > MOST:
            parts_of = _beside_elements
            unentered.update((id(inner), (inner, outer)) for inner, outer in _containers_within(each))
        for part in parts_of(each):
            if id(type(part)) not in atoms and id(part) not in found:
                open_.append((part, each))
    return Found({**unentered, **found}) if unentered else found


def instances(found: Found, of: Any) -> list[Any]:
    """Return the found objects of some types."""
    return [each for kind, some in found.by_type if is_kind(kind, of) for each in some]


def path_to(each: Any, found: Found) -> str:
    """Name an object by its path in the walk: ``Net.teacher.weight``, ``loss_fn.mean``."""
    labels: list[str] = []
    while (holder := found.get(id(each), (each, None))[1]) is not None:
        labels.append(next((str(name) for name, part in _named_parts(holder) if part is each), ""))
        each = holder
    root = getattr(each, "__qualname__", type(each).__qualname__).rpartition("<locals>.")[2]
    return ".".join(dict.fromkeys([root, *filter(None, reversed(labels))]))


def _named_parts(holder: Any) -> Iterable[tuple[Any, Any]]:
    if isinstance(holder, FunctionType):
        cells = zip(holder.__code__.co_freevars, holder.__closure__ or (), strict=True)
        return chain(cells, holder.__globals__.items())
    if isinstance(holder, (list, tuple, deque)):
        return enumerate(holder)
    if isinstance(holder, dict):
        return holder.items()
    if isinstance(holder, (type, ModuleType)):
        return vars(holder).items()
    return ((name, getattr(holder, name, None)) for name in kinds.slots_of(type(holder)))


@kinds.once_for_each
def _about(kind: Any) -> tuple[Callable[[Any], Iterable[Any]], bool, bool]:
    """Return what gives the parts of a type's objects, and whether they are data, and containers."""
    usual = _of_object if kind.__dictoffset__ else gc.get_referents
    parts_of = next((parts for some, parts in _PARTS if is_kind(kind, some)), usual)
    is_closed = kinds.is_closed(kind)
    return (lambda _: ()) if is_closed else parts_of, is_kind(kind, kinds.DATA), is_kind(kind, _CONTAINERS)


def _of_object(each: Any) -> Iterable[Any]:
    return attributes_of(each), *gc.get_referents(each)


def _beside_elements(each: Any) -> Iterable[Any]:
    return type(each), attributes_of(each), *(getattr(each, name, None) for name in kinds.slots_of(type(each)))


def _containers_within(large: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the containers in a large one, each with the one that holds it."""
    open_, room, seen = deque([large]), 10 * MOST, {id(large)}
    while open_:
        outer = open_.popleft()
        for inner in _containers_in(outer):
            if id(inner) in seen:
                continue
            seen.add(id(inner))
            yield inner, outer
            room -= len(inner)
            if room > 0:
                open_.append(inner)


def _containers_in(each: Any) -> Iterator[Any]:
    """Yield the built-in containers among the elements of a container, and in tuples among them."""
    for part in each.values() if isinstance(each, dict) else each:
        if type(part) is tuple:
            yield from _containers_in(part)
        elif type(part) in (dict, list, set, deque):
            yield part


def _of_tensor(each: torch.Tensor) -> Iterator[Any]:
    yield attributes_of(each)
    for hooks in hooks_of(each):
        yield from (hooks or {}).values()
    if is_lazy(each):
        return
    if is_leaf(each):
        yield each.grad
    if type(each) not in (torch.Tensor, torch.nn.Parameter):
        yield from (type(each), *inner_tensors(each))
    elif each.layout is not torch.strided:
        yield from inner_tensors(each)


def inner_tensors(tensor: torch.Tensor) -> list[torch.Tensor]:
    """Return the tensors that a tensor wraps or, if sparse, consists of; none for an unknown layout."""
    if hasattr(tensor, "__tensor_flatten__"):
        return [getattr(tensor, name) for name in tensor.__tensor_flatten__()[0]]
    if tensor.layout is torch.strided:
        return []
    names = ("_indices", "_values", "crow_indices", "ccol_indices", "row_indices", "col_indices", "values")
    found = []
    for name in names[:2] if tensor.layout is torch.sparse_coo else names[2:]:
        with suppress(RuntimeError, AttributeError):
            found.append(getattr(tensor, name)())
    return found


def hooks_of(tensor: torch.Tensor) -> tuple[dict[int, Any] | None, ...]:
    """Return a tensor's dictionaries of hooks; None where it never had any."""
    return tensor._backward_hooks, getattr(tensor, "_post_accumulate_grad_hooks", None)


def is_leaf(tensor: torch.Tensor) -> bool:
    """Return ``tensor.is_leaf``; False for FSDP1's views of weights that have moved since, which raise."""
    try:
        return tensor.is_leaf
    except RuntimeError:
        return False


def _of_array(each: np.ndarray[Any, Any]) -> Iterator[Any]:
    yield attributes_of(each)
    if each.dtype.hasobject and each.size <= MOST:
        yield from [each[name] for name in each.dtype.names] if each.dtype.names else each.flat


def _of_logger(each: Any) -> Iterable[Any]:
    return _of_object(each) if is_of_user(type(each)) else (each.filters, getattr(each, "handlers", None))


def _of_function(each: FunctionType) -> Iterable[Any]:
    given = each.__closure__ or (), each.__defaults__ or (), [each.__kwdefaults__, vars(each)]
    return chain(*given, kinds.mentioned(each))


_CONTAINERS = (dict, list, tuple, set, frozenset, deque)
_PARTS: tuple[tuple[Any, Callable[[Any], Iterable[Any]]], ...] = (
    (torch.Tensor, _of_tensor),
    (np.ndarray, _of_array),
    (type, lambda each: (*vars(each).values(), *each.__bases__, type(each)) if is_of_user(each) else ()),
    (FunctionType, _of_function),
    (ModuleType, lambda each: list(vars(each).values()) if is_of_user(each) else ()),
    (weakref.ReferenceType, lambda each: (each(),)),
    (ContextVar, lambda each: (each.get(None),)),
    (logging.Filterer, _of_logger),
    (threading.local, lambda each: (vars(each),)),
    (kinds.CACHES, lambda each: (each.__wrapped__, vars(each))),
    (torch.jit.ScriptModule, lambda each: (*_of_object(each), *kinds.in_script(each).values())),
)

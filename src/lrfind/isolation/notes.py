"""Notes: of each kind of thing that training can move, what is kept, when it is as it was, and how it is put back.

Everything is put back in place, and only where it has moved. The memory of tensors and arrays is in ``memory.py``.
"""

from __future__ import annotations

import io
from array import array
from collections import OrderedDict, deque
from collections.abc import Callable
from functools import cache
from operator import is_
from types import CellType, FunctionType
from typing import Any, NamedTuple

import torch
from torch.nn.parameter import is_lazy

from lrfind.isolation.generators import KINDS, same_state, set_state, state_of
from lrfind.isolation.reach import attributes_of, is_closed, is_own_class, names_of, slots_of

_MISSING = object()


class Kind(NamedTuple):
    """How one kind of thing is kept and put back.

    Attributes:
        keep: Given the thing: what is kept of it.
        is_same: Given the thing and what was kept: whether it is as it was.
        put_back: Given both: makes it so.
    """

    keep: Callable[[Any], Any]
    is_same: Callable[[Any, Any], bool]
    put_back: Callable[[Any, Any], None]


@cache
def kinds_of(kind: type) -> tuple[Kind, ...]:
    """Return how objects of a type are noted; without their parts."""
    if issubclass(kind, torch.Tensor):
        return (TENSOR, ATTRIBUTES, SLOTS) if slots_of(kind) else (TENSOR, ATTRIBUTES)
    if issubclass(kind, type):
        return (CLASS,) if is_own_class(kind) else ()
    for kinds, single in _SINGLE:
        if issubclass(kind, kinds):
            return (single,)
    if is_closed(kind):
        return ()
    elements = [each for kinds, each in _ELEMENTS if issubclass(kind, kinds)]
    attributes = [ATTRIBUTES] if kind.__dictoffset__ else []
    return (*elements, *attributes, *([SLOTS] if slots_of(kind) else []))


def _same_items(it: dict[Any, Any], kept: dict[Any, Any]) -> bool:
    return len(it) == len(kept) and (
        not kept or (all(map(is_, dict.keys(it), kept)) and all(map(is_, dict.values(it), kept.values())))
    )


def _put_items(it: dict[Any, Any], kept: dict[Any, Any]) -> None:
    kind: Any = OrderedDict if isinstance(it, OrderedDict) else dict
    kind.clear(it)
    for name, value in kept.items():
        kind.__setitem__(it, name, value)


def _same_elements(it: Any, kept: list[Any]) -> bool:
    return len(it) == len(kept) and all(map(is_, it, kept))


def _put_in_deque(it: deque[Any], kept: list[Any]) -> None:
    deque.clear(it)
    deque.extend(it, kept)


def _put_in_set(it: set[Any], kept: set[Any]) -> None:
    set.clear(it)
    set.update(it, kept)


def _put_in_array(it: Any, kept: Any) -> None:
    it[:] = kept


def _attributes(it: Any) -> tuple[type, dict[str, Any] | None, dict[str, Any]]:
    """An object's class, its dictionary, and what is in it; a lazy module changes its class too."""
    attributes = attributes_of(it)
    return type(it), attributes, dict(attributes or {})


def _same_attributes(it: Any, kept: tuple[type, dict[str, Any] | None, dict[str, Any]]) -> bool:
    kind, attributes, items = kept
    return type(it) is kind and (attributes is None or (attributes_of(it) is attributes and _same_items(attributes, items)))


def _put_attributes(it: Any, kept: tuple[type, dict[str, Any] | None, dict[str, Any]]) -> None:
    kind, attributes, items = kept
    if type(it) is not kind:
        it.__class__ = kind
    if attributes is not None:
        if attributes_of(it) is not attributes:
            object.__setattr__(it, "__dict__", attributes)
        _put_items(attributes, items)


def _slots(it: Any) -> list[Any]:
    return [_slot(it, one) for one in slots_of(type(it))]


def _slot(it: Any, slot: Any) -> Any:
    try:
        return slot.__get__(it)
    except AttributeError:
        return _MISSING


def _put_slots(it: Any, kept: list[Any]) -> None:
    for slot, value in zip(slots_of(type(it)), kept, strict=True):
        if value is not _MISSING:
            slot.__set__(it, value)
        elif _slot(it, slot) is not _MISSING:
            slot.__delete__(it)


_Names = list[tuple[Any, dict[str, Any]]]


def _names(it: FunctionType) -> _Names:
    """What a user's function may bind anew: names of modules; what it keeps as its own attributes."""
    bound = [(module, {name: module.get(name, _MISSING) for name in names}) for module, names in names_of(it)]
    return [(vars(it), dict(vars(it))), *bound]


def _same_names(it: FunctionType, kept: _Names) -> bool:
    own, *_ = kept
    return len(own[0]) == len(own[1]) and all(
        holder.get(name, _MISSING) is value for holder, names in kept for name, value in names.items()
    )


def _put_names(it: FunctionType, kept: _Names) -> None:
    for holder, names in kept:
        for name, value in names.items():
            if value is not _MISSING:
                holder[name] = value
            elif not name.startswith("__"):
                holder.pop(name, None)
    for name in set(vars(it)) - set(kept[0][1]):
        del vars(it)[name]


def _same_class(it: type, kept: dict[str, Any]) -> bool:
    return _same_items(dict(vars(it)), kept)


def _put_class(it: type, kept: dict[str, Any]) -> None:
    now = dict(vars(it))
    for name in now.keys() - kept.keys():
        type.__delattr__(it, name)
    for name, value in kept.items():
        if now.get(name, _MISSING) is not value:
            type.__setattr__(it, name, value)


def _cell(it: CellType) -> Any:
    try:
        return it.cell_contents
    except ValueError:
        return _MISSING


def _put_in_cell(it: CellType, kept: Any) -> None:
    if kept is not _MISSING:
        it.cell_contents = kept
    elif _cell(it) is not _MISSING:
        del it.cell_contents


def _place(it: Any) -> tuple[int, int | None] | None:
    """Where a file stands and, of one that is written, how long it is; None where that cannot be told."""
    try:
        if it.closed or not it.seekable():
            return None
        if it.writable():
            it.flush()
        place = it.tell()
        size = it.seek(0, io.SEEK_END) if it.writable() else None
        it.seek(place)
    except (OSError, ValueError):  # in the middle of being iterated over, or of no seeking kind
        return None
    return place, size


def _put_place(it: Any, kept: tuple[int, int | None] | None) -> None:
    if kept is not None and not it.closed:
        place, size = kept
        if size is not None:
            it.truncate(size)
        it.seek(place)


class _Tensor(NamedTuple):
    """A tensor without the values in its memory.

    Attributes:
        alias: Another tensor of the same memory, shape and type.
        needs_grad: Whether it requires a gradient; None where it is no leaf.
        grad: Its gradient.
        hooks: What each of its dictionaries of hooks holds.
    """

    alias: torch.Tensor
    needs_grad: bool | None
    grad: torch.Tensor | None
    hooks: tuple[dict[int, Any], ...]


def _tensor(it: torch.Tensor) -> _Tensor:
    if is_lazy(it):
        return _Tensor(it.data, it.requires_grad, None, _hooks(it))
    grad = it.grad if it.is_leaf else None
    return _Tensor(it.detach(), it.requires_grad if it.is_leaf else None, grad, _hooks(it))


def _hooks(it: torch.Tensor) -> tuple[dict[int, Any], ...]:
    return dict(it._backward_hooks or {}), dict(getattr(it, "_post_accumulate_grad_hooks", None) or {})


def _same_tensor(it: torch.Tensor, kept: _Tensor) -> bool:
    if is_lazy(it):
        return True
    return (
        (kept.needs_grad is None or (it.requires_grad is kept.needs_grad and it.grad is kept.grad))
        and (it is kept.alias or _place_of(it) == _place_of(kept.alias))
        and _hooks(it) == kept.hooks
    )


def _place_of(it: torch.Tensor) -> Any:
    """Where the values of a tensor lie."""
    about = (it.shape, it.dtype, it.device, it.layout)
    if it.layout is not torch.strided:
        return about
    try:
        return *about, it.stride(), it.storage_offset(), it.untyped_storage()._cdata
    except (RuntimeError, NotImplementedError):  # a wrapper, whose inner tensors are noted
        return about


def _put_tensor(it: torch.Tensor, kept: _Tensor) -> None:
    if is_lazy(kept.alias) or _place_of(it) != _place_of(kept.alias):
        it.data = kept.alias
    if kept.needs_grad is not None:
        it.requires_grad_(kept.needs_grad)
        it.grad = kept.grad
    for now, then in zip((it._backward_hooks, getattr(it, "_post_accumulate_grad_hooks", None)), kept.hooks, strict=True):
        if now is not None:
            _put_items(now, then)


def _same(it: Any, kept: Any) -> bool:
    return it is kept


TENSOR = Kind(_tensor, _same_tensor, _put_tensor)
ATTRIBUTES = Kind(_attributes, _same_attributes, _put_attributes)
SLOTS = Kind(_slots, lambda it, kept: all(map(is_, _slots(it), kept)), _put_slots)
CLASS = Kind(lambda it: dict(vars(it)), _same_class, _put_class)
CELL = Kind(_cell, lambda it, kept: _cell(it) is kept, _put_in_cell)
FUNCTION = Kind(_names, _same_names, _put_names)
GENERATOR = Kind(state_of, lambda it, kept: same_state(state_of(it), kept), set_state)
FILE = Kind(_place, lambda it, kept: it.closed or _place(it) == kept, _put_place)
MAPPING = Kind(dict, _same_items, _put_items)
LIST = Kind(list, _same_elements, lambda it, kept: list.__setitem__(it, slice(None), kept))
DEQUE = Kind(list, _same_elements, _put_in_deque)
SET = Kind(set, lambda it, kept: len(it) == len(kept) and it == kept, _put_in_set)
ARRAY = Kind(lambda it: it[:], lambda it, kept: it == kept, _put_in_array)

_SINGLE = ((KINDS, GENERATOR), (io.IOBase, FILE), (CellType, CELL), (FunctionType, FUNCTION))
_ELEMENTS = ((dict, MAPPING), (list, LIST), (deque, DEQUE), (set, SET), ((bytearray, array), ARRAY))

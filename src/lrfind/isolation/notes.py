"""Notes: of each kind of thing that training can move, what is kept, when it is as it was, and how it is put back.

Everything is put back in place, and only where it has moved. The memory of tensors and arrays is in ``memory.py``.
"""

from __future__ import annotations

import ctypes
import io
import random
import weakref
from array import array
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from functools import cache, partial
from operator import eq, is_
from types import CellType, FunctionType, GeneratorType, ModuleType
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.nn.parameter import is_lazy

from lrfind.isolation.reach import (
    CACHES,
    MOST,
    attributes_of,
    components,
    hooks_of,
    is_closed,
    is_leaf,
    is_own,
    kind_of,
    names_of,
    slots_of,
)

GENERATORS = (torch.Generator, np.random.Generator, np.random.RandomState, random.Random)
_MISSING = object()


class Kind(NamedTuple):
    """How one kind of thing is put back.

    Attributes:
        keep: Given the thing: what is kept of it.
        is_same: Given the thing and what was kept: whether it is as it was.
        put_back: Given both: makes it so.
    """

    keep: Callable[[Any], Any]
    is_same: Callable[[Any, Any], bool]
    put_back: Callable[[Any, Any], Any]


Note = tuple[Kind, Any, Any]
"""A kind, a thing, and what was kept of it."""


def notes_of(each: Any) -> Iterator[Note]:
    """Yield the notes of one object, without its parts."""
    for kind in _kinds_of(kind_of(each)):
        yield kind, each, kind.keep(each)
    if isinstance(each, type) and is_own(each):
        yield _CLASS, each, _CLASS.keep(each)
    if type(each) is ModuleType and is_own(each):
        yield _NAMES, vars(each), dict(vars(each))
    if type(each) in (list, dict, deque) and len(each) > MOST:
        yield _LARGE, each, _LARGE.keep(each)
    if type(each) is FunctionType:
        yield _GIVEN, each, _GIVEN.keep(each)
        for module, names in names_of(each):
            yield _NAMES, module, {name: module.get(name, _MISSING) for name in names}


@cache
def _kinds_of(kind: Any) -> tuple[Kind, ...]:
    if issubclass(kind, (type, ModuleType, CACHES, weakref.ReferenceType)):
        return ()
    slots = (_SLOTS,) if slots_of(kind) else ()
    if issubclass(kind, torch.Tensor):
        return (_TENSOR, _OBJECT, *slots)
    single = tuple(each for kinds, each in _SINGLE if issubclass(kind, kinds))
    if single or is_closed(kind):
        return single[:1]
    elements = (each for kinds, each in _ELEMENTS if issubclass(kind, kinds))
    mode = (_MODE,) if issubclass(kind, torch.jit.ScriptModule) else ()
    return (*elements, *((_OBJECT,) if kind.__dictoffset__ else ()), *slots, *mode)


def do_nothing(*_: Any) -> None:
    """Put nothing back: what has moved is found by the check."""


def _same_items(it: dict[Any, Any], kept: dict[Any, Any]) -> bool:
    if len(it) != len(kept):
        return False
    if isinstance(it, OrderedDict):
        return all(map(is_, it, kept)) and all(dict.__getitem__(it, name) is value for name, value in kept.items())
    return not kept or (all(map(is_, dict.keys(it), kept)) and all(map(is_, dict.values(it), kept.values())))


def _put_items(it: dict[Any, Any], kept: dict[Any, Any]) -> None:
    kind: Any = OrderedDict if isinstance(it, OrderedDict) else dict
    kind.clear(it)
    for name, value in kept.items():
        kind.__setitem__(it, name, value)


def _same_elements(it: Any, kept: list[Any]) -> bool:
    return len(it) == len(kept) and all(map(is_, it, kept))


def _refill(clear: Any, extend: Any) -> Callable[[Any, Any], None]:
    """Return what empties a container and fills it anew, whatever its subclass makes of that."""
    return lambda it, kept: (clear(it), extend(it, kept))[1]


def _elements(it: Any) -> list[Any]:
    return list(it.values() if isinstance(it, dict) else it)


def _same_large(it: Any, kept: list[Any]) -> bool:
    return len(it) == len(kept) and all(map(_same_inner, _elements(it), kept))


def _same_inner(now: Any, then: Any) -> bool:
    if type(now) is dict:
        return _same_items(now, then)
    return _same_elements(now, then) if type(now) is list else bool(type(now) is set and now == then) or now is then


def _put_large(it: Any, kept: list[Any]) -> None:
    """Put back the containers that a large one holds, which is not entered."""
    for now, then in zip(_elements(it), kept, strict=True):
        if not _same_inner(now, then):
            now.clear()
            now.extend(then) if isinstance(now, list) else now.update(then)


def _put_object(it: Any, kept: tuple[Any, Any]) -> None:
    """Give an object its class and its dictionary; a lazy module changes its class."""
    if type(it) is not kept[0]:
        it.__class__ = kept[0]
    if attributes_of(it) is not kept[1]:
        object.__setattr__(it, "__dict__", kept[1])


def _slots(it: Any) -> list[Any]:
    return [getattr(it, slot.__name__, _MISSING) for slot in slots_of(kind_of(it))]


def _put_slots(it: Any, kept: list[Any]) -> None:
    for slot, value in zip(slots_of(kind_of(it)), kept, strict=True):
        if value is not _MISSING:
            slot.__set__(it, value)
        elif hasattr(it, slot.__name__):
            slot.__delete__(it)


def _put_names(kept: dict[str, Any], now: Any, set_: Any, remove: Any) -> None:
    """Bind some names as they were: of a module, of a class."""
    for name, value in kept.items():
        if now.get(name, _MISSING) is not value:
            set_(name, value) if value is not _MISSING else remove(name)


def _put_class(it: Any, kept: dict[str, Any]) -> None:
    now = {**dict.fromkeys(kept, _MISSING), **vars(it)}
    wanted = {name: kept.get(name, _MISSING) for name in now}
    _put_names(wanted, now, lambda name, value: type.__setattr__(it, name, value), lambda n: type.__delattr__(it, n))


def _put_defaults(it: Any, kept: list[Any]) -> None:
    it.__defaults__, it.__kwdefaults__ = kept


def _cell(it: CellType) -> Any:
    try:
        return it.cell_contents
    except ValueError:
        return _MISSING


def _put_in_cell(it: CellType, kept: Any) -> None:
    if kept is _MISSING:
        del it.cell_contents
    else:
        it.cell_contents = kept


def place_of(it: Any) -> tuple[int, int | None] | None:
    """Where a file stands and, of one that is written, how long it is; None where that cannot be told."""
    try:
        if it.closed or not it.seekable():
            return None
        place, size = it.tell(), None
        if it.writable():
            size = it.seek(0, io.SEEK_END)
            it.seek(place)
    except (OSError, ValueError):  # in the middle of being iterated over
        return None
    return place, size


def _put_place(it: Any, kept: tuple[int, int | None]) -> None:
    if kept[1] is not None:
        it.truncate(kept[1])
    it.seek(kept[0])


def _frame(it: Any) -> Any:
    """Where a generator function stands."""
    return it.gi_frame and (it.gi_frame.f_lasti, {name: id(value) for name, value in it.gi_frame.f_locals.items()})


def _same_state(one: Any, other: Any) -> bool:
    """Say whether two states of a generator of NumPy are the same."""
    if isinstance(one, dict):
        return all(_same_state(one[name], other[name]) for name in one)
    return bool(np.all(one == other))


def _tensor(it: torch.Tensor) -> tuple[Any, ...]:
    """A tensor but for its values: another one of the same memory, whether it needs a gradient, that, and its hooks."""
    hooks = [dict(each or {}) for each in hooks_of(it)]
    if is_lazy(it):
        return it.data, it.requires_grad, None, *hooks
    return it.detach(), *((it.requires_grad, it.grad) if is_leaf(it) else (None, None)), *hooks


def _same_tensor(it: torch.Tensor, kept: tuple[Any, ...]) -> bool:
    if is_lazy(it):
        return True
    alias, needs_grad, grad, *hooks = kept
    is_same_leaf = needs_grad is None or (it.requires_grad is needs_grad and it.grad is grad)
    return is_same_leaf and _about(it) == _about(alias) and [each or {} for each in hooks_of(it)] == hooks


def _about(it: torch.Tensor) -> Any:
    """Where the values of a tensor lie, and how."""
    about = it.shape, it.dtype, it.device, it.layout
    if it.layout is not torch.strided:
        return *about, *map(_about, components(it))
    try:
        return *about, it.stride(), it.storage_offset(), it.untyped_storage()._cdata
    except (RuntimeError, NotImplementedError):  # without memory of its own: others that it wraps are noted
        return about


def _put_tensor(it: torch.Tensor, kept: tuple[Any, ...]) -> None:
    alias, needs_grad, grad, *hooks = kept
    if _about(it) != _about(alias):
        it.data = alias
    if needs_grad is not None:
        it.requires_grad_(needs_grad)
        it.grad = grad
    for now, then in zip(hooks_of(it), hooks, strict=True):
        if now is not None:
            _put_items(now, then)


def _kind(
    keep: Callable[[Any], Any], put_back: Callable[[Any, Any], Any], same: Callable[[Any, Any], bool] = eq
) -> Kind:
    """Return a kind that is as it was where what would be kept of it now is the same."""
    return Kind(keep, lambda it, kept: same(keep(it), kept), put_back)


_TENSOR = Kind(_tensor, _same_tensor, _put_tensor)
_OBJECT = _kind(lambda it: (type(it), attributes_of(it)), _put_object, _same_elements)
_SLOTS = _kind(_slots, _put_slots, _same_elements)
_CLASS = _kind(lambda it: dict(vars(it)), _put_class, _same_items)
_NAMES = Kind(
    dict,
    lambda it, kept: all(it.get(name, _MISSING) is value for name, value in kept.items()),
    lambda it, kept: _put_names(kept, it, it.__setitem__, it.pop),
)
_GIVEN = _kind(lambda it: [it.__defaults__, it.__kwdefaults__], _put_defaults, _same_elements)
_LARGE = Kind(
    lambda it: [one.copy() if type(one) in (dict, list, set) else one for one in _elements(it)],
    _same_large,
    _put_large,
)
_MODE = _kind(lambda it: it.training, lambda it, kept: setattr(it, "training", kept))

_SINGLE: tuple[tuple[Any, Kind], ...] = (
    (torch.Generator, _kind(lambda it: it.get_state(), lambda it, kept: it.set_state(kept), torch.equal)),
    (
        np.random.Generator,
        _kind(
            lambda it: it.bit_generator.state, lambda it, kept: setattr(it.bit_generator, "state", kept), _same_state
        ),
    ),
    (
        np.random.RandomState,
        _kind(lambda it: it.get_state(legacy=False), lambda it, kept: it.set_state(kept), _same_state),
    ),
    (
        np.random.BitGenerator,
        _kind(lambda it: it.state, lambda it, kept: setattr(it, "state", kept), _same_state),
    ),
    (
        partial,
        _kind(lambda it: list(it.__reduce__()[2]), lambda it, kept: it.__setstate__(tuple(kept)), _same_elements),
    ),
    (
        ctypes._SimpleCData.__mro__[1],
        _kind(bytes, lambda it, kept: ctypes.memmove(ctypes.addressof(it), kept, len(kept))),
    ),
    (random.SystemRandom, _kind(do_nothing, do_nothing)),
    (random.Random, _kind(lambda it: it.getstate(), lambda it, kept: it.setstate(kept))),
    (np.random.SeedSequence, _kind(lambda it: it.state, do_nothing)),
    (GeneratorType, _kind(_frame, do_nothing)),
    (io.IOBase, _kind(place_of, _put_place)),
    (CellType, _kind(_cell, _put_in_cell, is_)),
)
_ELEMENTS: tuple[tuple[Any, Kind], ...] = (
    (dict, Kind(dict, _same_items, _put_items)),
    (list, Kind(list, _same_elements, _refill(list.clear, list.extend))),
    (deque, Kind(list, _same_elements, _refill(deque.clear, deque.extend))),
    (set, Kind(set, eq, _refill(set.clear, set.update))),
    ((bytearray, array), Kind(lambda it: it[:], eq, lambda it, kept: it.__setitem__(slice(None), kept))),
)

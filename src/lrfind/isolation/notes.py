"""Notes: of each kind of thing that training can move, what is kept, when it is as it was, and how it is put back.

Everything is put back in place, and only where it has moved. The memory of tensors and arrays is in ``memory.py``.
"""

from __future__ import annotations

import io
from array import array
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from functools import cache
from operator import is_
from types import CellType, FunctionType, GeneratorType
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.nn.parameter import is_lazy

from lrfind.isolation.generators import KINDS, same_state, set_state, state_of
from lrfind.isolation.reach import attributes_of, hooks_of, is_closed, is_leaf, is_own_class, names_of, slots_of

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
    put_back: Callable[[Any, Any], None]


Note = tuple[Kind, Any, Any]
"""A kind, a thing, and what was kept of it."""


def notes_of(each: Any) -> Iterator[Note]:
    """Yield the notes of one object, without its parts."""
    for kind in _kinds_of(type(each)):
        yield kind, each, kind.keep(each)
    if isinstance(each, type) and is_own_class(each):
        yield _CLASS, each, dict(vars(each))
    if type(each) is FunctionType:
        for module, names in names_of(each):
            yield _NAMES, module, {name: module.get(name, _MISSING) for name in names}


@cache
def _kinds_of(kind: type) -> tuple[Kind, ...]:
    if issubclass(kind, torch.Tensor):
        return (_TENSOR, _OBJECT, _SLOTS) if slots_of(kind) else (_TENSOR, _OBJECT)
    if issubclass(kind, type):
        return ()
    single = next((each for kinds, each in _SINGLE if issubclass(kind, kinds)), None)
    if single is not None or is_closed(kind):
        return (single,) if single else ()
    elements = [each for kinds, each in _ELEMENTS if issubclass(kind, kinds)]
    own = (_OBJECT, kind.__dictoffset__), (_SLOTS, slots_of(kind)), (_MODE, issubclass(kind, torch.jit.ScriptModule))
    return (*elements, *(each for each, is_needed in own if is_needed))


def _same_items(it: dict[Any, Any], kept: dict[Any, Any]) -> bool:
    if len(it) != len(kept):
        return False
    return not kept or (all(map(is_, dict.keys(it), kept)) and all(map(is_, dict.values(it), kept.values())))


def _put_items(it: dict[Any, Any], kept: dict[Any, Any]) -> None:
    kind: Any = OrderedDict if isinstance(it, OrderedDict) else dict
    kind.clear(it)
    for name, value in kept.items():
        kind.__setitem__(it, name, value)


def _same_elements(it: Any, kept: list[Any]) -> bool:
    return len(it) == len(kept) and all(map(is_, it, kept))


def _refill(kind: Any, extend: Any) -> Callable[[Any, Any], None]:
    """Return what empties a container and fills it anew, whatever its subclass makes of that."""

    def refill(it: Any, kept: Any) -> None:
        kind.clear(it)
        extend(it, kept)

    return refill


def _put_in_array(it: Any, kept: Any) -> None:
    it[:] = kept


def _same_object(it: Any, kept: tuple[type, dict[str, Any] | None]) -> bool:
    return type(it) is kept[0] and attributes_of(it) is kept[1]


def _put_object(it: Any, kept: tuple[type, dict[str, Any] | None]) -> None:
    if type(it) is not kept[0]:
        it.__class__ = kept[0]
    if attributes_of(it) is not kept[1]:
        object.__setattr__(it, "__dict__", kept[1])


def _slots(it: Any) -> list[Any]:
    return [getattr(it, slot.__name__, _MISSING) for slot in slots_of(type(it))]


def _put_slots(it: Any, kept: list[Any]) -> None:
    for slot, value in zip(slots_of(type(it)), kept, strict=True):
        if value is not _MISSING:
            slot.__set__(it, value)
        elif hasattr(it, slot.__name__):
            slot.__delete__(it)


def _same_names(it: dict[str, Any], kept: dict[str, Any]) -> bool:
    return all(it.get(name, _MISSING) is value for name, value in kept.items())


def _put_names(it: dict[str, Any], kept: dict[str, Any]) -> None:
    for name, value in kept.items():
        if value is _MISSING:
            it.pop(name, None)
        else:
            it[name] = value


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
    if kept is _MISSING:
        del it.cell_contents
    else:
        it.cell_contents = kept


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
    except (OSError, ValueError):  # in the middle of being iterated over
        return None
    return place, size


def _put_place(it: Any, kept: tuple[int, int | None]) -> None:
    place, size = kept
    if size is not None:
        it.truncate(size)
    it.seek(place)


class _Tensor(NamedTuple):
    """A tensor without its values: another one of the same memory, whether it needs a gradient, that, and its hooks."""

    alias: torch.Tensor
    needs_grad: bool | None
    grad: torch.Tensor | None
    hooks: tuple[dict[int, Any], ...]


def _tensor(it: torch.Tensor) -> _Tensor:
    hooks = tuple(dict(each or {}) for each in hooks_of(it))
    if is_lazy(it):
        return _Tensor(it.data, it.requires_grad, None, hooks)
    own = is_leaf(it)
    return _Tensor(it.detach(), it.requires_grad if own else None, it.grad if own else None, hooks)


def _same_tensor(it: torch.Tensor, kept: _Tensor) -> bool:
    if is_lazy(it):
        return True
    return (
        (kept.needs_grad is None or (it.requires_grad is kept.needs_grad and it.grad is kept.grad))
        and _memory_of(it) == _memory_of(kept.alias)
        and all((now or {}) == then for now, then in zip(hooks_of(it), kept.hooks, strict=True))
    )


def _memory_of(it: torch.Tensor) -> Any:
    about = it.shape, it.dtype, it.device, it.layout
    try:
        return *about, it.stride(), it.storage_offset(), it.untyped_storage()._cdata
    except (RuntimeError, NotImplementedError):  # without memory of its own: others that it wraps are noted
        return about


def _put_tensor(it: torch.Tensor, kept: _Tensor) -> None:
    if _memory_of(it) != _memory_of(kept.alias):
        it.data = kept.alias
    if kept.needs_grad is not None:
        it.requires_grad_(kept.needs_grad)
        it.grad = kept.grad
    for now, then in zip(hooks_of(it), kept.hooks, strict=True):
        if now is not None:
            _put_items(now, then)


def _frame(it: Any) -> Any:
    """Where a generator function stands, which cannot be put back."""
    return None if it.gi_frame is None else (it.gi_frame.f_lasti, {k: id(v) for k, v in it.gi_frame.f_locals.items()})


def _not(*_: Any) -> None:
    """Do nothing: what has moved is found out by the check."""


_TENSOR = Kind(_tensor, _same_tensor, _put_tensor)
_OBJECT = Kind(lambda it: (type(it), attributes_of(it)), _same_object, _put_object)
_SLOTS = Kind(_slots, lambda it, kept: all(map(is_, _slots(it), kept)), _put_slots)
_CLASS = Kind(lambda it: dict(vars(it)), lambda it, kept: _same_items(dict(vars(it)), kept), _put_class)
_NAMES = Kind(dict, _same_names, _put_names)
_MODE = Kind(lambda it: it.training, lambda it, kept: it.training is kept, lambda it, kept: setattr(it, "training", kept))
_ITEMS = Kind(dict, _same_items, _put_items)

_SINGLE = (
    (KINDS, Kind(state_of, lambda it, kept: same_state(state_of(it), kept), set_state)),
    (io.IOBase, Kind(_place, lambda it, kept: kept is None or it.closed or _place(it) == kept, _put_place)),
    (CellType, Kind(_cell, lambda it, kept: _cell(it) is kept, _put_in_cell)),
    (np.random.SeedSequence, Kind(lambda it: it.state, lambda it, kept: it.state == kept, _not)),
    (GeneratorType, Kind(_frame, lambda it, kept: _frame(it) == kept, _not)),
)
_ELEMENTS = (
    (dict, _ITEMS),
    (list, Kind(list, _same_elements, _refill(list, list.extend))),
    (deque, Kind(list, _same_elements, _refill(deque, deque.extend))),
    (set, Kind(set, lambda it, kept: it == kept, _refill(set, set.update))),
    ((bytearray, array), Kind(lambda it: it[:], lambda it, kept: it == kept, _put_in_array)),
)

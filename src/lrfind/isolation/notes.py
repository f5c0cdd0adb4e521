"""Notes: of each kind of thing that training can move, what is kept, when it is as it was, and how it is put back.

Everything is put back in place, and only where it has moved. The memory of tensors and arrays is in ``memory.py``.
"""

from __future__ import annotations

import ctypes
import io
import os
import random
import weakref
from array import array
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from operator import eq, is_, methodcaller
from types import CellType, FunctionType, GeneratorType, ModuleType
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.nn.parameter import is_lazy

from lrfind.isolation.reach import (
    CACHES,
    MOST,
    attributes_of,
    hooks_of,
    inner_tensors,
    is_closed,
    is_leaf,
    is_of_user,
    names_of,
    per_type,
    slots_of,
)

NOTHING = object()
"""What is kept of a thing that has nothing to be put back."""
_MISSING = object()
_HEAP = 1 << 9
_CData = ctypes._SimpleCData.__mro__[1]


class Rule(NamedTuple):
    """How one kind of thing, or one aspect of it, is put back.

    Attributes:
        keep: Given the thing: what is kept of it.
        is_same: Given the thing and what was kept: whether it is as it was.
        put_back: Given both: makes it so.
    """

    keep: Callable[[Any], Any]
    is_same: Callable[[Any, Any], bool]
    put_back: Callable[[Any, Any], Any]


class Note(NamedTuple):
    """A rule, a thing, and what was kept of it."""

    rule: Rule
    it: Any
    kept: Any


def notes_of(things: Iterable[Any]) -> list[Note]:
    """Return the notes of some things, without their parts."""
    notes = []
    for each in things:
        for rule in _rules_of(type(each)):
            if (kept := rule.keep(each)) is not NOTHING:
                notes.append(Note(rule, each, kept))
    return notes


def put_back(notes: Iterable[Note]) -> None:
    """Put back what has moved. What cannot be does not keep the others from it; the check finds it."""
    for rule, it, kept in moved(notes):
        with suppress(Exception):
            rule.put_back(it, kept)


def moved(notes: Iterable[Note]) -> Iterable[Note]:
    """Yield the notes of what is not as it was, or cannot be compared."""
    for note in notes:
        rule, it, kept = note
        try:
            if rule.is_same(it, kept):
                continue
        except Exception:  # noqa: BLE001, what cannot be compared is put back
            pass
        yield note


@per_type
def _rules_of(kind: Any) -> tuple[Rule, ...]:
    if issubclass(kind, (CACHES, weakref.ReferenceType)):
        return ()
    rules = [rule for kinds, rule in _RULES if issubclass(kind, kinds)]
    if not is_closed(kind) and not issubclass(kind, (type, ModuleType)):
        is_written_in_python = bool(kind.__flags__ & _HEAP)
        rules += [_KIND] * is_written_in_python + [_ATTRIBUTES] * bool(kind.__dictoffset__)
        rules += [_SLOTS] * bool(slots_of(kind))
    return tuple(rules)


def do_nothing(*_: Any) -> None:
    """Put nothing back: what has moved is found by the check."""


def _same_items(it: dict[Any, Any], kept: dict[Any, Any]) -> bool:
    if len(it) != len(kept):
        return False
    if not kept:
        return True
    if isinstance(it, OrderedDict):  # whose order is its own, and whose values are those of a dictionary
        return all(map(is_, it, kept)) and all(dict.__getitem__(it, name) is value for name, value in kept.items())
    return all(map(is_, dict.keys(it), kept)) and all(map(is_, dict.values(it), kept.values()))


def _put_items(it: dict[Any, Any], kept: dict[Any, Any]) -> None:
    kind: Any = OrderedDict if isinstance(it, OrderedDict) else dict
    kind.clear(it)
    for name, value in kept.items():
        kind.__setitem__(it, name, value)


def _same_elements(it: Any, kept: Any) -> bool:
    return len(it) == len(kept) and all(map(is_, it, kept))


def _refill(clear: Any, extend: Any) -> Callable[[Any, Any], None]:
    """Return what empties a container and fills it anew, whatever its subclass makes of that."""
    return lambda it, kept: (clear(it), extend(it, kept))[1]


def _set(it: set[Any]) -> list[Any] | set[Any]:
    """The elements of a set in their order, where a set that is filled anew has them in that order."""
    order = list(it)
    return order if _same_elements(set(order), order) else set(order)


def _same_set(it: set[Any], kept: list[Any] | set[Any]) -> bool:
    return it == kept if isinstance(kept, set) else _same_elements(it, kept)


def _inner_notes(it: Any) -> Any:
    """Note the containers that a large one holds, which is not entered."""
    if len(it) <= MOST:
        return NOTHING
    inner: dict[Any, Rule] = {dict: _ITEMS, list: _LIST, set: _SET}
    elements = it.values() if isinstance(it, dict) else it
    return [Note(rule, each, rule.keep(each)) for each in elements if (rule := inner.get(type(each)))]


def _put_kind(it: Any, kept: tuple[Any, Any]) -> None:
    """Give an object its class and its dictionary; a lazy module changes its class."""
    if type(it) is not kept[0]:
        it.__class__ = kept[0]
    if attributes_of(it) is not kept[1]:
        object.__setattr__(it, "__dict__", kept[1])


def _put_slots(it: Any, kept: list[Any]) -> None:
    for slot, value in zip(slots_of(type(it)).values(), kept, strict=True):
        if value is not _MISSING:
            slot.__set__(it, value)
        elif hasattr(it, slot.__name__):
            slot.__delete__(it)


def _names(it: FunctionType) -> Any:
    """Note the names of modules that a function mentions."""
    kept = ((module, {name: module.get(name, _MISSING) for name in names}) for module, names in names_of(it))
    return [Note(_NAMES, module, names) for module, names in kept] or NOTHING


def _names_of_module(it: ModuleType) -> Any:
    return [Note(_NAMES, vars(it), dict(vars(it)))] if is_of_user(it) else NOTHING


def _same_names(it: dict[str, Any], kept: dict[str, Any]) -> bool:
    return all(it.get(name, _MISSING) is value for name, value in kept.items())


def _put_names(it: dict[str, Any], kept: dict[str, Any]) -> None:
    it.update((name, value) for name, value in kept.items() if value is not _MISSING)
    for name in [name for name, value in kept.items() if value is _MISSING]:
        it.pop(name, None)


def _class(it: type) -> Any:
    return dict(vars(it)) if is_of_user(it) else NOTHING


def _put_class(it: type, kept: dict[str, Any]) -> None:
    now = dict(vars(it))
    for name in now.keys() - kept.keys():
        type.__delattr__(it, name)
    for name in [name for name, value in kept.items() if now.get(name, _MISSING) is not value]:
        type.__setattr__(it, name, kept[name])


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
    """Say whether two states of a generator are the same: tensors, numbers, or dictionaries of NumPy with arrays."""
    if isinstance(one, dict):
        return all(_same_state(one[name], other[name]) for name in one)
    is_same = one == other
    return is_same if isinstance(is_same, bool) else bool(is_same.all())


def _tensor(it: torch.Tensor) -> tuple[Any, ...]:
    """A tensor but for its values: another one of the same memory, and what else is of it."""
    return it.data if is_lazy(it) else it.detach(), *_beside_values(it)


def _beside_values(it: torch.Tensor) -> tuple[Any, ...]:
    """Where the values of a tensor lie, its hooks, whether it needs a gradient, and its gradient."""
    hooks = [dict(each) if each else {} for each in hooks_of(it)]
    if is_lazy(it):
        return None, hooks, it.requires_grad, None
    return _about(it), hooks, *((it.requires_grad, it.grad) if is_leaf(it) else (None, None))


def _same_tensor(it: torch.Tensor, kept: tuple[Any, ...]) -> bool:
    *now, grad = _beside_values(it)
    return grad is kept[-1] and now == list(kept[1:-1])


def _about(it: torch.Tensor) -> Any:
    """Where the values of a tensor lie, and how."""
    about = it.shape, it.dtype, it.device, it.layout
    if it.layout is not torch.strided:
        return *about, *map(_about, inner_tensors(it))
    try:
        return *about, it.stride(), it.storage_offset(), it.untyped_storage()._cdata
    except (RuntimeError, NotImplementedError):  # without memory of its own: others that it wraps are noted
        return about


def _put_tensor(it: torch.Tensor, kept: tuple[Any, ...]) -> None:
    alias, about, hooks, needs_grad, grad = kept
    if about is None or _about(it) != about:
        it.data = alias
    if needs_grad is not None:
        it.requires_grad_(needs_grad)
        it.grad = grad
    for now, then in zip(hooks_of(it), hooks, strict=True):
        if now is not None:
            _put_items(now, then)


def _put_environment(it: Any, kept: dict[Any, Any]) -> None:
    for name in it._data.keys() - kept.keys():
        del it[it.decodekey(name)]
    it.update((it.decodekey(name), it.decodevalue(value)) for name, value in kept.items())


def _rule(
    keep: Callable[[Any], Any], put_back: Callable[[Any, Any], Any] = do_nothing, same: Callable[[Any, Any], bool] = eq
) -> Rule:
    """Return a rule for what is as it was where what would be kept of it now is the same."""
    return Rule(keep, lambda it, kept: same(keep(it), kept), put_back)


def _attributes(*names: str, same: Callable[[Any, Any], bool] = is_) -> Rule:
    """Return a rule for attributes that are not in the dictionary of an object."""

    def put_back(it: Any, kept: list[Any]) -> None:
        for name, value in zip(names, kept, strict=True):
            setattr(it, name, value)

    return _rule(
        lambda it: [getattr(it, name) for name in names], put_back, lambda now, kept: all(map(same, now, kept))
    )


def _state(get: Callable[[Any], Any], put: str) -> Rule:
    """Return a rule for the state of a generator of random numbers, which one method gives and one takes."""
    return _rule(get, lambda it, kept: getattr(it, put)(kept), _same_state)


def _nested(keep: Callable[[Any], Any]) -> Rule:
    """Return a rule for a thing of which notes of other things are kept."""
    return Rule(keep, lambda _, kept: not any(True for _ in moved(kept)), lambda _, kept: put_back(kept))


_NAMES = Rule(dict, _same_names, _put_names)
_ITEMS = Rule(dict, _same_items, _put_items)
_LIST = Rule(list, _same_elements, _refill(list.clear, list.extend))
_SET = Rule(_set, _same_set, _refill(set.clear, set.update))
_KIND = _rule(lambda it: (type(it), attributes_of(it)), _put_kind, _same_elements)
_ATTRIBUTES = Rule(
    lambda it: dict(attributes_of(it) or ()),
    lambda it, kept: _same_items(attributes_of(it) or {}, kept),
    lambda it, kept: _put_items(attributes_of(it) or {}, kept),
)
_SLOTS = _rule(lambda it: [getattr(it, name, _MISSING) for name in slots_of(type(it))], _put_slots, _same_elements)
_RULES: tuple[tuple[Any, Rule], ...] = (
    (torch.Tensor, Rule(_tensor, _same_tensor, _put_tensor)),
    (torch.Generator, _state(methodcaller("get_state"), "set_state")),
    (np.random.RandomState, _state(methodcaller("get_state", legacy=False), "set_state")),
    (np.random.BitGenerator, _attributes("state", same=_same_state)),
    (np.random.SeedSequence, _rule(lambda it: it.state)),
    (random.Random, _state(methodcaller("getstate"), "setstate")),
    (dict, _ITEMS),
    (list, _LIST),
    (deque, Rule(list, _same_elements, _refill(deque.clear, deque.extend))),
    (set, _SET),
    ((dict, list, deque), _nested(_inner_notes)),
    ((bytearray, array), Rule(lambda it: it[:], eq, lambda it, kept: it.__setitem__(slice(None), kept))),
    (_CData, _rule(bytes, lambda it, kept: ctypes.memmove(ctypes.addressof(it), kept, len(kept)))),
    (
        partial,
        _rule(lambda it: list(it.__reduce__()[2]), lambda it, kept: it.__setstate__(tuple(kept)), _same_elements),
    ),
    (CellType, _rule(_cell, _put_in_cell, is_)),
    (GeneratorType, _rule(_frame)),
    (io.IOBase, _rule(place_of, _put_place)),
    (type(os.environ), _rule(lambda it: dict(it._data), _put_environment)),
    (FunctionType, _attributes("__defaults__", "__kwdefaults__")),
    (FunctionType, _nested(_names)),
    (ModuleType, _nested(_names_of_module)),
    (type, _rule(_class, _put_class, _same_items)),
    (torch.jit.ScriptModule, _attributes("training")),
)

"""Notes: for each kind of thing that training can move, what is kept of it and how it is put back."""

from __future__ import annotations

import ctypes
import io
import multiprocessing.managers
import os
import pickle
import random
import weakref
from array import array
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from functools import partial
from operator import eq, is_, itemgetter, methodcaller
from types import CellType, FunctionType, GeneratorType, ModuleType
from typing import Any

import numpy as np
import torch

from lrfind.isolation.memory import TENSOR
from lrfind.isolation.reach import CACHES, MOST, attributes_of, is_closed, is_of_user, names_of, per_type, slots_of
from lrfind.isolation.rules import MISSING, NOTHING, Note, Rule, named, nested, rule_of

_MANAGERS: Any = multiprocessing.managers
_HEAP = 1 << 9
"""The flag of types that are written in Python."""


def notes_of(things: Iterable[Any]) -> list[Note]:
    """Return the notes of some things, without their parts."""
    notes = []
    for each in things:
        for rule in _rules_of(type(each)):
            if (kept := rule.keep(each)) is not NOTHING:
                notes.append(Note(rule, each, kept))
    return notes


@per_type
def _rules_of(kind: Any) -> tuple[Rule, ...]:
    if issubclass(kind, (CACHES, weakref.ReferenceType)):
        return ()
    rules = [rule for kinds, rule in _RULES if issubclass(kind, kinds)]
    if not is_closed(kind) and not issubclass(kind, (type, ModuleType)):
        rules += [_KIND] * bool(kind.__flags__ & _HEAP) + [_ATTRIBUTES] * bool(kind.__dictoffset__)
        rules += [_SLOTS] * bool(slots_of(kind))
    return tuple(rules)


def _items(it: dict[Any, Any]) -> dict[Any, Any]:
    """The items of a dictionary in their order, whatever its subclass makes of reading them."""
    if isinstance(it, OrderedDict):  # whose order is its own, and whose values are those of a dictionary
        return {name: dict.__getitem__(it, name) for name in OrderedDict.__iter__(it)}
    return it.copy() if type(it) is dict else dict(dict.items(it))


def _same_items(it: dict[Any, Any], kept: dict[Any, Any]) -> bool:
    if len(it) != len(kept):
        return False
    if not kept:
        return True
    now = _items(it) if isinstance(it, OrderedDict) else it
    return all(map(is_, dict.keys(now), kept)) and all(map(is_, dict.values(now), kept.values()))


def _put_items(it: dict[Any, Any], kept: dict[Any, Any]) -> None:
    kind: Any = OrderedDict if isinstance(it, OrderedDict) else dict
    kind.clear(it)
    for name, value in kept.items():
        kind.__setitem__(it, name, value)


def _same_elements(it: Any, kept: Any) -> bool:
    return len(it) == len(kept) and all(map(is_, it, kept))


def _elements(kind: Any) -> Rule:
    """Return a rule for a list or a deque, whatever its subclass makes of reading and filling it."""

    def put_back(it: Any, kept: list[Any]) -> None:
        kind.clear(it)
        kind.extend(it, kept)

    return Rule(
        lambda it: list(kind.__iter__(it)), lambda it, kept: _same_elements(list(kind.__iter__(it)), kept), put_back
    )


def _put_members(it: set[Any], kept: set[Any]) -> None:
    set.clear(it)
    set.update(it, kept)


def _put_all(it: Any, kept: Any) -> None:
    it[:] = kept


def _inner_notes(it: Any) -> list[Note]:
    """Note the containers that a large one holds, which is not entered."""
    inner: dict[Any, Rule] = {dict: _ITEMS, list: _LIST, set: _SET}
    elements = it.values() if isinstance(it, dict) else it
    kept = ((inner[type(each)], each) for each in elements if type(each) in inner) if len(it) > MOST else ()
    return [Note(rule, each, rule.keep(each)) for rule, each in kept]


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


def _state(get: Callable[[Any], Any], put: str) -> Rule:
    """Return a rule for the state of a generator of random numbers, which one method gives and one takes."""
    return rule_of(get, lambda it, kept: getattr(it, put)(kept), _same_state)


def _same_state(now: Any, then: Any) -> bool:
    """Say whether two states of a generator are the same: tensors, numbers, or dictionaries of NumPy with arrays."""
    if isinstance(now, dict):
        return all(_same_state(now[name], then[name]) for name in now)
    is_same = now == then
    return is_same if isinstance(is_same, bool) else bool(is_same.all())


def _proxy(get: Callable[[Any], Any], put: Callable[[Any, Any], Any]) -> Rule:
    """Return a rule for what the process of a manager keeps; nothing of one that has ended."""

    def keep(it: Any) -> Any:
        try:
            return pickle.dumps(get(it))
        except (OSError, EOFError):
            return NOTHING

    return rule_of(keep, lambda it, kept: put(it, pickle.loads(kept)))


def _put_in_namespace(it: Any, kept: dict[str, Any]) -> None:
    for name in _names_of_namespace(it).keys() - kept.keys():
        delattr(it, name)
    for name, value in kept.items():
        setattr(it, name, value)


def _names_of_namespace(it: Any) -> Any:
    return it._callmethod("__getattribute__", ("__dict__",))


def _put_in_proxy(it: Any, kept: dict[Any, Any]) -> None:
    it.clear()
    it.update(kept)


def _put_environment(it: Any, kept: dict[Any, Any]) -> None:
    for name in it._data.keys() - kept.keys():
        del it[it.decodekey(name)]
    it.update((it.decodekey(name), it.decodevalue(value)) for name, value in kept.items())


def _names_in(it: Any) -> Iterable[str]:
    return list(vars(it)) if is_of_user(it) else ()


def _names_in_module(it: ModuleType) -> Iterable[str]:
    """The names in a module of the user, but for ``__name__`` and its like, to which compilers add their own."""
    return [name for name in _names_in(it) if name[:1] != "_" or name[1:2].isalpha()]


def _get_in(it: Any, name: str) -> Any:
    return vars(it).get(name, MISSING)


def _get_global(it: FunctionType, name: str) -> Any:
    return it.__globals__.get(name, MISSING)


def _put_global(it: FunctionType, name: str, value: Any) -> None:
    it.__globals__[name] = value


def _remove_global(it: FunctionType, name: str) -> None:
    del it.__globals__[name]


_ITEMS = Rule(_items, _same_items, _put_items)
_LIST = _elements(list)
_SET = Rule(lambda it: set(set.__iter__(it)), set.__eq__, _put_members)
_KIND = named(lambda it: ("__class__", "__dict__"))
_SLOTS = named(lambda it: slots_of(type(it)))
_ATTRIBUTES = Rule(
    lambda it: dict(attributes_of(it) or ()),
    lambda it, kept: _same_items(attributes_of(it) or {}, kept),
    lambda it, kept: _put_items(attributes_of(it) or {}, kept),
)
_RULES: tuple[tuple[Any, Rule], ...] = (
    (torch.Tensor, TENSOR),
    (torch.Generator, _state(methodcaller("get_state"), "set_state")),
    (np.random.RandomState, _state(methodcaller("get_state", legacy=False), "set_state")),
    (np.random.BitGenerator, named(lambda it: ("state",), same=_same_state)),
    (np.random.SeedSequence, rule_of(lambda it: it.state)),
    (random.Random, _state(methodcaller("getstate"), "setstate")),
    (dict, _ITEMS),
    (list, _LIST),
    (deque, _elements(deque)),
    (set, _SET),
    ((dict, list, deque), nested(_inner_notes)),
    ((bytearray, array), Rule(lambda it: it[:], eq, _put_all)),
    (
        ctypes._SimpleCData.__mro__[1],
        rule_of(bytes, lambda it, kept: ctypes.memmove(ctypes.addressof(it), kept, len(kept))),
    ),
    (
        partial,
        rule_of(lambda it: list(it.__reduce__()[2]), lambda it, kept: it.__setstate__(tuple(kept)), _same_elements),
    ),
    (_MANAGERS.DictProxy, _proxy(methodcaller("copy"), _put_in_proxy)),
    ((_MANAGERS.ListProxy, _MANAGERS.ArrayProxy), _proxy(itemgetter(slice(None)), _put_all)),
    (_MANAGERS.ValueProxy, _proxy(methodcaller("get"), lambda it, kept: it.set(kept))),
    (_MANAGERS.NamespaceProxy, _proxy(_names_of_namespace, _put_in_namespace)),
    (CellType, named(lambda it: ("cell_contents",))),
    (GeneratorType, rule_of(_frame)),
    (io.IOBase, rule_of(place_of, _put_place)),
    (type(os.environ), rule_of(lambda it: dict(it._data), _put_environment)),
    (FunctionType, named(lambda it: ("__defaults__", "__kwdefaults__"))),
    (FunctionType, named(names_of, _get_global, _put_global, _remove_global)),
    (ModuleType, named(_names_in_module, _get_in)),
    (type, named(_names_in, _get_in, type.__setattr__, type.__delattr__)),
    (torch.jit.ScriptModule, named(lambda it: ("training",), getattr, setattr)),
)

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
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from operator import attrgetter, is_, methodcaller
from types import CellType, FunctionType, GeneratorType, ModuleType
from typing import Any, NamedTuple

import numpy as np
import torch

from lrfind.isolation.reach import CACHES, is_closed, is_of_user, names_of, per_type, slots_of

_MANAGERS: Any = multiprocessing.managers
_HEAP = 1 << 9
"""The flag of types that are written in Python."""
_MISSING = object()
"""The value of a name that is not bound."""


class Rule(NamedTuple):
    """How one kind of thing, or one aspect of it, is put back.

    Attributes:
        keep: Given the thing: what is kept of it; None where there is nothing to put back.
        put_back: Given the thing and what was kept: makes it so.
        is_same: Given both: whether it is so; by default, where the same would be kept now.
    """

    keep: Callable[[Any], Any]
    put_back: Callable[[Any, Any], Any]
    is_same: Callable[[Any, Any], bool] | None = None


Note = tuple[Rule, Any, Any]
"""A rule, a thing, and what was kept of it."""


def put_back(notes: Iterable[Note]) -> None:
    """Put back what has moved. What cannot be does not keep the others from it; the check finds it."""
    for rule, it, kept in moved(notes):
        with suppress(Exception):
            rule.put_back(it, kept)


def moved(notes: Iterable[Note]) -> Iterator[Note]:
    """Yield the notes of what is not as it was, or cannot be compared."""
    for note in notes:
        (keep, _, is_same), it, kept = note
        try:
            if is_same(it, kept) if is_same else _same(keep(it), kept):
                continue
        except Exception:  # noqa: BLE001, what cannot be compared is put back
            pass
        yield note


def _same(now: Any, then: Any) -> bool:
    """Say whether dictionaries and lists hold the very same objects in the same order; whether others are equal."""
    if type(then) is dict:
        return len(now) == len(then) and all(map(is_, now, then)) and all(map(is_, now.values(), then.values()))
    if type(then) is list:
        return len(now) == len(then) and all(map(is_, now, then))
    return bool(now == then)


def do_nothing(*_: Any) -> None:
    """Put nothing back: what has moved is found by the check."""


def notes_of(things: Iterable[Any]) -> list[Note]:
    """Return the notes of some things, without their parts, and but for the memory of tensors and arrays."""
    return [
        (rule, each, kept) for each in things for rule in _rules_of(type(each)) if (kept := rule.keep(each)) is not None
    ]


@per_type
def _rules_of(kind: Any) -> tuple[Rule, ...]:
    if issubclass(kind, (CACHES, weakref.ReferenceType)):
        return ()
    rules = [rule for kinds, rule in _RULES if issubclass(kind, kinds)]
    return (*rules, _NAMES) if _names_in_object(kind) else tuple(rules)


@per_type
def _names_in_object(kind: Any) -> tuple[str, ...]:
    """Return the names under which an object of a type has what is not in its dictionary."""
    if is_closed(kind) or issubclass(kind, (type, ModuleType)):
        return ()
    return (*(("__class__", "__dict__") if kind.__flags__ & _HEAP else ()), *slots_of(kind))


def _names_in(it: Any) -> Iterable[str]:
    """Return the names in a class or module of the user's; compilers add to a module more like ``__name__``."""
    if not is_of_user(it):
        return ()
    return [name for name in vars(it) if isinstance(it, type) or name[:1] != "_" or name[1:2].isalpha()]


def _get(it: Any, name: str) -> Any:
    """Return an attribute, past what a class of the user's makes of that; of a class its own only."""
    if isinstance(it, type):
        return vars(it).get(name, _MISSING)
    try:
        return object.__getattribute__(it, name)
    except Exception:  # noqa: BLE001, a cell that is empty yet, or a property of the user's
        return _MISSING


def _named(names: Callable[[Any], Iterable[str]]) -> Rule:
    """Return a rule for the attributes that a thing has under some names; what it has since is taken away."""

    def put_back(it: Any, kept: dict[str, Any]) -> None:
        owner: Any = type if isinstance(it, type) else object
        for name in {**dict.fromkeys(names(it)), **kept}:
            if (value := kept.get(name, _MISSING)) is _get(it, name):
                continue
            if value is _MISSING:
                owner.__delattr__(it, name)
            else:
                owner.__setattr__(it, name, value)

    def keep(it: Any) -> dict[str, Any] | None:
        found = {name: _get(it, name) for name in names(it)}
        return found if found or isinstance(it, ModuleType) else None

    return Rule(keep, put_back)


def _globals(it: FunctionType) -> dict[str, Any] | None:
    return {name: it.__globals__.get(name, _MISSING) for name in names_of(it)} or None


def _put_globals(it: FunctionType, kept: dict[str, Any]) -> None:
    for name, value in kept.items():
        if value is not _MISSING:
            it.__globals__[name] = value
        else:
            it.__globals__.pop(name, None)


def _items(it: dict[Any, Any]) -> dict[Any, Any]:
    """The items of a dictionary in their order, whatever its subclass makes of reading them."""
    if type(it).__iter__ is dict.__iter__:
        return dict.copy(it)
    kind: Any = OrderedDict if isinstance(it, OrderedDict) else dict  # whose order is its own; whose values are not
    return {name: dict.__getitem__(it, name) for name in kind.__iter__(it)}


def _put_items(it: dict[Any, Any], kept: dict[Any, Any]) -> None:
    kind: Any = OrderedDict if isinstance(it, OrderedDict) else dict
    kind.clear(it)
    for name, value in kept.items():
        kind.__setitem__(it, name, value)


def _elements(kind: Any, held: Any, fill: Callable[[Any, Any], Any]) -> Rule:
    """Return a rule for elements, whatever a subclass makes of reading and filling it."""

    def put_back(it: Any, kept: Any) -> None:
        kind.clear(it)
        fill(it, kept)

    return Rule(lambda it: held(kind.__iter__(it)), put_back)


def _put_all(it: Any, kept: Any) -> None:
    it[:] = kept


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


def _state(get: Callable[[Any], Any], put: Callable[[Any, Any], Any]) -> Rule:
    """Return a rule for the state of a generator of random numbers."""
    return Rule(get, put, lambda it, kept: _same_state(get(it), kept))


def _same_state(now: Any, then: Any) -> bool:
    """Say whether two states are the same: a tensor, numbers, or dictionaries with arrays."""
    if isinstance(now, dict):
        return all(_same_state(now[name], then[name]) for name in now)
    is_same = now == then
    return is_same if isinstance(is_same, bool) else bool(is_same.all())


def _seeds(it: Any) -> dict[int, Any]:
    """Return what a sequence of seeds is made again from by ``pickle``, numbered."""
    return dict(enumerate(it.__reduce__()[2]))


def _proxy(put: Callable[[Any, Any], Any]) -> Rule:
    """Return a rule for what the process of a manager keeps; nothing of one that has ended."""

    def keep(it: Any) -> bytes | None:
        try:
            return pickle.dumps(it._getvalue())
        except (OSError, EOFError):
            return None

    return Rule(keep, lambda it, kept: put(it, pickle.loads(kept)))


def _put_in_dictionary(it: Any, kept: dict[Any, Any]) -> None:
    it.clear()
    it.update(kept)


def _put_in_namespace(it: Any, kept: Any) -> None:
    for name in vars(it._getvalue()).keys() - vars(kept).keys():
        delattr(it, name)
    for name, value in vars(kept).items():
        setattr(it, name, value)


def _put_environment(it: Any, kept: frozenset[tuple[Any, Any]]) -> None:
    for name in it._data.keys() - dict(kept).keys():
        del it[it.decodekey(name)]
    it.update((it.decodekey(name), it.decodevalue(value)) for name, value in kept)


def _put_in_array(it: array[Any], kept: bytes) -> None:
    if it.typecode != "u" and len(it) * it.itemsize == len(kept):  # in place: others may look into its memory
        memoryview(it).cast("B")[:] = kept
    else:
        del it[:]
        it.frombytes(kept)


_NAMES = _named(lambda it: _names_in_object(type(it)))
_RULES: tuple[tuple[Any, Rule], ...] = (
    (torch.Generator, _state(torch.Generator.get_state, torch.Generator.set_state)),
    (np.random.RandomState, _state(methodcaller("get_state", legacy=False), np.random.RandomState.set_state)),
    (np.random.BitGenerator, _state(attrgetter("state"), lambda it, kept: setattr(it, "state", kept))),
    (np.random.SeedSequence, _state(_seeds, lambda it, kept: it.__setstate__(tuple(kept.values())))),
    (random.Random, Rule(random.Random.getstate, random.Random.setstate)),
    (dict, Rule(_items, _put_items)),
    (list, _elements(list, list, list.extend)),
    (deque, _elements(deque, list, deque.extend)),
    (set, _elements(set, set, set.update)),
    (bytearray, Rule(bytes, _put_all)),
    (array, Rule(bytes, _put_in_array)),
    (
        ctypes._SimpleCData.__mro__[1],
        Rule(bytes, lambda it, kept: ctypes.memmove(ctypes.addressof(it), kept, len(kept))),
    ),
    (partial, Rule(lambda it: list(it.__reduce__()[2]), lambda it, kept: it.__setstate__(tuple(kept)))),
    (_MANAGERS.DictProxy, _proxy(_put_in_dictionary)),
    ((_MANAGERS.ListProxy, _MANAGERS.ArrayProxy), _proxy(_put_all)),
    (_MANAGERS.ValueProxy, _proxy(lambda it, kept: it.set(kept.value))),
    (_MANAGERS.NamespaceProxy, _proxy(_put_in_namespace)),
    (GeneratorType, Rule(_frame, do_nothing)),
    (io.IOBase, Rule(place_of, _put_place)),
    (type(os.environ), Rule(lambda it: frozenset(it._data.items()), _put_environment)),
    (CellType, _named(lambda it: ("cell_contents",))),
    (defaultdict, _named(lambda it: ("default_factory",))),
    (BaseException, _named(lambda it: ("args",))),
    (FunctionType, _named(lambda it: ("__defaults__", "__kwdefaults__"))),
    (FunctionType, Rule(_globals, _put_globals)),
    ((type, ModuleType), _named(_names_in)),
    (torch.jit.ScriptModule, Rule(attrgetter("training"), lambda it, kept: setattr(it, "training", kept))),
)

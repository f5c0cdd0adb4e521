"""What is kept of each type of object that training can move, and how it is put back."""

import ctypes
import gc
import io
import logging
import multiprocessing.managers
import os
import pickle
import random
import types
import weakref
from array import array
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from contextvars import ContextVar
from operator import is_
from types import CellType, FunctionType, ModuleType
from typing import Any, NamedTuple

import numpy as np
import torch

from lrfind.isolation import kinds
from lrfind.isolation.iterators import place_of, put_place
from lrfind.isolation.kinds import is_kind

_MANAGERS: Any = multiprocessing.managers
_LARGEST = 1 << 20
"""The most bytes kept of a C object's state: a larger one is a vocabulary, say, which training does not move."""
_HEAP = 1 << 9
_MISSING = object()


class Rule(NamedTuple):
    """How one type of object, or one aspect of it, is put back.

    Attributes:
        keep: Returns what to keep of an object; None if there is nothing to put back.
        put_back: Restores an object from what was kept.
        is_same: Says whether an object is as it was kept; by default, compares with ``keep``.
    """

    keep: Callable[[Any], Any]
    put_back: Callable[[Any, Any], Any]
    is_same: Callable[[Any, Any], bool] | None = None


Note = tuple[Rule, Any, Any]
"""A rule, an object, and what was kept of it."""


def put_back(notes: Iterable[Note]) -> None:
    """Put back what has moved. Failures do not stop the rest; the final check finds them."""
    for rule, it, kept in moved(notes):
        with suppress(Exception):
            rule.put_back(it, kept)


def moved(notes: Iterable[Note]) -> Iterator[Note]:
    """Yield the notes of what is not as it was, or cannot be compared."""
    for note in notes:
        (keep, _, is_same), it, kept = note
        try:
            if is_same(it, kept) if is_same else _is_same(keep(it), kept):
                continue
        except Exception:  # noqa: BLE001, what cannot be compared is put back
            pass
        yield note


def notes_of(things: Iterable[Any]) -> list[Note]:
    """Return the notes of objects, without their parts and without the memory of tensors and arrays."""
    return [
        (rule, each, kept) for each in things for rule in _rules_of(type(each)) if (kept := rule.keep(each)) is not None
    ]


@kinds.once_for_each
def _rules_of(kind: Any) -> tuple[Rule, ...]:
    if is_kind(kind, (kinds.CACHES, weakref.ReferenceType)):
        return ()
    rules = [rule for some, rule in _RULES if is_kind(kind, some)]
    if not rules and _has_state(kind):
        rules = [_STATE]
    if not kinds.is_closed(kind) and not is_kind(kind, (type, ModuleType)):
        names = [name for some, named in _NAMES for name in named if is_kind(kind, some)] + kinds.slots_of(kind)
        names += ["__class__", "__dict__"] if kind.__flags__ & _HEAP else []
        rules += [_bound(lambda it: {name: _get(it, name) for name in names}, _set)] if names else []
    return tuple(rules)


def do_nothing(*_: Any) -> None:
    """Put nothing back; the final check finds what has moved."""


def _bound(get: Callable[[Any], dict[str, Any] | None], bind: Callable[[Any, str, Any], None]) -> Rule:
    """Return a rule for what is bound to names."""

    def put_back(it: Any, kept: dict[str, Any]) -> None:
        now = get(it) or {}
        for name in {**now, **kept}:
            if (value := kept.get(name, _MISSING)) is not now.get(name, _MISSING):
                bind(it, name, value)

    return Rule(get, put_back)


def _get(it: Any, name: str) -> Any:
    """Return an attribute, bypassing ``__getattribute__`` of a user's class."""
    try:
        return object.__getattribute__(it, name)
    except Exception:  # noqa: BLE001, an empty cell, or a property of the user's
        return _MISSING


def _set(it: Any, name: str, value: Any) -> None:
    owner: Any = type if isinstance(it, type) else object
    if value is _MISSING:
        owner.__delattr__(it, name)
    else:
        owner.__setattr__(it, name, value)


def _in_class_or_module(it: Any) -> dict[str, Any] | None:
    """Return the names bound in a user's class or module, without the dunder names that compilers add to modules."""
    if not kinds.is_of_user(it):
        return None
    is_class = isinstance(it, type)
    return {name: value for name, value in vars(it).items() if is_class or name[:1] != "_" or name[1:2].isalpha()}


def _globals(it: FunctionType) -> dict[str, Any] | None:
    return {name: it.__globals__.get(name, _MISSING) for name in kinds.names_of(it)} or None


def _bind_global(it: FunctionType, name: str, value: Any) -> None:
    if value is _MISSING:
        it.__globals__.pop(name, None)
    else:
        it.__globals__[name] = value


# Elements of containers.


def _is_same(now: Any, then: Any) -> bool:
    """Compare dictionaries and lists by the identity and order of their elements, all else by equality."""
    if type(then) is dict:
        return len(now) == len(then) and all(map(is_, now, then)) and all(map(is_, now.values(), then.values()))
    if type(then) is list:
        return len(now) == len(then) and all(map(is_, now, then))
    return _is_equal(now, then)


def _items(it: dict[Any, Any]) -> dict[Any, Any]:
    """Return a dictionary's items in order, even if its class overrides how they are read."""
    if type(it).__iter__ is dict.__iter__:
        return dict.copy(it)
    kind: Any = OrderedDict if isinstance(it, OrderedDict) else dict  # an OrderedDict keeps its own order
    return {name: dict.__getitem__(it, name) for name in kind.__iter__(it)}


def _same_items(it: dict[Any, Any], kept: dict[Any, Any]) -> bool:
    if not kept or not it:
        return dict.__len__(it) == len(kept)
    return _is_same(it if type(it) in (dict, OrderedDict) else _items(it), kept)


def _put_items(it: dict[Any, Any], kept: dict[Any, Any]) -> None:
    kind: Any = OrderedDict if isinstance(it, OrderedDict) else dict
    kind.clear(it)
    for name, value in kept.items():
        kind.__setitem__(it, name, value)


def _elements(kind: Any, held: Any, fill: Callable[[Any, Any], Any]) -> Rule:
    """Return a rule for elements that bypasses the overrides of subclasses."""
    return Rule(lambda it: held(kind.__iter__(it)), lambda it, kept: (kind.clear(it), fill(it, kept)))


# The state of objects in C.


def _has_state(kind: Any) -> bool:
    """Say whether a type is written in C and its objects have ``__setstate__``."""
    if kinds.is_closed(kind) or hasattr(kind, "__next__") or is_kind(kind, (BaseException, np.dtype, np.ndarray)):
        return False
    return not isinstance(getattr(kind, "__setstate__", _has_state), FunctionType)


def _state(it: Any) -> Any:
    """Return what ``pickle`` would rebuild an object from; None if it cannot be pickled, or is large."""
    try:
        _, _, state, *_ = it.__reduce_ex__(2)
    except Exception:  # noqa: BLE001, it cannot be pickled
        return None
    return None if isinstance(state, (bytes, str)) and len(state) > _LARGEST else state


def _put_state(it: Any, kept: Any) -> None:
    it.__setstate__(_anew(kept, {id(part) for part in gc.get_referents(it)}))


def _anew(state: Any, own: set[int]) -> Any:
    """Copy dictionaries and lists of a state, except the object's own, so that the object cannot move what was kept."""
    if id(state) in own or type(state) not in (dict, list):
        return state
    if type(state) is list:
        return [_anew(each, own) for each in state]
    return {name: _anew(each, own) for name, each in state.items()}


def _is_equal(now: Any, then: Any) -> bool:
    if isinstance(then, dict):
        return now.keys() == then.keys() and all(_is_equal(now[name], then[name]) for name in then)
    try:
        is_equal = now is then or now == then
        return is_equal if isinstance(is_equal, bool) else bool(is_equal.all())
    except (ValueError, RuntimeError):  # a tuple of arrays
        return len(now) == len(then) and all(map(_is_equal, now, then))


def _bytes(it: Any) -> Any:
    return np.frombuffer(it, np.uint8).tobytes()


def _put_bytes(it: Any, kept: bytes) -> None:
    if isinstance(it, (bytearray, array)) and len(_bytes(it)) != len(kept):
        del it[:]
        it.extend(kept) if isinstance(it, bytearray) else it.frombytes(kept)
    else:  # in place: others may share its memory
        np.frombuffer(it, np.uint8)[:] = np.frombuffer(kept, np.uint8)


def _frame(it: Any) -> Any:
    frame = next(getattr(it, name) for name in ("gi_frame", "cr_frame", "ag_frame") if hasattr(it, name))
    return frame and (frame.f_lasti, {name: id(value) for name, value in frame.f_locals.items()})


def _proxy(put: Callable[[Any, Any], Any]) -> Rule:
    """Return a rule for what a manager's process holds; nothing is kept if that process has ended."""

    def keep(it: Any) -> bytes | None:
        with suppress(OSError, EOFError):
            return pickle.dumps(it._getvalue())
        return None

    return Rule(keep, lambda it, kept: put(it, pickle.loads(kept)))


def _put_in_script(it: Any, kept: dict[str, Any]) -> None:
    for name, value in kept.items():
        it._c.setattr(name, value)


def _put_environment(it: Any, kept: dict[Any, Any]) -> None:
    for name in it._data.keys() - kept.keys():
        del it[it.decodekey(name)]
    it.update((it.decodekey(name), it.decodevalue(value)) for name, value in kept.items())


_NAMES: tuple[tuple[Any, tuple[str, ...]], ...] = (
    (CellType, ("cell_contents",)),
    (defaultdict, ("default_factory",)),
    (BaseException, ("args",)),
    (FunctionType, ("__code__", "__defaults__", "__kwdefaults__")),
)
"""What objects of types in C keep under a name."""
_STATE = Rule(_state, _put_state, lambda it, kept: _is_equal(_state(it), kept))
_IN_SCRIPT = Rule(kinds.in_script, _put_in_script, lambda it, kept: _is_equal(kinds.in_script(it), kept))
_RULES: tuple[tuple[Any, Rule], ...] = (
    (torch.Generator, Rule(torch.Generator.get_state, torch.Generator.set_state)),
    ((random.Random, np.random.RandomState, io.BytesIO, io.StringIO), _STATE),
    ((bytearray, array, ctypes._SimpleCData.__mro__[1]), Rule(_bytes, _put_bytes)),
    (_MANAGERS.DictProxy, _proxy(lambda it, kept: (it.clear(), it.update(kept)))),
    ((_MANAGERS.ListProxy, _MANAGERS.ArrayProxy), _proxy(lambda it, kept: it.__setitem__(slice(None), kept))),
    (_MANAGERS.ValueProxy, _proxy(lambda it, kept: it.set(kept.value))),
    (_MANAGERS.NamespaceProxy, _proxy(lambda it, kept: it._callmethod("__setattr__", ("__dict__", vars(kept))))),
    ((types.GeneratorType, types.CoroutineType, types.AsyncGeneratorType), Rule(_frame, do_nothing)),
    (ContextVar, Rule(lambda it: [it.get(_MISSING)], lambda it, kept: kept[0] is _MISSING or it.set(kept[0]))),
    (io.IOBase, Rule(place_of, put_place)),
    (type(os.environ), Rule(lambda it: dict(it._data), _put_environment, lambda it, kept: it._data == kept)),
    (dict, Rule(_items, _put_items, _same_items)),
    (list, _elements(list, list, list.extend)),
    (deque, _elements(deque, list, deque.extend)),
    (set, _elements(set, set, set.update)),
    (logging.Filterer, Rule(lambda it: dict(vars(it)), lambda it, kept: _put_items(vars(it), kept))),
    (FunctionType, _bound(_globals, _bind_global)),
    ((type, ModuleType), _bound(_in_class_or_module, _set)),
    (torch.jit.ScriptModule, _IN_SCRIPT),
)

"""What is kept of each type of object that training can move, and how it is put back."""

from __future__ import annotations

import weakref
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from operator import attrgetter, is_
from types import CellType, FunctionType, ModuleType
from typing import Any

import torch

from lrfind.isolation.kinds import (
    CACHES,
    attributes_of,
    is_closed,
    is_kind,
    is_of_user,
    names_of,
    once_for_each,
    slots_of,
)
from lrfind.isolation.states import STATE, STATES, Rule, has_state

_HEAP = 1 << 9
_MISSING = object()


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


def _is_same(now: Any, then: Any) -> bool:
    """Compare dictionaries and lists by the identity and order of their elements, all else by equality."""
    if type(then) is dict:
        if len(now) != len(then):
            return False
        return not then or (all(map(is_, now, then)) and all(map(is_, now.values(), then.values())))
    if type(then) is list:
        return len(now) == len(then) and all(map(is_, now, then))
    return bool(now == then)


def notes_of(things: Iterable[Any]) -> list[Note]:
    """Return the notes of objects, without their parts and without the memory of tensors and arrays."""
    return [
        (rule, each, kept) for each in things for rule in _rules_of(type(each)) if (kept := rule.keep(each)) is not None
    ]


@once_for_each
def _rules_of(kind: Any) -> tuple[Rule, ...]:
    if is_kind(kind, (CACHES, weakref.ReferenceType)):
        return ()
    rules = [rule for kinds, rule in _RULES if is_kind(kind, kinds)]
    if not rules and has_state(kind):
        rules = [STATE]
    if not is_closed(kind) and not is_kind(kind, (type, ModuleType)):
        named = (name for kinds, names in _NAMES.items() if is_kind(kind, kinds) for name in names)
        names = (*(("__class__", "__dict__") if kind.__flags__ & _HEAP else ()), *named, *slots_of(kind))
        rules += [_object(names)] if names or kind.__dictoffset__ else []
    return tuple(rules)


def _items(it: dict[Any, Any]) -> dict[Any, Any]:
    """Return a dictionary's items in order, even if its class overrides how they are read."""
    if type(it).__iter__ is dict.__iter__:
        return dict.copy(it)
    kind: Any = OrderedDict if isinstance(it, OrderedDict) else dict  # an OrderedDict keeps its own order
    return {name: dict.__getitem__(it, name) for name in kind.__iter__(it)}


def _same_items(it: dict[Any, Any], kept: dict[Any, Any]) -> bool:
    return _is_same(it if type(it) in (dict, OrderedDict) else _items(it), kept)


def _put_items(it: dict[Any, Any], kept: dict[Any, Any]) -> None:
    kind: Any = OrderedDict if isinstance(it, OrderedDict) else dict
    kind.clear(it)
    for name, value in kept.items():
        kind.__setitem__(it, name, value)


def _elements(kind: Any, held: Any, fill: Callable[[Any, Any], Any]) -> Rule:
    """Return a rule for elements that bypasses the overrides of subclasses."""
    return Rule(lambda it: held(kind.__iter__(it)), lambda it, kept: (kind.clear(it), fill(it, kept)))


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


def _object(names: Sequence[str]) -> Rule:
    """Return a rule for an object's attributes and for these other names, such as ``__class__`` and slots."""

    def keep(it: Any) -> dict[str, Any]:
        kept = dict(attributes_of(it) or {})
        for name in names:
            kept[name] = _get(it, name)
        return kept

    def is_same(it: Any, kept: dict[str, Any]) -> bool:
        return _is_same(keep(it) if names else attributes_of(it) or {}, kept)

    def put_back(it: Any, kept: dict[str, Any]) -> None:
        for name in names:
            if _get(it, name) is not kept[name]:
                _set(it, name, kept[name])
        if (attributes := attributes_of(it)) is not None:
            attributes.clear()
            attributes.update((name, value) for name, value in kept.items() if name not in names)

    return Rule(keep, put_back, is_same)


def _named(get: Callable[[Any], dict[str, Any] | None], bind: Callable[[Any, str, Any], None]) -> Rule:

    def put_back(it: Any, kept: dict[str, Any]) -> None:
        now = get(it) or {}
        for name in {**now, **kept}:
            if (value := kept.get(name, _MISSING)) is not now.get(name, _MISSING):
                bind(it, name, value)

    return Rule(get, put_back)


def _in_class_or_module(it: Any) -> dict[str, Any] | None:
    """Return the names bound in a user's class or module, without the dunder names that compilers add to modules."""
    if not is_of_user(it):
        return None
    is_class = isinstance(it, type)
    return {name: value for name, value in vars(it).items() if is_class or name[:1] != "_" or name[1:2].isalpha()}


def _globals(it: FunctionType) -> dict[str, Any] | None:
    return {name: it.__globals__.get(name, _MISSING) for name in names_of(it)} or None


def _bind_global(it: FunctionType, name: str, value: Any) -> None:
    if value is _MISSING:
        it.__globals__.pop(name, None)
    else:
        it.__globals__[name] = value


_NAMES: dict[type, tuple[str, ...]] = {
    CellType: ("cell_contents",),
    defaultdict: ("default_factory",),
    BaseException: ("args",),
    FunctionType: ("__code__", "__defaults__", "__kwdefaults__"),
}
"""What objects of types in C keep under a name."""
_RULES: tuple[tuple[Any, Rule], ...] = (
    *STATES,
    (dict, Rule(_items, _put_items, _same_items)),
    (list, _elements(list, list, list.extend)),
    (deque, _elements(deque, list, deque.extend)),
    (set, _elements(set, set, set.update)),
    (FunctionType, _named(_globals, _bind_global)),
    (type, _named(_in_class_or_module, _set)),
    (ModuleType, _named(_in_class_or_module, _set)),
    (torch.jit.ScriptModule, Rule(attrgetter("training"), lambda it, kept: setattr(it, "training", kept))),
)

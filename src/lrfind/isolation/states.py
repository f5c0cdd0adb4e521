"""Rules for objects with more than attributes and elements: generators, buffers, files, frames."""

from __future__ import annotations

import ctypes
import gc
import io
import multiprocessing.managers
import os
import pickle
import random
import types
from array import array
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, NamedTuple

import numpy as np
import torch

from lrfind.isolation.kinds import is_closed, is_kind

_MANAGERS: Any = multiprocessing.managers
_LARGEST = 1 << 20
"""The most bytes kept of a C object's state: a larger one is a vocabulary, say, which training does not move."""


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


def do_nothing(*_: Any) -> None:
    """Put nothing back; the final check finds what has moved."""


def _is_equal(now: Any, then: Any) -> bool:
    if isinstance(then, dict):
        return now.keys() == then.keys() and all(_is_equal(now[name], then[name]) for name in then)
    try:
        is_equal = now is then or now == then
        return is_equal if isinstance(is_equal, bool) else bool(is_equal.all())
    except (ValueError, RuntimeError):  # a tuple of arrays
        return len(now) == len(then) and all(map(_is_equal, now, then))


def has_state(kind: Any) -> bool:
    """Say whether a type is written in C and its objects have ``__setstate__``."""
    if is_closed(kind) or hasattr(kind, "__next__") or is_kind(kind, (BaseException, np.dtype, np.ndarray)):
        return False
    return not isinstance(getattr(kind, "__setstate__", has_state), types.FunctionType)


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


def _bytes(it: Any) -> Any:
    return np.frombuffer(it, np.uint8).tobytes()


def _put_bytes(it: Any, kept: bytes) -> None:
    if isinstance(it, (bytearray, array)) and len(_bytes(it)) != len(kept):
        del it[:]
        it.extend(kept) if isinstance(it, bytearray) else it.frombytes(kept)
    else:  # in place: others may share its memory
        np.frombuffer(it, np.uint8)[:] = np.frombuffer(kept, np.uint8)


def place_of(it: Any) -> tuple[int, int | None] | None:
    """Return a file's position and, if writable, its length; None if unknown."""
    try:
        if it.closed or not it.seekable():
            return None
        place, size = it.tell(), None
        if it.writable():
            size = it.seek(0, io.SEEK_END)
            it.seek(place)
    except (OSError, ValueError):  # being iterated over
        return None
    return place, size


def _put_place(it: Any, kept: tuple[int, int | None]) -> None:
    if kept[1] is not None:
        it.truncate(kept[1])
    it.seek(kept[0])


def _frame(it: Any) -> Any:
    frame = next(getattr(it, name) for name in ("gi_frame", "cr_frame", "ag_frame") if hasattr(it, name))
    return frame and (frame.f_lasti, {name: id(value) for name, value in frame.f_locals.items()})


def _value(it: ContextVar[Any]) -> list[Any]:
    """Return a list with the value of a context variable; empty if not set, which cannot be restored."""
    try:
        return [it.get()]
    except LookupError:
        return []


def _proxy(put: Callable[[Any, Any], Any]) -> Rule:
    """Return a rule for what a manager's process holds; nothing is kept if that process has ended."""

    def keep(it: Any) -> bytes | None:
        try:
            return pickle.dumps(it._getvalue())
        except (OSError, EOFError):
            return None

    return Rule(keep, lambda it, kept: put(it, pickle.loads(kept)))


def _put_environment(it: Any, kept: dict[Any, Any]) -> None:
    for name in it._data.keys() - kept.keys():
        del it[it.decodekey(name)]
    it.update((it.decodekey(name), it.decodevalue(value)) for name, value in kept.items())


STATE = Rule(_state, _put_state, lambda it, kept: _is_equal(_state(it), kept))
STATES: tuple[tuple[Any, Rule], ...] = (
    (
        torch.Generator,
        Rule(torch.Generator.get_state, torch.Generator.set_state, lambda it, kept: torch.equal(it.get_state(), kept)),
    ),
    ((random.Random, np.random.RandomState, io.BytesIO, io.StringIO), STATE),
    ((bytearray, array, ctypes._SimpleCData.__mro__[1]), Rule(_bytes, _put_bytes)),
    (_MANAGERS.DictProxy, _proxy(lambda it, kept: (it.clear(), it.update(kept)))),
    ((_MANAGERS.ListProxy, _MANAGERS.ArrayProxy), _proxy(lambda it, kept: it.__setitem__(slice(None), kept))),
    (_MANAGERS.ValueProxy, _proxy(lambda it, kept: it.set(kept.value))),
    (_MANAGERS.NamespaceProxy, _proxy(lambda it, kept: it._callmethod("__setattr__", ("__dict__", vars(kept))))),
    ((types.GeneratorType, types.CoroutineType, types.AsyncGeneratorType), Rule(_frame, do_nothing)),
    (ContextVar, Rule(_value, lambda it, kept: [it.set(each) for each in kept])),
    (io.IOBase, Rule(place_of, _put_place)),
    (type(os.environ), Rule(lambda it: dict(it._data), _put_environment, lambda it, kept: it._data == kept)),
)

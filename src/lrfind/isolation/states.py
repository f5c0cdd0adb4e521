"""States: what is kept of things that hold more than attributes and elements: random numbers, bytes, places, frames."""

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
"""Bytes of the state of an object of C's that is kept: more would be a vocabulary, not what training moves."""


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


def do_nothing(*_: Any) -> None:
    """Put nothing back: what has moved is found by the check."""


def _is_equal(now: Any, then: Any) -> bool:
    """Say whether two states are equal: numbers, and tuples and dictionaries with arrays."""
    if isinstance(then, dict):
        return now.keys() == then.keys() and all(_is_equal(now[name], then[name]) for name in then)
    try:
        is_equal = now is then or now == then
        return is_equal if isinstance(is_equal, bool) else bool(is_equal.all())
    except (ValueError, RuntimeError):  # of a tuple with arrays in it
        return len(now) == len(then) and all(map(_is_equal, now, then))


def has_state(kind: Any) -> bool:
    """Say whether a type is written in C and its objects can be given a state, as ``pickle`` does."""
    if is_closed(kind) or hasattr(kind, "__next__") or is_kind(kind, (BaseException, np.dtype, np.ndarray)):
        return False
    return not isinstance(getattr(kind, "__setstate__", has_state), types.FunctionType)


def _state(it: Any) -> Any:
    """What ``pickle`` would make an object again from; None of one that cannot be pickled, or is large."""
    try:
        _, _, state, *_ = it.__reduce_ex__(2)
    except Exception:  # noqa: BLE001, it cannot be pickled
        return None
    return None if isinstance(state, (bytes, str)) and len(state) > _LARGEST else state


def _put_state(it: Any, kept: Any) -> None:
    it.__setstate__(_anew(kept, {id(part) for part in gc.get_referents(it)}))


def _anew(state: Any, own: set[int]) -> Any:
    """Return a state with copies of dictionaries and lists that the object does not hold itself, and may move again."""
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
    else:  # in place: others may look into its memory
        np.frombuffer(it, np.uint8)[:] = np.frombuffer(kept, np.uint8)


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
    """Where a generator function or a coroutine stands."""
    frame = next(getattr(it, name) for name in ("gi_frame", "cr_frame", "ag_frame") if hasattr(it, name))
    return frame and (frame.f_lasti, {name: id(value) for name, value in frame.f_locals.items()})


def _value(it: ContextVar[Any]) -> list[Any]:
    """The value of a context variable; none where it is not set, which nothing can bring about again."""
    try:
        return [it.get()]
    except LookupError:
        return []


def _proxy(put: Callable[[Any, Any], Any]) -> Rule:
    """Return a rule for what the process of a manager keeps; nothing of one that has ended."""

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

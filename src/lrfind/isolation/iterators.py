"""Iterators and loaders for probes, which must not advance those of training."""

from __future__ import annotations

import copy
import io
import warnings
from collections.abc import Iterable
from functools import lru_cache
from itertools import chain
from types import BuiltinMethodType, FunctionType, MethodWrapperType
from typing import Any, NoReturn

from torch.utils.data import DataLoader
from torch.utils.data.dataloader import _BaseDataLoaderIter

from lrfind.errors import BadInputError
from lrfind.isolation.kinds import CACHES, is_kind, once_for_each
from lrfind.isolation.reach import Found, path_to, reach

_METHODS = (MethodWrapperType, BuiltinMethodType)
_UNLIKE_ITERATORS = (CACHES, BuiltinMethodType, io.IOBase)
"""What ``copy`` would share, or copy together with what it reads from."""


def is_half_consumed(each: Any) -> bool:
    """Say whether an object is an iterator that cannot be put back: its position is not among its attributes."""
    if not _may_be_half_consumed(type(each)):
        return False
    if isinstance(each, _METHODS):  # count().__next__
        return is_half_consumed(each.__self__)
    if isinstance(each, io.IOBase):  # a pipe, or a file that is being iterated over
        return not each.closed and each.readable() and not each.writable() and place_of(each) is None
    return True


@once_for_each
def _may_be_half_consumed(kind: Any) -> bool:
    if is_kind(kind, (CACHES, _BaseDataLoaderIter, io.IOBase, *_METHODS)):
        return True
    return not isinstance(getattr(kind, "__next__", _may_be_half_consumed), FunctionType)  # a class of the user's


def stand_ins(found: Found) -> dict[int, Any]:
    """Return what a probe reads instead of each iterator, by its ``id``: a copy from where it stands, or a ``Refusal``.

    An iterator that several others hold is copied once.
    """
    some = [each for kind, each in found.by_type if _may_be_half_consumed(kind)]
    iterators = list(filter(is_half_consumed, chain.from_iterable(some)))
    if not iterators:
        return {}
    memo: dict[int, Any] = {key: each for key, (each, _) in found.items() if not _has_iterators(each)}  # not copied
    for each in sorted(iterators, key=lambda each: not isinstance(each, _UNLIKE_ITERATORS)):  # others may hold these
        try:
            memo[id(each)] = _copied(each, memo)
        except Exception:  # noqa: BLE001, it, or an iterator in it, cannot be copied
            memo[id(each)] = Refusal(path_to(each, found), type(each).__name__)
    return {id(each): memo[id(each)] for each in iterators}


def _copied(iterator: Any, memo: dict[int, Any]) -> Any:
    if isinstance(iterator, CACHES):
        return lru_cache(**iterator.cache_parameters())(iterator.__wrapped__)
    if isinstance(iterator, BuiltinMethodType):
        return getattr(copy.deepcopy(iterator.__self__, memo), iterator.__name__)
    if isinstance(iterator, io.IOBase):
        raise TypeError("a copy would read on in the same place")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # itertools' own, from Python 3.12
        return copy.deepcopy(iterator, memo)


def _has_iterators(it: Any) -> bool:
    return any(map(_has_iterators, it)) if type(it) is tuple else is_half_consumed(it)


class Refusal:
    """Stands for an iterator that can be neither copied nor put back; reading it raises ``BadInputError``."""

    def __init__(self, name: str, kind: str) -> None:
        self._message = (
            f"training reads on in {name}, a {kind} that a search would use up and that cannot be copied; begin it "
            f"anew where it is used, or keep an object whose __iter__ begins anew, as a DataLoader does."
        )

    def __iter__(self) -> Refusal:
        return self

    def __next__(self) -> NoReturn:
        raise BadInputError(self._message)

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(name) if name.startswith("__") else BadInputError(self._message)


def fresh(loader: Any) -> Any:
    """Return a loader over the same data for the probes of a search; ``BadInputError`` if it can be iterated only once.

    A ``DataLoader`` is copied shallowly: the copy has its own iterator, and keeps its workers from one probe to the
    next until ``end_workers``. Containers of loaders are copied likewise.
    """
    if isinstance(loader, DataLoader):
        twin = copy.copy(loader)
        if any(map(is_half_consumed, vars(loader).values())):
            given = stand_ins(reach([loader]))
            vars(twin).update((name, given.get(id(value), value)) for name, value in vars(loader).items())
        twin._iterator = None
        object.__setattr__(twin, "persistent_workers", loader.num_workers > 0)
        return twin
    if type(loader) is dict:
        return {name: fresh(each) for name, each in loader.items()}
    if type(loader) in (list, tuple) and loader and isinstance(loader[0], DataLoader):
        return type(loader)(map(fresh, loader))
    if not isinstance(loader, Iterable):
        raise BadInputError(f"the loader must be iterable, got {type(loader).__name__}.")
    if not is_half_consumed(loader):
        return loader
    if isinstance(twin := stand_ins(reach([loader]))[id(loader)], Refusal):
        raise BadInputError(
            f"the loader is a one-shot iterator ({type(loader).__name__}) and a search would use it up; pass the "
            f"DataLoader or a list of batches, or an object whose __iter__ begins anew."
        )
    return twin


def length_of(loader: Any) -> int:
    """Return the number of batches in one pass over a loader; 0 if unknown."""
    try:
        return len(loader)
    except (TypeError, NotImplementedError, RuntimeError):  # Lightning's CombinedLoader before iteration
        return 0


def loaders_in(data: Any) -> list[Any]:
    """Return the DataLoaders in a loader, or in a dictionary, list or tuple of them (not in subclasses of these)."""
    each = data.values() if type(data) is dict else data if type(data) in (list, tuple) else [data]
    return [item for item in each if isinstance(item, DataLoader)]


def end_workers(twin: Any) -> None:
    """End the workers of a loader from ``fresh``; left to the garbage collector, each takes 5 s."""
    for each in loaders_in(twin):
        iterator, each._iterator = each._iterator, None
        if hasattr(iterator, "_shutdown_workers"):
            iterator._shutdown_workers()


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


def put_place(it: Any, kept: tuple[int, int | None]) -> None:
    """Restore a file's position and length."""
    if kept[1] is not None:
        it.truncate(kept[1])
    it.seek(kept[0])

"""Iterators: what is half consumed cannot be put back, so a probe is given a copy, or something that refuses."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from types import BuiltinMethodType, FunctionType, GeneratorType, MethodWrapperType
from typing import Any, NoReturn

from torch.utils.data.dataloader import _BaseDataLoaderIter

from lrfind.errors import BadInputError
from lrfind.isolation.notes import place_of
from lrfind.isolation.reach import CACHES, Found, path_to, per_type

_METHODS = (MethodWrapperType, BuiltinMethodType)


def is_half_consumed(each: Any) -> bool:
    """Say whether an object is an iterator whose place is not among its attributes, so that it cannot be put back."""
    if not _may_be_half_consumed(type(each)):
        return False
    if isinstance(each, _METHODS):  # count().__next__
        return is_half_consumed(each.__self__)
    if isinstance(each, io.IOBase):  # a pipe, or a file that is being iterated over
        return not each.closed and each.readable() and not each.writable() and place_of(each) is None
    return True


@per_type
def _may_be_half_consumed(kind: Any) -> bool:
    if issubclass(kind, (CACHES, _BaseDataLoaderIter, io.IOBase, *_METHODS)):
        return True
    return issubclass(kind, Iterator) and not isinstance(kind.__next__, FunctionType)  # as of a class of the user's


def stand_ins(found: Found) -> dict[int, Any]:
    """Return what a probe reads instead of the iterators that were found: a copy of each, or a ``Refusal``.

    Copies are over the same data, from where the iterators stand; of an iterator that is in several there is one.

    Returns:
        The copies, by the ``id`` of the iterators.
    """
    kinds = list(filter(_may_be_half_consumed, found.by_type))
    iterators = [each for kind in kinds for each in found.by_type[kind] if is_half_consumed(each)]
    if not iterators:
        return {}
    copies: dict[int, Any] = {}
    for each in iterators:
        with suppress(Exception):  # it cannot be copied, or one in it
            _copied(each, copies)
        if id(each) not in copies:
            copies[id(each)] = Refusal(path_to(each, found), type(each).__name__)
    return copies


def _copied(iterator: Any, copies: dict[int, Any]) -> Any:
    """Copy an iterator of Python's own, and the iterators in it; all else in it stays the same object.

    Raises:
        TypeError: If it, or one in it, cannot be copied: a generator.
    """
    if id(iterator) in copies:
        return copies[id(iterator)]
    if isinstance(iterator, (GeneratorType, _BaseDataLoaderIter, io.IOBase)):
        raise TypeError(f"cannot copy a {type(iterator).__name__}")
    if isinstance(iterator, CACHES):
        twin: Any = lru_cache(**iterator.cache_parameters())(iterator.__wrapped__)
    elif isinstance(iterator, _METHODS):
        twin = getattr(_copied(iterator.__self__, copies), iterator.__name__)
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of itertools, from Python 3.12
            make, given, *states = iterator.__reduce__()
        twin = make(*_inner(given, copies))
        for state in states if states != [None] else ():  # an accumulate that is not begun
            twin.__setstate__(_inner(state, copies))
    return copies.setdefault(id(iterator), twin)


def _inner(part: Any, copies: dict[int, Any]) -> Any:
    """Return a part of an iterator with copies of the iterators in it."""
    if type(part) is tuple:  # of several: what a chain goes over
        return tuple(_inner(each, copies) for each in part)
    return _copied(part, copies) if is_half_consumed(part) else part


class Refusal:
    """Stands for an iterator that can be neither copied nor put back: whoever reads on in it is refused.

    Args:
        name: Where it is kept.
        kind: What it is.
    """

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

"""Iterators: what is half consumed cannot be put back, so a probe is given a copy, or something that refuses."""

from __future__ import annotations

import copy
import io
import warnings
from collections.abc import Iterator
from functools import lru_cache
from types import BuiltinMethodType, FunctionType, GeneratorType, MethodWrapperType
from typing import Any, NoReturn

import numpy as np
from torch.utils.data.dataloader import _BaseDataLoaderIter

from lrfind.errors import BadInputError
from lrfind.isolation.notes import place_of
from lrfind.isolation.reach import CACHES, per_type

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
    if issubclass(kind, (np.random.SeedSequence, CACHES, _BaseDataLoaderIter, io.IOBase, *_METHODS)):
        return True
    return issubclass(kind, Iterator) and not isinstance(kind.__next__, FunctionType)  # as of a class of the user's


Twins = dict[int, tuple[Any, Any]]
"""By its ``id``, each iterator that was copied, with its copy."""


def stand_in(iterator: Any, name: str, twins: Twins | None = None) -> Any:
    """Return what a probe reads instead of an iterator: a copy, or a ``Refusal`` where it cannot be copied."""
    try:
        return twin_of(iterator, twins)
    except (TypeError, AttributeError):
        return Refusal(name, type(iterator).__name__)


def twin_of(iterator: Any, twins: Twins | None = None) -> Any:
    """Copy an iterator of Python's own, and the iterators in it, over the same data, from where it stands.

    Args:
        iterator: The iterator.
        twins: The copies that were made before; of an iterator that is in several others there is one.

    Raises:
        TypeError: If it, or one in it, cannot be copied: a generator.
    """
    twins = {} if twins is None else twins
    if id(iterator) not in twins:
        twins[id(iterator)] = iterator, _copied(iterator, twins)
    return twins[id(iterator)][1]


def _copied(iterator: Any, twins: Twins) -> Any:
    if isinstance(iterator, (GeneratorType, _BaseDataLoaderIter, io.IOBase)):
        raise TypeError(f"cannot copy a {type(iterator).__name__}")
    if isinstance(iterator, np.random.SeedSequence):
        return copy.deepcopy(iterator)
    if isinstance(iterator, CACHES):
        return lru_cache(**iterator.cache_parameters())(iterator.__wrapped__)
    if isinstance(iterator, _METHODS):
        return getattr(twin_of(iterator.__self__, twins), iterator.__name__)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of itertools, from Python 3.12
        make, given, *states = iterator.__reduce__()
        twin = make(*_inner(given, twins))
        for state in states if states != [None] else ():  # an accumulate that is not begun
            twin.__setstate__(_inner(state, twins))
    return twin


def _inner(part: Any, twins: Twins) -> Any:
    """Return a part of an iterator with copies of the iterators in it."""
    if type(part) is tuple:  # of several: what a chain goes over
        return tuple(_inner(each, twins) for each in part)
    return twin_of(part, twins) if isinstance(part, Iterator) else part


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

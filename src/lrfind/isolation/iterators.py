"""Iterators: what is half consumed cannot be put back, so a probe is given a copy, or something that refuses."""

from __future__ import annotations

import io
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from types import CellType, FunctionType, GeneratorType
from typing import Any, NoReturn

from torch.utils.data.dataloader import _BaseDataLoaderIter

from lrfind.errors import BadInputError
from lrfind.isolation.reach import Found, attributes_of, names_of, parts_of, path_to, slots_of

Place = Callable[[], None]
"""Called before a probe: puts a stand-in for an iterator where the original is kept. Notes put the original back."""


class Refusal:
    """Stands for an iterator that can be neither copied nor put back: whoever reads on in it is refused.

    Args:
        name: Where the iterator is kept.
        kind: What it is.
    """

    def __init__(self, name: str, kind: str) -> None:
        self._message = (
            f"a training step reads on in {name}, a {kind}, which a search would use up and which cannot be copied; "
            f"begin it anew where it is used, or keep an object whose __iter__ begins anew, as a DataLoader does."
        )

    def __iter__(self) -> Refusal:
        return self

    def __next__(self) -> NoReturn:
        raise BadInputError(self._message)

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        raise BadInputError(self._message)


def is_half_consumed(each: Any) -> bool:
    """Say whether an object is an iterator whose place is not among its attributes, so that it cannot be noted."""
    if isinstance(each, _BaseDataLoaderIter):
        return True
    if not isinstance(each, Iterator) or isinstance(each, (io.IOBase, Refusal)):
        return False
    return attributes_of(each) is None and not slots_of(type(each))


def is_file(value: Any) -> bool:
    """Say whether a value is an open file whose place can be told, and put back."""
    if not isinstance(value, io.IOBase) or value.closed or not value.seekable():
        return False
    try:
        value.tell()
    except OSError:  # in the middle of being iterated over
        return False
    return True


def places_of(found: Found) -> list[Place]:
    """Return every place in which something found keeps an iterator that cannot be noted."""
    iterators = {key for key, (each, _) in found.items() if is_half_consumed(each)}
    if not iterators:
        return []
    holders = [each for each, _ in found.values() if any(id(part) in iterators for part in parts_of(each))]
    kept = [(holder, part) for holder in holders for part in parts_of(holder) if id(part) in iterators]
    return [_place(holder, part, path_to(part, found)) for holder, part in kept]


def twin_of(iterator: Any) -> Any:
    """Copy an iterator of Python's own, with the iterators in it, over the same data, from where it stands.

    Raises:
        TypeError: If it, or one in it, cannot be copied: a generator.
    """
    if isinstance(iterator, GeneratorType) or not is_half_consumed(iterator) or isinstance(iterator, _BaseDataLoaderIter):
        raise TypeError(f"cannot copy a {type(iterator).__name__}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # itertools, from Python 3.12
        make, given, *states = iterator.__reduce__()
        twin = make(*map(_twin_in, given))
        for state in states:
            if state is not None:
                twin.__setstate__(tuple(map(_twin_in, state)) if isinstance(state, tuple) else state)
    return twin


def _twin_in(part: Any) -> Any:
    return twin_of(part) if isinstance(part, Iterator) else part


def _place(holder: Any, iterator: Any, name: str) -> Place:
    def stand_in() -> Any:
        try:
            return twin_of(iterator)
        except (TypeError, AttributeError):
            return Refusal(name, type(iterator).__name__)

    def put() -> None:
        twin = stand_in()
        if isinstance(holder, CellType):
            holder.cell_contents = twin
        elif isinstance(holder, (list, deque)):
            holder[next(index for index, one in enumerate(holder) if one is iterator)] = twin
        else:
            for names in _dictionaries_of(holder):
                for key in [key for key, one in names.items() if one is iterator]:
                    names[key] = twin
            for slot in slots_of(type(holder)):
                if getattr(holder, slot.__name__, None) is iterator:
                    slot.__set__(holder, twin)

    return put


def _dictionaries_of(holder: Any) -> list[dict[Any, Any]]:
    own = [holder] if isinstance(holder, dict) else []
    if isinstance(holder, FunctionType):
        return [*own, vars(holder), *(names for names, _ in names_of(holder))]
    return [*own, attributes_of(holder) or {}]

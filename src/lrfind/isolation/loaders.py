"""Loaders: read data without moving the loader that training will read."""

from __future__ import annotations

import copy
import dis
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch

from lrfind.errors import BadInputError
from lrfind.isolation.iterators import is_file

DATA = (torch.utils.data.DataLoader, torch.utils.data.Dataset, torch.utils.data.Sampler)
"""Kinds that hold data rather than state."""


def fresh(loader: Any) -> Any:
    """Return a loader over the same data whose iteration leaves the given one untouched.

    A ``DataLoader`` with persistent workers keeps its iterator; a shallow copy keeps its own, and its workers from one
    probe to the next: ``end_workers`` ends them. What is its own iterator, or keeps one that its ``__iter__`` does not make anew, is copied, where it can be. Containers of loaders are copied
    likewise; anything else is returned as it is.

    Raises:
        BadInputError: If a loader can be iterated only once.
    """
    if isinstance(loader, torch.utils.data.DataLoader):
        twin = copy.copy(loader)
        twin._iterator = None
        object.__setattr__(twin, "dataset", fresh(loader.dataset))
        object.__setattr__(twin, "persistent_workers", loader.num_workers > 0)
        return twin
    if type(loader) is dict:
        return {name: fresh(one) for name, one in loader.items()}
    if type(loader) in (list, tuple) and loader and isinstance(loader[0], torch.utils.data.DataLoader):
        return type(loader)(fresh(one) for one in loader)
    return _restartable(loader) if isinstance(loader, Iterator) or _keeps_iterator(loader) else loader


def length_of(loader: Any) -> int:
    """Return how many batches one pass over a loader gives; 0 where it does not say."""
    try:
        return len(loader)
    except (TypeError, NotImplementedError):
        return 0


def check_loader(loader: Any) -> None:
    """Check that a loader can be iterated again.

    Raises:
        BadInputError: If it cannot be iterated, or only once.
    """
    if isinstance(loader, Mapping):
        for one in loader.values():
            check_loader(one)
    elif not isinstance(loader, Iterable):
        raise BadInputError(f"the loader must be iterable, got {type(loader).__name__}.")
    else:
        fresh(loader)


def _keeps_iterator(data: Any) -> bool:
    """Say whether iterating over data uses up an iterator that it holds."""
    begin = getattr(type(data), "__iter__", None)
    code = getattr(begin, "__code__", ())
    made = {one.argval for one in dis.get_instructions(code) if one.opname == "STORE_ATTR"} if code else set()
    held = getattr(data, "__dict__", {}) if begin else {}
    return any(isinstance(value, Iterator) and not is_file(value) for name, value in held.items() if name not in made)


def _restartable(iterator: Any) -> Any:
    """Copy an iterator, or a dataset that keeps one, from where it stands."""
    try:
        return copy.deepcopy(iterator)
    except Exception as error:
        name = type(iterator).__name__
        if isinstance(iterator, Iterator):
            what = f"the loader is a one-shot iterator ({name}) and a search would use it up"
            remedy = "pass the DataLoader or a list of batches, or an object whose __iter__ begins anew"
        else:
            what = f"{name} reads from an iterator that it keeps, and a search would use that up"
            remedy = "make it in __iter__, so that it begins anew"
        raise BadInputError(f"{what}; {remedy}.") from error


def loaders_in(data: Any) -> list[Any]:
    """Return the loaders in one loader, or in a dictionary or list of them."""
    each = list(data.values()) if isinstance(data, Mapping) else data if isinstance(data, (list, tuple)) else [data]
    return [one for one in each if isinstance(one, torch.utils.data.DataLoader)]


def data_of(twin: Any) -> list[Any]:
    """Return what a probe moves of a loader that ``fresh`` returned: all but the workers, which it keeps."""
    return [one.dataset for one in loaders_in(twin)] or [twin]


def end_workers(twin: Any) -> None:
    """End the workers of a loader that ``fresh`` returned, or of several.

    They would wait for the garbage collector, and it for them: 5 s for each.
    """
    for one in loaders_in(twin):
        iterator, one._iterator = one._iterator, None
        if hasattr(iterator, "_shutdown_workers"):
            iterator._shutdown_workers()

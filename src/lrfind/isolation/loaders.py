"""Loaders: read data without moving the loader that training will read."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch

from lrfind.errors import BadInputError


def fresh(loader: Any) -> Any:
    """Return a loader over the same data whose iteration leaves the given one untouched.

    A ``DataLoader`` with persistent workers keeps its iterator; a shallow copy keeps its own. A dataset that is
    its own iterator, or keeps one, is copied, where it can be. Containers of loaders are copied likewise; anything else
    is returned as it is.

    Raises:
        BadInputError: If a loader can be iterated only once.
    """
    if isinstance(loader, torch.utils.data.DataLoader):
        twin = copy.copy(loader)
        twin._iterator = None
        object.__setattr__(twin, "dataset", fresh(loader.dataset))
        return twin
    if type(loader) is dict:
        return {name: fresh(one) for name, one in loader.items()}
    if type(loader) in (list, tuple) and loader and isinstance(loader[0], torch.utils.data.DataLoader):
        return type(loader)(fresh(one) for one in loader)
    keeps = isinstance(loader, torch.utils.data.IterableDataset) and any(map(_is_iterator, vars(loader).values()))
    return _restartable(loader) if keeps or isinstance(loader, Iterator) else loader


def is_loader(value: Any) -> bool:
    """Say whether an object holds data rather than state: a loader, a dataset, a sampler."""
    return isinstance(value, (torch.utils.data.DataLoader, torch.utils.data.Dataset, torch.utils.data.Sampler))


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


def _is_iterator(value: Any) -> bool:
    return isinstance(value, Iterator)


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
            remedy = "make the iterator in __iter__, so that it begins anew"
        raise BadInputError(f"{what}; {remedy}.") from error

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
    its own iterator is copied, where it can be. Containers of loaders are copied likewise; anything else is
    returned as it is.

    Raises:
        BadInputError: If a loader can be iterated only once.
    """
    if isinstance(loader, torch.utils.data.DataLoader):
        twin = copy.copy(loader)
        twin._iterator = None
        if isinstance(loader.dataset, Iterator):
            object.__setattr__(twin, "dataset", _restartable(loader.dataset))
        return twin
    if type(loader) is dict:
        return {name: fresh(one) for name, one in loader.items()}
    if type(loader) in (list, tuple) and loader and isinstance(loader[0], torch.utils.data.DataLoader):
        return type(loader)(fresh(one) for one in loader)
    return _restartable(loader) if isinstance(loader, Iterator) else loader


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


def _restartable(iterator: Iterator[Any]) -> Iterator[Any]:
    """Copy an iterator from where it stands."""
    try:
        return copy.deepcopy(iterator)
    except Exception as error:
        raise BadInputError(
            f"the loader is a one-shot iterator ({type(iterator).__name__}) and a search would use it up; "
            f"pass the DataLoader or a list of batches, or an object whose __iter__ begins anew."
        ) from error

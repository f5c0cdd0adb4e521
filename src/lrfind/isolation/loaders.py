"""Loaders: read data without moving the loader that training will read."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

from torch.utils.data import DataLoader

from lrfind.errors import BadInputError
from lrfind.isolation.iterators import Refusal, is_half_consumed, stand_ins
from lrfind.isolation.reach import reach


def fresh(loader: Any) -> Any:
    """Return a loader over the same data for the probes of a search.

    A ``DataLoader`` keeps the iterator of persistent workers; a shallow copy keeps its own, and its workers from one
    probe to the next: ``end_workers`` ends them. Containers of loaders are copied likewise.

    Raises:
        BadInputError: If it cannot be iterated, or only once.
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
    """Return how many batches one pass over a loader gives; 0 where it does not say."""
    try:
        return len(loader)
    except (TypeError, NotImplementedError, RuntimeError):  # of Lightning's CombinedLoader, before it is begun
        return 0


def loaders_in(data: Any) -> list[Any]:
    """Return the loaders in one loader, or in a dictionary or list of them; subclasses of these are not read."""
    each = data.values() if type(data) is dict else data if type(data) in (list, tuple) else [data]
    return [item for item in each if isinstance(item, DataLoader)]


def end_workers(twin: Any) -> None:
    """End the workers of what ``fresh`` returned.

    They would wait for the garbage collector, and it for them: 5 s for each.
    """
    for each in loaders_in(twin):
        iterator, each._iterator = each._iterator, None
        if hasattr(iterator, "_shutdown_workers"):
            iterator._shutdown_workers()

"""Random number generators: the global ones, and those that objects keep."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from lrfind.isolation.notes import GENERATORS, notes_of
from lrfind.isolation.reach import instances, reach


def global_generators() -> list[Any]:
    """Return the generators that a process has without making any: of Python, of NumPy, of torch on every device."""
    functions: list[Any] = [random.random, np.random.random]  # methods of the global generators
    found = [function.__self__ for function in functions]
    found.append(torch.default_generator)
    if torch.cuda.is_available():
        torch.cuda.init()  # type: ignore[no-untyped-call]
        found += torch.cuda.default_generators
    if torch.backends.mps.is_available():
        found.append(torch.mps._get_default_mps_generator())
    return found


def seed_all(seed: int, *holders: Any) -> None:
    """Seed Python, NumPy, torch (every device) and the generators that the holders hold, of torch, NumPy and Python."""
    seed_each(seed, instances(reach(holders), GENERATORS))


def seed_each(seed: int, generators: Iterable[Any]) -> None:
    """Seed generators of torch, NumPy and Python, and the global ones."""
    for each in generators:
        if isinstance(each, torch.Generator):
            each.manual_seed(seed)
        elif isinstance(each, np.random.Generator):
            bits = each.bit_generator
            bits.state = type(bits)(seed).state
        elif isinstance(each, np.random.RandomState):
            kind = type(each._bit_generator)
            each.set_state({**kind(seed).state, "has_gauss": 0, "gauss": 0.0})
        else:
            each.seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


@contextmanager
def generators_kept() -> Iterator[None]:
    """Put the global generators back on leaving, however that comes about."""
    notes = [note for each in global_generators() for note in notes_of(each)]
    try:
        yield
    finally:
        for kind, it, kept in notes:
            kind.put_back(it, kept)

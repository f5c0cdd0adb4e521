"""Random number generators: the global ones, and those that objects keep."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from lrfind.isolation.notes import notes_of
from lrfind.isolation.reach import instances, reach

GENERATORS = (torch.Generator, np.random.Generator, np.random.RandomState, random.Random)


def global_generators() -> list[Any]:
    """Return the generators of the process: of Python, of NumPy, of torch on every device.

    Devices are begun: a probe that was the first to use one would leave it with the probe's seed.
    """
    functions: list[Any] = [random.random, np.random.random]  # methods of the global generators
    found = [*(function.__self__ for function in functions), torch.default_generator]
    devices: tuple[Any, ...] = (torch.cuda, torch.xpu)
    for device in devices:
        if device.is_available():
            device.init()
            found += device.default_generators
    if torch.backends.mps.is_available():
        found.append(torch.mps._get_default_mps_generator())
    return found


def seed_all(seed: int, *holders: Any) -> None:
    """Seed Python, NumPy, torch (every device) and the generators that the holders hold, of torch, NumPy and Python."""
    seed_each(seed, [*instances(reach(holders), GENERATORS), *global_generators()])


def seed_each(seed: int, generators: Iterable[Any]) -> None:
    """Seed generators of torch, NumPy and Python."""
    for each in generators:
        if isinstance(each, torch.Generator):
            each.manual_seed(seed)
        elif isinstance(each, np.random.Generator):
            bits = each.bit_generator
            bits.state = type(bits)(seed).state
        elif isinstance(each, np.random.RandomState) and not isinstance(each._bit_generator, np.random.MT19937):
            each.set_state({**type(each._bit_generator)(seed).state, "has_gauss": 0, "gauss": 0.0})
        else:
            each.seed(seed % 2**32)


@contextmanager
def generators_kept() -> Iterator[None]:
    """Put the global generators back on leaving, however that comes about."""
    notes = notes_of(global_generators())
    try:
        yield
    finally:
        for rule, it, kept in notes:  # which is no more work than to compare
            rule.put_back(it, kept)

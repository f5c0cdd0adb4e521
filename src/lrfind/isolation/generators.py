"""Random number generators: the global ones, and those that objects keep."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
import torch

KINDS = (torch.Generator, np.random.Generator, np.random.RandomState, random.Random)

_DEPTH = 5

_BARREN = (torch.Tensor, np.ndarray, torch.nn.Module, type, str, bytes, ModuleType, FunctionType)
"""Kinds that are not searched for generators."""


def seed_all(seed: int, *holders: Any) -> None:
    """Seed Python, NumPy, torch (every device) and the generators that the holders hold, of torch, NumPy and Python."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
    for generator in generators_in(*holders, kinds=KINDS):
        _seed(generator, seed)


def _seed(generator: Any, seed: int) -> None:
    if isinstance(generator, torch.Generator):
        generator.manual_seed(seed)
    elif isinstance(generator, np.random.Generator):
        bits = generator.bit_generator
        bits.state = type(bits)(seed).state
    elif isinstance(generator, np.random.RandomState):
        kind = type(generator._bit_generator)
        generator.set_state({**kind(seed).state, "has_gauss": 0, "gauss": 0.0})
    else:
        generator.seed(seed)


def remember_globals() -> Callable[[], None]:
    """Note the state of the global generators; return what puts them back."""
    python, numpy, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    mps = torch.mps.get_rng_state() if torch.backends.mps.is_available() else None

    def put_back() -> None:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(cpu)
        if cuda:
            torch.cuda.set_rng_state_all(cuda)
        if mps is not None:
            torch.mps.set_rng_state(mps)

    return put_back


def remember(generator: Any) -> Callable[[], None] | None:
    """Note the state of a generator; return what puts it back, or None for anything else."""
    if isinstance(generator, torch.Generator):
        state = generator.get_state()
        return lambda: _ignore(generator.set_state(state))
    if isinstance(generator, np.random.Generator):
        bits = generator.bit_generator.state
        return lambda: setattr(generator.bit_generator, "state", bits)
    if isinstance(generator, np.random.RandomState):
        legacy = generator.get_state(legacy=False)
        return lambda: generator.set_state(legacy)
    if isinstance(generator, random.Random):
        python = generator.getstate()
        return lambda: generator.setstate(python)
    return None


def generators_in(*holders: Any, kinds: tuple[type[Any], ...] = (torch.Generator,)) -> Iterator[Any]:
    """Yield the generators that objects hold, each once, looking a few attributes deep."""
    seen: set[int] = set()
    level = list(holders)
    for _ in range(_DEPTH):
        below: list[Any] = []
        for holder in level:
            if id(holder) in seen:
                continue
            seen.add(id(holder))
            if isinstance(holder, kinds):
                yield holder
            else:
                below.extend(_parts(holder))
        level = below


def _parts(holder: Any) -> list[Any]:
    if isinstance(holder, Mapping):
        return list(holder.values()) if len(holder) < 100 else []
    if isinstance(holder, (list, tuple)):
        return list(holder) if len(holder) < 100 else []
    if isinstance(holder, _BARREN):
        return []
    return list(getattr(holder, "__dict__", {}).values())


def _ignore(_: object) -> None:
    pass

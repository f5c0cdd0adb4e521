"""Random number generators: the global ones, and those that objects keep."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from lrfind.isolation.reach import reach

KINDS = (torch.Generator, np.random.Generator, np.random.RandomState, random.Random)


def global_generators() -> list[Any]:
    """Return the generators that a process has without making any: of Python, of NumPy, of torch on every device."""
    found: list[Any] = [random.getstate.__self__, np.random.get_state.__self__, torch.default_generator]  # type: ignore[attr-defined]
    if torch.cuda.is_available():
        torch.cuda.init()
        found += torch.cuda.default_generators
    if torch.backends.mps.is_available():
        found.append(torch.mps._get_default_mps_generator())
    return found


def generators_in(*holders: Any) -> list[Any]:
    """Return the generators that objects hold, each once."""
    return [each for each, _ in reach(holders).values() if isinstance(each, KINDS)]


def seed_all(seed: int, *holders: Any) -> None:
    """Seed Python, NumPy, torch (every device) and the generators that the holders hold, of torch, NumPy and Python."""
    seed_each(seed, generators_in(*holders))


def seed_each(seed: int, generators: Iterable[Any]) -> None:
    """Seed generators of any of the ``KINDS``, and the global ones."""
    for generator in generators:
        _seed(generator, seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


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


def state_of(generator: Any) -> Any:
    """Return the state of a generator, as something that compares with ``same_state``; None if it has none."""
    if isinstance(generator, torch.Generator):
        return generator.get_state()
    if isinstance(generator, np.random.Generator):
        return generator.bit_generator.state
    if isinstance(generator, np.random.RandomState):
        return generator.get_state(legacy=False)
    try:
        return generator.getstate()
    except NotImplementedError:  # of the operating system
        return None


def set_state(generator: Any, state: Any) -> None:
    """Put a generator into a state that ``state_of`` gave."""
    if isinstance(generator, np.random.Generator):
        generator.bit_generator.state = state
    elif isinstance(generator, (torch.Generator, np.random.RandomState)):
        generator.set_state(state)
    elif state is not None:
        generator.setstate(state)


def same_state(one: Any, other: Any) -> bool:
    """Say whether two states of a generator are the same."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same_state(one[name], other[name]) for name in one)
    if isinstance(one, (torch.Tensor, np.ndarray)):
        return bool((one == other).all())
    return bool(one == other)


@contextmanager
def generators_kept(*generators: Any) -> Iterator[None]:
    """Put the global generators, and those given, back on leaving, however that comes about."""
    each = [*global_generators(), *generators]
    states: list[tuple[Any, Any]] = [(one, state_of(one)) for one in each]
    try:
        yield
    finally:
        for generator, state in states:
            set_state(generator, state)

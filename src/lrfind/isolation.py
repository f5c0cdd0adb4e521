"""Nothing moves: probe on copies, and put back every random number generator a probe can move."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import torch
from torch.optim import Optimizer

from lrfind.errors import BadInputError

T = TypeVar("T", bound=tuple[Any, ...])

_DEPTH = 5


def clone(parts: T) -> T:
    """Deep-copy a model together with what refers to it, so that the copies refer to each other.

    Args:
        parts: Say, a model, its optimizer and a loss function.

    Raises:
        BadInputError: If a part cannot be copied.
    """
    memo: dict[int, Any] = {}
    try:
        copies = copy.deepcopy(parts, memo)
        for part, twin in zip(parts, copies, strict=True):
            if isinstance(part, Optimizer):
                _copy_extras(part, twin, memo)
    except Exception as error:
        names = ", ".join(type(part).__name__ for part in parts)
        raise BadInputError(
            f"{names} cannot be deep-copied for probing ({type(error).__name__}: {error}); "
            f"detach tensors kept on the module, or give it a __deepcopy__."
        ) from error
    return copies


def _copy_extras(optimizer: Optimizer, twin: Optimizer, memo: dict[int, Any]) -> None:
    """Copy the attributes of a custom optimizer that torch leaves out when it copies one."""
    for name, value in vars(optimizer).items():
        own = not name.startswith("_optimizer_") and name not in {"step", "_zero_grad_profile_name"}
        if own and name not in vars(twin):
            setattr(twin, name, copy.deepcopy(value, memo))


@contextmanager
def preserved(*holders: Any) -> Iterator[None]:
    """Put every random number generator back on leaving, however that comes about.

    Args:
        holders: Objects that may hold generators of their own: loaders, samplers, data modules.
    """
    generators = list(generators_in(*holders))
    states = [generator.get_state() for generator in generators]
    numpys = list(generators_in(*holders, kind=np.random.Generator))
    numpy_states = [generator.bit_generator.state for generator in numpys]
    legacies = [(each, each.get_state()) for each in generators_in(*holders, kind=np.random.RandomState)]
    pythons = [(each, each.getstate()) for each in generators_in(*holders, kind=random.Random)]
    python, legacy, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    mps = torch.mps.get_rng_state() if torch.backends.mps.is_available() else None
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(legacy)
        torch.set_rng_state(cpu)
        if cuda:
            torch.cuda.set_rng_state_all(cuda)
        if mps is not None:
            torch.mps.set_rng_state(mps)
        for generator, state in zip(generators, states, strict=True):
            generator.set_state(state)
        for numpy_generator, numpy_state in zip(numpys, numpy_states, strict=True):
            numpy_generator.bit_generator.state = numpy_state
        for legacy_generator, legacy_state in legacies:
            legacy_generator.set_state(legacy_state)
        for python_generator, python_state in pythons:
            python_generator.setstate(python_state)


def seed_all(seed: int, *holders: Any) -> None:
    """Seed Python, NumPy, torch (every device) and the torch generators that the holders hold."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
    for generator in generators_in(*holders):
        generator.manual_seed(seed)


def generators_in(*holders: Any, kind: type[Any] = torch.Generator) -> Iterator[Any]:
    """Yield the random number generators that objects hold, each once, looking a few attributes deep."""
    seen: set[int] = set()
    level = list(holders)
    for _ in range(_DEPTH):
        below: list[Any] = []
        for holder in level:
            if id(holder) in seen:
                continue
            seen.add(id(holder))
            if isinstance(holder, kind):
                yield holder
            else:
                below.extend(_parts(holder))
        level = below


def _parts(holder: Any) -> list[Any]:
    if isinstance(holder, Mapping):
        return list(holder.values()) if len(holder) < 100 else []
    if isinstance(holder, (list, tuple)):
        return list(holder) if len(holder) < 100 else []
    if isinstance(holder, (torch.Tensor, np.ndarray, torch.nn.Module, type, str, bytes)):
        return []
    return list(getattr(holder, "__dict__", {}).values())


def fresh(loader: Any) -> Any:
    """Return a loader over the same data whose iteration leaves the given one untouched.

    A ``DataLoader`` with persistent workers keeps its iterator; a shallow copy keeps its own. Containers of
    loaders are copied likewise; anything else is returned as it is.
    """
    if isinstance(loader, torch.utils.data.DataLoader):
        twin = copy.copy(loader)
        twin._iterator = None
        return twin
    if isinstance(loader, Mapping) and type(loader) is dict:
        return {name: fresh(one) for name, one in loader.items()}
    if type(loader) in (list, tuple):
        return type(loader)(fresh(one) for one in loader)
    return loader

"""Memory: the values of tensors and arrays, copied to host memory where training can move them, else watched.

Copied is what trains, and what a step writes to beside it: buffers, the optimizer's state, what functions and objects
keep. Frozen weights and data are most of the memory and nearly never move. Of them are copied what has the shape of a
weight that trains (an average of it, a teacher), and the smallest up to a share of the whole; the rest is watched.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer

from lrfind.isolation.reach import Found, inner_names, instances

SHARE = 0.05
"""Of frozen weights, and of data, the smallest up to this share of the whole are copied ..."""
LEAST = {"frozen": 1 << 20, "data": 1 << 24}
"""... or up to so many bytes, where that is more."""
ROOM = 0.25
"""What functions and objects keep beside the model is copied up to this share of the host memory that is free."""
SAMPLE = 4096
"""Of data that is watched so many words are compared; of weights, the sum of all."""

Memory = torch.UntypedStorage | torch.Tensor | np.ndarray[Any, Any]
"""The memory of tensors; a tensor of a layout that has none of its own; an array."""


@dataclass(frozen=True, slots=True)
class Block:
    """The values of a block of memory as they were.

    Attributes:
        memory: Where the values are.
        holder: A tensor or array whose values they are, for naming it.
        values: In host memory, all of them; or a digest, where the block is watched.
        is_whole: Whether they are all.
    """

    memory: Memory
    holder: Any
    values: Any
    is_whole: bool

    def is_same(self) -> bool:
        """Say whether the values are as they were; of memory on a device, whether a sample is."""
        if not self.is_whole:
            return _equal(_digest(self.memory, self.holder), self.values)
        if self._is_resized():
            return False
        if self._is_on_host():
            return _equal(_values(self.memory), self.values)
        return _equal(_sample(_values(self.memory)), _sample(self.values))

    def put_back(self) -> None:
        """Write the values back, in place, where they have moved."""
        if not self.is_whole or (self._is_on_host() and self.is_same()):
            return
        if isinstance(self.memory, np.ndarray):
            np.copyto(self.memory, self.values)
        elif isinstance(self.memory, torch.Tensor):
            self.memory.detach().copy_(self.values)
        else:
            if self._is_resized():
                self.memory.resize_(self.values.nbytes)
            _values(self.memory).copy_(self.values)

    def _is_on_host(self) -> bool:
        return isinstance(self.memory, np.ndarray) or self.memory.device.type == "cpu"

    def _is_resized(self) -> bool:
        return isinstance(self.memory, torch.UntypedStorage) and self.memory.nbytes() != self.values.nbytes


def blocks_of(state: Found, data: Found) -> list[Block]:
    """Note the memory of everything that training reaches, each block once, however many tensors lie in it.

    Args:
        state: What models, optimizers and functions reach.
        data: What only loaders, datasets and samplers reach.
    """
    kinds = _kinds_of_memory(state)
    memory: dict[Any, tuple[str, Memory, Any]] = {}
    for each in sorted(instances(state, (torch.Tensor, np.ndarray)), key=lambda one: kinds(one) != "model"):
        for key, block in _memory_of(each).items():
            memory.setdefault(key, (kinds(each), block, each))
    for each in instances(data, (torch.Tensor, np.ndarray)):
        for key, block in _memory_of(each).items():
            memory.setdefault(key, ("data", block, each))
    sizes = {key: int(block.nbytes() if callable(block.nbytes) else block.nbytes) for key, (_, block, _) in memory.items()}
    total = Counter[str]()
    for key, (kind, _, _) in memory.items():
        total[kind] += sizes[key]
    most = {kind: max(least, SHARE * total[kind]) for kind, least in LEAST.items()}
    most |= {"model": float("inf"), "beside": ROOM * _available() if total["beside"] else 0.0}
    spent = Counter[str]()
    blocks = []
    for key, (kind, block, holder) in sorted(memory.items(), key=lambda item: sizes[item[0]]):
        spent[kind] += sizes[key]
        is_whole = spent[kind] <= most[kind]
        values = _copy(_values(block)) if is_whole else _digest(block, holder)
        blocks.append(Block(block, holder, values, is_whole))
    return blocks


def _kinds_of_memory(state: Found) -> Any:
    """Return what says of a tensor or array whether it is of the model (or like it), frozen, or beside the model."""
    optimizers = instances(state, Optimizer)
    held = [one for each in optimizers for group in each.param_groups for one in group["params"]]
    trained = [*held, *(one for one in instances(state, nn.Parameter) if one.requires_grad)]
    buffers = [one for each in instances(state, nn.Module) for one in each._buffers.values()]
    moments = [one for each in optimizers for kept in each.state.values() if isinstance(kept, Mapping) for one in kept.values()]
    known = {id(one) for one in (*trained, *buffers, *moments)}
    shapes = {one.shape for one in trained if not is_lazy(one)}

    def kind(each: Any) -> str:
        if id(each) in known:
            return "model"
        if isinstance(each, nn.Parameter):
            return "model" if is_lazy(each) or each.shape in shapes else "frozen"
        return "beside"

    return kind


def _memory_of(each: Any) -> dict[Any, Memory]:
    """Return the memory of a tensor or array by what it is known by; none of a wrapper, or where there is none."""
    if isinstance(each, np.ndarray):
        return {id(each): each} if each.flags.writeable and each.nbytes else {}
    if is_lazy(each) or each.is_meta or each.layout is torch.sparse_coo or inner_names(each):
        return {}
    try:
        storage = each.untyped_storage()
        return {storage._cdata: storage} if storage.nbytes() and storage.data_ptr() else {}
    except (RuntimeError, NotImplementedError):
        return {id(each): each}


def _values(memory: Memory) -> Any:
    """All values: of a storage, its words."""
    if not isinstance(memory, torch.UntypedStorage):
        return memory
    word = torch.int64 if memory.nbytes() % 8 == 0 else torch.uint8
    return torch.empty(0, dtype=word, device=memory.device).set_(memory)  # type: ignore[call-overload]


def _copy(values: Any) -> Any:
    return values.copy() if isinstance(values, np.ndarray) else values.detach().to("cpu", copy=True)


def _digest(memory: Memory, holder: Any) -> Any:
    """What shows that memory was written to: of a weight the sum of its words, of anything else a sample."""
    values = _values(memory)
    return values.sum().cpu() if isinstance(holder, nn.Parameter) else _sample(values)


def _sample(values: Any) -> Any:
    if isinstance(values, np.ndarray):
        return values.flat[:: max(1, values.size // SAMPLE)].copy()
    if values.layout is not torch.strided or values.is_nested:
        return _copy(values)
    return _copy(values.detach().reshape(-1)[:: max(1, values.numel() // SAMPLE)])


def _equal(one: Any, other: Any) -> bool:
    """Compare bit for bit: NaN is the same as itself."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one.cpu(), other)
    if one.dtype.hasobject:
        return all(left is right for left, right in zip(one.flat, other.flat, strict=True))
    return one.shape == other.shape and bool(np.array_equal(_words(one), _words(other)))


def _words(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    word = np.int64 if values.nbytes % 8 == 0 else np.uint8
    return np.ascontiguousarray(values).reshape(-1).view(np.uint8).view(word)


def _available() -> float:
    """How many bytes of host memory are free."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(1024.0 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration, ValueError):
        return float("inf")

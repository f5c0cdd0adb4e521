"""Memory: the values of tensors and arrays, copied to host memory where training can move them, else watched.

Copied is what trains, and what a step writes to beside it: buffers, the optimizer's state, what functions and objects
keep. Frozen weights and data are most of the memory and nearly never move. Of them are copied what has the shape of a
weight that trains (an average of it, a teacher), and the smallest up to a share of the whole; the rest is watched.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer

from lrfind.isolation.reach import inner_names

SHARE = 0.05
"""Of frozen weights, and of data, the smallest up to this share of the whole are copied ..."""
LEAST_FROZEN, LEAST_DATA = 1 << 20, 1 << 24
"""... or up to so many bytes, where that is more."""
ROOM = 0.25
"""What functions and objects keep beside the model is copied up to this share of the host memory that is free."""
SAMPLE = 4096
"""Of data that is watched so many words are compared; of weights, the sum of all."""

Memory = torch.UntypedStorage | torch.Tensor | np.ndarray[Any, Any]
"""The memory of tensors; a tensor of a layout that has none of its own (sparse, nested); an array."""


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
        if self._is_resized():
            return False
        if not self.is_whole:
            return _equal(_digest(self.memory, self.holder), self.values)
        if is_on_host(self.memory):
            return _equal(_values(self.memory), self.values)
        return _equal(_sample(self.memory), _sample(self.values))

    def put_back(self) -> None:
        """Write the values back, in place, where they have moved."""
        if not self.is_whole or (is_on_host(self.memory) and self.is_same()):
            return
        if isinstance(self.memory, np.ndarray):
            np.copyto(self.memory, self.values)
        elif isinstance(self.memory, torch.Tensor):
            self.memory.detach().copy_(self.values)
        else:
            if self._is_resized():
                self.memory.resize_(size_of(self.values))
            _values(self.memory).copy_(self.values)

    def _is_resized(self) -> bool:
        return isinstance(self.memory, torch.UntypedStorage) and self.is_whole and size_of(self.memory) != size_of(self.values)


def blocks_of(state: Iterable[Any], data: Iterable[Any]) -> list[Block]:
    """Note the memory of everything that training reaches.

    Args:
        state: What models, optimizers and functions reach.
        data: What only loaders, datasets and samplers reach.
    """
    state = list(state)
    trained, known = _trained(state), _known(state)
    shapes = {one.shape for one in trained.values()}
    whole: dict[Any, tuple[Memory, Any]] = {}
    beside: dict[Any, tuple[Memory, Any]] = {}
    frozen: dict[Any, tuple[Memory, Any]] = {}
    for holder in sorted(filter(_is_memory, state), key=lambda one: id(one) not in trained):
        is_frozen = isinstance(holder, nn.Parameter) and id(holder) not in trained and holder.shape not in shapes
        is_known = id(holder) in trained or id(holder) in known or isinstance(holder, nn.Parameter)
        for key, memory in _memory_of(holder):
            if key not in whole and key not in beside:
                (frozen if is_frozen else whole if is_known else beside).setdefault(key, (memory, holder))
    for chosen, most in ((beside, ROOM * _available()), (frozen, _share(frozen, LEAST_FROZEN))):
        for key in chosen.keys() & whole.keys():
            del chosen[key]
        whole |= _smallest(chosen, most)
    of_data = dict(pair for one in data if _is_memory(one) for pair in _with_holder(one))
    whole |= _smallest(of_data, _share(of_data, LEAST_DATA))
    watched = {**beside, **frozen, **of_data}
    return [_copied(*each) for each in whole.values()] + [
        _watched(*each) for key, each in watched.items() if key not in whole
    ]


def is_on_host(memory: Memory) -> bool:
    """Say whether memory is the host's."""
    return isinstance(memory, np.ndarray) or torch.device(memory.device).type == "cpu"


def size_of(memory: Memory) -> int:
    """Return the size of a block in bytes."""
    return memory.nbytes() if isinstance(memory, torch.UntypedStorage) else int(memory.nbytes)


def _trained(state: list[Any]) -> dict[int, torch.Tensor]:
    """What trains: what an optimizer holds, and every parameter that requires a gradient."""
    held = [one for each in state if isinstance(each, Optimizer) for group in each.param_groups for one in group["params"]]
    leaves = [one for one in state if isinstance(one, nn.Parameter) and one.requires_grad]
    return {id(one): one for one in (*held, *leaves) if not is_lazy(one)}


def _known(state: list[Any]) -> set[int]:
    """What belongs to models and optimizers without being trained: buffers, moments."""
    buffers = [one for each in state if isinstance(each, nn.Module) for one in each._buffers.values()]
    optimizers = [each for each in state if isinstance(each, Optimizer)]
    moments = [one for each in optimizers for kept in each.state.values() if isinstance(kept, dict) for one in kept.values()]
    return {id(one) for one in (*buffers, *moments) if isinstance(one, torch.Tensor)}


def _is_memory(each: Any) -> bool:
    if isinstance(each, np.ndarray):
        return each.flags.writeable and each.nbytes > 0
    return isinstance(each, torch.Tensor) and not is_lazy(each) and not each.is_meta


def _with_holder(each: Any) -> Iterator[tuple[Any, tuple[Memory, Any]]]:
    return ((key, (memory, each)) for key, memory in _memory_of(each))


def _memory_of(each: Any) -> Iterator[tuple[Any, Memory]]:
    """Yield the memory of a tensor or array, with what it is known by; none of a wrapper, or of freed memory."""
    if isinstance(each, np.ndarray):
        yield id(each), each
    elif not inner_names(each) and each.layout is not torch.sparse_coo:
        try:
            storage = each.untyped_storage()
            if storage.nbytes() and storage.data_ptr():
                yield storage._cdata, storage
        except (RuntimeError, NotImplementedError):
            yield id(each), each


def _share(blocks: dict[Any, tuple[Memory, Any]], least: int) -> float:
    return max(least, SHARE * sum(size_of(memory) for memory, _ in blocks.values()))


def _smallest(blocks: dict[Any, tuple[Memory, Any]], most: float) -> dict[Any, tuple[Memory, Any]]:
    """Return the smallest of some blocks that together take at most so many bytes."""
    chosen, total = {}, 0
    for key, (memory, holder) in sorted(blocks.items(), key=lambda item: size_of(item[1][0])):
        total += size_of(memory)
        if total > most:
            break
        chosen[key] = (memory, holder)
    return chosen


def _copied(memory: Memory, holder: Any) -> Block:
    values = _values(memory)
    kept = values.copy() if isinstance(values, np.ndarray) else values.detach().to("cpu", copy=True)
    return Block(memory, holder, kept, is_whole=True)


def _watched(memory: Memory, holder: Any) -> Block:
    return Block(memory, holder, _digest(memory, holder), is_whole=False)


def _digest(memory: Memory, holder: Any) -> Any:
    """What shows that memory was written to: the sum of the words of a weight, a sample of anything else."""
    if isinstance(holder, nn.Parameter) and isinstance(memory, torch.UntypedStorage):
        return _values(memory).sum().cpu()
    return _sample(memory)


def _values(memory: Memory) -> Any:
    """All values: of a storage, its words."""
    if not isinstance(memory, torch.UntypedStorage):
        return memory
    word = torch.int64 if memory.nbytes() % 8 == 0 else torch.uint8
    return torch.empty(0, dtype=word, device=memory.device).set_(memory)  # type: ignore[call-overload]


def _sample(memory: Memory) -> Any:
    """Values that lie evenly in a block, copied to host memory."""
    values = _values(memory)
    if isinstance(values, np.ndarray):
        return values.flat[:: max(1, values.size // SAMPLE)].copy()
    if values.layout is not torch.strided or values.is_nested:
        return values.detach().to("cpu", copy=True)
    return values.detach().reshape(-1)[:: max(1, values.numel() // SAMPLE)].to("cpu", copy=True)


def _equal(one: Any, other: Any) -> bool:
    """Compare bit for bit: NaN is the same as itself."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one.cpu(), other)
    if one.dtype.hasobject:
        return all(left is right for left, right in zip(one.flat, other.flat, strict=True))
    return one.shape == other.shape and np.array_equal(_bytes(one), _bytes(other))


def _bytes(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    word = np.int64 if values.nbytes % 8 == 0 else np.uint8
    return np.ascontiguousarray(values).reshape(-1).view(np.uint8).view(word)


def _available() -> float:
    """How many bytes of host memory are free."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(1024.0 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration, ValueError):
        return float("inf")

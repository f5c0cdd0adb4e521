"""Memory: the values of tensors and arrays, copied to host memory where training can move them, else watched.

Copied is what trains, and what a step writes to beside it: buffers, the optimizer's state, what functions and objects
keep. Frozen weights and data are most of the memory and nearly never move. Of them are copied what has the shape of a
weight that trains (an average of it, a teacher), and the smallest up to a share of the whole; the rest is watched.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from mmap import mmap
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer

from lrfind.isolation.notes import Note
from lrfind.isolation.reach import Found, hooks_of, inner_tensors, instances, is_leaf
from lrfind.isolation.states import Rule, do_nothing

SHARE = 0.05
"""Of memory that nearly never moves, the smallest blocks up to this share of the whole are copied ..."""
LEAST = {"model": 1 << 62, "frozen": 1 << 20, "beside": 1 << 30, "data": 1 << 26}
"""... or up to so many bytes, where that is more: what trains always, arrays that functions keep up to a gigabyte."""
SAMPLE, READ = 4096, 1 << 33
"""Of what is watched so many words are compared, and the sum of all up to so many bytes."""

_MEMORY = (torch.Tensor, np.ndarray, mmap)

Values = torch.Tensor | np.ndarray[Any, Any]
"""The values of the storage of tensors, or of an array, as words; an array of objects itself."""


def notes_of_memory(state: Found, data: Found) -> Iterator[tuple[Any, Note]]:
    """Note tensors, and the memory of everything that training reaches, once, however many tensors lie in a block.

    Args:
        state: What models, optimizers and functions reach.
        data: What only loaders, datasets and samplers reach.

    Yields:
        A tensor or an array, and a note of it or of the block that it lies in.
    """
    for each in (*instances(state, torch.Tensor), *instances(data, torch.Tensor)):
        yield each, (TENSOR, each, TENSOR.keep(each))
    place_of = _places(state)
    holders = [(place_of(each), each) for each in instances(state, _MEMORY)]
    holders += [("data", each) for each in instances(data, _MEMORY)]
    blocks: dict[int, tuple[str, Any, Values]] = {}
    for place, each in sorted(holders, key=lambda pair: [*LEAST].index(pair[0])):  # a block is of the first place
        key, values = _block(each)
        if values is not None:
            blocks.setdefault(key, (place, each, values))
    total, spent = Counter[str](), Counter[str]()
    for place, _, values in blocks.values():
        total[place] += values.nbytes
    for place, each, values in sorted(blocks.values(), key=lambda block: block[2].nbytes):
        spent[place] += values.nbytes
        rule = COPIED if spent[place] <= max(LEAST[place], SHARE * total[place]) else WATCHED
        rule = ARRAY if isinstance(values, np.ndarray) else rule
        yield each, (rule, values, rule.keep(values))


def _places(state: Found) -> Callable[[Any], str]:
    """Return what says of a tensor or array whether it moves with the model, is frozen, or lies beside the model."""
    optimizers = instances(state, Optimizer)
    trained = [weight for each in optimizers for group in each.param_groups for weight in group["params"]]
    weights = [each for each in instances(state, torch.Tensor) if isinstance(each, nn.Parameter)]  # DTensors, too
    trained += [weight for weight in weights if weight.requires_grad]
    trained = [inner for weight in trained for inner in _with_inner(weight)]
    moments = [kept.values() for each in optimizers for kept in each.state.values() if isinstance(kept, Mapping)]
    buffers = [each._buffers.values() for each in instances(state, nn.Module)]
    grads = [weight.grad for weight in trained if not is_lazy(weight) and weight.is_leaf]
    moved = [each for some in (trained, *moments, *buffers, grads) for each in some]
    known = {id(inner) for each in moved for inner in _with_inner(each)}
    frozen = {id(inner) for weight in weights for inner in _with_inner(weight)}
    shapes = {weight.shape for weight in trained if not is_lazy(weight)}

    def place(each: Any) -> str:
        if id(each) in known or is_lazy(each) or getattr(each, "shape", None) in shapes:
            return "model"
        return "frozen" if id(each) in frozen else "beside"

    return place


def _with_inner(each: Any) -> Iterator[torch.Tensor]:
    """Yield a tensor and those that it wraps, or consists of; nothing of anything else."""
    if isinstance(each, torch.Tensor):
        yield each
        for inner in () if is_lazy(each) else inner_tensors(each):
            yield from _with_inner(inner)


def _block(each: Any) -> tuple[int, Values | None]:
    """Return what the memory of a tensor or array is known by, and its values; None where it has none of its own."""
    if isinstance(each, (np.ndarray, mmap)):
        return _block_of_array(each)
    if is_lazy(each) or each.is_meta or each.layout is not torch.strided or hasattr(each, "__tensor_flatten__"):
        return 0, None
    storage = each.untyped_storage()
    if not storage.nbytes() or not storage.data_ptr():
        return 0, None
    return storage._cdata, _words(torch.empty(0, dtype=torch.uint8, device=storage.device).set_(storage))


def _block_of_array(each: Any) -> tuple[int, Values | None]:
    while isinstance(each, np.ndarray) and isinstance(each.base, (np.ndarray, mmap)):
        each = each.base
    if isinstance(each, mmap) and each.closed:
        return id(each), None
    values = np.frombuffer(each, np.uint8) if isinstance(each, mmap) else np.asarray(each)
    if not (values.flags.writeable and values.nbytes):
        return id(each), None
    if values.dtype.hasobject or not values.flags.forc:
        return id(each), values
    return id(each), _words(torch.from_numpy(values.ravel(order="K").view(np.uint8)))


def _words(values: torch.Tensor) -> torch.Tensor:
    return values if values.nbytes % 8 else values.view(torch.int64)


def _same_values(now: torch.Tensor, then: torch.Tensor) -> bool:
    """Compare bit for bit: NaN is the same as itself."""
    return now.untyped_storage().nbytes() == then.nbytes and torch.equal(now.cpu(), then)


def _put_values(now: torch.Tensor, then: torch.Tensor) -> None:
    if now.untyped_storage().nbytes() != then.nbytes:
        now.untyped_storage().resize_(then.nbytes)
    now.copy_(then)


def _digest(values: torch.Tensor) -> tuple[float, list[int]]:
    """What shows that values were written to: their sum as words, and a sample."""
    total = values.sum().item() if values.nbytes <= READ else 0
    return total, values[:: max(1, values.numel() // SAMPLE)].tolist()


def _tensor(it: torch.Tensor) -> tuple[Any, ...]:
    """A tensor but for its values: another one of the same memory, and what else is of it."""
    return it.data if is_lazy(it) else it.detach(), *_beside_values(it)


def _beside_values(it: torch.Tensor) -> tuple[Any, ...]:
    """Where the values of a tensor lie, its hooks, whether it needs a gradient, and its gradient."""
    hooks = [dict(each) if each else {} for each in hooks_of(it)]
    if is_lazy(it):
        return None, hooks, it.requires_grad, None
    return _place(it), hooks, *((it.requires_grad, it.grad) if is_leaf(it) else (None, None))


def _place(it: torch.Tensor) -> Any:
    """Where the values of a tensor lie, and how."""
    place = it.shape, it.dtype, it.device, it.layout
    if it.layout is not torch.strided:
        return *place, *map(_place, inner_tensors(it))
    try:
        return *place, it.stride(), it.storage_offset(), it.untyped_storage()._cdata
    except (RuntimeError, NotImplementedError):  # without memory of its own: others that it wraps are noted
        return place


def _same_tensor(it: torch.Tensor, kept: tuple[Any, ...]) -> bool:
    *now, grad = _beside_values(it)
    return grad is kept[-1] and now == list(kept[1:-1])


def _put_tensor(it: torch.Tensor, kept: tuple[Any, ...]) -> None:
    alias, place, hooks, needs_grad, grad = kept
    if place is None or _place(it) != place:
        it.data = alias
    if needs_grad is not None:
        (it if is_leaf(it) else it.detach_()).requires_grad_(needs_grad)
        it.grad = grad
    for now, then in zip(hooks_of(it), hooks, strict=True):
        if now is not None:
            now.clear()
            now.update(then)


TENSOR = Rule(_tensor, _put_tensor, _same_tensor)
ARRAY = Rule(np.copy, np.copyto, lambda it, kept: it.tobytes() == kept.tobytes())
"""Of arrays of objects, whose bytes are the addresses of these, and of those with gaps."""
COPIED = Rule(lambda it: it.to("cpu", copy=True), _put_values, _same_values)
WATCHED = Rule(_digest, do_nothing)

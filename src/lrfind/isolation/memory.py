"""Memory: the values of tensors and arrays, copied to host memory where training can move them, else watched.

Copied is what trains, and what a step writes to beside it: buffers, the optimizer's state, what functions and objects
keep. Frozen weights and data are most of the memory and nearly never move. Of them are copied what has the shape of a
weight that trains (an average of it, a teacher), and the smallest up to a share of the whole; the rest is watched.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer

from lrfind.isolation.notes import Kind, Note, do_nothing
from lrfind.isolation.reach import Found, components, inner_names, instances

SHARE = 0.05
"""Of memory that nearly never moves, the smallest blocks up to this share of the whole are copied ..."""
LEAST = {"model": 1 << 62, "frozen": 1 << 20, "beside": 1 << 30, "data": 1 << 26}
"""... or up to so many bytes, where that is more: what trains always, arrays that functions keep up to a gigabyte."""
SAMPLE, READ = 4096, 1 << 33
"""Of what is watched so many words are compared, and the sum of all up to so many bytes."""

Values = torch.Tensor | np.ndarray[Any, Any]
"""The values of an array, of a tensor, or of the storage of tensors, as words."""


def notes_of_memory(state: Found, data: Found) -> Iterator[Note]:
    """Note the memory of everything that training reaches, each block once, however many tensors lie in it.

    Args:
        state: What models, optimizers and functions reach.
        data: What only loaders, datasets and samplers reach.
    """
    kind_of = _kinds(state)
    holders = [(kind_of(each), each) for each in instances(state, (torch.Tensor, np.ndarray))]
    holders += [("data", each) for each in instances(data, (torch.Tensor, np.ndarray))]
    blocks: dict[int, tuple[str, Any, Values]] = {}
    for kind, each in sorted(holders, key=lambda one: [*LEAST].index(one[0])):  # a block is of the first kind
        key, values = _block(each)
        if values is not None:
            blocks.setdefault(key, (kind, each, values))
    total, spent = Counter[str](), Counter[str]()
    for kind, _, values in blocks.values():
        total[kind] += values.nbytes
    for kind, each, values in sorted(blocks.values(), key=lambda one: one[2].nbytes):
        spent[kind] += values.nbytes
        note = COPIED if spent[kind] <= max(LEAST[kind], SHARE * total[kind]) else WATCHED
        yield note, each, note.keep(each)


def _kinds(state: Found) -> Callable[[Any], str]:
    """Return what says of a tensor or array whether it moves with the model, is frozen, or lies beside the model."""
    optimizers = instances(state, Optimizer)
    trained = [one for each in optimizers for group in each.param_groups for one in group["params"]]
    weights = [one for one in instances(state, torch.Tensor) if isinstance(one, nn.Parameter)]  # DTensors, too
    trained += [one for one in weights if one.requires_grad]
    moments = [
        one for each in optimizers for kept in each.state.values() if isinstance(kept, Mapping) for one in kept.values()
    ]
    buffers = [one for each in instances(state, nn.Module) for one in each._buffers.values()]
    trained = [inner for one in trained for inner in _with_inner(one)]
    grads = [one.grad for one in trained if not is_lazy(one) and one.is_leaf]
    known = {id(inner) for one in (*trained, *moments, *buffers, *grads) for inner in _with_inner(one)}
    frozen = {id(inner) for one in weights for inner in _with_inner(one)}
    shapes = {one.shape for one in trained if not is_lazy(one)}

    def kind(each: Any) -> str:
        if id(each) in known or is_lazy(each) or each.shape in shapes:
            return "model"
        return "frozen" if id(each) in frozen else "beside"

    return kind


def _with_inner(each: Any) -> Iterator[torch.Tensor]:
    """Yield a tensor and those that it wraps, or consists of; nothing of anything else."""
    if isinstance(each, torch.Tensor):
        yield each
        for name in () if is_lazy(each) else inner_names(each):
            yield from _with_inner(getattr(each, name))
        yield from () if is_lazy(each) else components(each)


def _block(each: Any) -> tuple[int, Values | None]:
    """Return what the memory of a tensor or array is known by, and its values; None where it has none of its own."""
    if isinstance(each, np.ndarray):
        while isinstance(each.base, np.ndarray):
            each = each.base
        return id(each), each if each.flags.writeable and each.nbytes else None
    if is_lazy(each) or each.is_meta or each.layout is not torch.strided or inner_names(each):
        return 0, None
    storage = each.untyped_storage()
    return storage._cdata, _words(storage) if storage.nbytes() and storage.data_ptr() else None


def _words(storage: torch.UntypedStorage) -> torch.Tensor:
    word = torch.int64 if storage.nbytes() % 8 == 0 else torch.uint8
    return torch.empty(0, dtype=word, device=storage.device).set_(storage)


def _whole(each: Any) -> tuple[Values, Values]:
    """The values of a tensor or array where they are, and a copy in host memory."""
    values: Any = _block(each)[1]
    return values, values.copy() if isinstance(values, np.ndarray) else values.to("cpu", copy=True)


def _same_values(_: Any, kept: tuple[Any, Any]) -> bool:
    """Compare bit for bit: NaN is the same as itself."""
    now, then = kept
    if isinstance(now, torch.Tensor):
        return now.untyped_storage().nbytes() == then.nbytes and torch.equal(now.cpu(), then)
    if now.dtype.hasobject:
        return all(left is right for left, right in zip(now.flat, then.flat, strict=True))
    return now.tobytes() == then.tobytes() if now.nbytes % 8 else bool(np.array_equal(_as_words(now), _as_words(then)))


def _as_words(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.ascontiguousarray(values).reshape(-1).view(np.uint8).view(np.int64)


def _put_values(_: Any, kept: tuple[Any, Any]) -> None:
    now, then = kept
    if isinstance(now, np.ndarray):
        np.copyto(now, then)
    else:
        if now.untyped_storage().nbytes() != then.nbytes:
            now.untyped_storage().resize_(then.nbytes)
        now.copy_(then)


def _digest(each: Any) -> tuple[Values, Any]:
    """The values where they are, and what shows that they were written to: their sum as words, and a sample."""
    values: Any = _block(each)[1]
    is_array = isinstance(values, np.ndarray)
    whole = values if not is_array or values.dtype.hasobject or values.nbytes % 8 else _as_words(values)
    total = [int(whole.sum())] if values.nbytes <= READ and not (is_array and whole is values) else []
    step = max(1, (values.size if is_array else values.numel()) // SAMPLE)
    return values, total + (values.flat if is_array else values.reshape(-1))[::step].tolist()


COPIED = Kind(_whole, _same_values, _put_values)
WATCHED = Kind(_digest, lambda it, kept: repr(_digest(it)[1]) == repr(kept[1]), do_nothing)

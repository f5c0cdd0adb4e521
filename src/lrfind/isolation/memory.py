"""The values of tensors and arrays: copied to host memory if training can move them, else watched.

Copied are trained weights, buffers, optimizer state, and what functions and objects keep. Frozen weights and data take
most of the memory and hardly ever move. Of these, tensors with the shape of a trained weight (an average, a teacher)
and the smallest blocks are copied; the rest is watched.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from mmap import mmap
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer

from lrfind.isolation.notes import Note, Rule, do_nothing
from lrfind.isolation.reach import Found, hooks_of, inner_tensors, instances, is_leaf

SHARE = 0.02
"""Of memory that hardly ever moves, the smallest blocks are copied, up to this share of the whole ..."""
LEAST = {"model": 1 << 62, "frozen": 1 << 20, "beside": 1 << 30, "data": 1 << 26}
"""... or up to this many bytes, if that is more."""
SAMPLE, READ = 4096, 1 << 33
"""Watched memory: how many words are compared, and up to how many bytes the sums of all words are."""

_MEMORY = (torch.Tensor, torch.UntypedStorage, np.ndarray, mmap)

Values = torch.Tensor | np.ndarray[Any, Any]
"""A storage or array as words; an array of objects as it is."""


def notes_of_memory(state: Found, data: Found) -> Iterator[tuple[Any, Note]]:
    """Note tensors, and each block of memory that training reaches once, however many tensors share it.

    ``state`` is what models, optimizers and functions reach, ``data`` what only loaders, datasets and samplers reach.
    Yields a tensor or array, and a note of it or of its block.
    """
    for each in (*instances(state, torch.Tensor), *instances(data, torch.Tensor)):
        yield each, (TENSOR, each, TENSOR.keep(each))
    place_of = _places(state)
    holders = [(place_of(each), each) for each in instances(state, _MEMORY)]
    holders += [("data", each) for each in instances(data, _MEMORY)]
    blocks: dict[int, tuple[str, Any, Values]] = {}
    for place, each in sorted(holders, key=lambda pair: [*LEAST].index(pair[0])):  # shared blocks: the first
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
    """Return a function that says whether a tensor moves with the model, is frozen, or lies beside the model."""
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
        if id(each) in known or is_lazy(each) or _shape(each) in shapes:
            return "model"
        return "frozen" if id(each) in frozen else "beside"

    return place


def _with_inner(each: Any) -> Iterator[torch.Tensor]:
    if isinstance(each, torch.Tensor):
        yield each
        for inner in () if is_lazy(each) else inner_tensors(each):
            yield from _with_inner(inner)


def _block(each: Any) -> tuple[int, Values | None]:
    """Return the key of a tensor's or array's memory, and its values; None if it has no memory of its own."""
    if isinstance(each, (np.ndarray, mmap)):
        return _block_of_array(each)
    if isinstance(each, torch.Tensor):
        if is_lazy(each) or each.is_meta or each.layout is not torch.strided or hasattr(each, "__tensor_flatten__"):
            return 0, None
        each = each.untyped_storage()
    if not each.nbytes() or not each.data_ptr():
        return 0, None
    return each._cdata, _words(torch.empty(0, dtype=torch.uint8, device=each.device).set_(each))


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
    """Compare bit for bit, so that NaN equals itself."""
    return now.untyped_storage().nbytes() == then.nbytes and torch.equal(now.cpu(), then)


def _put_values(now: torch.Tensor, then: torch.Tensor) -> None:
    if now.untyped_storage().nbytes() != then.nbytes:
        now.untyped_storage().resize_(then.nbytes)
    now.copy_(then)


def _digest(values: torch.Tensor) -> list[int]:
    """Return a sample of words, and the sums of as many parts: of one sum, exchanged rows would be no change."""
    size = max(1, values.numel() // SAMPLE)
    end = values.numel() // size * size
    sums = [*values[:end].view(-1, size).sum(1).tolist(), values[end:].sum().item()] if values.nbytes <= READ else []
    return [*values[::size].tolist(), *sums]


def _beside_values(it: torch.Tensor) -> tuple[Any, ...]:
    """Return where the values of a tensor lie, its hooks, ``requires_grad`` and ``grad``."""
    hooks = [dict(each) if each else {} for each in hooks_of(it)]
    if is_lazy(it):
        return None, hooks, it.requires_grad, None
    return _place(it), hooks, *((it.requires_grad, it.grad) if is_leaf(it) else (None, None))


def _place(it: torch.Tensor) -> Any:
    """Return where the values of a tensor lie, and how."""
    place = it.dtype, it.device, it.layout, _shape(it)
    if it.layout is not torch.strided:
        return *place, *map(_place, inner_tensors(it))
    try:
        return *place, it.stride(), it.storage_offset(), it.untyped_storage()._cdata
    except (RuntimeError, NotImplementedError):  # no memory of its own; the tensors that it wraps are noted
        return place


def _shape(it: Any) -> Any:
    """Return a tensor's shape; None if it has none, as a nested one."""
    try:
        return it.shape
    except (RuntimeError, AttributeError):
        return None


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


TENSOR = Rule(lambda it: (it.data if is_lazy(it) else it.detach(), *_beside_values(it)), _put_tensor, _same_tensor)
"""Kept are an alias of a tensor's memory, and what it has beside its values."""
ARRAY = Rule(np.copy, np.copyto, lambda it, kept: it.tobytes() == kept.tobytes())
"""For arrays of objects, whose bytes are addresses, and for arrays with gaps."""
COPIED = Rule(lambda it: it.to("cpu", copy=True), _put_values, _same_values)
WATCHED = Rule(_digest, do_nothing, lambda it, kept: _digest(it) == kept)

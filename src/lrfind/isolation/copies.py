"""Copies: a model, its optimizers and its functions, copied together so that the copies refer to each other."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import FunctionType
from typing import Any, Literal, TypeVar, get_args

import torch
from torch import nn
from torch.optim import Optimizer

from lrfind.errors import BadInputError
from lrfind.isolation.functions import Memo, copied, rebind_attributes, rebound

T = TypeVar("T", bound=tuple[Any, ...])

Isolation = Literal["auto", "copy", "snapshot"]
"""How a loop keeps training as it is: probes run on a deep copy, or on the original that a snapshot puts back."""

_MODULE_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_OPTIMIZER_HOOKS = ("_optimizer_step_pre_hooks", "_optimizer_step_post_hooks")
_TORCHS_OWN = {"step", "_zero_grad_profile_name"}

_ROOM = 6
"""A probe on a copy needs at most this many times the weights: weights, gradients, two moments, and some room."""
_NOTED = 3
"""And this many more in host memory, wherever the model is: what a first step must not touch is noted there."""


def check_isolation(isolation: str) -> None:
    """Check the name of an isolation.

    Raises:
        BadInputError: If there is no such one.
    """
    if isolation not in get_args(Isolation):
        raise BadInputError(f'isolation must be "auto", "copy" or "snapshot", got {isolation!r}.')


def copies_of(parts: T, isolation: Isolation) -> T | None:
    """Return copies of a model and what refers to it; or None, where the originals are to be put back instead.

    Raises:
        BadInputError: If copies were asked for and cannot be made.
    """
    if isolation == "snapshot":
        return None
    if isolation == "copy":
        return clone(parts)
    if not fits(part for part in parts if isinstance(part, nn.Module)):
        return None
    try:
        return clone(parts)
    except BadInputError:
        return None


def clone(parts: T) -> T:
    """Deep-copy a model together with what refers to it, so that the copies refer to each other.

    Args:
        parts: Say, a model, its optimizers, a loss function. A function is copied so that it sees the copies of
            what it closes over. Hooks come along.

    Raises:
        BadInputError: If a part cannot be copied.
    """
    memo: Memo = {}
    try:
        copies = tuple(_copied(part, memo) for part in parts)
        for original, twin in list(_pairs(parts, memo)):
            _copy_hooks(original, twin, memo)
    except Exception as error:
        names = ", ".join(type(part).__name__ for part in parts)
        raise BadInputError(
            f"{names} cannot be deep-copied for probing ({type(error).__name__}: {error}); "
            f'detach tensors kept on the module, give it a __deepcopy__, or search with isolation="snapshot".'
        ) from error
    return copies  # type: ignore[return-value]


def fits(modules: Iterable[nn.Module], available: Callable[[torch.device], float] | None = None) -> bool:
    """Say whether there is room for probing copies of modules beside the originals.

    Args:
        modules: What would be copied.
        available: Bytes free on a device; asked of the driver, or of the system, where not given.
    """
    needed: Counter[torch.device] = Counter()
    for module in modules:
        for tensor in module.parameters():
            if not isinstance(tensor, nn.parameter.UninitializedParameter):
                size = tensor.numel() * tensor.element_size()
                needed[tensor.device] += _ROOM * size
                needed[torch.device("cpu")] += _NOTED * size
    ask = available or _available
    return all(size <= ask(device) for device, size in needed.items())


def _copied(part: Any, memo: Memo) -> Any:
    if isinstance(part, (nn.Module, list, tuple, dict)) or not callable(part):
        return copied(part, memo)
    return rebound(part, memo)


def _pairs(parts: Iterable[Any], memo: Memo) -> Iterator[tuple[Any, Any]]:
    """Yield everything with hooks that was copied, with its copy."""
    for part in parts:
        for one in part if isinstance(part, (list, tuple)) else (part,):
            if isinstance(one, Optimizer):
                yield from ((each, memo[id(each)]) for each in {id(one): one, **_inner(one)}.values())
            elif isinstance(one, nn.Module):
                yield from ((module, memo[id(module)]) for module in one.modules() if id(module) in memo)
                yield from ((weight, memo[id(weight)]) for weight in one.parameters() if id(weight) in memo)


def _inner(optimizer: Any) -> dict[int, Optimizer]:
    inner = vars(optimizer).get("optimizer")
    return {id(inner): inner} if isinstance(inner, Optimizer) else {}


def _copy_hooks(original: Any, twin: Any, memo: Memo) -> None:
    """Copy what torch leaves out when it copies an optimizer or a parameter; make hooks see the copies."""
    if isinstance(original, Optimizer):
        _copy_extras(original, twin, memo)
    elif isinstance(original, nn.Module):
        rebind_attributes(original, twin, memo)
        for name in _MODULE_HOOKS:
            for key, hook in getattr(original, name, {}).items():
                if isinstance(hook, FunctionType):
                    getattr(twin, name)[key] = rebound(hook, memo)
    elif isinstance(original, torch.Tensor):
        for hook in (original._backward_hooks or {}).values():
            twin.register_hook(rebound(hook, memo))
        for hook in (getattr(original, "_post_accumulate_grad_hooks", None) or {}).values():
            twin.register_post_accumulate_grad_hook(rebound(hook, memo))


def _copy_extras(optimizer: Optimizer, twin: Optimizer, memo: Memo) -> None:
    """Copy the attributes of a custom optimizer, and the hooks, that torch leaves out when it copies one."""
    for name, value in vars(optimizer).items():
        if name not in vars(twin) and name not in _TORCHS_OWN:
            setattr(twin, name, copy.deepcopy(value, memo))
    for name in _OPTIMIZER_HOOKS:
        for key, hook in getattr(optimizer, name, {}).items():
            if not getattr(getattr(hook, "__self__", None), "watches_only", False):
                getattr(twin, name)[key] = rebound(hook, memo)
    if hasattr(optimizer.step, "_wrapped_by_lr_sched"):
        _track_steps(twin)


def _track_steps(optimizer: Optimizer) -> None:
    """Tell a copied scheduler that its optimizer has stepped, as torch tells the original."""
    step = optimizer.step

    def tracked(*args: Any, **kwargs: Any) -> Any:
        optimizer._opt_called = True  # type: ignore[attr-defined]
        return step(*args, **kwargs)

    tracked._wrapped_by_lr_sched = True  # type: ignore[attr-defined]
    optimizer.step = tracked  # type: ignore[method-assign]


def _available(device: torch.device) -> float:
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(1024.0 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration, ValueError):
        return float("inf")

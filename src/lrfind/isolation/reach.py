"""Reach: one walk over everything that training can move, and the one rule for what is entered.

An object is entered through whatever it refers to; a function through what it closes over, its defaults, and the names
of modules that its code mentions; a tensor through its gradient, its hooks and, where it wraps others, those. Not
entered are the classes and modules of installed libraries, and the machinery that runs beside training: threads, locks,
loggers, compilers, process groups. Subclasses of the user's are entered, whatever they derive from.
"""

from __future__ import annotations

import gc
import io
import logging
import os
import random
import sys
import sysconfig
import threading
import weakref
from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import suppress
from functools import cache, cached_property, lru_cache
from itertools import chain
from pathlib import Path
from types import CodeType, FrameType, FunctionType, MemberDescriptorType, ModuleType, TracebackType
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from torch.nn.parameter import is_lazy
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import DataLoader, Dataset, Sampler
from torch.utils.data.dataloader import _BaseDataLoaderIter

MOST = 100_000
"""The elements of a larger container are not entered: they are data. The container itself is put back."""

DATA = (DataLoader, Dataset, Sampler)
"""Kinds that hold data rather than state."""

CACHES = type(cache(len))
"""What ``functools.lru_cache`` returns; its order is kept in links of its own, which nobody else may touch."""

_ATOMS = {
    *(int, float, complex, bool, str, bytes, type(None), type(...), range, slice, CodeType),
    *(torch.dtype, torch.device, torch.Size, torch.layout, torch.memory_format),
}
_TRAINED = (torch.Tensor, torch.nn.Module, torch.optim.Optimizer, LRScheduler, torch.amp.GradScaler, *DATA)
_CLOSED = (
    *(FrameType, TracebackType, threading.Thread, logging.Logger, logging.Handler),
    *(_BaseDataLoaderIter, io.IOBase, type(os.environ), random.SystemRandom),
)
_CLOSED_MODULES = (
    *("torch._", "torch.autograd.", "torch.cuda.", "torch.fx.", "torch.profiler.", "torch.utils.tensorboard."),
    *("torch.distributed._", "torch.distributed.d", "torch.distributed.fsdp.", "torch.distributed.tensor."),
    *("_thread.", "threading.", "concurrent.", "asyncio.", "_asyncio.", "subprocess.", "logging.", "socket."),
    *(f"multiprocessing.{part}" for part in ("con", "m", "p", "q", "sync", "u")),
    *("importlib.", "_frozen_importlib", "typing.", "_abc.", "IPython.", "ipykernel.", "zmq.", "tornado.", "rich."),
    *("lrfind.", "wandb.", "mlflow.", "tensorboard.", "tensorboardX."),
)
_OPENED = (
    *(f"torch.distributed.fsdp._fully_shard._fsdp_{each}." for each in ("state", "param_group", "param")),
    *(f"threading.{each}." for each in ("Event", "Semaphore", "BoundedSemaphore")),
    *("asyncio.queues.", "rich.progress.Progress.", "rich.progress.Task."),
)
"""What FSDP2 keeps beside a module, to match the hooks that it puts on it when it first runs; and plain counters."""


class Found(dict[int, tuple[Any, Any]]):
    """By its ``id``, each object that was reached, with the one that it was reached from; of a root, None."""

    @cached_property
    def by_type(self) -> dict[type, list[Any]]:
        """The objects of each type."""
        grouped: dict[type, list[Any]] = {}
        for each, _ in self.values():
            grouped.setdefault(type(each), []).append(each)
        return grouped


T = TypeVar("T")


def per_type(function: Callable[[Any], T]) -> Callable[[Any], T]:
    """Ask a function of types once for each."""
    return cache(function)


class _Unentered(NamedTuple):
    """A part that is put back and not entered."""

    it: Any


def reach(roots: Iterable[Any], known: Container[int] = (), later: list[Any] | None = None) -> Found:
    """Return everything that can be reached from some objects, in the order of the walk.

    Args:
        roots: Where to begin: models, optimizers, functions, loaders, generators.
        known: The ``id`` of each object that is not entered.
        later: Where it is given, data is put there instead of being entered.
    """
    found, unentered = Found(), Found()
    open_: deque[tuple[Any, Any]] = deque((root, None) for root in roots)
    while open_:
        each, holder = open_.popleft()
        key, kind = id(each), type(each)
        if key in found or key in known or kind in _ATOMS:
            continue
        if kind is _Unentered:
            unentered[id(each.it)] = each.it, holder
            continue
        if later is not None and issubclass(kind, DATA):
            later.append(each)
            continue
        found[key] = each, holder
        for part in _parts_of(kind)(each):
            if type(part) not in _ATOMS and id(part) not in found:
                open_.append((part, each))
    return Found({**unentered, **found}) if unentered else found


def instances(found: Found, kinds: Any) -> list[Any]:
    """Return what was found of some kinds."""
    return [each for kind, some in found.by_type.items() if issubclass(kind, kinds) for each in some]


def path_to(each: Any, found: Found) -> str:
    """Name an object by the way that the walk took to it: ``Net.teacher.weight``, ``loss_fn.mean``."""
    labels: list[str] = []
    while (holder := found.get(id(each), (each, None))[1]) is not None:
        labels.append(next((str(name) for name, part in _named_parts(holder) if part is each), ""))
        each = holder
    root = getattr(each, "__qualname__", type(each).__qualname__).rpartition("<locals>.")[2]
    return ".".join(dict.fromkeys([root, *filter(None, reversed(labels))]))


def _named_parts(holder: Any) -> Iterable[tuple[Any, Any]]:
    """Return the parts of an object that have a name, each with it."""
    if isinstance(holder, FunctionType):
        cells = zip(holder.__code__.co_freevars, holder.__closure__ or (), strict=True)
        return chain(cells, holder.__globals__.items(), sys.modules.items())
    if isinstance(holder, (list, tuple, deque)):
        return enumerate(holder)
    if isinstance(holder, dict):
        return holder.items()
    attributes = vars(holder) if isinstance(holder, type) else attributes_of(holder) or {}
    return chain(attributes.items(), ((name, getattr(holder, name, None)) for name in slots_of(type(holder))))


def attributes_of(each: Any) -> dict[str, Any] | None:
    """Return the dictionary of an object's attributes; None where it has none."""
    try:
        found = object.__getattribute__(each, "__dict__")
    except AttributeError:
        return None
    return found if isinstance(found, dict) else None


@per_type
def slots_of(kind: type) -> list[str]:
    """Return the names of the slots of a class, but for those of C."""
    written = [vars(owner) for owner in kind.__mro__ if "__slots__" in vars(owner)]
    return [name for names in written for name, slot in names.items() if type(slot) is MemberDescriptorType]


@lru_cache(maxsize=1 << 12)
def _names_in(code: CodeType) -> tuple[str, ...]:
    """Return the names that the code of a function mentions, and that of those defined in it."""
    inner = (name for each in code.co_consts if isinstance(each, CodeType) for name in _names_in(each))
    return tuple(dict.fromkeys((*code.co_names, *inner)))


def names_of(function: FunctionType) -> tuple[str, ...]:
    """Return the names that a function of the user's mentions, of its module or of others; none of a library's."""
    given = function.__globals__
    return _names_in(function.__code__) if is_of_user_by(given.get("__name__"), given.get("__file__")) else ()


@per_type
def is_of_user(it: Any) -> bool:
    """Say whether a class or a module is of a script, a notebook or a project, not of an installed library."""
    name = it.__name__ if type(it) is ModuleType else it.__module__
    return isinstance(name, str) and is_of_user_by(name, getattr(sys.modules.get(name), "__file__", None))


@cache
def is_of_user_by(name: str | None, file: str | None) -> bool:
    """Say by the name and the file of a module whether it is of the user."""
    first = (name or "").partition(".")[0]
    package = sys.modules.get(first) if first != name else None
    if package is not None and not is_of_user_by(first, getattr(package, "__file__", None)):
        return False
    if file is None or first == "lrfind":
        return first not in ("lrfind", *sys.builtin_module_names) and not first.startswith("_frozen")
    return not any(Path(file).is_relative_to(folder) for folder in _libraries())


@cache
def _libraries() -> frozenset[str]:
    named = (sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))
    return frozenset((*named, *(path for path in sys.path if path.endswith(("site-packages", "dist-packages")))))


@per_type
def is_closed(kind: type) -> bool:
    """Say whether objects of a type are neither entered nor put back."""
    if issubclass(kind, (type, threading.local, *_TRAINED)) or is_of_user(kind):
        return False
    name = f"{kind.__module__}.{kind.__qualname__}."
    return issubclass(kind, _CLOSED) or (name.startswith(_CLOSED_MODULES) and not name.startswith(_OPENED))


@per_type
def _parts_of(kind: Any) -> Callable[[Any], Iterable[Any]]:
    """Return what gives the parts of an object of a type."""
    if is_closed(kind):
        return lambda each: ()
    for kinds, parts in _PARTS:
        if issubclass(kind, kinds):
            return parts
    refers_to = _of_object if kind.__dictoffset__ else gc.get_referents
    if issubclass(kind, (dict, list, tuple, set, frozenset, deque)):
        return lambda each: refers_to(each) if len(each) <= MOST else _beside_elements(each)
    return refers_to


def _of_object(each: Any) -> Iterable[Any]:
    return attributes_of(each), *gc.get_referents(each)


def _beside_elements(each: Any) -> Iterable[Any]:
    """Return the parts of a large container but for its elements; containers among these are put back as they are."""
    elements = each.values() if isinstance(each, dict) else each
    inner = (_Unentered(part) for part in elements if type(part) in (dict, list, set))
    return type(each), attributes_of(each), *(getattr(each, name, None) for name in slots_of(type(each))), *inner


def _of_tensor(each: torch.Tensor) -> Iterator[Any]:
    yield attributes_of(each)
    for hooks in hooks_of(each):
        yield from (hooks or {}).values()
    if is_lazy(each):
        return
    if is_leaf(each):
        yield each.grad
    if type(each) not in (torch.Tensor, torch.nn.Parameter):
        yield from (type(each), *inner_tensors(each))
    elif each.layout is not torch.strided:
        yield from inner_tensors(each)


def inner_tensors(tensor: torch.Tensor) -> list[torch.Tensor]:
    """Return the tensors that one wraps, or, where it is sparse, consists of; none in a layout that is not known."""
    if hasattr(tensor, "__tensor_flatten__"):
        return [getattr(tensor, name) for name in tensor.__tensor_flatten__()[0]]
    if tensor.layout is torch.strided:
        return []
    names = ("_indices", "_values", "crow_indices", "ccol_indices", "row_indices", "col_indices", "values")
    found = []
    for name in names[:2] if tensor.layout is torch.sparse_coo else names[2:]:
        with suppress(RuntimeError, AttributeError):
            found.append(getattr(tensor, name)())
    return found


def hooks_of(tensor: torch.Tensor) -> tuple[dict[int, Any] | None, ...]:
    """Return the dictionaries of the hooks of a tensor; None where there never was one."""
    return tensor._backward_hooks, getattr(tensor, "_post_accumulate_grad_hooks", None)


def is_leaf(tensor: torch.Tensor) -> bool:
    """Say whether a tensor was computed from no other; FSDP1's views of weights that have moved since cannot say."""
    try:
        return tensor.is_leaf
    except RuntimeError:
        return False


def _of_array(each: np.ndarray[Any, Any]) -> Iterable[Any]:
    return attributes_of(each), *(each.flat if each.dtype.kind == "O" and each.size <= MOST else ())


def _of_function(each: FunctionType) -> Iterable[Any]:
    given = each.__closure__ or (), each.__defaults__ or (), (each.__kwdefaults__, vars(each))
    return chain(*given, (each.__globals__.get(name, sys.modules.get(name)) for name in names_of(each)))


_PARTS: tuple[tuple[Any, Callable[[Any], Iterable[Any]]], ...] = (
    (torch.Tensor, _of_tensor),
    (np.ndarray, _of_array),
    (type, lambda each: (*vars(each).values(), *each.__bases__, type(each)) if is_of_user(each) else ()),
    (FunctionType, _of_function),
    (ModuleType, lambda each: list(vars(each).values()) if is_of_user(each) else ()),
    (weakref.ReferenceType, lambda each: (each(),)),
    (threading.local, lambda each: (vars(each),)),
    (CACHES, lambda each: (each.__wrapped__, vars(each))),
    (torch.jit.ScriptModule, lambda each: (*_of_object(each), *each.parameters(), *each.buffers())),
)

"""Reach: one walk over everything that training can move, and the one rule for what is entered.

An object is entered through whatever it holds: attributes, slots, elements, its class; a function through what it
closes over, its defaults, and the names of modules that its code mentions; a tensor also through its gradient, its
hooks and, where it wraps others, those. Not entered are the classes and modules of installed libraries, and the
machinery that runs beside training: threads, locks, loggers, compilers, process groups.
"""

from __future__ import annotations

import gc
import io
import logging
import sys
import sysconfig
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import cache
from itertools import chain
from pathlib import Path
from types import CellType, CodeType, FrameType, FunctionType, ModuleType, TracebackType
from typing import Any

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

_ATOMS = {
    *(int, float, complex, bool, str, bytes, type(None), type(...), range, slice, CodeType),
    *(torch.dtype, torch.device, torch.Size, torch.layout, torch.memory_format),
}
_TRAINED = (torch.Tensor, torch.nn.Module, torch.optim.Optimizer, LRScheduler, torch.amp.GradScaler, *DATA)
_CLOSED = (FrameType, TracebackType, threading.Thread, logging.Logger, logging.Handler, _BaseDataLoaderIter, io.IOBase)
_CLOSED_MODULES = (
    *("torch._", "torch.autograd.", "torch.cuda.", "torch.fx.", "torch.profiler.", "torch.utils.tensorboard."),
    *("torch.distributed._", "torch.distributed.d", "torch.distributed.fsdp.", "torch.distributed.tensor."),
    *(
        "_thread.",
        "threading.",
        "multiprocessing.q",
        "multiprocessing.con",
        "multiprocessing.sync",
        "multiprocessing.p",
    ),
    *("multiprocessing.m", "multiprocessing.u", "concurrent.", "asyncio."),
    *("subprocess.", "logging.", "socket.", "importlib.", "_frozen_importlib", "typing.", "_abc.", "IPython."),
    *(
        "ipykernel.",
        "zmq.",
        "rich.",
        "tqdm.",
        "lrfind.",
        "tornado.",
        "wandb.",
        "mlflow.",
        "tensorboard.",
        "tensorboardX.",
    ),
)
_OPENED_MODULES = tuple(
    f"torch.distributed.fsdp._fully_shard._fsdp_{each}." for each in ("state", "param_group", "param")
)
"""What FSDP2 keeps beside a module, to match the hooks that it puts on it when the module first runs."""

CACHES = type(cache(len))
"""What ``functools.lru_cache`` returns; its order is kept in links of its own, which nobody else may touch."""

Found = dict[int, tuple[Any, Any]]
"""By its ``id``, each object that was reached, with the one that it was reached from; of a root, None."""


def reach(roots: Iterable[Any], apart: Iterable[Any] = (), later: list[Any] | None = None) -> Found:
    """Return everything that can be reached from some objects, in the order of the walk.

    Args:
        roots: Where to begin: models, optimizers, functions, loaders, generators.
        apart: What is not entered: a trainer, say.
        later: Where it is given, data is put there instead of being entered.
    """
    closed = {id(each) for each in apart}
    found: Found = {}
    open_: deque[tuple[Any, Any]] = deque((root, None) for root in roots)
    while open_:
        each, holder = open_.popleft()
        key, kind = id(each), kind_of(each)
        if key in found or key in closed or kind in _ATOMS:
            continue
        if later is not None and issubclass(kind, DATA):
            later.append(each)
            continue
        found[key] = each, holder
        open_.extend(
            (part, each) for part in _parts_of(kind)(each) if type(part) not in _ATOMS and id(part) not in found
        )
    return found


def instances(found: Found, kinds: Any) -> list[Any]:
    """Return what was found of some kinds."""
    wanted = {kind for kind in {type(each) for each, _ in found.values()} if issubclass(kind, kinds)}
    return [each for each, _ in found.values() if type(each) in wanted]


def path_to(each: Any, found: Found) -> str:
    """Name an object by the way that the walk took to it: ``Net.teacher.weight``, ``loss_fn.mean``."""
    labels: list[str] = []
    while (holder := found.get(id(each), (each, None))[1]) is not None:
        labels.append(_label(each, holder))
        each = holder
    root = getattr(each, "__qualname__", type(each).__qualname__)
    return ".".join(dict.fromkeys([root, *filter(None, reversed(labels))]))


def attributes_of(each: Any) -> dict[str, Any] | None:
    """Return the dictionary of an object's attributes; None where it has none."""
    try:
        found = object.__getattribute__(each, "__dict__")
    except AttributeError:
        return None
    return found if isinstance(found, dict) else None


def kind_of(each: Any) -> Any:
    """Return the type of an object."""
    return type(each)


@cache
def slots_of(kind: Any) -> tuple[Any, ...]:
    """Return the descriptors of the slots of a class, but for those of C."""
    written = [owner for owner in kind.__mro__ if "__slots__" in vars(owner)]
    return tuple(one for owner in written for one in vars(owner).values() if type(one) is _SLOT)


class _Slotted:
    __slots__ = ("slot",)


_SLOT = type(vars(_Slotted)["slot"])


def cells_of(function: FunctionType) -> list[CellType]:
    """Return the cells a function closes over, but for empty ones."""
    return [cell for cell in function.__closure__ or () if gc.get_referents(cell)]


def codes(code: CodeType) -> Iterator[CodeType]:
    """Yield the code of a function and of those defined in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from codes(constant)


def names_of(function: FunctionType) -> Iterator[tuple[dict[str, Any], list[str]]]:
    """Yield the dictionaries of the user's modules that a function may read or write, each with the names it mentions.

    Its own module's, and those of the modules that it names: ``state.count`` after ``import state``.
    """
    if not _is_own(function.__globals__.get("__name__"), function.__globals__.get("__file__")):
        return
    mentioned = list(dict.fromkeys(name for code in codes(function.__code__) for name in code.co_names))
    open_, seen = [function.__globals__], set()
    while open_:
        module = open_.pop()
        if id(module) not in seen:
            seen.add(id(module))
            yield module, mentioned
            named = [module.get(name, sys.modules.get(name)) for name in mentioned]
            open_ += [vars(one) for one in named if type(one) is ModuleType and is_own(one)]


def is_own(it: Any) -> bool:
    """Say whether a class or a module is the user's own: of a script, a notebook or a project, not of a library."""
    name = it.__name__ if type(it) is ModuleType else it.__module__
    return isinstance(name, str) and _is_own(name, getattr(sys.modules.get(name), "__file__", None))


@cache
def _is_own(name: str | None, file: str | None) -> bool:
    first = (name or "").partition(".")[0]
    if file is None or first == "lrfind":
        return first not in ("lrfind", *sys.builtin_module_names) and not first.startswith("_frozen")
    return not any(Path(file).is_relative_to(folder) for folder in _libraries())


@cache
def _libraries() -> frozenset[str]:
    named = (sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))
    return frozenset((*named, *(one for one in sys.path if one.endswith(("site-packages", "dist-packages")))))


def is_closed(kind: type) -> bool:
    """Say whether objects of a type are neither entered nor put back."""
    module = f"{kind.__module__}." if isinstance(kind.__module__, str) else ""
    is_open = issubclass(kind, _TRAINED) or module.startswith(_OPENED_MODULES)
    return issubclass(kind, _CLOSED) or (module.startswith(_CLOSED_MODULES) and not is_open)


@cache
def _parts_of(kind: Any) -> Callable[[Any], Iterable[Any]]:
    """Return what gives the parts of an object of a type."""
    if is_closed(kind):
        return lambda each: ()
    for kinds, parts in _PARTS:
        if issubclass(kind, kinds):
            return parts
    return _of_object


def _of_object(each: Any) -> Iterable[Any]:
    attributes_of(each)  # which the garbage collector knows of only when it was asked for
    held = gc.get_referents(each)
    if isinstance(each, torch.jit.ScriptModule):  # whose tensors are not among its attributes
        held += (*each.parameters(), *each.buffers())
    return held


def _of_mapping(each: dict[Any, Any]) -> Iterable[Any]:
    items = chain(dict.keys(each), dict.values(each)) if len(each) <= MOST else ()
    return items if type(each) is dict else chain(items, _beside_elements(each))


def _of_elements(each: Any) -> Iterable[Any]:
    elements = each if len(each) <= MOST else ()
    return elements if type(each) in (list, tuple, set) else chain(elements, _beside_elements(each))


def _beside_elements(each: Any) -> Iterator[Any]:
    yield from (type(each), attributes_of(each))
    yield from (getattr(each, slot.__name__, None) for slot in slots_of(kind_of(each)))


def _of_tensor(each: torch.Tensor) -> Iterator[Any]:
    yield attributes_of(each)
    for hooks in hooks_of(each):
        yield from (hooks or {}).values()
    if is_lazy(each):
        return
    if is_leaf(each):
        yield each.grad
    if type(each) not in (torch.Tensor, torch.nn.Parameter):
        yield from (type(each), *(getattr(each, name) for name in inner_names(each)))
    elif each.layout is not torch.strided:
        yield from components(each)


def components(tensor: torch.Tensor) -> list[torch.Tensor]:
    """Return the dense tensors that a sparse one consists of; none of one in a layout that is not known."""
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


def inner_names(tensor: torch.Tensor) -> list[str]:
    """Return the attributes in which a tensor that wraps others keeps them."""
    flatten = getattr(tensor, "__tensor_flatten__", None)
    return list(flatten()[0]) if flatten else []


def _of_array(each: np.ndarray[Any, Any]) -> Iterable[Any]:
    elements = each.flat if each.dtype.kind == "O" and each.size <= MOST else ()
    return chain(elements, (attributes_of(each),))


def _of_function(each: FunctionType) -> Iterable[Any]:
    given = each.__closure__ or (), each.__defaults__ or (), (each.__kwdefaults__, vars(each))
    named = (module.get(name) for module, names in names_of(each) for name in names)
    return chain(*given, (one for one in named if type(one) is not ModuleType))


def _of_class(each: type) -> Iterable[Any]:
    return chain(vars(each).values(), each.__bases__, (type(each),)) if is_own(each) else ()


def _of_module(each: ModuleType) -> Iterable[Any]:
    return vars(each).values() if is_own(each) else ()


_PARTS: tuple[tuple[Any, Callable[[Any], Iterable[Any]]], ...] = (
    (torch.Tensor, _of_tensor),
    (np.ndarray, _of_array),
    (type, _of_class),
    (FunctionType, _of_function),
    (ModuleType, _of_module),
    (weakref.ReferenceType, lambda each: (each(),)),
    (CACHES, lambda each: (each.__wrapped__, vars(each))),
    (dict, _of_mapping),
    ((list, tuple, set, frozenset, deque), _of_elements),
)


def _label(each: Any, holder: Any) -> str:
    """Name a part of an object, where it has a name."""
    if isinstance(holder, FunctionType):
        cells = dict(zip(holder.__code__.co_freevars, holder.__closure__ or (), strict=True))
        named: Iterable[tuple[Any, Any]] = chain(cells.items(), *(module.items() for module, _ in names_of(holder)))
    elif isinstance(holder, (list, tuple, deque)):
        named = enumerate(holder)
    else:
        slots = ((slot.__name__, getattr(holder, slot.__name__, None)) for slot in slots_of(kind_of(holder)))
        items = holder if isinstance(holder, dict) else vars(holder) if isinstance(holder, type) else {}
        named = chain(slots, items.items())
    return next((str(name) for name, one in named if one is each), "")

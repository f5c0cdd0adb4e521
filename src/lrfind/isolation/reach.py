"""Reach: one walk over everything that training can move, and the one rule for what is entered.

An object is entered through its attributes (``__dict__`` and slots), its elements, its class; a function through what it
closes over, its defaults and the names of its module that its code mentions; a tensor through its gradient, its hooks
and, where it wraps others, what it wraps; anything else through what the garbage collector knows it to hold. Not entered
are modules as a whole, the classes and modules of installed libraries, and the machinery of processes: threads, locks,
loggers, compilers, process groups.
"""

from __future__ import annotations

import gc
import logging
import sys
import sysconfig
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from types import CellType, CodeType, FrameType, FunctionType, ModuleType, TracebackType
from typing import Any

import numpy as np
import torch
from torch.nn.parameter import is_lazy
from torch.optim.lr_scheduler import LRScheduler

MOST = 100_000
"""Elements of a container that has more are not entered: it holds data. The container itself is put back."""

ATOMS: frozenset[type] = frozenset(
    (int, float, complex, bool, str, bytes, type(None), type(...), type(NotImplemented), range, slice)
    + (torch.dtype, torch.device, torch.Size, torch.layout, torch.memory_format, CodeType, ModuleType)
)
"""Types whose values hold nothing that can move."""

_CLOSED = (FrameType, TracebackType, threading.Thread, logging.Logger, logging.Handler, weakref.ReferenceType)
_CLOSED_MODULES = (
    *("torch._", "torch.autograd", "torch.cuda", "torch.distributed", "torch.fx", "torch.profiler"),
    *("torch.utils.tensorboard", "_thread", "threading", "multiprocessing", "concurrent", "asyncio", "subprocess"),
    *("logging", "socket", "importlib", "_frozen_importlib", "typing", "re", "abc", "_abc"),
    *("IPython", "ipykernel", "zmq", "tornado", "wandb", "mlflow", "tensorboard", "tensorboardX"),
)
"""Machinery that runs beside training, or finds its own state again."""
_TRAINED = (torch.nn.Module, torch.optim.Optimizer, LRScheduler, torch.utils.data.Dataset, torch.utils.data.Sampler)
"""Kinds that are entered wherever they are defined."""

Found = dict[int, tuple[Any, Any]]
"""By its ``id``, each object that was reached, with the one it was reached from (None for a root), in order."""

Parts = Callable[[Any], Iterable[Any]]


def reach(roots: Iterable[Any], apart: Iterable[Any] = (), later: Callable[[Any], bool] | None = None) -> Found:
    """Return everything that can be reached from some objects.

    Args:
        roots: Where to begin: models, optimizers, functions, loaders, generators.
        apart: What is neither entered nor returned: a trainer, say.
        later: What is neither entered nor returned if it is told so: data.
    """
    closed = {id(each) for each in apart}
    found: Found = {}
    open_: deque[tuple[Any, Any]] = deque((root, None) for root in roots if type(root) not in ATOMS)
    while open_:
        each, holder = open_.popleft()
        key = id(each)
        if key in found or key in closed or (later is not None and later(each)):
            continue
        found[key] = (each, holder)
        for part in _parts_of(type(each))(each):
            if type(part) not in ATOMS and id(part) not in found:
                open_.append((part, each))
    return found


def parts_of(each: Any) -> Iterable[Any]:
    """Return what an object is entered through."""
    return _parts_of(type(each))(each)


def path_to(each: Any, found: Found) -> str:
    """Name an object by the way that the walk took to it: ``Net.teacher.weight``, ``loss_fn: mean``."""
    names: list[str] = []
    holder = found.get(id(each), (each, None))[1]
    while holder is not None:
        names.append(_label(each, holder))
        each, holder = holder, found[id(holder)][1]
    names.append(getattr(each, "__qualname__", type(each).__qualname__))
    return "".join(reversed(names))


def attributes_of(each: Any) -> dict[str, Any] | None:
    """Return the dictionary of an object's attributes; None where it has none."""
    try:
        found = object.__getattribute__(each, "__dict__")
    except AttributeError:
        return None
    return found if isinstance(found, dict) else None


@cache
def slots_of(kind: type) -> tuple[Any, ...]:
    """Return the descriptors of the slots that objects of a class have."""
    names = [(owner, name) for owner in kind.__mro__ for name in _slot_names(owner)]
    found = [vars(owner).get(_mangled(owner, name)) for owner, name in names]
    return tuple(one for one in found if hasattr(one, "__set__"))


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
    """Yield the dictionaries of modules that a user's function may read or write, each with the names it mentions.

    Its own module's, and those of the user's other modules that it names: ``state.count`` after ``import state``.
    """
    if not is_own(function.__globals__.get("__name__"), function.__globals__.get("__file__")):
        return
    mentioned = dict.fromkeys(name for code in codes(function.__code__) for name in code.co_names)
    open_, seen = [function.__globals__], set()
    while open_:
        names = open_.pop()
        if id(names) not in seen:
            seen.add(id(names))
            yield names, list(mentioned)
            held = [names.get(name, sys.modules.get(name)) for name in mentioned]
            modules = [one for one in held if type(one) is ModuleType]
            open_ += [vars(one) for one in modules if is_own(one.__name__, getattr(one, "__file__", None))]


@cache
def is_own(module: str | None, file: str | None) -> bool:
    """Say whether a module is the user's own: a script, a notebook or a project, not an installed library."""
    if module in ("builtins", "typing") or (module or "").partition(".")[0] == "lrfind":
        return False
    if file is None:
        return module not in sys.builtin_module_names and not (module or "").startswith("_frozen")
    return not any(Path(file).is_relative_to(folder) for folder in _libraries())


def is_own_class(kind: type) -> bool:
    """Say whether a class is the user's own."""
    module = kind.__module__
    known = sys.modules.get(module) if isinstance(module, str) else None
    return isinstance(module, str) and is_own(module, getattr(known, "__file__", None))


@cache
def _libraries() -> tuple[Path, ...]:
    return tuple({Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")}) + tuple(
        Path(folder) for folder in sys.path if folder.endswith(("site-packages", "dist-packages"))
    )


@cache
def _parts_of(kind: type) -> Parts:
    """Return what gives the parts of an object of a type."""
    if issubclass(kind, torch.Tensor):
        return _of_tensor
    if issubclass(kind, np.ndarray):
        return _of_array
    if issubclass(kind, type):
        return _of_class
    if kind is FunctionType:
        return _of_function
    if is_closed(kind):
        return lambda each: ()
    if issubclass(kind, dict):
        return _of_mapping if kind is dict else lambda each: (*_of_mapping(each), *_own_parts(each))
    if issubclass(kind, (list, tuple, set, frozenset, deque)):
        is_plain = kind in (list, tuple, set, frozenset, deque)
        return _of_elements if is_plain else lambda each: (*_of_elements(each), *_own_parts(each))
    return _of_object


def is_closed(kind: type) -> bool:
    """Say whether objects of a type are neither entered nor put back."""
    if issubclass(kind, _CLOSED):
        return True
    module = kind.__module__ if isinstance(kind.__module__, str) else ""
    return not issubclass(kind, _TRAINED) and any(
        module == one or module.startswith(one if one.endswith("_") else f"{one}.") for one in _CLOSED_MODULES
    )


def _of_object(each: Any) -> Iterator[Any]:
    attributes = attributes_of(each)
    yield from (attributes or {}).values()
    yield from (part for part in gc.get_referents(each) if part is not attributes)
    if isinstance(each, torch.jit.ScriptModule):  # whose tensors are not among its attributes
        yield from (*each.parameters(), *each.buffers())


def _own_parts(each: Any) -> Iterator[Any]:
    """Yield what an object of a subclass of a container holds besides elements."""
    yield from (attributes_of(each) or {}).values()
    yield from (slot.__get__(each) for slot in slots_of(type(each)) if _is_set(slot, each))
    yield type(each)


def _of_mapping(each: dict[Any, Any]) -> Iterator[Any]:
    if len(each) <= MOST:
        yield from dict.keys(each)
        yield from dict.values(each)


def _of_elements(each: Any) -> Iterable[Any]:
    return each if len(each) <= MOST else ()


def _of_tensor(each: torch.Tensor) -> Iterator[Any]:
    yield from (attributes_of(each) or {}).values()
    yield from (each._backward_hooks or {}).values()
    yield from (getattr(each, "_post_accumulate_grad_hooks", None) or {}).values()
    if is_lazy(each):
        return
    if each.is_leaf and each.grad is not None:
        yield each.grad
    if type(each) not in (torch.Tensor, torch.nn.Parameter):
        yield type(each)
        yield from (getattr(each, name) for name in inner_names(each))
    elif each.layout is torch.sparse_coo:
        yield from (each._indices(), each._values())


def inner_names(tensor: torch.Tensor) -> list[str]:
    """Return the attributes in which a tensor that wraps others keeps them."""
    flatten = getattr(tensor, "__tensor_flatten__", None)
    return list(flatten()[0]) if flatten else []


def _of_array(each: np.ndarray[Any, Any]) -> Iterator[Any]:
    if each.dtype.hasobject and each.size <= MOST:
        yield from each.astype(object).flat
    yield from (attributes_of(each) or {}).values()


def _of_function(each: FunctionType) -> Iterator[Any]:
    yield from each.__closure__ or ()
    yield from each.__defaults__ or ()
    yield from (each.__kwdefaults__ or {}).values()
    yield from vars(each).values()
    for module, names in names_of(each):
        yield from (module[name] for name in names if name in module)


def _of_class(each: type) -> Iterator[Any]:
    if is_own_class(each):
        yield from vars(each).values()
        yield from each.__bases__


def _slot_names(kind: type) -> tuple[str, ...]:
    names = vars(kind).get("__slots__", ())
    return tuple(name for name in ((names,) if isinstance(names, str) else names) if name not in _SPECIAL)


_SPECIAL = ("__dict__", "__weakref__")


def _mangled(owner: type, name: str) -> str:
    is_private = name.startswith("__") and not name.endswith("__")
    return f"_{owner.__name__.lstrip('_')}{name}" if is_private else name


def _label(each: Any, holder: Any) -> str:
    """Name a part of an object."""
    if isinstance(holder, FunctionType):
        cells = zip(holder.__code__.co_freevars, holder.__closure__ or (), strict=False)
        globals_ = (item for module, _ in names_of(holder) for item in module.items())
        return next((f": {name}" for name, one in (*cells, *globals_) if one is each), "")
    if isinstance(holder, (dict, type(vars(type)))):
        return next((f"[{name!r:.40}]" for name, one in holder.items() if one is each), "")
    if isinstance(holder, (list, tuple, deque)):
        return next((f"[{index}]" for index, one in enumerate(holder) if one is each), "")
    named = (vars(holder) if isinstance(holder, type) else attributes_of(holder)) or {}
    slots = ((one.__name__, one.__get__(holder, type(holder))) for one in slots_of(type(holder)) if _is_set(one, holder))
    if isinstance(holder, torch.Tensor) and each is holder.grad:
        return ".grad"
    return next((f".{name}" for name, one in (*named.items(), *slots) if one is each), "")


def _is_set(slot: Any, holder: Any) -> bool:
    try:
        slot.__get__(holder)
    except AttributeError:
        return False
    return True

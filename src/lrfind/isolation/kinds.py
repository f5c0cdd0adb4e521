"""Which types and modules are the user's, and which ones the walk enters.

Not entered are the classes and modules of installed libraries, and the machinery beside training: threads, locks,
compilers, process groups. Subclasses that the user wrote are entered, whatever their bases.
"""

import io
import json
import logging
import os
import random
import re
import sys
import sysconfig
import threading
from collections.abc import Callable
from contextvars import ContextVar
from functools import cache
from itertools import accumulate
from pathlib import Path
from types import CodeType, FrameType, FunctionType, MemberDescriptorType, ModuleType, TracebackType
from typing import Any, TypeVar
from urllib.parse import urlparse
from urllib.request import url2pathname

import torch
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import DataLoader, Dataset, Sampler
from torch.utils.data.dataloader import _BaseDataLoaderIter

DATA = (DataLoader, Dataset, Sampler)
"""Types that hold data, not state."""

CACHES = type(cache(len))
"""The type that ``functools.lru_cache`` returns; it keeps its order in links that must not be changed."""

ATOMS = frozenset(
    id(kind)
    for kind in (
        *(int, float, complex, bool, str, bytes, type(None), type(...), range, slice, CodeType),
        *(torch.dtype, torch.device, torch.Size, torch.layout, torch.memory_format),
    )
)
"""Types that refer to nothing else, by ``id``: a metaclass may forbid hashing."""
_TRAINED = (torch.Tensor, torch.nn.Module, torch.optim.Optimizer, LRScheduler, torch.amp.GradScaler, *DATA)
_CLOSED = (
    *(FrameType, TracebackType, threading.Thread),
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
    *("asyncio.queues.", "rich.progress.Progress.", "rich.progress.Task.", "torch._library.custom_ops."),
)
"""Exceptions: what FSDP2 keeps beside a module, to match the hooks of its first run; and plain counters."""

T = TypeVar("T")


def once_for_each(function: Callable[..., T]) -> Callable[..., T]:
    """Cache a function of a type or code object by its ``id``, since hashing may be slow or forbidden."""
    answers: dict[int, tuple[Any, T]] = {}

    def answer(it: Any, *more: Any) -> T:
        known = answers.get(id(it))
        if known is None:
            known = answers[id(it)] = it, function(it, *more)
        return known[1]

    return answer


def is_kind(kind: type, kinds: Any) -> bool:
    """Return ``issubclass(kind, kinds)``, also for types that cannot be hashed."""
    try:
        return issubclass(kind, kinds)
    except TypeError:  # an abstract class hashes it; its metaclass forbids that
        return any(base is each for base in kind.__mro__ for each in (kinds if isinstance(kinds, tuple) else [kinds]))


def attributes_of(each: Any) -> dict[str, Any] | None:
    """Return an object's ``__dict__``; None if it has none."""
    try:
        found = object.__getattribute__(each, "__dict__")
    except AttributeError:
        return None
    return found if isinstance(found, dict) else None


def in_script(each: torch.jit.ScriptModule) -> dict[str, Any]:
    """Return the attributes that a scripted or traced module keeps in C++, its weights among them."""
    return {name: each._c.getattr(name) for name in each._concrete_type.get_attributes()}


@once_for_each
def slots_of(kind: type) -> list[str]:
    """Return the names of the slots that a class defines in Python."""
    written = [vars(owner) for owner in kind.__mro__ if "__slots__" in vars(owner)]
    return [name for names in written for name, slot in names.items() if type(slot) is MemberDescriptorType]


def names_of(function: FunctionType) -> tuple[str, ...]:
    """Return the global and module names that a user's function mentions; none for a library's function."""
    given = function.__globals__
    return _names_in(function.__code__) if is_of_user_by(given.get("__name__"), given.get("__file__")) else ()


@once_for_each
def _names_in(code: CodeType) -> tuple[str, ...]:
    inner = (name for each in code.co_consts if isinstance(each, CodeType) for name in _names_in(each))
    return tuple(dict.fromkeys((*code.co_names, *inner)))


def mentioned(function: FunctionType) -> list[Any]:
    """Return the globals that a user's function mentions, and the modules that it imports or names in a string."""
    if not (names := names_of(function)):
        return []
    given = function.__globals__
    modules = sys.modules.keys() & _module_names(function.__code__, given.get("__package__") or "")
    return [*map(given.get, names), *map(sys.modules.get, sorted(modules))]


@once_for_each
def _module_names(code: CodeType, package: str) -> frozenset[str]:
    """Return what may be names of modules in code, as they are and as relative to its package and to those above."""
    inner = (name for each in code.co_consts if isinstance(each, CodeType) for name in _module_names(each, package))
    names = (*code.co_names, *(each.strip(".") for each in code.co_consts if isinstance(each, str)))
    parents = accumulate(package.split("."), "{}.{}".format)
    return frozenset((*names, *(f"{parent}.{name}" for parent in parents for name in names), *inner))


@once_for_each
def is_of_user(it: Any) -> bool:
    """Say whether a class or module comes from a script, notebook or project, not from an installed library."""
    name = it.__name__ if type(it) is ModuleType else it.__module__
    return isinstance(name, str) and is_of_user_by(name, getattr(sys.modules.get(name), "__file__", None))


@cache
def is_of_user_by(name: str | None, file: str | None) -> bool:
    """Do the same from the name and file of a module."""
    first = (name or "").partition(".")[0]
    package = sys.modules.get(first) if first != name else None
    if package is not None and not is_of_user_by(first, getattr(package, "__file__", None)):
        return False
    if file is None or first == "lrfind":
        return first not in ("lrfind", *sys.builtin_module_names) and not first.startswith("_frozen")
    return first in _installed_from_folders() or not any(Path(file).is_relative_to(folder) for folder in _libraries())


@cache
def _libraries() -> frozenset[Path]:
    named = (sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))
    others = (path for path in sys.path if path.endswith(("site-packages", "dist-packages")))
    return frozenset(map(Path, (*named, *others)))


@cache
def _installed_from_folders() -> frozenset[str]:
    """Return the packages of the user's that ``pip install .`` has put among the libraries: its folder is still there.

    Source: https://packaging.python.org/specifications/direct-url/.
    """
    names = set()
    for told in (file for folder in _libraries() for file in folder.glob("*.dist-info/direct_url.json")):
        origin = json.loads(told.read_text(encoding="utf-8"))
        if "dir_info" in origin and Path(url2pathname(urlparse(origin["url"]).path)).exists():
            installed = told.with_name("RECORD").read_text(encoding="utf-8").splitlines()
            names |= {re.split("[,/]", line)[0].removesuffix(".py") for line in installed}
    return frozenset(names)


@once_for_each
def is_closed(kind: type) -> bool:
    """Say whether objects of a type are neither entered nor put back."""
    if is_kind(kind, (type, threading.local, ContextVar, logging.Filterer, *_TRAINED)) or is_of_user(kind):
        return False
    name = f"{kind.__module__}.{kind.__qualname__}."
    return is_kind(kind, _CLOSED) or (name.startswith(_CLOSED_MODULES) and not name.startswith(_OPENED))

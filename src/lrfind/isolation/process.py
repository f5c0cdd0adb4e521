"""The process: what training meets beside its own objects: torch's global hooks and modes, threads, imports."""

from __future__ import annotations

import multiprocessing.connection
import multiprocessing.queues
import queue
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from importlib.abc import Loader
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from torch.nn.modules import module as modules
from torch.optim import optimizer as optimizers
from torch.overrides import _get_current_function_mode_stack
from torch.utils._python_dispatch import _get_current_dispatch_mode_stack

from lrfind.errors import BadInputError
from lrfind.isolation.reach import Found, instances, is_of_user_by, path_to, reach

_READS: dict[type, str] = {
    queue.Queue: "get",
    multiprocessing.queues.Queue: "get",
    multiprocessing.queues.SimpleQueue: "get",
    multiprocessing.connection.Connection: "recv",
}
"""What hands things from one thread or process to another, and the method that takes them."""


def global_state() -> list[Any]:
    """Return what torch keeps for the whole process and calls in a step: hooks, and the modes that are active."""
    named = [*vars(modules).items(), *vars(optimizers).items()]
    hooks = [value for name, value in named if name.startswith("_global_") and isinstance(value, dict)]
    modes: Any = _get_current_function_mode_stack  # without types
    return [*hooks, *modes(), *_get_current_dispatch_mode_stack()]


def shared_with_threads(found: Found) -> list[Any]:
    """Return the queues, events and semaphores of training that other threads have at hand, which move them too."""
    kinds = queue.Queue, threading.Event, threading.Semaphore
    shared = instances(found, kinds)
    others = reach(_of_other_threads()) if shared else {}
    return [each for each in shared if id(each) in others]


def _of_other_threads() -> Iterator[Any]:
    """Yield what the functions of the user's that other threads are in have at hand."""
    for thread, top in sys._current_frames().items():
        frame = None if thread == threading.get_ident() else top
        while frame is not None:
            if is_of_user_by(frame.f_globals.get("__name__"), frame.f_globals.get("__file__")):
                yield from frame.f_locals.values()
                yield from (frame.f_globals.get(name) for name in frame.f_code.co_names)
            frame = frame.f_back


def filled_elsewhere(found: Found, shared: list[Any]) -> list[tuple[Any, str]]:
    """Return what other threads and processes fill, each with its name."""
    elsewhere = [each for each in instances(found, tuple(_READS)) if not isinstance(each, queue.Queue)]
    filled = [*elsewhere, *(each for each in shared if isinstance(each, queue.Queue))]
    return [(each, path_to(each, found)) for each in filled]


@contextmanager
def reading_refused(filled: list[tuple[Any, str]]) -> Iterator[None]:
    """Refuse this thread what others fill, which it would use up."""
    methods = [next(name for kind, name in _READS.items() if isinstance(each, kind)) for each, _ in filled]
    thread = threading.get_ident()
    for (each, name), method in zip(filled, methods, strict=True):
        message = (
            f"training takes from {name}, a {type(each).__name__} that another thread or process fills: a search "
            f"would use up what is in it; pass a step that reads a list of the same batches to the search."
        )
        setattr(each, method, partial(_read, getattr(each, method), thread, message))
    try:
        yield
    finally:
        for (each, _), method in zip(filled, methods, strict=True):
            vars(each).pop(method, None)


def _read(read: Callable[..., Any], thread: int, message: str, *args: Any, **kwargs: Any) -> Any:
    if threading.get_ident() == thread:
        raise BadInputError(message)
    return read(*args, **kwargs)


class Imports:
    """Says which modules of the user's are first imported within ``with``, each as soon as it is.

    Args:
        imported: Told the module.
    """

    def __init__(self, imported: Callable[[ModuleType], None]) -> None:
        self._imported = imported

    def __enter__(self) -> None:
        """Stand before the other finders of modules."""
        sys.meta_path.insert(0, self)

    def __exit__(self, *_: object) -> None:
        """Stand there no more."""
        with suppress(ValueError):
            sys.meta_path.remove(self)

    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        """Return what the other finders find, with a loader that says when it is done."""
        finders = (finder for finder in sys.meta_path if finder is not self and hasattr(finder, "find_spec"))
        spec = next((spec for finder in finders if (spec := finder.find_spec(name, path, target))), None)
        if spec is not None and hasattr(spec.loader, "exec_module") and is_of_user_by(name, spec.origin):
            spec.loader = _Loader(spec.loader, self._imported)
        return spec


class _Loader(Loader):
    """Loads a module as another loader does, leaves it to that one, and says that it is loaded."""

    def __init__(self, loader: Any, imported: Callable[[ModuleType], None]) -> None:
        self._loader, self._imported = loader, imported

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Make the module as the other loader does."""
        return self._loader.create_module(spec)  # type: ignore[no-any-return]

    def exec_module(self, module: ModuleType) -> None:
        """Run the module."""
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        self._imported(module)

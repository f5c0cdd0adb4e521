"""The process: what training meets beside its own objects: torch's global hooks and modes, threads, imports."""

from __future__ import annotations

import multiprocessing.connection
import multiprocessing.queues
import queue
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache, partial
from importlib.abc import Loader
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace
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
    modes: Any = _get_current_function_mode_stack  # without types
    return [*_global_hooks(), *modes(), *_get_current_dispatch_mode_stack()]


@cache
def _global_hooks() -> list[dict[Any, Any]]:
    named = [*vars(modules).items(), *vars(optimizers).items()]
    return [value for name, value in named if name.startswith("_global_") and isinstance(value, dict)]


def shared_with_threads(found: Found) -> list[Any]:
    """Return the queues, events and semaphores of training that other threads have at hand, which move them too."""
    shared = instances(found, (queue.Queue, threading.Event, threading.Semaphore))
    others = reach(_of_other_threads()) if shared else Found()
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


@contextmanager
def reading_refused(found: Found, shared: list[tuple[Any, str]]) -> Iterator[None]:
    """Refuse this thread what other threads and processes fill, which it would use up.

    Args:
        found: What training reaches.
        shared: What other threads have at hand, too, each with its name.
    """
    by_threads = [(each, name) for each, name in shared if isinstance(each, queue.Queue)]
    by_processes = [each for each in instances(found, tuple(_READS)) if not isinstance(each, queue.Queue)]
    filled = []
    for each, name in (*by_threads, *((each, path_to(each, found)) for each in by_processes)):
        method = next(method for kind, method in _READS.items() if isinstance(each, kind))
        message = (
            f"training takes from {name}, a {type(each).__name__} that another thread or process fills: a search "
            f"would use up what is in it; pass a step that reads a list of the same batches to the search."
        )
        setattr(each, method, partial(_read, getattr(each, method), threading.get_ident(), message))
        filled.append((each, method))
    try:
        yield
    finally:
        for each, method in filled:
            vars(each).pop(method, None)


def _read(read: Callable[..., Any], thread: int, message: str, *args: Any, **kwargs: Any) -> Any:
    if threading.get_ident() == thread:
        raise BadInputError(message)
    return read(*args, **kwargs)


@contextmanager
def imports_told(imported: Callable[[ModuleType], None]) -> Iterator[None]:
    """Tell of each module of the user's that is first imported within ``with``, as soon as it is."""

    def find_spec(name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        others = (each for each in sys.meta_path if each is not finder and hasattr(each, "find_spec"))
        spec = next((spec for each in others if (spec := each.find_spec(name, path, target))), None)
        if spec is not None and hasattr(spec.loader, "exec_module") and is_of_user_by(name, spec.origin):
            spec.loader = _Telling(spec.loader, imported)
        return spec

    finder: Any = SimpleNamespace(find_spec=find_spec)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        with suppress(ValueError):
            sys.meta_path.remove(finder)


class _Telling(Loader):
    """Loads a module as another loader does, leaves it to that one, and tells that it is loaded."""

    def __init__(self, loader: Any, imported: Callable[[ModuleType], None]) -> None:
        self._loader, self._imported = loader, imported
        self.create_module = loader.create_module  # type: ignore[method-assign]

    def exec_module(self, module: ModuleType) -> None:
        """Run the module."""
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        self._imported(module)

"""State of the process: random number generators, global hooks, threads, imports, signals."""

import gc
import multiprocessing.connection
import multiprocessing.queues
import os
import queue
import random
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from contextvars import ContextVar
from functools import partial
from importlib.machinery import SourceFileLoader
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch.nn.modules import module as modules
from torch.optim import optimizer as optimizers
from torch.overrides import _get_current_function_mode_stack
from torch.utils._python_dispatch import _disable_current_modes, _get_current_dispatch_mode_stack

from lrfind.errors import BadInputError
from lrfind.isolation.kinds import is_of_user, is_of_user_by
from lrfind.isolation.notes import notes_of
from lrfind.isolation.reach import Found, instances, path_to, reach

GENERATORS = (torch.Generator, np.random.Generator, np.random.RandomState, random.Random)

are_kept = ContextVar("are_kept", default=False)
"""Whether an outer ``generators_kept`` puts the global generators back: noting NumPy's is slow."""
_PIPES = (multiprocessing.queues.Queue, multiprocessing.queues.SimpleQueue, multiprocessing.connection.Connection)
"""What passes objects between processes."""


def global_state() -> list[Any]:
    """Return what is kept for the whole process: the environment, torch's hooks and active modes."""
    modes: Any = _get_current_function_mode_stack  # without types
    named = [*vars(modules).items(), *vars(optimizers).items()]
    hooks = [value for name, value in named if name.startswith("_global_") and isinstance(value, dict)]
    return [os.environ, *hooks, *modes(), *_get_current_dispatch_mode_stack()]


def shared_with_threads(found: Found) -> list[Any]:
    """Return the queues, events and semaphores of training that other threads can reach and move too."""
    shared = instances(found, (queue.Queue, threading.Event, threading.Semaphore))
    others = reach(_of_other_threads()) if shared else Found()
    return [each for each in shared if id(each) in others]


def _of_other_threads() -> Iterator[Any]:
    for thread, top in sys._current_frames().items():
        frame = None if thread == threading.get_ident() else top
        while frame is not None:
            if is_of_user_by(frame.f_globals.get("__name__"), frame.f_globals.get("__file__")):
                yield from frame.f_locals.values()
                yield from (frame.f_globals.get(name) for name in frame.f_code.co_names)
            frame = frame.f_back


@contextmanager
def reading_refused(found: Found, shared: list[tuple[Any, str]]) -> Iterator[None]:
    """Forbid this thread to take from queues and pipes that other threads (``shared``) and processes fill."""
    filled = [(each, name) for each, name in shared if isinstance(each, queue.Queue)]
    filled += [(each, path_to(each, found)) for each in instances(found, _PIPES)]
    with ExitStack() as stack:
        for each, name in filled:
            method = "recv" if isinstance(each, multiprocessing.connection.Connection) else "get"
            message = (
                f"training takes from {name}, a {type(each).__name__} that another thread or process fills: a search "
                f"would use up what is in it; pass a step that reads a list of the same batches to the search."
            )
            setattr(each, method, partial(_read, getattr(each, method), threading.get_ident(), message))
            stack.callback(vars(each).pop, method, None)
        yield


def _read(read: Callable[..., Any], thread: int, message: str, *args: Any, **kwargs: Any) -> Any:
    if threading.get_ident() == thread:
        raise BadInputError(message)
    return read(*args, **kwargs)


@contextmanager
def imports_told(imported: Callable[[ModuleType], None]) -> Iterator[None]:
    """Call ``imported`` with each user module that is first imported within ``with``, once it has run."""

    def exec_module(loader: Any, module: ModuleType) -> None:
        run(loader, module)
        if is_of_user(module):
            imported(module)

    kind: Any = SourceFileLoader  # the loader of every file, and the base of other tools' loaders
    is_inherited, run = "exec_module" not in vars(kind), kind.exec_module
    kind.exec_module = exec_module
    try:
        yield
    finally:
        kind.exec_module = run
        if is_inherited:  # unless a search around this one has set it
            del kind.exec_module


def global_generators() -> list[Any]:
    """Return the generators of the process: of Python, of NumPy, of torch on every device.

    Devices are initialized, since a probe that did so would leave them with its seed.
    """
    functions: list[Any] = [random.random, np.random.random]  # methods of the global generators
    found = [*(function.__self__ for function in functions), torch.default_generator]
    devices: tuple[Any, ...] = (torch.cuda, torch.xpu)
    for device in devices:
        if device.is_available():
            device.init()
            found += device.default_generators
    if torch.backends.mps.is_available():
        found.append(torch.mps._get_default_mps_generator())
    return found


def seed_all(seed: int, *holders: Any) -> None:
    """Seed Python, NumPy, torch on every device, and the generators that the holders reach."""
    seed_each(seed, [*instances(reach(holders), GENERATORS), *global_generators()])


def seed_each(seed: int, generators: Iterable[Any]) -> None:
    """Seed generators of torch, NumPy and Python."""
    for each in generators:
        if isinstance(each, torch.Generator):
            each.manual_seed(seed)
        elif isinstance(each, np.random.Generator):
            bits = each.bit_generator
            bits.state = type(bits)(seed).state
        elif isinstance(each, np.random.RandomState) and not isinstance(each._bit_generator, np.random.MT19937):
            each.set_state({**type(each._bit_generator)(seed).state, "has_gauss": 0, "gauss": 0.0})
        else:
            each.seed(seed % 2**32)


@contextmanager
def generators_kept() -> Iterator[None]:
    """Put the global generators back on any exit."""
    if are_kept.get():
        yield
        return
    notes = notes_of(global_generators())
    token = are_kept.set(True)
    try:
        yield
    finally:
        are_kept.reset(token)
        for rule, it, kept in notes:  # no slower than comparing
            rule.put_back(it, kept)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Hold back signals, and disable ``__torch_function__``, dispatch modes, autograd and garbage collection.

    The garbage collector would scan thousands of notes again and again.
    """
    held: list[int] = []
    is_main = threading.current_thread() is threading.main_thread()
    numbers = (signal.SIGINT, signal.SIGTERM) if is_main else ()
    handlers = {int(number): handler for number in numbers if callable(handler := signal.getsignal(number))}
    had_garbage = gc.isenabled()
    try:
        for number in handlers:
            signal.signal(number, lambda number, _: held.append(number))
        gc.disable()
        modes = _disable_current_modes() if _get_current_dispatch_mode_stack() else nullcontext()
        with torch._C.DisableTorchFunction(), modes, torch.no_grad():
            yield
    finally:
        if had_garbage:
            gc.enable()
        for number, handler in handlers.items():
            signal.signal(number, handler)
        with ExitStack() as stack:  # each is raised, even if another one raises an exception
            for number in dict.fromkeys(held):
                stack.callback(signal.raise_signal, number)

"""Kept: everything that training can move, noted once and put back in place after each probe."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from operator import is_not
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer
from torch.utils._python_dispatch import _disable_current_modes, _get_current_dispatch_mode_stack
from torch.utils.data import DataLoader
from typing_extensions import Self

from lrfind.errors import NotPutBackError
from lrfind.isolation.iterators import end_workers, stand_ins
from lrfind.isolation.memory import notes_of_memory
from lrfind.isolation.notes import Note, moved, notes_of, put_back
from lrfind.isolation.process import (
    GENERATORS,
    are_kept,
    generators_kept,
    global_generators,
    global_state,
    imports_told,
    reading_refused,
    seed_each,
    shared_with_threads,
)
from lrfind.isolation.reach import Found, instances, is_leaf, path_to, reach

_HOOKS = ("_optimizer_step_pre_hooks", "_optimizer_step_post_hooks")

_FILLED = (dict, list, set, tuple, frozenset, np.ndarray)
"""In what is kept of a thing other things can be."""

_PASSES = ("_static_graph_delay_allreduce_enqueued", "num_iterations")
"""By which DDP knows its first pass, in newer and older versions of torch."""


class Kept:
    """Notes, on entering, everything that training can move; puts it back after each probe, and on leaving.

    Args:
        state: Models, optimizers, functions, and whatever else a step reaches from.
        data: Loaders, datasets, samplers.
        skip: What is not entered on the way: loaders that were made for the probes.

    Raises:
        NotPutBackError: On leaving, if something is not as it was; the message names it.
    """

    def __init__(self, state: Iterable[Any], data: Iterable[Any] = (), skip: Iterable[Any] = ()) -> None:
        self._state, self._data, self._skip = list(state), list(data), list(skip)
        self._found = Found()
        self._notes: list[Note] = []
        self._shared: list[tuple[Any, str]] = []
        self._sharded: list[Any] = []
        self._wrappers: list[tuple[Any, Any]] = []
        self._open = ExitStack()

    def __enter__(self) -> Self:
        """Note everything."""
        with ExitStack() as stack:
            if not are_kept.get():  # apart from the notes: to compare the state of NumPy's is slow
                stack.enter_context(generators_kept())
            self._state += global_state()
            self._skip += [*threading.enumerate(), *global_generators()]
            with _undisturbed():
                self._note_everything()
            self._open = stack.pop_all()
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        """Check that everything is as it was when it was noted."""
        with _undisturbed(), self._open:
            if names := self._moved():  # since the last probe
                self._put_back()
                names = self._moved()
        if not names:
            return
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        sentence = (
            f"the search moved {', '.join(names[:3])}{more} and could not put it back; make it anew before "
            f"training, and make it in the step where a search is to leave it alone."
        )
        if error is None:
            raise NotPutBackError(sentence)
        warnings.warn(sentence, stacklevel=2)

    @contextmanager
    def probe(self, seed: int) -> Iterator[None]:
        """Seed every generator, let a probe run, and put everything back after it, on every exit.

        A Ctrl-C, or another signal, that comes while things are put back is heard when all is back.
        """
        loaders = [(each, each._iterator) for each in instances(self._found, DataLoader)]
        token = are_kept.set(False)
        try:
            self._give_stand_ins()
            for loader, _ in loaders:  # which begins anew, also where it keeps its workers
                loader._iterator = None
            for optimizer in instances(self._found, Optimizer):
                _stop_watching(optimizer)
            seed_each(seed, [*global_generators(), *instances(self._found, GENERATORS)])
            with reading_refused(self._found, self._shared), imports_told(self._note_module):
                yield
        finally:
            are_kept.reset(token)
            with _undisturbed():
                for loader, iterator in loaders:
                    if loader._iterator is not iterator:
                        end_workers(loader)
                self._put_back()

    def _put_back(self) -> None:
        """Put everything back."""
        for each in self._sharded:
            each.reshard()
        self._go_on()
        put_back(self._notes)

    def _moved(self) -> list[str]:
        """Name what is not as it was."""
        self._go_on()
        return list(dict.fromkeys(path_to(it, self._found) for _, it, _ in moved(self._notes)))

    def _walk(self) -> tuple[Found, Found]:
        """Return what the state reaches without going through data, and what only data reaches."""
        later, skipped = list(self._data), set(map(id, self._skip))
        state = reach(self._state, skipped, later)
        data = reach(later, skipped | state.keys())
        self._found = Found({**data, **state})
        return state, data

    def _note_everything(self) -> None:
        state, data = self._walk()
        if self._prepare():
            state, data = self._walk()
        things = [each for each, _ in self._found.values()]
        self._note_memory(state, data)
        self._notes += notes_of([os.environ, *things])
        wrappers = set(map(id, instances(state, DistributedDataParallel)))
        self._wrappers = [(vars(it), kept) for _, it, kept in self._notes if id(it) in wrappers]

    def _prepare(self) -> bool:
        """Bring what was found into the form in which it is noted; say whether that changes what is found."""
        found = self._found
        self._shared = [(each, path_to(each, found)) for each in shared_with_threads(found)]
        self._skip += [each for each, _ in self._shared]
        self._sharded = instances(found, _sharded_kinds())
        for each in self._sharded:
            each.reshard()
        has_graphs = "torch._inductor.cudagraph_trees" in sys.modules
        if has_graphs:
            _move_gradients_out_of_graphs(found)
        return bool(self._shared or self._sharded or has_graphs)

    def _note_memory(self, state: Found, data: Found) -> None:
        for holder, note in notes_of_memory(state, data):
            self._notes.append(note)
            self._found.setdefault(id(note[1]), (note[1], holder))

    def _note_module(self, module: ModuleType) -> None:
        """Note a module that a probe is the first to import, and what only it reaches."""
        with _undisturbed():
            reached = reach([module], {*map(id, self._skip), *self._found})
            self._note_memory(reached, Found())
            self._notes += notes_of(each for each, _ in reached.values())
            self._found = Found({**reached, **self._found})

    def _give_stand_ins(self) -> None:
        """Put copies, or what refuses, where training keeps iterators; the notes put the iterators back."""
        given = stand_ins(self._found)
        for rule, it, kept in self._notes if given else ():
            if (exchanged := _exchanged(kept, given, _FILLED)) is not kept:
                rule.put_back(it, exchanged)

    def _go_on(self) -> None:
        """Leave to DDP whether its first pass is over, which its reducer, out of Python's reach, remembers too."""
        for it, kept in self._wrappers:
            kept.update({name: it[name] for name in _PASSES if name in it and name in kept})


def _exchanged(kept: Any, given: dict[int, Any], kinds: Any = (tuple, frozenset)) -> Any:
    """Return what was kept of a thing with stand-ins in it; itself where there is nothing to be stood in for.

    Args:
        kept: What was kept.
        given: The stand-ins, by the ``id`` of what they stand in for.
        kinds: What is made anew: tuples and frozen sets, which nothing can be put into in place.
    """
    if id(kept) in given or not isinstance(kept, kinds):
        return given.get(id(kept), kept)
    if isinstance(kept, np.ndarray) and kept.dtype != object:
        return kept
    before = list(kept.values() if isinstance(kept, dict) else kept.flat if isinstance(kept, np.ndarray) else kept)
    after = [_exchanged(each, given) for each in before]
    if not any(map(is_not, after, before)):
        return kept
    if isinstance(kept, np.ndarray):
        elements = np.empty(len(after), dtype=object)
        for index, each in enumerate(after):  # one by one, since a sequence would be taken for several
            elements[index] = each
        return elements.reshape(kept.shape)
    if isinstance(kept, dict):
        return dict(zip(kept, after, strict=True))
    return kept._make(after) if hasattr(kept, "_make") else type(kept)(after)


def _stop_watching(optimizer: Any) -> None:
    """Take off the hooks that watch a rate in training, until the notes put them back."""
    for hooks in (getattr(optimizer, name, {}) for name in _HOOKS):
        for key in [
            key for key, hook in hooks.items() if getattr(getattr(hook, "__self__", None), "watches_only", False)
        ]:
            del hooks[key]


def _move_gradients_out_of_graphs(state: Found) -> None:
    """Give weights copies of their gradients, which may lie in the memory of a CUDA graph that its next run reuses."""
    for weight in instances(state, torch.Tensor):
        if weight.is_cuda and is_leaf(weight) and weight.grad is not None:
            weight.grad = weight.grad.clone()


def _sharded_kinds() -> tuple[type, ...]:
    """The modules of FSDP2, whose weights are whole or in shards as they have last run."""
    kind = getattr(sys.modules.get("torch.distributed.fsdp"), "FSDPModule", None)
    return () if kind is None else (kind,)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Keep away, until the end, what Ctrl-C and the like would do, subclasses' own rules, modes, garbage collection.

    The garbage collector would look through thousands of notes again and again, all of which stay.
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
        with ExitStack() as stack:  # each is heard, also where another one raises
            for number in dict.fromkeys(held):
                stack.callback(signal.raise_signal, number)

"""Kept: everything that training can move, noted once and put back in place after each probe."""

from __future__ import annotations

import gc
import signal
import sys
import threading
import warnings
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from operator import is_not
from typing import Any

import torch
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer
from torch.utils.data import DataLoader
from typing_extensions import Self

from lrfind.errors import NotPutBackError
from lrfind.isolation.generators import global_generators, seed_each
from lrfind.isolation.iterators import is_half_consumed, stand_in
from lrfind.isolation.loaders import end_workers
from lrfind.isolation.memory import notes_of_memory
from lrfind.isolation.notes import GENERATORS, Kind, Note, notes_of
from lrfind.isolation.reach import Found, instances, path_to, reach

_HOOKS = ("_optimizer_step_pre_hooks", "_optimizer_step_post_hooks")

_PASSES = ("_static_graph_delay_allreduce_enqueued", "num_iterations")
"""By which DDP knows its first pass, in newer and older versions of torch."""


class Kept:
    """Notes, on entering, everything that training can move; puts it back after each probe, and on leaving.

    Args:
        state: Models, optimizers, functions, and whatever else a step reaches from.
        data: Loaders, datasets, samplers.
        apart: What is not entered on the way: a trainer, say.

    Raises:
        NotPutBackError: On leaving, if something is not as it was; the message names it.
    """

    def __init__(self, state: Iterable[Any], data: Iterable[Any] = (), apart: Iterable[Any] = ()) -> None:
        self._roots = [*global_generators(), *state], list(data), list(apart)
        self._found: Found = {}
        self._notes: list[Note] = []
        self._iterators: dict[int, Any] = {}
        self._generators: list[Any] = []
        self._loaders: list[tuple[Any, Any]] = []
        self._sharded: list[Any] = []
        self._wrappers: list[tuple[Any, Any]] = []

    def __enter__(self) -> Self:
        with _undisturbed():
            state, data = self._walk()
            self._sharded = instances(state, _sharded_kinds())
            if self._sharded:  # noted as shards, which the walk finds only now
                self._reshard()
                state, data = self._walk()
            self._found = {**data, **state}
            self._notes = [note for each, _ in self._found.values() for note in notes_of(each)]
            self._notes += notes_of_memory(state, {key: each for key, each in data.items() if key not in state})
            self._iterators = {key: each for key, (each, _) in self._found.items() if is_half_consumed(each)}
            self._generators = instances(self._found, GENERATORS)
            wrappers = {id(vars(one)) for one in instances(state, DistributedDataParallel)}
            self._wrappers = [(it, kept) for _, it, kept in self._notes if id(it) in wrappers and type(kept) is dict]
            self._loaders = [(one, one._iterator) for one in instances(self._found, DataLoader)]
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        with _undisturbed():
            moved = self._moved()
            if moved:  # since the last probe
                self.put_back()
                moved = self._moved()
        if moved:
            more = f" and {len(moved) - 3} more" if len(moved) > 3 else ""
            sentence = (
                f"the search moved {', '.join(moved[:3])}{more} and could not put it back; make it anew before "
                f"training, and make it in the step where a search is to leave it alone."
            )
            if error is None:
                raise NotPutBackError(sentence)
            warnings.warn(sentence, stacklevel=2)

    @contextmanager
    def probe(self, seed: int) -> Iterator[None]:
        """Seed every generator, let a probe run, and put everything back after it, on every exit."""
        try:
            self._give_stand_ins()
            for loader, _ in self._loaders:  # which begins anew, also where it keeps its workers
                loader._iterator = None
            for optimizer in instances(self._found, Optimizer):
                _stop_watching(optimizer)
            seed_each(seed, self._generators)
            yield
        finally:
            with _undisturbed():
                for loader, iterator in self._loaders:
                    if loader._iterator is not iterator:
                        end_workers(loader)
                self.put_back()

    def put_back(self) -> None:
        """Put everything back. A Ctrl-C, or another signal, that comes meanwhile is heard when all is back."""
        with _undisturbed():
            self._reshard()
            self._go_on()
            for kind, it, kept in self._notes:
                with suppress(Exception):  # all the others are put back all the same, and the check finds it
                    if not _is_same(kind, it, kept):
                        kind.put_back(it, kept)

    def _moved(self) -> list[str]:
        """Name what is not as it was."""
        with _undisturbed():
            self._go_on()
            moved = [it for kind, it, kept in self._notes if not _is_same(kind, it, kept)]
        return list(dict.fromkeys(path_to(each, self._found) for each in moved))

    def _walk(self) -> tuple[Found, Found]:
        """Return what the state reaches without going through data, and what data reaches."""
        roots, data, apart = self._roots
        later = list(data)
        state = reach(roots, apart, later)
        return state, reach(later, apart)

    def _give_stand_ins(self) -> None:
        """Put copies, or what refuses, where training keeps iterators; the notes put the iterators back."""
        if not self._iterators:
            return
        twins = {key: stand_in(each, path_to(each, self._found)) for key, each in self._iterators.items()}
        for kind, it, kept in self._notes:
            swapped = _swapped(kept, twins)
            if swapped is not kept:
                kind.put_back(it, swapped)

    def _go_on(self) -> None:
        """Leave to DDP whether its first pass is over, which its reducer, out of Python's reach, remembers too."""
        for it, kept in self._wrappers:
            kept.update({name: it[name] for name in _PASSES if name in it})

    def _reshard(self) -> None:
        for each in self._sharded:
            each.reshard()


def _is_same(kind: Kind, it: Any, kept: Any) -> bool:
    try:
        return kind.is_same(it, kept)
    except Exception:  # noqa: BLE001, what cannot be compared is put back
        return False


def _swapped(kept: Any, twins: dict[int, Any]) -> Any:
    """Return what was kept of a thing with stand-ins in it; itself where there is nothing to be stood in for."""
    if id(kept) in twins:
        return twins[id(kept)]
    if type(kept) is dict:
        swapped = {name: _in_tuples(one, twins) for name, one in kept.items()}
        return swapped if any(swapped[name] is not one for name, one in kept.items()) else kept
    if type(kept) is list:
        each = [_in_tuples(one, twins) for one in kept]
        return each if any(map(is_not, each, kept)) else kept
    return _in_tuples(kept, twins)


def _in_tuples(value: Any, twins: dict[int, Any]) -> Any:
    """Return the stand-in for a value, or a tuple, which nothing can be put into, with stand-ins in it."""
    if not isinstance(value, tuple):
        return twins.get(id(value), value)
    each = [_in_tuples(one, twins) for one in value]
    if not any(map(is_not, each, value)):
        return value
    return value._make(each) if hasattr(value, "_make") else tuple(each)


def _stop_watching(optimizer: Any) -> None:
    """Take off the hooks that watch a rate in training, until the notes put them back."""
    for hooks in (getattr(optimizer, name, {}) for name in _HOOKS):
        for key in [
            key for key, hook in hooks.items() if getattr(getattr(hook, "__self__", None), "watches_only", False)
        ]:
            del hooks[key]


def _sharded_kinds() -> tuple[type, ...]:
    """The modules of FSDP2, whose weights are whole or in shards as they have last run."""
    kind = getattr(sys.modules.get("torch.distributed.fsdp"), "FSDPModule", None)
    return () if kind is None else (kind,)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Keep away, until the end, what Ctrl-C and the like would do, subclasses' own rules, and garbage collection.

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
        with torch._C.DisableTorchFunctionSubclass(), torch.no_grad():
            yield
    finally:
        if had_garbage:
            gc.enable()
        for number, handler in handlers.items():
            signal.signal(number, handler)
        with ExitStack() as stack:  # each is heard, also where another one raises
            for number in dict.fromkeys(held):
                stack.callback(signal.raise_signal, number)

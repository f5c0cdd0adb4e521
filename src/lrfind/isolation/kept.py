"""``Kept``: notes everything that training can move, and puts it back after each probe."""

import sys
import threading
import warnings
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from operator import is_not
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer
from torch.utils.data import DataLoader
from typing_extensions import Self

from lrfind.errors import NotPutBackError
from lrfind.isolation import process
from lrfind.isolation.iterators import end_workers, stand_ins
from lrfind.isolation.memory import notes_of_memory
from lrfind.isolation.notes import Note, moved, notes_of, put_back
from lrfind.isolation.reach import Found, instances, is_leaf, path_to, reach

_FILLED = (dict, list, set, tuple, frozenset, np.ndarray)
"""Types of noted values that can hold other objects."""

_PASSES = ("_static_graph_delay_allreduce_enqueued", "num_iterations")
"""The attributes in which newer and older versions of DDP remember their first pass."""


class Kept:
    """Notes everything that training can move on entry; puts it back after each probe and on exit.

    ``state`` is what a step uses (models, optimizers, functions), ``data`` are loaders, datasets and samplers; ``skip``
    is not entered. On exit, a ``NotPutBackError`` names what is not as it was.
    """

    def __init__(self, state: Iterable[Any], data: Iterable[Any] = (), skip: Iterable[Any] = ()) -> None:
        self._state, self._data, self._skip = list(state), list(data), list(skip)
        self._found = Found()
        self._notes: list[Note] = []
        self._shared: list[tuple[Any, str]] = []
        self._wrappers: list[tuple[Any, Any]] = []
        self._open = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(process.generators_kept())  # not with the notes: comparing NumPy's state is slow
            self._state += process.global_state()
            self._skip += [*threading.enumerate(), *process.global_generators()]
            with process.undisturbed():
                state, data = self._walk()
                if self._prepare():
                    state, data = self._walk()
                self._note(state, data)
                wrappers = {id(vars(each)) for each in instances(state, DistributedDataParallel)}
                self._wrappers = [(it, kept) for _, it, kept in self._notes if id(it) in wrappers]
            self._open = stack.pop_all()
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        with process.undisturbed(), self._open:
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
        """Seed every generator, let a probe run, and put everything back on any exit.

        A signal that arrives meanwhile, such as Ctrl-C, is raised once everything is back.
        """
        loaders = [(each, each._iterator) for each in instances(self._found, DataLoader)]
        token = process.are_kept.set(False)
        try:
            self._give_stand_ins()
            for loader, _ in loaders:  # begin anew, even with persistent workers
                loader._iterator = None
            for optimizer in instances(self._found, Optimizer):
                _stop_watching(optimizer)
            process.seed_each(seed, [*process.global_generators(), *instances(self._found, process.GENERATORS)])
            with process.reading_refused(self._found, self._shared), process.imports_told(self._note_module):
                yield
        finally:
            process.are_kept.reset(token)
            with process.undisturbed():
                for loader, iterator in loaders:
                    if loader._iterator is not iterator:
                        end_workers(loader)
                self._put_back()

    def _put_back(self) -> None:
        _reshard(self._found)
        self._go_on()
        put_back(self._notes)

    def _moved(self) -> list[str]:
        self._go_on()
        return list(dict.fromkeys(path_to(it, self._found) for _, it, _ in moved(self._notes)))

    def _walk(self) -> tuple[Found, Found]:
        """Return what the state reaches without entering data, and what only data reaches."""
        later, skipped = list(self._data), set(map(id, self._skip))
        state = reach(self._state, skipped, later)
        data = reach(later, skipped | state.keys())
        self._found = Found({**data, **state})
        return state, data

    def _prepare(self) -> bool:
        """Bring the found objects into the form that is noted; say whether the walk must be repeated."""
        found = self._found
        self._shared = [(each, path_to(each, found)) for each in process.shared_with_threads(found)]
        self._skip += [each for each, _ in self._shared]
        is_sharded = _reshard(found)
        has_graphs = "torch._inductor.cudagraph_trees" in sys.modules
        if has_graphs:
            _move_gradients_out_of_graphs(found)
        return bool(self._shared or is_sharded or has_graphs)

    def _note(self, state: Found, data: Found) -> None:
        """Note what was found, the memory of tensors and arrays first."""
        things = [each for some in (data, state) for each, _ in some.values()]
        for holder, note in notes_of_memory(state, data):
            self._notes.append(note)
            self._found.setdefault(id(note[1]), (note[1], holder))
        self._notes += notes_of(things)

    def _note_module(self, module: ModuleType) -> None:
        """Note a module that a probe imports first, and what only it reaches."""
        with process.undisturbed():
            reached = reach([module], {*map(id, self._skip), *self._found})
            self._found = Found({**reached, **self._found})
            self._note(reached, Found())

    def _give_stand_ins(self) -> None:
        """Put stand-ins where training keeps iterators; the notes put the iterators back."""
        given = stand_ins(self._found)
        for rule, it, kept in self._notes if given else ():
            if (exchanged := _exchanged(kept, given, _FILLED)) is not kept:
                rule.put_back(it, exchanged)

    def _go_on(self) -> None:
        """Do not put back DDP's first pass: its reducer, in C++, remembers that too."""
        for it, kept in self._wrappers:
            kept.update({name: it[name] for name in _PASSES if name in it and name in kept})


def _exchanged(kept: Any, given: dict[int, Any], kinds: Any = (tuple, frozenset)) -> Any:
    """Return a noted value with its iterators replaced by stand-ins (by ``id``); the value itself if it holds none."""
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
        for index, each in enumerate(after):  # one by one: NumPy would unpack a sequence
            elements[index] = each
        return elements.reshape(kept.shape)
    if isinstance(kept, dict):
        return dict(zip(kept, after, strict=True))
    return kept._make(after) if hasattr(kept, "_make") else type(kept)(after)


def _stop_watching(optimizer: Any) -> None:
    """Remove the hooks that watch the rate in training, until the notes put them back."""
    for name in ("_optimizer_step_pre_hooks", "_optimizer_step_post_hooks"):
        hooks = getattr(optimizer, name, {})
        for key, hook in list(hooks.items()):
            if getattr(getattr(hook, "__self__", None), "watches_only", False):
                del hooks[key]


def _move_gradients_out_of_graphs(state: Found) -> None:
    """Clone the gradients of weights: the next run of a CUDA graph would overwrite their memory."""
    for weight in instances(state, torch.Tensor):
        if weight.is_cuda and is_leaf(weight) and weight.grad is not None:
            weight.grad = weight.grad.clone()


def _reshard(found: Found) -> bool:
    """Let modules of FSDP2 give back the weights that they have gathered; say whether there are any."""
    kind = getattr(sys.modules.get("torch.distributed.fsdp"), "FSDPModule", None)
    sharded = [] if kind is None else instances(found, kind)
    for each in sharded:
        each.reshard()
    return bool(sharded)

"""Kept: everything that training can move, noted once and put back in place after each probe."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch
from torch.optim import Optimizer
from typing_extensions import Self

from lrfind.errors import NotPutBackError
from lrfind.isolation.generators import KINDS, global_generators, seed_each
from lrfind.isolation.iterators import Place, places_of
from lrfind.isolation.loaders import DATA
from lrfind.isolation.memory import Block, blocks_of
from lrfind.isolation.notes import Kind, kinds_of
from lrfind.isolation.reach import Found, path_to, reach

_WAY_OUT = "load it anew, and leave it alone in the step or make it anew there"

_HOOKS = ("_optimizer_step_pre_hooks", "_optimizer_step_post_hooks")


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
        self._state, self._data, self._apart = [*global_generators(), *state], list(data), list(apart)
        self._found: Found = {}
        self._notes: list[tuple[Kind, Any, Any]] = []
        self._blocks: list[Block] = []
        self._places: list[Place] = []
        self._sharded: list[Any] = []

    def __enter__(self) -> Self:
        with torch._C.DisableTorchFunctionSubclass():
            state, data = self._walk()
            self._sharded = [each for each, _ in state.values() if _is_sharded(each)]
            if self._sharded:
                self._reshard()
                state, data = self._walk()
            self._found = {**data, **state}
            each = [one for one, _ in self._found.values()]
            self._notes = [(kind, one, kind.keep(one)) for one in each for kind in kinds_of(type(one))]
            only_data = [one for key, (one, _) in data.items() if key not in state]
            self._blocks = blocks_of([one for one, _ in state.values()], only_data)
            self._places = places_of(self._found)
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        self.put_back()
        moved = [] if error else self._moved()
        if moved:
            more = f" and {len(moved) - 3} more" if len(moved) > 3 else ""
            raise NotPutBackError(f"the search moved {', '.join(moved[:3])}{more} and could not put it back; {_WAY_OUT}")

    @contextmanager
    def probe(self, seed: int) -> Iterator[None]:
        """Seed every generator, let a probe run, and put everything back after it, on every exit."""
        try:
            for put in self._places:
                put()
            self._stop_watching()
            self.seed(seed)
            yield
        finally:
            self.put_back()

    def seed(self, seed: int) -> None:
        """Seed every generator that the process and training have."""
        seed_each(seed, [each for each, _ in self._found.values() if isinstance(each, KINDS)])

    def put_back(self) -> None:
        """Put everything back. A Ctrl-C, or another signal, that comes meanwhile is heard when all is back."""
        with _signals_later(), torch._C.DisableTorchFunctionSubclass(), torch.no_grad():
            self._reshard()
            for block in self._blocks:
                _try(block.put_back)
            for kind, it, kept in self._notes:
                if not kind.is_same(it, kept):
                    _try(kind.put_back, it, kept)

    def _moved(self) -> list[str]:
        """Name what is not as it was."""
        with torch._C.DisableTorchFunctionSubclass(), torch.no_grad():
            moved = [block.holder for block in self._blocks if not block.is_same()]
            moved += [it for kind, it, kept in self._notes if not kind.is_same(it, kept)]
        return list(dict.fromkeys(path_to(each, self._found) for each in moved))

    def _walk(self) -> tuple[Found, Found]:
        """Return what the state reaches without going through data, and what data reaches."""
        data = list(self._data)

        def is_later(each: Any) -> bool:
            if not isinstance(each, DATA):
                return False
            data.append(each)
            return True

        state = reach(self._state, self._apart, is_later)
        return state, reach(data, self._apart)

    def _stop_watching(self) -> None:
        """Take off, for a probe, the hooks that watch a rate in training; the notes put them back."""
        for each, _ in self._found.values():
            for name in _HOOKS if isinstance(each, Optimizer) else ():
                hooks = getattr(each, name, {})
                for key in [key for key, hook in hooks.items() if _only_watches(hook)]:
                    del hooks[key]

    def _reshard(self) -> None:
        for each in self._sharded:
            each.reshard()


def _only_watches(hook: Any) -> bool:
    return bool(getattr(getattr(hook, "__self__", None), "watches_only", False))


def _is_sharded(each: Any) -> bool:
    """Say whether a module is one of FSDP2's, whose weights are whole or in shards as it has last run."""
    module = sys.modules.get("torch.distributed.fsdp")
    return module is not None and hasattr(module, "FSDPModule") and isinstance(each, module.FSDPModule)


def _try(put_back: Callable[..., None], *arguments: Any) -> None:
    """Put one thing back; where that fails, the others must be all the same, and the check finds it."""
    with suppress(Exception):
        put_back(*arguments)


@contextmanager
def _signals_later() -> Iterator[None]:
    """Hold back what Ctrl-C and the like would do, until the end."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[int] = []
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    handlers = {number: handler for number, handler in handlers.items() if callable(handler)}
    try:
        for number in handlers:
            signal.signal(number, lambda number, _: held.append(number))
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for number in dict.fromkeys(held):
            signal.raise_signal(number)

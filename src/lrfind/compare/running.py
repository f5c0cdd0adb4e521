"""Training the runs: one by one in this process, in several processes, or through Ray; and showing their progress."""

import os
import pickle
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from importlib import import_module
from multiprocessing import get_context
from multiprocessing.connection import wait
from time import monotonic, perf_counter
from typing import Any, Literal

import torch

from lrfind.compare.arms import labels
from lrfind.compare.comparison import Arm, Failure, Run
from lrfind.compare.targets.protocol import Target
from lrfind.errors import BadInputError, LRFindError, from_extra
from lrfind.progress import Show, place
from lrfind.records import Finding

Targets = Mapping[str, Target]
"""Targets by the arm's ``variant``; a single target has an empty name."""

Todo = Sequence[tuple[Arm, int]]  # arms and seeds, in the order to train

_BETWEEN = 0.1  # seconds between two "step" events of a run: one for each step would cost more than a small step
_EVERY = 15.0  # seconds between two lines about steps in a log

TRIES = 2  # how often a run is started whose worker dies

_ADVICE = (
    'a script that compares with jobs= needs its calls under if __name__ == "__main__":, and what it trains in a '
    "module."
)


@dataclass(frozen=True, slots=True)
class Event:
    """What ``on_event`` is called with, to show progress.

    Attributes:
        kind: ``"searching"`` and ``"found"`` for a schedule, named by ``arm``; ``"kept"`` for a run that an earlier
            call finished; ``"started"``, ``"step"``, ``"finished"``, ``"failed"`` and ``"died"`` (it is tried again).
        arm: The arm's name.
        seed: The seed.
        done: Optimizer steps done.
        total: Optimizer steps in all.
        words: A few words: the loss, or what went wrong.
        finding: What was found, of ``"found"``.
    """

    kind: Literal["searching", "found", "kept", "started", "step", "finished", "failed", "died"]
    arm: str
    seed: int
    done: int = 0
    total: int = 0
    words: str = ""
    finding: Finding | None = None


OnEvent = Callable[[Event], None]

Train = Callable[[Todo, int, OnEvent], Iterator[Run | Failure]]
"""Trains arms with seeds for a number of steps, and reports events."""


def to_train(targets: Targets, jobs: int, ray: str | None) -> Train:
    """Return the function that trains the runs, after checking that the targets can be trained that way."""
    if not isinstance(jobs, int) or jobs < 1 or (jobs > 1 and ray is not None):
        raise BadInputError(f"jobs must be at least 1, and is not for Ray, got {jobs=} and {ray=}.")
    if ray is not None:
        with from_extra("ray"):
            import_module("ray")
        return partial(_in_ray, targets, address=ray)
    if jobs > 1:
        try:
            return partial(_in_processes, pickle.dumps(targets), jobs=jobs)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise BadInputError(
                f"other processes cannot build what is trained ({error}); define it at the top of a module, or name it "
                f"as 'package.module:name'."
            ) from error
    return lambda todo, steps, tell: (_attempt(targets, arm, seed, steps, tell) for arm, seed in todo)


_loaded = lru_cache(1)(pickle.loads)  # once in a process: targets may hold data


def _attempt(targets: Targets | bytes, arm: Arm, seed: int, steps: int, on_event: OnEvent) -> Run | Failure:
    """Train one run, of pickled targets too; return its error as a ``Failure``, so that the other runs go on."""
    told = monotonic()

    def now_and_then(done: int, words: str) -> None:
        nonlocal told
        if monotonic() - told > _BETWEEN or done == steps:
            told = monotonic()
            on_event(Event("step", arm.name, seed, done, steps, words))

    on_event(Event("started", arm.name, seed, 0, steps))
    try:
        known: Targets = _loaded(targets) if isinstance(targets, bytes) else targets
        with one_thread():
            return known[arm.variant].train(arm, seed, steps, now_and_then)
    except Exception as error:  # noqa: BLE001  users' code may raise anything
        return Failure(arm.name, seed, f"{type(error).__name__}: {error}")


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread: another order of summation rounds otherwise, which training amplifies."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _in_processes(packed: bytes, todo: Todo, steps: int, on_event: OnEvent, *, jobs: int) -> Iterator[Run | Failure]:
    waiting = deque((arm, seed, 1) for arm, seed in todo)
    idle: list[tuple[Any, Any]] = []  # connections and processes
    busy: dict[Any, tuple[Any, tuple[Arm, int, int]]] = {}
    try:
        while waiting or busy:
            while waiting and len(busy) < jobs:
                connection, process = idle.pop() if idle else _started(packed, steps)
                busy[connection] = process, (task := waiting.popleft())
                with suppress(OSError):  # it has died: recv() raises
                    connection.send(task[:2])
            ready: Any = wait([*busy])
            for connection in ready:
                process, (arm, seed, tries) = busy[connection]
                try:
                    message = connection.recv()
                except (EOFError, OSError):
                    process.join()
                    message = f"its process ended with code {process.exitcode}"
                if isinstance(message, Event):
                    on_event(message)
                    continue
                del busy[connection]
                if isinstance(message, (Run, Failure)):
                    idle.append((connection, process))
                    yield message
                elif tries == TRIES:
                    yield Failure(arm.name, seed, f"{message}, {TRIES} times; {_ADVICE}")
                else:
                    on_event(Event("died", arm.name, seed, words=message))
                    waiting.appendleft((arm, seed, tries + 1))
    finally:
        for process in (*(process for _, process in idle), *(process for process, _ in busy.values())):
            process.kill()
            process.join()


def _started(packed: bytes, steps: int) -> tuple[Any, Any]:
    """Start a process that trains runs one by one; docs/decisions/0017-own-processes.md says why it is no pool."""
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs, packed, steps))
    process.start()
    theirs.close()  # so that recv() raises EOFError when the process dies
    return ours, process


def _work(connection: Any, packed: bytes, steps: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C

    def tell(message: Event | Run | Failure) -> None:
        try:
            connection.send(message)
        except OSError:
            os._exit(1)  # the parent is gone

    with suppress(EOFError, OSError):
        while True:
            arm, seed = connection.recv()
            tell(_attempt(packed, arm, seed, steps, tell))


def _in_ray(targets: Targets, todo: Todo, steps: int, on_event: OnEvent, *, address: str) -> Iterator[Run | Failure]:
    """Train as Ray tasks of one CPU each, which Ray restarts once if their worker dies."""
    ray: Any = import_module("ray")
    is_ours = not ray.is_initialized()
    try:
        if is_ours:
            ray.init(address=address, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise LRFindError(f"there is no Ray at {address!r} ({error}); start one, or use 'local'.") from error
    waiting: dict[Any, tuple[Arm, int]] = {}
    try:
        try:
            packed = ray.put(ray.cloudpickle.dumps(targets))
        except (TypeError, AttributeError, ValueError) as error:
            raise BadInputError(f"what is trained cannot be sent to Ray's workers ({error}).") from error
        train = ray.remote(num_cpus=1, max_retries=TRIES - 1)(_train)
        waiting = {train.remote(packed, arm, seed, steps, sys.path): (arm, seed) for arm, seed in todo}
        for arm, seed in todo:
            on_event(Event("started", arm.name, seed, 0, steps))
        while waiting:
            ((reference, *_), _) = ray.wait(list(waiting))
            arm, seed = waiting.pop(reference)
            try:
                yield ray.get(reference)
            except ray.exceptions.RayError as error:
                yield Failure(arm.name, seed, f"its worker died, {TRIES} times: {str(error).splitlines()[0]}")
    finally:
        for reference in waiting:  # a cluster that others use too goes on
            ray.cancel(reference, force=True)
        if is_ours:
            ray.shutdown()


def _train(packed: bytes, arm: Arm, seed: int, steps: int, path: list[str]) -> Run | Failure:
    """Train on a worker of Ray, with the caller's ``sys.path``."""
    sys.path.extend(folder for folder in path if folder not in sys.path)
    return _attempt(packed, arm, seed, steps, lambda event: None)


@contextmanager
def progress_shown(*, shown: bool, runs: int, arms: Sequence[Arm], also: OnEvent | None) -> Iterator[OnEvent]:
    """Show events on stderr, arms by their labels; yield the function to call with each, which also calls ``also``."""
    ended = trained = 0
    begun = said = perf_counter()

    def tell(event: Event) -> None:
        nonlocal ended, trained, said
        trained += event.kind in ("finished", "failed")
        ended += event.kind in ("finished", "failed", "kept")
        now = perf_counter()
        if event.kind != "started" and not (where == "log" and event.kind == "step" and now - said < _EVERY):
            said = now
            left = f", about {(now - begun) / trained * (runs - ended):.0f} s left" if trained and ended < runs else ""
            line = _words(event, labels(arms)) + (f" ({ended} of {runs} runs{left})" if ended else "")
            if where == "log":
                print(line, file=sys.stderr, flush=True)
            else:
                show(line, ended, runs)
        if also is not None:
            also(event)

    where, bar = place() if shown else ("", nullcontext[Show](lambda *now: None))
    with bar as show:
        yield tell


def _words(event: Event, names: Mapping[str, str]) -> str:
    if event.kind in ("searching", "found"):
        return f"{event.kind} a rate for {event.arm}{event.words and ': '}{event.words}"
    run = f"{names.get(event.arm, event.arm)}, seed {event.seed}"
    if event.kind == "step":
        return f"{run}: {event.done} of {event.total} steps, {event.words}"
    return f"{event.kind}: {run}{event.words and ': '}{event.words}"

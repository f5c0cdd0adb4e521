"""Runs: in turn in this process, side by side in several, or through Ray on a cluster."""

from __future__ import annotations

import os
import pickle
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import wait
from time import monotonic
from typing import Any, Literal

import torch

from lrfind.compare.comparison import Arm, Failure, Run
from lrfind.compare.targets.protocol import Target
from lrfind.errors import BadInputError, LRFindError, from_extra
from lrfind.records import Finding

Targets = Mapping[str, Target]
"""What is trained, by the arm's ``variant``; a single one has an empty name."""

Todo = Sequence[tuple[Arm, int]]
"""Arms and seeds, in the order to train."""

_BETWEEN = 0.1
"""Seconds between two reports of one run: telling of every step would cost more than small steps do."""

TRIES = 2
"""How often a run is started whose worker dies."""

_ADVICE = (
    'a script that compares with jobs= needs its calls under if __name__ == "__main__":, and what it trains in a '
    "module."
)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, for showing progress.

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
"""Trains arms with seeds, each for so many steps, and tells what happens."""


def place(targets: Targets, jobs: int, ray: str | None) -> Train:
    """Return what trains: in turn here, in processes or through Ray; whether it can is found out before any work."""
    if jobs < 1 or (jobs > 1 and ray is not None):
        raise BadInputError(f"jobs must be at least 1, and is not for Ray, got {jobs=} and {ray=}.")
    if ray is not None:
        _ray()
        return partial(_in_ray, targets, address=ray)
    if jobs > 1:
        _packed(targets)
        return partial(_in_processes, targets, jobs=jobs)
    return partial(_in_turn, targets)


def _in_turn(targets: Targets, todo: Todo, steps: int, on_event: OnEvent) -> Iterator[Run | Failure]:
    """Train one after the other."""
    for arm, seed in todo:
        yield _attempt(targets, arm, seed, steps, on_event)


def _attempt(targets: Targets, arm: Arm, seed: int, steps: int, on_event: OnEvent) -> Run | Failure:
    """Train once; an error is the answer, so that the other runs go on."""
    told = monotonic()

    def now_and_then(done: int, words: str) -> None:
        nonlocal told
        if monotonic() - told > _BETWEEN or done == steps:
            told = monotonic()
            on_event(Event("step", arm.name, seed, done, steps, words))

    on_event(Event("started", arm.name, seed, 0, steps))
    try:
        with one_thread():
            return targets[arm.variant].train(arm, seed, steps, now_and_then)
    except Exception as error:  # noqa: BLE001  it is a user's code that runs; whatever it raises is reported
        return Failure(arm.name, seed, f"{type(error).__name__}: {error}")


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread: sums in another order give other digits, and training amplifies them."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _packed(targets: Targets) -> bytes:
    """Return targets as another process can read them."""
    try:
        return pickle.dumps(targets)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise BadInputError(
            f"other processes cannot build what is trained ({error}); define it at the top of a module, or name it as "
            f"'package.module:name'."
        ) from error


def _in_processes(targets: Targets, todo: Todo, steps: int, on_event: OnEvent, *, jobs: int) -> Iterator[Run | Failure]:
    """Train in ``jobs`` processes; a run whose process dies is started once more in a new one."""
    packed = _packed(targets)
    waiting = deque((arm, seed, 1) for arm, seed in todo)
    idle: list[_Worker] = []
    busy: dict[Any, tuple[_Worker, Any]] = {}
    try:
        while waiting or busy:
            while waiting and len(busy) < jobs:
                worker, task = idle.pop() if idle else _Worker(packed, steps), waiting.popleft()
                busy[worker.connection] = worker, task
                with suppress(OSError):  # it died; receive() will say so
                    worker.connection.send(task[:2])
            for connection in wait(list(busy)):
                worker, (arm, seed, tries) = busy[connection]
                message = worker.receive()
                if isinstance(message, Event):
                    on_event(message)
                    continue
                del busy[connection]
                if isinstance(message, (Run, Failure)):
                    idle.append(worker)
                    yield message
                elif tries == TRIES:
                    yield Failure(arm.name, seed, f"{message}, {TRIES} times; {_ADVICE}")
                else:
                    on_event(Event("died", arm.name, seed, words=message))
                    waiting.appendleft((arm, seed, tries + 1))
    finally:
        for worker in (*idle, *(worker for worker, _ in busy.values())):
            worker.process.kill()
            worker.process.join()


class _Worker:
    """A process that trains one run after the other (docs/decisions/0017-own-processes.md says why no pool)."""

    def __init__(self, packed: bytes, steps: int) -> None:
        context = get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs, packed, steps))
        self.process.start()
        theirs.close()  # so that its end is seen here when the process dies

    def receive(self) -> Event | Run | Failure | str:
        """Return what it says; of a dead process, how it ended."""
        try:
            message: Event | Run | Failure = self.connection.recv()
            return message
        except (EOFError, OSError):
            self.process.join()
            return f"its process ended with code {self.process.exitcode}"


def _work(connection: Any, packed: bytes, steps: int) -> None:
    """Train what the other end asks for, until it is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the other end handles Ctrl-C

    def tell(message: Event | Run | Failure) -> None:
        try:
            connection.send(message)
        except OSError:
            os._exit(1)  # nobody is there to train for

    targets = pickle.loads(packed)
    with suppress(EOFError, OSError):
        while True:
            arm, seed = connection.recv()
            tell(_attempt(targets, arm, seed, steps, tell))


def _ray() -> Any:
    """Return Ray."""
    with from_extra("ray"):
        import ray
    return ray


def _in_ray(targets: Targets, todo: Todo, steps: int, on_event: OnEvent, *, address: str) -> Iterator[Run | Failure]:
    """Train as Ray tasks of one CPU each; a run whose worker dies is started once more."""
    ray = _ray()
    is_ours = not ray.is_initialized()
    try:
        if is_ours:
            ray.init(address=address, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise LRFindError(f"there is no Ray at {address!r} ({error}); start one, or use 'local'.") from error
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
        if is_ours:
            ray.shutdown()


def _train(packed: bytes, arm: Arm, seed: int, steps: int, path: list[str]) -> Run | Failure:
    """Train on a worker, which finds modules where the caller does."""
    from ray import cloudpickle

    sys.path.extend(folder for folder in path if folder not in sys.path)
    return _attempt(cloudpickle.loads(packed), arm, seed, steps, lambda event: None)

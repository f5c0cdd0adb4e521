"""Runs side by side, in processes of this machine."""

from __future__ import annotations

import os
import pickle
import signal
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import wait
from typing import Any

from lrfind.compare.running import Event, OnEvent, Todo, attempt
from lrfind.compare.runs import Arm, Failure, Run
from lrfind.compare.targets.variants import Variants
from lrfind.errors import BadInputError

TRIES = 2
"""How often a run is begun whose worker dies."""

_ADVICE = (
    'a script that compares with jobs= needs its calls under if __name__ == "__main__":, and what it trains in a '
    "module."
)


def check_portable(target: Variants) -> bytes:
    """Return a target as another process can read it."""
    try:
        return pickle.dumps(target)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise BadInputError(
            f"other processes cannot build what is trained ({error}); define it at the top of a module, or name it as "
            f"'package.module:name'."
        ) from error


def in_processes(target: Variants, todo: Todo, steps: int, on_event: OnEvent, *, jobs: int) -> Iterator[Run | Failure]:
    """Train in ``jobs`` processes; a run whose process dies is begun once more in a new one."""
    packed = check_portable(target)
    waiting = deque((arm, seed, 1) for arm, seed in todo)
    idle: list[_Worker] = []
    busy: dict[Any, tuple[_Worker, Arm, int, int]] = {}
    try:
        while waiting or busy:
            while waiting and len(busy) < jobs:
                worker, task = idle.pop() if idle else _Worker(packed, steps), waiting.popleft()
                busy[worker.connection] = worker, *task
                worker.begin(*task[:2])
            for connection in wait(list(busy)):
                worker, arm, seed, tries = busy[connection]
                message = worker.receive()
                if isinstance(message, Event):
                    on_event(message)
                    continue
                del busy[connection]
                if message is not None:
                    idle.append(worker)
                    yield message
                elif tries == TRIES:
                    yield Failure(arm.name, seed, f"{worker.death()}, {TRIES} times; {_ADVICE}")
                else:
                    on_event(Event("died", arm.name, seed, words=worker.death()))
                    waiting.appendleft((arm, seed, tries + 1))
    finally:
        for worker in (*idle, *(worker for worker, *_ in busy.values())):
            worker.kill()


class _Worker:
    """A process that trains one run after the other.

    Python's and joblib's pools give up all runs where one process dies (docs/decisions/0017-own-processes.md).
    """

    def __init__(self, packed: bytes, steps: int) -> None:
        context = get_context("spawn")
        self.connection, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, packed, steps))
        self._process.start()
        theirs.close()  # so that its end is seen here when the process dies

    def begin(self, arm: Arm, seed: int) -> None:
        """Ask for a run."""
        with suppress(OSError):  # it died; reading from it will say so
            self.connection.send((arm, seed))

    def receive(self) -> Any:
        """Return what it says; None where it is dead."""
        try:
            return self.connection.recv()
        except (EOFError, OSError):
            return None

    def death(self) -> str:
        """Say how a dead one ended."""
        self._process.join()
        return f"its process ended with code {self._process.exitcode}"

    def kill(self) -> None:
        """End it."""
        self._process.kill()
        self._process.join()


def _work(connection: Any, packed: bytes, steps: int) -> None:
    """Train what the other end asks for, until it is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the other end's business

    def tell(message: Event | Run | Failure) -> None:
        try:
            connection.send(message)
        except OSError:
            os._exit(1)  # nobody is there to train for

    target = pickle.loads(packed)
    with suppress(EOFError, OSError):
        while True:
            arm, seed = connection.recv()
            tell(attempt(target, arm, seed, steps, tell))

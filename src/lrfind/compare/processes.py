"""Runs side by side, in processes of this machine."""

from __future__ import annotations

import os
import pickle
import signal
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, cast

from lrfind.compare.running import Event, OnEvent, Todo, attempt
from lrfind.compare.runs import Arm, Failure, Run
from lrfind.compare.targets.protocol import Target
from lrfind.errors import BadInputError

TRIES = 2
"""How often a run is begun whose worker dies."""

_Task = tuple[Arm, int, int]
"""An arm, a seed, and which try it is."""


@dataclass
class _Worker:
    process: BaseProcess
    task: _Task


def check_portable(target: Target) -> bytes:
    """Return a target as another process can read it.

    Raises:
        BadInputError: If it cannot be.
    """
    try:
        return pickle.dumps(target)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise BadInputError(
            f"other processes cannot build what is trained ({error}); define it at the top of a module, or name it as "
            f"'package.module:name'."
        ) from error


def in_processes(target: Target, todo: Todo, steps: int, on_event: OnEvent, jobs: int) -> Iterator[Run | Failure]:
    """Train in ``jobs`` processes; a run whose process dies is begun once more in a new one."""
    packed = check_portable(target)
    waiting = deque((arm, seed, 1) for arm, seed in todo)
    idle: list[tuple[Connection, BaseProcess]] = []
    busy: dict[Connection, _Worker] = {}
    try:
        while waiting or busy:
            while waiting and len(busy) < jobs:
                connection, process = idle.pop() if idle else _start(packed, steps)
                task = waiting.popleft()
                busy[connection] = _Worker(process, task)
                _send(connection, task[:2])
            for ready in wait(list(busy)):
                connection = cast("Connection[Any, Any]", ready)
                message = _receive(connection)
                if isinstance(message, Event):
                    on_event(message)
                    continue
                worker = busy.pop(connection)
                if message is not None:
                    idle.append((connection, worker.process))
                    yield message
                elif (outcome := _lost(worker, waiting, on_event)) is not None:
                    yield outcome
    finally:
        for process in (*(worker.process for worker in busy.values()), *(process for _, process in idle)):
            process.kill()
            process.join()


def _start(packed: bytes, steps: int) -> tuple[Connection, BaseProcess]:
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs, packed, steps))
    process.start()
    theirs.close()  # so that its end is seen here when the process dies
    return ours, process


def _work(connection: Connection, packed: bytes, steps: int) -> None:
    """Train what the other end asks for, until it is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the other end's business

    def tell(message: Event | Run | Failure) -> None:
        try:
            connection.send(message)
        except OSError:
            os._exit(1)  # nobody is there to train for

    target = pickle.loads(packed)
    while True:
        try:
            arm, seed = connection.recv()
        except (EOFError, OSError):
            return
        tell(attempt(target, arm, seed, steps, tell))


def _send(connection: Connection, task: Any) -> None:
    with suppress(OSError):  # it died; reading from it will say so
        connection.send(task)


def _receive(connection: Connection) -> Any:
    """Return what a worker says; None where it is dead."""
    try:
        return connection.recv()
    except (EOFError, OSError):
        return None


def _lost(worker: _Worker, waiting: deque[_Task], on_event: OnEvent) -> Failure | None:
    """Begin a run once more whose process is dead, or give it up."""
    arm, seed, tries = worker.task
    worker.process.join()
    words = f"its process ended with code {worker.process.exitcode}"
    if tries < TRIES:
        on_event(Event("died", arm.name, seed, words=words))
        waiting.appendleft((arm, seed, tries + 1))
        return None
    return Failure(
        arm.name,
        seed,
        f"{words}, {TRIES} times; a script that compares with jobs= needs its calls under "
        f'if __name__ == "__main__":, and what it trains in a module.',
    )

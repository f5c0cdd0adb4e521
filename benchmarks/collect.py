"""Run what is stored for scoring: the range tests, and every peer that has to be run.

Run: ``python -m benchmarks.collect``; what is stored is not run again.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from benchmarks import sweeps
from benchmarks.peer import Peer
from benchmarks.peers import PEERS
from benchmarks.store import HERE, append_row, mend, origin, read_rows
from benchmarks.task import Task
from benchmarks.tasks import TASKS

SUGGESTIONS = HERE / "records" / "suggestions.jsonl"
SEEDS = tuple(range(10, 15))
"""Of the searches; none of those that the truth used."""

WIDER_PEERS = ("Lightning", "torch-lr-finder", "the habit")
"""Peers that are run on the tasks that the benchmark was widened by; the others take hours on them."""

FEWER = 3
"""Search seeds of the tasks that the benchmark was widened by."""

BOTH = "both"
"""Stands for the schedule where a peer does not know it."""


def suggestion_row(peer: Peer, task: Task, schedule: str, seed: int) -> dict[str, Any]:
    """Run a peer; a peer that raises is recorded as that."""
    start = time.perf_counter()
    row: dict[str, Any] = {"peer": peer.name, "task": task.name, "schedule": schedule, "seed": seed}
    try:
        said = peer.run(task, task.schedules[0] if schedule == BOTH else schedule, seed)
        is_lost = said.loss is not None and not math.isfinite(said.loss)
        row |= {"lr": said.lr, "steps": said.steps, "forwards": said.forwards, "loss": None if is_lost else said.loss}
        row |= {"error": "the loss is not finite"} if is_lost else {}
    except Exception as error:  # noqa: BLE001, whatever a peer raises is its answer
        row |= {"lr": None, "steps": 0, "forwards": 0, "loss": None, "error": f"{type(error).__name__}: {error}"[:200]}
    return row | {"seconds": round(time.perf_counter() - start, 3)}


def is_installed(peer: Peer) -> bool:
    """Say whether the peer's packages are there."""
    try:
        return all(version(package) for package in peer.packages)
    except PackageNotFoundError:
        return False


def _sweep_jobs(tasks: Sequence[Task]) -> Iterator[tuple[tuple[Any, ...], Callable[[], dict[str, Any]]]]:
    for seed in SEEDS:
        for task in _searched(tasks, seed):
            if task.wider:
                probe = sweeps.first(task)
                key = (sweeps.FIRST, task.name, seed, probe.seed)
                yield key, lambda task=task, rest=(sweeps.FIRST, seed, probe): sweeps.run_probe(task, *rest)
            for kind, ramp in sweeps.RAMPS.items():
                for repeat in range(1 if task.wider else ramp.repeats):
                    yield (
                        (kind, task.name, seed, repeat),
                        lambda task=task, key=(kind, seed, repeat): sweeps.run(task, *key),
                    )


def _searched(tasks: Sequence[Task], seed: int) -> list[Task]:
    """The tasks that are searched with a seed: fewer seeds are enough where there are many tasks of a kind."""
    return [task for task in tasks if not task.wider or seed in SEEDS[:FEWER]]


def _asked(peer: Peer, tasks: Sequence[Task], seed: int) -> list[Task]:
    """The tasks that a peer is run on: of the wider ones a few peers, once, and none that steps several optimizers."""
    is_asked = peer.name in WIDER_PEERS and seed == SEEDS[0]
    return [task for task in tasks if not task.wider or (is_asked and not task.is_several)]


def _shorter_jobs(tasks: Sequence[Task]) -> Iterator[tuple[tuple[Any, ...], Callable[[], dict[str, Any]]]]:
    """The second round of each search; its first is stored by now."""
    firsts = {(one.task, one.seed): one.record for one in sweeps.load() if sweeps.is_first(one)}
    for (name, seed), first in firsts.items():
        for task in (task for task in tasks if task.name == name):
            for probe in sweeps.shorter(task, first):
                key = (sweeps.SHORTER, name, seed, probe.seed)
                yield key, lambda task=task, rest=(sweeps.SHORTER, seed, probe): sweeps.run_probe(task, *rest)


def _peer_jobs(
    tasks: Sequence[Task], peers: Sequence[Peer]
) -> Iterator[tuple[tuple[Any, ...], Callable[[], dict[str, Any]]]]:
    for peer in peers:
        for seed in SEEDS[: peer.seeds]:
            for task in _asked(peer, tasks, seed):
                for schedule in (BOTH,) if peer.is_blind else task.schedules:
                    key = (peer.name, task.name, schedule, seed)
                    yield key, lambda peer=peer, task=task, rest=(schedule, seed): suggestion_row(peer, task, *rest)


def _fill(path: Path, fields: tuple[str, ...], jobs: Iterator[tuple[tuple[Any, ...], Callable[[], Any]]]) -> None:
    mend(path)
    done = {tuple(row.get(field) for field in fields) for row in read_rows(path)}
    is_new = False
    for key, job in jobs:
        if key not in done:
            if not is_new:
                append_row(path, origin("lightning", "torch-lr-finder", "pytorch-ignite", "optuna"))
                is_new = True
            append_row(path, job())


def fill(tasks: Sequence[Task] = tuple(TASKS.values()), peers: Sequence[Peer] = tuple(PEERS.values())) -> None:
    """Run what is not stored yet; a peer whose packages are missing is left as it is stored."""
    _fill(sweeps.STORE, ("kind", "task", "seed", "repeat"), _sweep_jobs(tasks))
    _fill(sweeps.STORE, ("kind", "task", "seed", "repeat"), _shorter_jobs(tasks))
    for peer in peers:
        if not is_installed(peer):
            print(f"{peer.name} is left as stored: {', '.join(peer.packages)} not installed (pip install .[bench])")
    there = [peer for peer in peers if is_installed(peer)]
    _fill(SUGGESTIONS, ("peer", "task", "schedule", "seed"), _peer_jobs(tasks, there))


def main() -> None:
    """Fill both files from the command line."""
    parser = argparse.ArgumentParser(description="Run and store range tests and peers.")
    parser.add_argument("--tasks", nargs="*", default=list(TASKS))
    parser.add_argument("--peers", nargs="*", default=list(PEERS))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    fill([TASKS[name] for name in arguments.tasks], [PEERS[name] for name in arguments.peers])


if __name__ == "__main__":
    main()

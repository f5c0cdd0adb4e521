"""Stored range tests, and the shorter ones that a search adds: run once, read by any rule in milliseconds."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch

from benchmarks.store import HERE, read_rows
from benchmarks.task import Task
from benchmarks.tasks import TASKS
from benchmarks.training import cycle
from lrfind import RangeTest
from lrfind.errors import LRFindError
from lrfind.optim import reply_of
from lrfind.pytorch import PyTorchLoop
from lrfind.records import Finding, Probe, Record
from lrfind.replies import Reply
from lrfind.schedules import ramp
from lrfind.strategies.replicated import Replicated

STORE = HERE / "records" / "sweeps.jsonl"
DIGITS = 5
"""Significant digits of the losses that are kept."""


@dataclass(frozen=True, slots=True)
class Ramp:
    """A kind of range test.

    Attributes:
        min_lr: The first rate.
        max_lr: The last rate.
        steps: How many.
        rise: It is stopped where the smoothed loss exceeds its least this many times; None: as lrfind stops.
        repeats: How often it is run from one model, with other batches.
    """

    min_lr: float
    max_lr: float
    steps: int
    rise: float | None
    repeats: int = 1


_OURS = RangeTest()
RAMPS = {
    "lrfind": Ramp(_OURS.min_lr, _OURS.max_lr, _OURS.steps, None, 4),
    "fastai": Ramp(1e-7, 10.0, 100, 4.0),
    "forecasting": Ramp(1e-5, 1.0, 100, 10_000.0),
    "lrfind, 3 %": Ramp(_OURS.min_lr, _OURS.max_lr, 60, None),
}

SHORTER = "lrfind, shorter"
"""The kind of the ramps that a search runs after its first; ``repeat`` is the seed of the probe."""

FIRST = "lrfind, first"
"""The kind of the first ramp of a search whose budget, a tenth of a short training, asks for another one."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """One stored range test: its rates and losses are in ``record``."""

    kind: str
    task: str
    seed: int
    repeat: int
    record: Record


def shorter(task: Task, first: Record) -> list[Probe]:
    """Return the shorter ramps that a search asks for after its first; none after one that cannot be read."""
    try:
        answer = Replicated(RangeTest(total_steps=task.horizon)).propose([first])
    except LRFindError:
        return []
    return [] if isinstance(answer, Finding) else answer


def first(task: Task) -> Probe:
    """Return the ramp that a search of a task begins with."""
    answer = Replicated(RangeTest(total_steps=task.horizon)).propose([])
    if isinstance(answer, Finding):
        raise TypeError("a search begins with a probe.")
    return answer[0]


def run_probe(task: Task, kind: str, seed: int, probe: Probe) -> dict[str, Any]:
    """Run a ramp between any ends; return its row."""
    return _run(task, kind, seed, probe, None) | {"ends": [probe.lrs[0], probe.lrs[-1], len(probe.lrs)]}


def run(task: Task, kind: str, seed: int, repeat: int) -> dict[str, Any]:
    """Run a range test; return its row."""
    shape = RAMPS[kind]
    return _run(task, kind, seed, Probe(_rates(shape), seed=repeat), shape.rise)


def _run(task: Task, kind: str, seed: int, probe: Probe, rise: float | None) -> dict[str, Any]:
    start = time.perf_counter()
    model, optimizers = task.begin(seed, task.stage.lr if task.stage else task.habit)
    if rise is None:
        record = loop_of(task, model, optimizers, seed).run(probe)
        losses, stop = record.losses, record.stop
    else:
        losses, stop = _plain(task, model, optimizers, probe, seed, rise)
    return {
        "kind": kind,
        "task": task.name,
        "seed": seed,
        "repeat": probe.seed,
        "stop": stop,
        "seconds": round(time.perf_counter() - start, 3),
        "epoch": len(task.loader(seed)),
        "losses": [float(f"{loss:.{DIGITS}g}") if math.isfinite(loss) else None for loss in losses],
    }


def loop_of(task: Task, model: Any, optimizers: Any, seed: int) -> PyTorchLoop:
    """Return the loop that probes a task: of its criterion, or, where its step does more, of its step."""
    is_plain = task.loss.__module__ == "torch.nn.functional" and task.clip is None and not task.skips
    if is_plain:
        return PyTorchLoop(model, optimizers, task.loader(seed), task.loss)
    return PyTorchLoop(model, optimizers, task.loader(seed), step=task.step)


def searches(sweeps: Sequence[Sweep]) -> list[list[Sweep]]:
    """Return, for each search, its first ramp and the shorter ones."""
    groups: dict[tuple[str, int], list[Sweep]] = {}
    for sweep in sorted(sweeps, key=lambda one: one.repeat):
        if sweep.kind == SHORTER or is_first(sweep):
            groups.setdefault((sweep.task, sweep.seed), []).append(sweep)
    return list(groups.values())


def is_first(sweep: Sweep) -> bool:
    """Say whether a ramp is the first of a search."""
    kind = FIRST if TASKS[sweep.task].wider else "lrfind"
    return (sweep.kind, sweep.repeat) == (kind, 0)


def apart(sweeps: Sequence[Sweep], kind: str = "lrfind") -> list[list[Sweep]]:
    """Return each range test of a kind for itself."""
    return [[sweep] for sweep in sweeps if sweep.kind == kind]


def together(sweeps: Sequence[Sweep], kind: str = "lrfind") -> list[list[Sweep]]:
    """Return all range tests of a kind that were run from one model, with other batches, as one search."""
    groups: dict[tuple[str, int], list[Sweep]] = {}
    for sweep in sweeps:
        if sweep.kind == kind:
            groups.setdefault((sweep.task, sweep.seed), []).append(sweep)
    return list(groups.values())


def load(path: Path = STORE) -> list[Sweep]:
    """Return what is stored."""
    return [to_sweep(row) for row in read_rows(path) if "losses" in row]


def to_sweep(row: dict[str, Any]) -> Sweep:
    """Return a row as a sweep."""
    losses = tuple(math.nan if loss is None else loss for loss in row["losses"])
    rates = ramp(*row["ends"]) if "ends" in row else _rates(RAMPS[row["kind"]])
    probe = Probe(rates, seed=row["repeat"])
    task = TASKS[row["task"]]
    record = Record(
        probe,
        probe.lrs[: len(losses)],
        losses,
        row["stop"],
        seconds=row["seconds"],
        optimizer=task.optimizer_class,
        is_fresh=task.stage is None,
        steps_per_epoch=float(row["epoch"]),
        reply=_reply(task),
        used=task.stage.lr if task.stage else task.habit,
    )
    return Sweep(row["kind"], row["task"], row["seed"], row["repeat"], record)


@cache
def _reply(task: Task) -> Reply | None:
    """How the optimizer of a task replies to its rate: what a search records, told without training."""
    made = task.optimizer([torch.nn.Parameter(torch.zeros(2, 2))], lr=task.habit)
    known = reply_of(made[0] if isinstance(made, list) else made)
    return replace(known, age=task.stage.steps) if known and task.stage else known


def _rates(shape: Ramp) -> tuple[float, ...]:
    return ramp(shape.min_lr, shape.max_lr, shape.steps)


def _plain(
    task: Task, model: Any, optimizers: Any, probe: Probe, seed: int, rise: float
) -> tuple[tuple[float, ...], str]:
    """Sweep as fastai and Lightning do, smoothing with a factor of 0.98 and stopping on it."""
    losses: list[float] = []
    average, least = 0.0, math.inf
    batches = cycle(task.loader(seed))
    for step, lr in enumerate(probe.lrs, 1):
        for group in (group for one in optimizers for group in one.param_groups):
            group["lr"] = lr
        losses.append(task.step(model, optimizers, next(batches)))
        average = 0.98 * average + 0.02 * losses[-1]
        smooth = average / (1 - 0.98**step)
        least = min(least, smooth)
        if not math.isfinite(smooth) or (step > 10 and smooth > rise * least):
            return tuple(losses), "diverged"
    return tuple(losses), "done"

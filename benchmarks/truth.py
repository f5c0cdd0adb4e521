"""The truth: held-out loss at the horizon over a grid of rates, for each task and schedule.

Short runs over the whole range find roughly where the best rate is; full runs, an octave apart, surround it until it
is three octaves above the lowest and two below the highest; runs of one seed further out say how bad it is to be far
off; half octaves refine it. One row per run; a run that is in the table is not run again, so it can be stopped at any
time.

Run: ``make truth``, or ``python -m benchmarks.truth --jobs 2``.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.store import HERE, append_row, mend, origin, read_rows
from benchmarks.task import SHORT, Task
from benchmarks.tasks import TASKS, task_of
from benchmarks.training import train

TABLE = HERE / "truth.jsonl"
SEEDS = (0, 1, 2)
"""Of the trainings; a task whose record says fewer takes the first ones."""

WHOLE = range(-16, 5)
"""Octaves that are bracketed: rates from 2**-16 to 2**4."""

LOWEST, HIGHEST = -24, 8
NEAR = 3
"""The grid of all seeds reaches so far below the best octave, and one less above it."""

FAR = 7
"""Longer trainings are run at rates up to so many octaves above the best one, and down to ``NEAR`` below it."""

COARSE = 2_000
"""Trainings of more steps have a grid as coarse as that of the tasks that came later, and it begins around the best
rate of a training of so many: they take long."""


@dataclass(frozen=True, slots=True)
class Run:
    """One training: ``lr`` is 2 to the ``octave``; 0 steps give the untrained loss."""

    task: str
    schedule: str
    steps: int
    octave: float
    seed: int


Losses = dict[Run, float]


def load(path: Path = TABLE) -> Losses:
    """Return the loss of every run in the table; infinite where it was not finite."""
    rows = [row for row in read_rows(path) if "loss" in row]
    return {
        Run(row["task"], row["schedule"], row["steps"], row["octave"], row["seed"]): (
            math.inf if row["loss"] is None else row["loss"]
        )
        for row in rows
    }


def next_runs(task: Task, schedule: str, losses: Losses) -> list[Run]:
    """Return what to run next for one task and schedule; nothing if its truth is complete."""
    for stage in (_starts, _bracket, _surround, _far, _refine):
        missing = [run for run in stage(task, schedule, losses) if run not in losses]
        if missing:
            return missing
    return []


def _starts(task: Task, schedule: str, losses: Losses) -> list[Run]:
    return [Run(task.name, schedule, 0, 0.0, seed) for seed in _seeds(task)]


def _bracket(task: Task, schedule: str, losses: Losses) -> list[Run]:
    if task.horizon > COARSE:
        return sorted((run for run in losses if _is_shorter(run, task, schedule)), key=lambda run: run.octave)
    return [Run(task.name, schedule, task.horizon // SHORT, float(octave), 0) for octave in WHOLE]


def _surround(task: Task, schedule: str, losses: Losses) -> list[Run]:
    short = {run.octave: losses[run] for run in _bracket(task, schedule, losses)}
    centre = min(short, key=short.__getitem__)
    near = range(-1, 2) if _is_coarse(task) else range(-NEAR, NEAR)
    octaves = {centre + away for away in near}
    means = _means(task, schedule, losses)
    if octaves <= set(means):
        whole = {octave: mean for octave, mean in means.items() if octave == int(octave)}
        best = min(whole, key=whole.__getitem__)
        octaves |= {best + away for away in near if LOWEST <= best + away <= HIGHEST}
    return _full(task, schedule, sorted(octaves))


def _far(task: Task, schedule: str, losses: Losses) -> list[Run]:
    """One seed, further out, until next to nothing is learned."""
    start = losses[Run(task.name, schedule, 0, 0.0, 0)]
    known = {run.octave: loss for run, loss in losses.items() if _is_full(run, task, schedule) and run.seed == 0}
    best = min(known, key=known.__getitem__)
    lowest, highest, down = LOWEST, HIGHEST, -1 if _is_coarse(task) and min(known) > best - NEAR else -2
    if task.horizon > COARSE:
        lowest, highest, down = max(best - NEAR, LOWEST), min(best + FAR, HIGHEST), -NEAR
    wanted = []
    for edge, step in ((min(known), down), (max(known), 1)):
        is_lost = known[edge] >= known[best] + 0.9 * (start - known[best])
        if not is_lost and (edge > lowest if step < 0 else edge < highest):
            octave = max(min(edge + step, HIGHEST), LOWEST)
            wanted.append(Run(task.name, schedule, task.horizon, octave, 0))
    return wanted


def _refine(task: Task, schedule: str, losses: Losses) -> list[Run]:
    if _is_coarse(task):  # a factor of 2 is fine enough
        return []
    means = _means(task, schedule, losses)
    best = min(means, key=means.__getitem__)
    halves = {best - 1.0, best - 0.5, best, best + 0.5, best + 1.0}
    return _full(task, schedule, sorted(halves))


def _full(task: Task, schedule: str, octaves: Iterable[float]) -> list[Run]:
    return [Run(task.name, schedule, task.horizon, float(octave), seed) for seed in _seeds(task) for octave in octaves]


def _seeds(task: Task) -> tuple[int, ...]:
    return SEEDS[: task.seeds]


def _is_coarse(task: Task) -> bool:
    return task.wider or task.horizon > COARSE


def _is_shorter(run: Run, task: Task, schedule: str) -> bool:
    """Say whether a run is one of the shorter trainings that a longer one's grid begins with."""
    known = (task.name.partition("@")[0], schedule, COARSE, 0)
    return (run.task, run.schedule, run.steps, run.seed) == known and run.octave == int(run.octave)


def _is_full(run: Run, task: Task, schedule: str) -> bool:
    return (run.task, run.schedule, run.steps) == (task.name, schedule, task.horizon)


def _means(task: Task, schedule: str, losses: Losses) -> dict[float, float]:
    """The mean loss over the seeds, at the rates where all have run."""
    start = float(np.mean([losses[run] for run in _starts(task, schedule, losses)]))
    found: dict[float, list[float]] = {}
    for run, loss in losses.items():
        if _is_full(run, task, schedule):
            found.setdefault(run.octave, []).append(min(loss, start))
    return {octave: float(np.mean(values)) for octave, values in found.items() if len(values) == task.seeds}


def perform(run: Run) -> float:
    """Train, in one thread."""
    torch.set_num_threads(1)
    return train(task_of(run.task), run.schedule, 2.0**run.octave, seed=run.seed, steps=run.steps)


def fill(tasks: Sequence[Task], path: Path = TABLE, jobs: int = 1) -> None:
    """Run what the table lacks, a stage of every task before the next stage of any."""
    fill_cells([(task, schedule) for task in tasks for schedule in task.schedules], path, jobs)


def fill_cells(cells: Sequence[tuple[Task, str]], path: Path = TABLE, jobs: int = 1) -> None:
    """Run what the table lacks of these tasks under these schedules."""
    mend(path)
    losses = load(path)
    append_row(path, origin())
    context = get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        while pending := [run for cell in cells for run in next_runs(*cell, losses)]:
            print(f"{time.strftime('%H:%M:%S')} {len(losses)} runs done, {len(pending)} in this round", flush=True)
            for run, loss in zip(pending, pool.map(perform, pending), strict=True):
                losses[run] = loss
                append_row(path, _row(run, loss))


def _row(run: Run, loss: float) -> dict[str, Any]:
    return {**asdict(run), "loss": loss if math.isfinite(loss) else None}


def main() -> None:
    """Fill the table from the command line."""
    parser = argparse.ArgumentParser(description="Compute the truth; stop and start again at will.")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes of one thread each")
    parser.add_argument("--tasks", nargs="*", default=list(TASKS), help="names; all by default")
    arguments = parser.parse_args()
    fill([task_of(name) for name in arguments.tasks], jobs=arguments.jobs)


if __name__ == "__main__":
    main()

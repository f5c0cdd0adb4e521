"""From what is stored to scores: every suggestion against the truth, without training."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks import sweeps, truth
from benchmarks.calibrate import fit, leave_one_out, samples_of
from benchmarks.collect import BOTH, SUGGESTIONS
from benchmarks.measures import Score, Truth, score, to_truth
from benchmarks.readings import READINGS
from benchmarks.rule import Rule, curve_of
from benchmarks.schedules import SHAPES
from benchmarks.store import read_rows
from benchmarks.task import Task
from lrfind import RangeTest
from lrfind.errors import LRFindError
from lrfind.schedules import Shape
from lrfind.suggest import METHODS, to_rule

DEFAULT = RangeTest().method

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Stored:
    """Everything that was run: the truth, the range tests and the peers' suggestions."""

    tasks: dict[str, Task]
    truths: dict[tuple[str, str], Truth]
    sweeps: list[sweeps.Sweep]
    suggestions: list[dict[str, Any]]

    @classmethod
    def load(
        cls,
        tasks: dict[str, Task],
        *,
        table: Path = truth.TABLE,
        store: Path = sweeps.STORE,
        suggestions: Path = SUGGESTIONS,
    ) -> Stored:
        """Read the stored files; a task whose truth is not there yet is left out."""
        losses = truth.load(table)
        truths = {}
        for task in tasks.values():
            for schedule in task.schedules:
                try:
                    truths[task.name, schedule] = to_truth(task.name, schedule, task.horizon, losses)
                except ValueError:
                    continue
        rows = [row for row in read_rows(suggestions) if "peer" in row]
        return cls(tasks, truths, sweeps.load(store), rows)

    @property
    def unseen(self) -> frozenset[str]:
        """The families that nothing is calibrated on."""
        return frozenset(task.family for task in self.tasks.values() if task.unseen)

    def schedules(self, task: str) -> list[str]:
        """The schedules of a task whose truth is known."""
        return [schedule for name, schedule in self.truths if name == task]


def all_scores(stored: Stored, rule: Rule) -> dict[str, list[Score]]:
    """Return the scores of every method; ``rule`` is lrfind's, calibrated without the family it is scored on."""
    found: dict[str, list[Score]] = {}
    for one in (*peer_scores(stored), *_reading_scores(stored), *_own_scores(stored)):
        found.setdefault(one.method, []).append(one)
    for together, name in ((1, "lrfind, one sweep"), (4, "lrfind, median of 4 sweeps")):
        found[name], _ = calibrated_scores(rule, stored, together=together, name=name)
    return found


def calibrated_scores(rule: Rule, stored: Stored, *, together: int = 1, name: str = "") -> tuple[list[Score], Array]:
    """Score a rule with constants fitted without the task's family; return them, and the constants fitted on all."""
    samples = samples_of(rule, stored.sweeps, stored.tasks, stored.truths, together=together)
    constants = leave_one_out(samples, rule.start, stored.unseen)
    scores = []
    for one in samples:
        octave = one.octave(constants[one.family])
        lr = float(2**octave) if np.isfinite(octave) else None
        scores.append(score(name or rule.name, one.truth, one.seed, lr, cost=one.steps, seconds=one.seconds))
    return scores, fit([one for one in samples if one.family not in stored.unseen], rule.start)


def peer_scores(stored: Stored) -> Iterator[Score]:
    """Score what the peers that were run have suggested."""
    for row in stored.suggestions:
        schedules = stored.schedules(row["task"]) if row["schedule"] == BOTH else [row["schedule"]]
        for schedule in schedules:
            if (row["task"], schedule) in stored.truths:
                yield score(
                    row["peer"],
                    stored.truths[row["task"], schedule],
                    row["seed"],
                    row["lr"],
                    cost=row["steps"] + row["forwards"] / 3,
                    seconds=row["seconds"],
                    loss=row["loss"],
                )


def _reading_scores(stored: Stored) -> Iterator[Score]:
    for sweep in stored.sweeps:
        for reading in READINGS:
            if reading.kind != sweep.kind:
                continue
            try:
                lr = reading.read(np.array(sweep.record.lrs), np.array(sweep.record.losses))
            except (ValueError, IndexError):
                lr = None
            for schedule in stored.schedules(sweep.task):
                yield _of_sweep(reading.name, stored, sweep, schedule, lr)


def _own_scores(stored: Stored) -> Iterator[Score]:
    """The methods that the package ships, with the constants that it ships; one sweep per seed."""
    for sweep in stored.sweeps:
        if sweep.kind != "lrfind" or sweep.repeat:
            continue
        for schedule in stored.schedules(sweep.task):
            for method in METHODS:
                lr, interval = _own(sweep, method, SHAPES[schedule], stored.tasks[sweep.task].horizon)
                yield _of_sweep(f"lrfind as shipped, {method}", stored, sweep, schedule, lr, interval)


def _own(
    sweep: sweeps.Sweep, method: str, shape: Shape, horizon: int
) -> tuple[float | None, tuple[float, float] | None]:
    """Return the rate and, for the default method, the interval; what cannot be read gives none."""
    try:
        if method != DEFAULT:
            return to_rule(method, shape)(curve_of(sweep.record)), None
        finding = RangeTest(method=method, schedule=shape, horizon=horizon).propose([sweep.record])
    except LRFindError:
        return None, None
    return finding.lr, finding.interval


def _of_sweep(
    name: str,
    stored: Stored,
    sweep: sweeps.Sweep,
    schedule: str,
    lr: float | None,
    interval: tuple[float, float] | None = None,
) -> Score:
    record = sweep.record
    known = stored.truths[sweep.task, schedule]
    return score(name, known, sweep.seed, lr, cost=len(record.lrs), seconds=record.seconds, interval=interval)

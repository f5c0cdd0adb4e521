"""From what is stored to scores: every suggestion against the truth, without training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks import sweeps, truth
from benchmarks.calibrate import Sample, fit_both, leave_one_out, samples_of
from benchmarks.collect import BOTH, SUGGESTIONS
from benchmarks.measures import Score, Truth, score, to_short_truth, to_truth
from benchmarks.readings import READINGS
from benchmarks.rule import Rule
from benchmarks.schedules import SHAPES
from benchmarks.store import read_rows
from benchmarks.task import Task
from lrfind import RangeTest
from lrfind.errors import LRFindError
from lrfind.suggest import METHODS

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Stored:
    """Everything that was run: the truth, the range tests and the peers' suggestions.

    Attributes:
        tasks: The tasks, by name.
        truths: By task and schedule.
        sweeps: The range tests.
        suggestions: Rows of what peers suggest.
        shorter: The truth of trainings of an eighth of the steps, of the first tasks.
    """

    tasks: dict[str, Task]
    truths: dict[tuple[str, str], Truth]
    sweeps: list[sweeps.Sweep]
    suggestions: list[dict[str, Any]]
    shorter: dict[tuple[str, str], Truth] = field(default_factory=dict)

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
        shorter = {
            cell: to_short_truth(*cell, tasks[cell[0]].horizon, losses)
            for cell in truths
            if tasks[cell[0]].group == "seen"
        }
        return cls(tasks, truths, sweeps.load(store), rows, shorter)

    def schedules(self, task: str) -> list[str]:
        """The schedules of a task whose truth is known."""
        return [schedule for name, schedule in self.truths if name == task]


def all_scores(stored: Stored, rule: Rule) -> dict[str, list[Score]]:
    """Return the scores of every method; ``rule`` is lrfind's, calibrated without the family it is scored on."""
    found: dict[str, list[Score]] = {}
    for one in (*peer_scores(stored), *_reading_scores(stored), *_own_scores(stored)):
        found.setdefault(one.method, []).append(one)
    for name, groups in designs(stored.sweeps).items():
        found[f"lrfind, {name}"], _ = calibrated_scores(rule, stored, groups=groups, name=f"lrfind, {name}")
    return found


def designs(known: Sequence[sweeps.Sweep]) -> dict[str, list[list[sweeps.Sweep]]]:
    """Return the searches that are scored, by what they cost: the ramps of each."""
    return {
        "25 %": sweeps.together(known),
        "10 %": sweeps.searches(known),
        "one sweep": sweeps.apart(known),
        "3 %": sweeps.apart(known, "lrfind, 3 %"),
    }


def calibrated_scores(
    rule: Rule,
    stored: Stored,
    *,
    groups: Sequence[Sequence[sweeps.Sweep]],
    name: str = "",
    at: Stored | None = None,
) -> tuple[list[Score], Array]:
    """Score a rule with constants fitted without the task's family; return them, and the constants fitted on all.

    The constants are fitted on single range tests of the first families, and on searches of the later ones. The
    interval spans nine tenths of the ways from the reading to the best rate, on the other families. What is scored are
    the tasks and truths of ``at``, by default those that are fitted on.
    """
    constants, whole = fitted(rule, stored)
    scored = samples_of(rule, groups, (at or stored).tasks, (at or stored).truths)
    octaves = [one.octave(constants[one.family]) for one in scored]
    ends = _ends(scored, octaves)
    scores = []
    for one, octave in zip(scored, octaves, strict=True):
        lr = float(2**octave) if np.isfinite(octave) else None
        low, high = ends[one.family]
        interval = (lr * 2 ** min(low, 0), lr * 2 ** max(high, 0)) if lr else None
        cost = {"cost": one.steps, "seconds": one.seconds}
        scores.append(score(name or rule.name, one.truth, one.seed, lr, interval=interval, **cost))
    return scores, whole


def _ends(scored: Sequence[Sample], octaves: Sequence[float]) -> dict[str, tuple[float, float]]:
    """Return, for each family, nine tenths of the ways from reading to best rate on others that came when it did."""
    found = {}
    for family, is_wider in {(one.family, one.group in ("wider", "kept")) for one in scored}:
        ways = [
            other.truth.best - at
            for other, at in zip(scored, octaves, strict=True)
            if other.group == ("wider" if is_wider else "seen") and other.family != family and np.isfinite(at)
        ]
        low, high = np.quantile(ways, (0.05, 0.95)) if ways else (0.0, 0.0)
        found[family] = (float(low), float(high))
    return found


@lru_cache(maxsize=64)
def fitted(rule: Rule, stored: Stored) -> tuple[dict[str, Array], Array]:
    """Return, for each family, a rule's constants fitted without it; and those fitted on all."""
    seen, wider = (
        [one for one in stored.sweeps if one.task in stored.tasks and stored.tasks[one.task].group == group]
        for group in ("seen", "wider")
    )
    ramps = sweeps.apart(seen) + (sweeps.searches(wider) if rule.later else [])
    samples = samples_of(rule, ramps, stored.tasks, stored.truths)
    samples += shorter_samples(rule, stored) if rule.later else []
    whole = fit_both(samples, rule)
    without = leave_one_out(samples, rule)
    return {task.family: without.get(task.family, whole) for task in stored.tasks.values()}, whole


def shorter_samples(rule: Rule, stored: Stored) -> list[Sample]:
    """Return samples of the first tasks trained for an eighth of their steps, from the searches for the whole."""
    short = _of_length(stored, stored.shorter)
    found = samples_of(rule, sweeps.searches(short.sweeps), short.tasks, short.truths)
    return [replace(sample, group="shorter") for sample in found]


def scores_at(
    truths: dict[tuple[str, str], Truth], rule: Rule, stored: Stored, *, peers: Sequence[str]
) -> dict[str, list[Score]]:
    """Return the scores for trainings of another length of the same searches, and of some peers, by method."""
    there = _of_length(stored, truths)
    suggested = replace(there, suggestions=[row for row in there.suggestions if row["peer"] in peers])
    found: dict[str, list[Score]] = {}
    for one in (*peer_scores(suggested), *_reading_scores(there), *_own_scores(there)):
        found.setdefault(one.method, []).append(one)
    name = "lrfind, 10 %"
    found[name], _ = calibrated_scores(rule, stored, groups=sweeps.searches(there.sweeps), name=name, at=there)
    return found


def _of_length(stored: Stored, truths: dict[tuple[str, str], Truth]) -> Stored:
    """Return what is stored of the tasks of these truths, whose trainings are as long as the truths say."""
    tasks = {name: replace(stored.tasks[name], horizon=known.horizon) for (name, _), known in truths.items()}
    ramps = [one for one in stored.sweeps if one.task in tasks]
    return Stored(tasks, truths, ramps, [row for row in stored.suggestions if row["task"] in tasks])


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
    for sweep in (one for one in stored.sweeps if one.task in stored.tasks):
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
    """The methods that the package ships, with the constants that it ships; one search per seed."""
    for group in sweeps.searches(stored.sweeps):
        for schedule in stored.schedules(group[0].task):
            test = RangeTest(schedule=SHAPES[schedule], total_steps=stored.tasks[group[0].task].horizon)
            yield _of_records("lrfind as shipped", stored, group, schedule, test)
            for method in METHODS:
                name = f"lrfind as shipped, one sweep, {method}"
                yield _of_records(name, stored, group[:1], schedule, replace(test, method=method))


def _of_records(name: str, stored: Stored, group: Sequence[sweeps.Sweep], schedule: str, test: RangeTest) -> Score:
    """Score what is read off the records of a search that are stored; what cannot be read gives no rate."""
    records = [sweep.record for sweep in group]
    lr, interval = None, None
    try:
        finding = test.find(records)
        lr, interval = finding.lr, finding.interval
    except LRFindError:  # which leaves them unknown
        pass
    return score(
        name,
        stored.truths[group[0].task, schedule],
        group[0].seed,
        lr,
        cost=sum(len(record.lrs) for record in records),
        seconds=sum(record.seconds for record in records),
        interval=interval,
    )


def _of_sweep(
    name: str,
    stored: Stored,
    sweep: sweeps.Sweep,
    schedule: str,
    lr: float | None,
) -> Score:
    record = sweep.record
    known = stored.truths[sweep.task, schedule]
    return score(name, known, sweep.seed, lr, cost=len(record.lrs), seconds=record.seconds)

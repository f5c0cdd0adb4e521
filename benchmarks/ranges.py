"""Which range is best for a cyclical schedule: trainings under cycles between rates below the edge of a range test.

Run: ``python -m benchmarks.ranges``; what is stored is not run again. Prints, for each ceiling (octaves below the edge)
and floor (octaves below the ceiling), by how much the held-out loss ends above that of the best constant rate of the
grid, as a share of what is learned.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import torch

from benchmarks import sweeps
from benchmarks.collect import SEEDS
from benchmarks.scoring import Stored
from benchmarks.store import HERE, append_row, mend, origin, read_rows
from benchmarks.task import Task
from benchmarks.tasks import TASKS
from benchmarks.training import train_with
from lrfind.curves import to_curve
from lrfind.errors import LRFindError
from lrfind.schedules import Cycle, Cyclical
from lrfind.suggest.edges import edge

STORE = HERE / "records" / "ranges.jsonl"
CYCLES = 4
CEILINGS = (0.0, 1.0, 2.0)
FLOORS = (2.0, 5.0)
TRUTH_SEED = 0


KINDS: tuple[Cycle, ...] = ("triangular",)
"""The first is run for every task before the second."""


def edges(tasks: Sequence[Task]) -> dict[str, float]:
    """Return, for each task whose stored range test shows one, the logarithm (base 2) of the edge."""
    found = {}
    for one in sweeps.load():
        if (one.kind, one.repeat, one.seed) == ("lrfind", 0, SEEDS[0]) and any(one.task == task.name for task in tasks):
            try:
                found[one.task] = math.log2(edge(to_curve(one.record)))
            except LRFindError:
                continue
    return found


def fill(tasks: Sequence[Task]) -> None:
    """Run what is not stored yet."""
    mend(STORE)
    done = {(row["task"], row["kind"], row["ceiling"], row["floor"]) for row in _rows()}
    append_row(STORE, origin())
    top = edges(tasks)
    for kind, task, ceiling, floor in product(KINDS, tasks, CEILINGS, FLOORS):
        if task.name in top and (task.name, kind, ceiling, floor) not in done:
            shape = Cyclical(kind, cycles=CYCLES, low=2.0**-floor)
            loss = train_with(task, shape, 2.0 ** (top[task.name] - ceiling), seed=TRUTH_SEED, steps=task.horizon)
            row = {"task": task.name, "kind": kind, "ceiling": ceiling, "floor": floor}
            append_row(STORE, {**row, "loss": loss if math.isfinite(loss) else None})


def _rows() -> list[dict[str, Any]]:
    return [row for row in read_rows(STORE) if "ceiling" in row]


def excess(stored: Stored) -> dict[tuple[str, float, float], list[float]]:
    """Return, for each kind, ceiling and floor, how far above the best constant rate each task ended."""
    found: dict[tuple[str, float, float], list[float]] = {}
    for row in _rows():
        known = stored.truths[row["task"], "constant"]
        least, start = known.losses[TRUTH_SEED]
        share = 1.0 if row["loss"] is None else min((row["loss"] - least) / (start - least), 1.0)
        found.setdefault((row["kind"], row["ceiling"], row["floor"]), []).append(share)
    return found


def main() -> None:
    """Fill the table and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stored", action="store_true", help="run nothing")
    torch.set_num_threads(1)
    if not parser.parse_args().stored:
        fill([task for task in TASKS.values() if not task.unseen])
    print(f"{'kind':12s} {'ceiling':>8s} {'floor':>6s} {'mean':>8s} {'median':>8s} {'worst':>8s}  tasks")
    for (kind, ceiling, floor), shares in sorted(excess(Stored.load(TASKS)).items()):
        summed = f"{np.mean(shares):8.4f} {np.median(shares):8.4f} {np.max(shares):8.4f}"
        print(f"{kind:12s} {ceiling:8.1f} {floor:6.1f} {summed}  {len(shares)}")


if __name__ == "__main__":
    main()

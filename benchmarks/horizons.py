"""The default search where training is shorter than everywhere else in the benchmark.

Constants are fitted at one horizon; here the truth of some tasks is computed at others, and the stored range tests,
which do not depend on the horizon, are read for them. Run: ``python -m benchmarks.horizons``; stop and start at will.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from typing import Any

from benchmarks import sweeps, truth
from benchmarks.measures import to_truth
from benchmarks.schedules import SHAPES
from benchmarks.tables import horizon_table
from benchmarks.tasks import task_of
from lrfind import RangeTest
from lrfind.records import Finding
from lrfind.strategies.replicated import Replicated

HORIZONS = (500,)
CELLS = (
    ("lenet-adam", "constant"),
    ("convnet-adamw", "cosine-warmup"),
    ("resnet-momentum", "one-cycle"),
    ("digits-sgd", "linear"),
    ("transformer-adamw", "constant"),
    ("window-momentum", "one-cycle"),
)
"""Chosen beforehand: every kind of optimizer, every schedule."""


def rows() -> Iterator[dict[str, Any]]:
    """Yield, for each cell and horizon whose truth is there, the best rate, the rates found and their regrets."""
    losses = truth.load()
    searches = sweeps.searches(sweeps.load())
    for (name, schedule), horizon in ((cell, horizon) for cell in CELLS for horizon in HORIZONS):
        try:
            known = to_truth(f"{name}@{horizon}", schedule, horizon, losses)
        except ValueError:
            continue
        test = RangeTest(schedule=SHAPES[schedule], total_steps=horizon)
        budget = Replicated().budget * task_of(name).horizon
        answers = [
            Replicated(test, budget).propose([one.record for one in group])
            for group in searches
            if group[0].task == name
        ]
        lrs = [one.lr for one in answers if isinstance(one, Finding)]
        yield {
            "task": name,
            "schedule": schedule,
            "horizon": horizon,
            "best": known.best,
            "octaves": [math.log2(lr) for lr in lrs],
            "regrets": [known.regret(lr) for lr in lrs],
        }


def main() -> None:
    """Compute what is missing of the truth, and print what the searches are worth."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stored", action="store_true", help="run nothing")
    parser.add_argument("--jobs", type=int, default=1)
    arguments = parser.parse_args()
    if not arguments.stored:
        for horizon in HORIZONS:
            cells = [(task_of(f"{name}@{horizon}"), schedule) for name, schedule in CELLS]
            truth.fill_cells(cells, jobs=arguments.jobs)
    print(horizon_table(rows()))


if __name__ == "__main__":
    main()

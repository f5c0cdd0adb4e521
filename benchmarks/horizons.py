"""The default search where training is shorter or longer than everywhere else in the benchmark.

Constants are fitted at one length; here the truth of some tasks is computed at others, and the stored searches and
peers, which do not depend on the length, are scored for them. Run: ``python -m benchmarks.horizons``; stop and start at
will.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

from benchmarks import truth
from benchmarks.measures import Truth, to_truth
from benchmarks.task import Task
from benchmarks.tasks import task_of

Cells = tuple[tuple[str, str], ...]

SHORTER: Cells = (
    ("lenet-adam", "constant"),
    ("convnet-adamw", "cosine-warmup"),
    ("resnet-momentum", "one-cycle"),
    ("digits-sgd", "linear"),
    ("transformer-adamw", "constant"),
    ("window-momentum", "one-cycle"),
    ("cancer-sgd", "constant"),
    ("friedman-adamw", "linear"),
)
"""Chosen beforehand: every kind of optimizer, every schedule."""

LONGER: Cells = (
    ("cancer-sgd", "constant"),
    ("digits-sgd", "linear"),
    ("ratings-adamw", "linear"),
    ("finetune-digits-momentum", "constant"),
    ("softmax-adam", "constant"),
    ("friedman-adamw", "linear"),
    ("spirals-rmsprop", "linear"),
    ("linear-sgd", "cosine-warmup"),
)
"""Those whose steps are fastest."""

CELLS: dict[int, Cells] = {500: SHORTER, 8_000: LONGER, 20_000: LONGER}
"""By steps of a training."""

SEEDS = {500: 3, 8_000: 2, 20_000: 1}
"""Of the truth, by steps of a training."""


def cells(steps: int) -> list[tuple[Task, str]]:
    """Return what is trained for so many steps: tasks and their schedules."""
    return [(replace(task_of(f"{name}@{steps}"), seeds=SEEDS[steps]), schedule) for name, schedule in CELLS[steps]]


def truths(steps: int) -> dict[tuple[str, str], Truth]:
    """Return the truth of trainings of so many steps, by task and schedule, where it is complete."""
    losses, found = truth.load(), {}
    for task, schedule in cells(steps):
        if not truth.next_runs(task, schedule, losses):
            name = task.name.partition("@")[0]
            found[name, schedule] = replace(to_truth(task.name, schedule, steps, losses), task=name)
    return found


def main() -> None:
    """Compute what is missing of the truth."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=1)
    arguments = parser.parse_args()
    for steps in CELLS:
        truth.fill_cells(cells(steps), jobs=arguments.jobs)


if __name__ == "__main__":
    main()

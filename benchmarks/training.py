"""Train a task at one rate, and score it on what was held out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import nn

from benchmarks.schedules import SHAPES
from benchmarks.task import Task, set_mode
from lrfind.schedules import Shape

CHUNK = 500
PATIENCE = 3
"""A training ends after this many losses in a row that are not finite."""


def train(task: Task, schedule: str, lr: float, *, seed: int, steps: int | None = None) -> float:
    """Return the held-out loss after a training; infinite if it is not finite.

    Args:
        task: What to train.
        schedule: The shape of the rate, compressed or stretched to ``steps``.
        lr: The peak rate.
        seed: Seeds weights, batch order and dropout alike for every rate.
        steps: Optimizer steps; the task's horizon by default.
    """
    return train_with(task, SHAPES[schedule], lr, seed=seed, steps=task.horizon if steps is None else steps)


def train_with(task: Task, shape: Shape, lr: float, *, seed: int, steps: int) -> float:
    """Return the held-out loss after a training whose rate follows any shape; see ``train``."""
    if steps == 0:
        return held_out(task, task.start(seed))  # also of a second stage: what the first one began with
    model, optimizers = task.begin(seed, lr)
    batches = cycle(task.loader(seed))
    gaps = 0
    for step in range(steps):
        for group in (group for one in optimizers for group in one.param_groups):
            group["lr"] = lr * shape(step / steps)
        loss = task.step(model, optimizers, next(batches))
        gaps = 0 if math.isfinite(loss) else gaps + 1
        if gaps == PATIENCE and not task.skips:
            return math.inf
    set_mode(optimizers, "eval")
    return held_out(task, model)


@torch.no_grad()
def held_out(task: Task, model: nn.Module) -> float:
    """Return the mean loss on what was held out; infinite if it is not finite. Leaves the model in train mode."""
    data = task.data()
    model.eval()
    pairs = zip(data.held_inputs.split(CHUNK), data.held_targets.split(CHUNK), strict=True)
    total = sum(float(task.loss(model(x), y)) * len(x) for x, y in pairs)
    model.train()
    loss = total / len(data.held_inputs)
    return loss if math.isfinite(loss) else math.inf


def cycle(loader: Iterable[Any]) -> Iterator[Any]:
    """Yield batches for ever."""
    while True:
        yield from loader

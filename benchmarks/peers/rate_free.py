"""Optimizers that need no rate, at their defaults: judged by the loss they end with.

They train for what lrfind's range test and the training after it take together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import nn

from benchmarks.peer import Peer, Suggestion
from benchmarks.schedules import SHAPES
from benchmarks.task import Task
from benchmarks.training import cycle, held_out

EXTRA = 128
"""The steps of a range test."""

RENEWALS = 50


def prodigy(task: Task, parameters: Any) -> Any:
    """Prodigy at lr=1."""
    from prodigyopt import Prodigy

    return Prodigy(parameters)


def d_adaptation(task: Task, parameters: Any) -> Any:
    """D-Adaptation at lr=1: its SGD, with the task's momentum, for the SGD family, its Adam for the others."""
    from dadaptation import DAdaptAdam, DAdaptSGD

    if task.kind == "sgd":
        return DAdaptSGD(parameters, momentum=0.9 if task.has_momentum else 0.0)
    return DAdaptAdam(parameters)


def dog(task: Task, parameters: Any) -> Any:
    """DoG at lr=1, without its averaging."""
    from dog import DoG

    return DoG(parameters)


def schedule_free(task: Task, parameters: Any) -> Any:
    """Schedule-free SGD for the SGD family, AdamW for the others."""
    from schedulefree import AdamWScheduleFree, SGDScheduleFree

    return SGDScheduleFree(parameters) if task.kind == "sgd" else AdamWScheduleFree(parameters)


def trained(task: Task, schedule: str, seed: int, *, build: Callable[[Task, Any], Any], follows: bool) -> Suggestion:
    """Train with the optimizer, under the schedule where it is meant to follow one."""
    steps = task.horizon + EXTRA
    model, batches = task.start(seed), cycle(task.loader(seed))
    optimizer = build(task, model.parameters())
    if hasattr(optimizer, "train"):
        optimizer.train()
    peak = optimizer.param_groups[0]["lr"]
    for step in range(steps):
        if follows:
            for group in optimizer.param_groups:
                group["lr"] = peak * SHAPES[schedule](step / steps)
        task.step(model, [optimizer], next(batches))
    if hasattr(optimizer, "eval"):
        optimizer.eval()
        _renew_statistics(model, batches)
    return Suggestion(None, EXTRA, loss=held_out(task, model))


@torch.no_grad()
def _renew_statistics(model: nn.Module, batches: Iterator[Any]) -> None:
    """Let BatchNorm see the averaged weights, as schedule-free's README asks for."""
    for _ in range(RENEWALS):
        model(next(batches)[0])


PEERS = (
    Peer("Prodigy", partial(trained, build=prodigy, follows=True), False, False, ("prodigyopt",)),
    Peer("D-Adaptation", partial(trained, build=d_adaptation, follows=True), False, False, ("dadaptation",)),
    Peer("DoG", partial(trained, build=dog, follows=False), True, False, ("dog-optimizer",)),
    Peer("schedule-free", partial(trained, build=schedule_free, follows=False), True, False, ("schedulefree",)),
)

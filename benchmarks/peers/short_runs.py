"""Searches made of short trainings, each under the schedule compressed to its length: top-k and Optuna."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from statistics import fmean

import numpy as np

from benchmarks.peer import Peer, Suggestion
from benchmarks.schedules import SHAPES
from benchmarks.task import Task
from benchmarks.training import cycle

LOWEST, HIGHEST = 1e-5, 1.0
"""The range that searches of this kind are usually given."""

TRIALS = 8
SHARE = 0.1


def short_run(
    task: Task,
    schedule: str,
    lr: float,
    seed: int,
    steps: int,
    is_pruned: Callable[[int, float], bool] = lambda step, loss: False,
) -> tuple[float, int]:
    """Return the mean training loss over the last quarter of a short training, and the steps it took."""
    model, optimizers = task.begin(seed, lr)
    batches, losses = cycle(task.loader(seed)), []
    last = max(1, steps // 4)
    for step in range(steps):
        for group in (group for one in optimizers for group in one.param_groups):
            group["lr"] = lr * SHAPES[schedule](step / steps)
        losses.append(task.step(model, optimizers, next(batches)))
        mean = fmean(losses[-last:])
        if not math.isfinite(mean) or is_pruned(step, mean):
            break
    return mean if math.isfinite(mean) else math.inf, len(losses)


def optuna_search(task: Task, schedule: str, seed: int, *, steps: int | None) -> Suggestion:
    """Run Optuna's TPE with its median pruner until the steps are spent, ``TRIALS`` whole trials' worth."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    budget = steps or round(SHARE * task.horizon)
    length, spent = budget // TRIALS, 0
    study = optuna.create_study(
        sampler=optuna.samplers.TPESampler(seed=seed), pruner=optuna.pruners.MedianPruner(n_warmup_steps=length // 3)
    )

    def objective(trial: optuna.Trial) -> float:
        nonlocal spent

        def is_pruned(step: int, loss: float) -> bool:
            trial.report(loss, step)
            return trial.should_prune()

        lr = trial.suggest_float("lr", LOWEST, HIGHEST, log=True)
        loss, took = short_run(task, schedule, lr, seed, length, is_pruned)
        spent += took
        if took < length:
            raise optuna.TrialPruned
        return loss

    while spent + length <= budget:
        study.optimize(objective, n_trials=1)
    return Suggestion(study.best_params["lr"], spent)


def top_k(task: Task, schedule: str, seed: int) -> Suggestion:
    """Run eight rates briefly, the best two longer, and take the better: 10 % of the horizon in all."""
    budget = round(SHARE * task.horizon)
    first, second = budget * 6 // 10 // TRIALS, budget * 4 // 10 // 2
    spent = 0
    rates = [float(lr) for lr in np.geomspace(LOWEST, HIGHEST, TRIALS)]
    for length, kept in ((first, 2), (second, 1)):
        scores = [short_run(task, schedule, lr, seed, length) for lr in rates]
        spent += sum(took for _, took in scores)
        rates = [lr for (_, _), lr in sorted(zip(scores, rates, strict=True))[:kept]]
    return Suggestion(rates[0], spent)


PEERS = (
    Peer("Optuna, 128 steps", partial(optuna_search, steps=128), False, False, packages=("optuna",)),
    Peer("Optuna, 10 % of training", partial(optuna_search, steps=None), False, False, packages=("optuna",)),
    Peer("top-k, 10 % of training", top_k, False, False),
)

"""Schedulers of every kind, for tests and for the table of docs/schedulers.md."""

from __future__ import annotations

import math
import warnings

import transformers
from torch.optim import lr_scheduler as torchs

STEPS = 24
"""How long the trainings of the table are."""


class _Kept:
    """What Lightning asks of a scheduler: that it can be kept in a checkpoint."""

    def state_dict(self):
        return {name: value for name, value in vars(self).items() if name != "optimizer"}

    def load_state_dict(self, state):
        vars(self).update(state)


class TimmScheduler(_Kept):
    """A cosine with warmup in the shape of timm's schedulers: told the count, without ``get_last_lr``."""

    def __init__(self, optimizer, t_initial, lr_min=0.0, warmup_t=0, warmup_lr_init=0.0, t_in_epochs=True):
        self.optimizer, self.t_initial, self.t_in_epochs = optimizer, t_initial, t_in_epochs
        self.lr_min, self.warmup_t, self.warmup_lr_init = lr_min, warmup_t, warmup_lr_init
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
        self.base_values = [group["initial_lr"] for group in optimizer.param_groups]
        self.warmup_steps = [(value - warmup_lr_init) / max(warmup_t, 1) for value in self.base_values]
        self._update(self._values(0))

    def get_cycle_length(self):
        return self.t_initial

    def step(self, epoch, metric=None):
        if self.t_in_epochs:
            self._update(self._values(epoch))

    def step_update(self, num_updates, metric=None):
        if not self.t_in_epochs:
            self._update(self._values(num_updates))

    def _values(self, t):
        if t < self.warmup_t:
            return [self.warmup_lr_init + t * slope for slope in self.warmup_steps]
        height = 0.5 * (1 + math.cos(math.pi * min(t, self.t_initial) / self.t_initial))
        return [self.lr_min + (value - self.lr_min) * height for value in self.base_values]

    def _update(self, values):
        for group, value in zip(self.optimizer.param_groups, values, strict=True):
            group["lr"] = value


class UserScheduler(_Kept):
    """One's own: steps without a count, keeps its bases where no name says so, and has a floor."""

    def __init__(self, optimizer, floor=0.0):
        self.optimizer, self.count, self.floor = optimizer, 0, floor
        self.begun_at = [float(group["lr"]) for group in optimizer.param_groups]

    def step(self):
        self.count += 1
        for group, begun in zip(self.optimizer.param_groups, self.begun_at, strict=True):
            group["lr"] = max(begun * 0.9**self.count, self.floor)


class RecursiveScheduler(_Kept):
    """One's own that goes on from what the groups hold."""

    def __init__(self, optimizer):
        self.optimizer = optimizer

    def step(self):
        for group in self.optimizer.param_groups:
            group["lr"] *= 0.9


def _chained(optimizer):
    return torchs.ChainedScheduler([torchs.ConstantLR(optimizer, 0.1, 4), torchs.ExponentialLR(optimizer, 0.9)])


def _sequential(optimizer):
    parts = [torchs.LinearLR(optimizer, 0.1, total_iters=3), torchs.CosineAnnealingLR(optimizer, STEPS - 3)]
    return torchs.SequentialLR(optimizer, parts, milestones=[3])


def _nested(optimizer):
    return torchs.SequentialLR(optimizer, [_chained(optimizer), torchs.StepLR(optimizer, 4)], milestones=[8])


def _rates(optimizer, factor=1.0):
    return [float(group["lr"]) * factor for group in optimizer.param_groups]


def _cyclic(mode):
    def make(optimizer):
        return torchs.CyclicLR(
            optimizer, _rates(optimizer, 0.1), _rates(optimizer), 4, mode=mode, gamma=0.95, cycle_momentum=False
        )

    return make


TORCH = {
    "LambdaLR": lambda one: torchs.LambdaLR(one, lambda step: 1 / (1 + step)),
    "LambdaLR, one for each group": lambda one: torchs.LambdaLR(
        one, [lambda step, power=index: 1 / (1 + step) ** (1 + power) for index, _ in enumerate(one.param_groups)]
    ),
    "MultiplicativeLR": lambda one: torchs.MultiplicativeLR(one, lambda step: 0.95),
    "StepLR": lambda one: torchs.StepLR(one, 5, 0.5),
    "MultiStepLR": lambda one: torchs.MultiStepLR(one, [4, 10], 0.5),
    "ConstantLR": lambda one: torchs.ConstantLR(one, 0.25, 6),
    "LinearLR": lambda one: torchs.LinearLR(one, 0.1, total_iters=5),
    "ExponentialLR": lambda one: torchs.ExponentialLR(one, 0.9),
    "PolynomialLR": lambda one: torchs.PolynomialLR(one, STEPS, 2.0),
    "CosineAnnealingLR": lambda one: torchs.CosineAnnealingLR(one, STEPS),
    "CosineAnnealingLR(eta_min)": lambda one: torchs.CosineAnnealingLR(one, STEPS, eta_min=_rates(one)[0] / 50),
    "CosineAnnealingWarmRestarts": lambda one: torchs.CosineAnnealingWarmRestarts(one, 5, 2),
    "CosineAnnealingWarmRestarts(eta_min)": lambda one: torchs.CosineAnnealingWarmRestarts(
        one, 5, eta_min=_rates(one)[0] / 50
    ),
    "OneCycleLR": lambda one: torchs.OneCycleLR(one, _rates(one), total_steps=STEPS, cycle_momentum=False),
    "CyclicLR(triangular)": _cyclic("triangular"),
    "CyclicLR(triangular2)": _cyclic("triangular2"),
    "CyclicLR(exp_range)": _cyclic("exp_range"),
    "ReduceLROnPlateau": lambda one: torchs.ReduceLROnPlateau(one, factor=0.5, patience=2),
    "ReduceLROnPlateau(min_lr)": lambda one: torchs.ReduceLROnPlateau(
        one, factor=0.5, patience=2, min_lr=_rates(one, 0.1)
    ),
    "SequentialLR": _sequential,
    "ChainedScheduler": _chained,
    "SequentialLR of a ChainedScheduler": _nested,
}

GIVEN = {  # to transformers' schedules, for a rate
    "cosine_with_min_lr": lambda lr: {"min_lr": lr / 50},
    "cosine_warmup_with_min_lr": lambda lr: {"min_lr": lr / 50},
    "polynomial": lambda lr: {"lr_end": lr / 50},
    "warmup_stable_decay": lambda lr: {"num_decay_steps": 8},
    "greedy": lambda lr: {"patience": 2, "min_lr": lr / 50, "max_lr": lr * 2},
    "reduce_lr_on_plateau": lambda lr: {"patience": 2},
}


def _transformers(kind):
    def make(optimizer):
        given = GIVEN.get(kind, lambda lr: {})(float(optimizer.defaults["lr"]))
        return transformers.get_scheduler(
            kind, optimizer, num_warmup_steps=3, num_training_steps=STEPS, scheduler_specific_kwargs=given
        )

    return make


TRANSFORMERS = {kind.value: _transformers(kind.value) for kind in transformers.SchedulerType}

TIMM = {
    "cosine, per update": lambda one: TimmScheduler(one, STEPS, t_in_epochs=False),
    "cosine, per epoch": lambda one: TimmScheduler(one, STEPS),
    "cosine with warmup, lr_min and warmup_lr_init": lambda one: TimmScheduler(
        one, STEPS, lr_min=_rates(one)[0] / 50, warmup_t=4, warmup_lr_init=_rates(one)[0] / 10
    ),
}

OWN = {
    "a class": UserScheduler,
    "a class with a floor": lambda one: UserScheduler(one, floor=_rates(one)[0] / 5),
    "a class that continues from the current rate": RecursiveScheduler,
}

SCHEDULERS = {"torch": TORCH, "transformers": TRANSFORMERS, "timm's shape": TIMM, "user-defined": OWN}


def advance(scheduler, done):
    """Step a scheduler as its kind is stepped, ``done`` steps after the first."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if isinstance(scheduler, TimmScheduler):
            scheduler.step_update(done)
            scheduler.step(done)
        elif type(scheduler).__name__ in ("ReduceLROnPlateau", "GreedyLR"):
            scheduler.step(1.0)
        else:
            scheduler.step()

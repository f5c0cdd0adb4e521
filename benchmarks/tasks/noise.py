"""Losses with much noise: spikes, heavy tails, rare classes, wrong labels, tiny batches, batches that are skipped."""

from __future__ import annotations

from functools import lru_cache, partial

import numpy as np
import torch
from torch.nn import functional as F

from benchmarks.data import clusters, digits, friedman, spirals, split
from benchmarks.models import mlp
from benchmarks.task import ADAM, ADAMW, MOMENTUM, SGD, Data, Task, Tensor

BOTH = ("constant", "linear")


def _marked(count: int, share: float, seed: int) -> Tensor:
    return torch.rand(count, generator=torch.Generator().manual_seed(seed)) < share


@lru_cache
def spiky() -> Data:
    """Friedman's regression, the targets of 1 % of the rows times 30; nothing is wrong with what is held out."""
    data = friedman()
    factor = torch.where(_marked(len(data.inputs), 0.01, 0), 30.0, 1.0)[:, None]
    return Data(data.inputs, data.targets * factor, data.held_inputs, data.held_targets)


@lru_cache
def spiky_inputs() -> Data:
    """The same, of the inputs."""
    data = friedman()
    factor = torch.where(_marked(len(data.inputs), 0.01, 1), 30.0, 1.0)[:, None]
    return Data(data.inputs * factor, data.targets, data.held_inputs, data.held_targets)


@lru_cache
def heavy() -> Data:
    """Friedman's regression with noise of Student's t of two degrees of freedom on the targets."""
    data = friedman()
    noise = np.random.default_rng(6).standard_t(2, data.targets.shape).astype(np.float32)
    return Data(data.inputs, data.targets + torch.from_numpy(noise), data.held_inputs, data.held_targets)


@lru_cache
def rare(dimensions: int = 16) -> Data:
    """A class of 1 % within a crooked border: 10,000 and 4,000."""
    x = torch.randn(14_000, dimensions, generator=torch.Generator().manual_seed(7))
    score = x[:, 0] + x[:, 1] * x[:, 2] + (2 * x[:, 3]).sin()
    return split(x, (score > score.quantile(0.99)).float()[:, None], 4000)


@lru_cache
def mislabelled() -> Data:
    """Clusters whose labels are drawn anew for 60 % of the rows that are trained on."""
    data = clusters()
    wrong, seed = _marked(len(data.targets), 0.6, 8), torch.Generator().manual_seed(9)
    drawn = torch.randint(5, data.targets.shape, generator=seed)
    return Data(data.inputs, torch.where(wrong, drawn, data.targets), data.held_inputs, data.held_targets)


@lru_cache
def mislabelled_digits() -> Data:
    """The digits, likewise."""
    data = digits()
    wrong, seed = _marked(len(data.targets), 0.6, 10), torch.Generator().manual_seed(11)
    drawn = torch.randint(10, data.targets.shape, generator=seed)
    return Data(data.inputs, torch.where(wrong, drawn, data.targets), data.held_inputs, data.held_targets)


def corrupt(data: Data, share: float, seed: int) -> Data:
    """Return the data with NaN in the inputs of a share of the rows that are trained on."""
    broken = _marked(len(data.inputs), share, seed).reshape(-1, *[1] * (data.inputs.dim() - 1))
    return Data(torch.where(broken, torch.nan, data.inputs), data.targets, data.held_inputs, data.held_targets)


@lru_cache
def gaps_of_a_fifth() -> Data:
    """Friedman's regression; one in five batches of 16 holds a broken row."""
    return corrupt(friedman(), 0.0139, 12)


@lru_cache
def gaps_of_a_third() -> Data:
    """Clusters; one in three batches of 16 holds a broken row."""
    return corrupt(clusters(), 0.025, 13)


@lru_cache
def gaps_of_a_half() -> Data:
    """Digits; half of the batches of 16 hold a broken row."""
    return corrupt(digits(), 0.0424, 14)


_seen, _kept = (
    partial(Task, wider=True, horizon=800, seeds=2),
    partial(Task, wider=True, unseen=True, horizon=800, seeds=2),
)
_table, _wide = partial(mlp, 10, 48, 1), partial(mlp, 20, 48, 48, 5)
_pixels, _risk = partial(mlp, 64, 48, 10), partial(mlp, 16, 48, 1)
_LOGITS, _SQUARE = F.binary_cross_entropy_with_logits, F.mse_loss

TASKS = (
    _seen("spiky-sgd", "spikes", spiky, _table, SGD, 32, BOTH, _SQUARE),
    _seen("spiky-momentum", "spikes", spiky_inputs, _table, MOMENTUM, 32, BOTH, _SQUARE),
    _seen("heavy-adam", "spikes", heavy, _table, ADAM, 32, BOTH, _SQUARE),
    _kept("spiky-adamw", "spikes (kept)", spiky, _table, ADAMW, 16, BOTH, _SQUARE),
    _kept("heavy-momentum", "spikes (kept)", heavy, _table, MOMENTUM, 16, BOTH, _SQUARE),
    _seen("rare-momentum", "rare", rare, _risk, MOMENTUM, 32, BOTH, _LOGITS),
    _seen("rare-adam", "rare", rare, _risk, ADAM, 32, BOTH, _LOGITS),
    _kept("rare-adamw", "rare (kept)", partial(rare, 32), partial(mlp, 32, 32, 32, 1), ADAMW, 64, BOTH, _LOGITS),
    _kept("rare-sgd", "rare (kept)", partial(rare, 32), partial(mlp, 32, 32, 32, 1), SGD, 64, BOTH, _LOGITS),
    _seen("mislabelled-adam", "wrong labels", mislabelled, _wide, ADAM, 32, BOTH),
    _seen("mislabelled-momentum", "wrong labels", mislabelled, _wide, MOMENTUM, 32, BOTH),
    _kept("mislabelled-adamw", "wrong labels (kept)", mislabelled_digits, _pixels, ADAMW, 16, BOTH),
    _kept("mislabelled-sgd", "wrong labels (kept)", mislabelled_digits, _pixels, SGD, 16, BOTH),
    _seen("gaps-momentum", "skipped batches", gaps_of_a_fifth, _table, MOMENTUM, 16, BOTH, _SQUARE, skips=True),
    _seen("gaps-adam", "skipped batches", gaps_of_a_third, _wide, ADAM, 16, BOTH, skips=True),
    _kept("gaps-sgd", "skipped batches (kept)", gaps_of_a_half, _pixels, SGD, 16, BOTH, skips=True),
    _kept("gaps-adamw", "skipped batches (kept)", gaps_of_a_half, _pixels, ADAMW, 16, BOTH, skips=True),
    _seen("single-sgd", "small batches", friedman, _table, SGD, 1, BOTH, _SQUARE, horizon=1600),
    _seen("two-adam", "small batches", clusters, _wide, ADAM, 2, BOTH, horizon=1600),
    _seen("four-momentum", "small batches", spirals, partial(mlp, 2, 32, 32, 2), MOMENTUM, 4, BOTH, horizon=1600),
    _kept("single-adamw", "small batches (kept)", digits, _pixels, ADAMW, 1, BOTH, horizon=1600),
    _kept("two-momentum", "small batches (kept)", friedman, _table, MOMENTUM, 2, BOTH, _SQUARE, horizon=1600),
)

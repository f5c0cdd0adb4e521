"""Tasks of other families, added after the method was frozen: reported as they came out."""

from functools import lru_cache, partial

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.data import split
from benchmarks.models import mlp
from benchmarks.task import ADAM, Data, Task, Tensor

NADAM = partial(torch.optim.NAdam, foreach=True)
NESTEROV = partial(torch.optim.SGD, momentum=0.9, nesterov=True, weight_decay=1e-4, foreach=True)

RECALLED, ITEMS, PAUSE = 4, 6, 8


@lru_cache
def recall() -> Data:
    """Four symbols, a pause, and the question which came first to last: 16,000 sequences of 12 and 2,000."""
    random = np.random.default_rng(1)
    symbols = torch.from_numpy(random.integers(1, 1 + ITEMS, (18_000, RECALLED)))
    return split(torch.cat([symbols, torch.zeros(18_000, PAUSE, dtype=torch.long)], 1), symbols - 1, 2000)


@lru_cache
def bars() -> Data:
    """Noisy images, 12 by 12, of a bar through the middle, and the doubled angle it lies at: 5,000 and 1,500."""
    random = np.random.default_rng(2)
    angle = random.uniform(0, np.pi, 6500).astype(np.float32)
    rows, columns = np.meshgrid(np.linspace(-1, 1, 12), np.linspace(-1, 1, 12), indexing="ij")
    away = np.abs(rows * np.cos(angle)[:, None, None] - columns * np.sin(angle)[:, None, None])
    images = np.exp(-((away / 0.15) ** 2)) + 0.5 * random.normal(size=(6500, 12, 12))
    targets = np.stack([np.cos(2 * angle), np.sin(2 * angle)], 1)
    return split(torch.from_numpy(images.astype(np.float32))[:, None], torch.from_numpy(targets), 1500)


@lru_cache
def clouds() -> Data:
    """Clouds of 24 points in the plane from five kinds of distribution, in any order: 3,000 and 1,500."""
    random = np.random.default_rng(3)
    label = random.integers(0, 5, 4500)
    around = random.uniform(0, 2 * np.pi, (4500, 24))
    ring = np.stack([np.cos(around), np.sin(around)], -1)
    square = random.uniform(-1, 1, (4500, 24, 2))
    blob = 0.6 * random.normal(size=(4500, 24, 2))
    cross = square * (random.integers(0, 2, (4500, 24, 1)) == np.arange(2))
    pair = 0.4 * blob + random.choice([-0.7, 0.7], (4500, 24, 1))
    points = np.stack([ring, square, blob, cross, pair])[label, np.arange(4500)] + 0.25 * random.normal(
        size=(4500, 24, 2)
    )
    return split(torch.from_numpy(points.astype(np.float32)), torch.from_numpy(label), 1500)


class Recall(nn.Module):
    """An LSTM that answers during the pause."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.embedding, self.recurrent = nn.Embedding(1 + ITEMS, width), nn.LSTM(width, width, batch_first=True)
        self.head = nn.Linear(width, ITEMS)

    def forward(self, symbols: Tensor) -> Tensor:
        """Return scores, shape (n, items, recalled)."""
        states, _ = self.recurrent(self.embedding(symbols))
        scores: Tensor = self.head(states[:, -RECALLED:])
        return scores.transpose(1, 2)


class Sets(nn.Module):
    """Sums over points of what is learnt of each."""

    def __init__(self, width: int = 48) -> None:
        super().__init__()
        self.each = nn.Sequential(nn.Linear(2, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
        self.all = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 5))

    def forward(self, points: Tensor) -> Tensor:
        """Return scores, shape (n, 5)."""
        scores: Tensor = self.all(self.each(points).mean(1))
        return scores


def bar_net() -> nn.Module:
    """Two convolutions and LayerNorm, for two numbers."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.LayerNorm(144),
        mlp(144, 32, 2),
    )


TASKS = (
    Task("recall-nadam", "recall", recall, Recall, NADAM, 32, ("constant", "linear"), unseen=True, late=True),
    Task(
        "bars-nesterov",
        "angles",
        bars,
        bar_net,
        NESTEROV,
        32,
        ("constant", "one-cycle"),
        loss=F.mse_loss,
        unseen=True,
        late=True,
    ),
    Task("clouds-adam", "sets", clouds, Sets, ADAM, 64, ("constant", "cosine-warmup"), unseen=True, late=True),
)

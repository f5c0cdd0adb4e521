"""Tasks of other families, kept out of every calibration and of every choice of a rule."""

from functools import lru_cache, partial

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.data import split
from benchmarks.models import mlp
from benchmarks.task import ADAM, ADAMW, MOMENTUM, Data, Task, Tensor


@lru_cache
def waves() -> Data:
    """Four wave forms of random frequency and phase in noise, 64 samples each: 4,000 and 2,000."""
    random = np.random.default_rng(0)
    label = random.integers(0, 4, 6000)
    phase = random.uniform(2, 6, (6000, 1)) * np.linspace(0, 2 * np.pi, 64) + random.uniform(0, 6.3, (6000, 1))
    sine = np.sin(phase)
    forms = np.stack([sine, np.sign(sine), 2 / np.pi * np.arcsin(sine), (phase / np.pi) % 2 - 1])
    signals = forms[label, np.arange(6000)] + 0.6 * random.normal(size=(6000, 64))
    return split(torch.from_numpy(signals.astype(np.float32))[:, None], torch.from_numpy(label), 2000)


@lru_cache
def picture() -> Data:
    """The grey values of a photograph bundled with scikit-learn, by position: 7,000 pixels and 2,000."""
    from sklearn.datasets import load_sample_image

    grey = torch.from_numpy(load_sample_image("china.jpg").mean(2).astype(np.float32))[None, None]
    small = F.adaptive_avg_pool2d(grey, (90, 100))[0, 0]
    rows, columns = torch.meshgrid(torch.linspace(-1, 1, 90), torch.linspace(-1, 1, 100), indexing="ij")
    places = torch.stack([rows, columns], -1).reshape(-1, 2)
    waves = torch.cat([f(torch.pi * 2.0**k * places) for k in range(4) for f in (torch.sin, torch.cos)], 1)
    return split(waves, ((small - small.mean()) / small.std()).reshape(-1, 1), 2000)


@lru_cache
def ratings() -> Data:
    """Noisy ratings of 300 things by 200 people from hidden traits of five numbers: 20,000 and 4,000."""
    random = np.random.default_rng(0)
    people, things = random.integers(0, 200, 24_000), random.integers(0, 300, 24_000)
    traits, features = random.normal(size=(200, 5)), random.normal(size=(300, 5))
    values = (traits[people] * features[things]).sum(1) / 5**0.5 + 0.3 * random.normal(size=24_000)
    pairs = torch.from_numpy(np.stack([people, things], 1))
    return split(pairs, torch.from_numpy(values.astype(np.float32)), 4000)


class Factors(nn.Module):
    """Ratings as products of learned traits."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.people, self.things = nn.Embedding(200, width), nn.Embedding(300, width)
        for embedding in (self.people, self.things):
            nn.init.normal_(embedding.weight, std=0.3)

    def forward(self, pairs: Tensor) -> Tensor:
        """Return ratings, shape (n,)."""
        return (self.people(pairs[:, 0]) * self.things(pairs[:, 1])).sum(1)


def signal_net() -> nn.Module:
    """Convolutions over time."""
    return nn.Sequential(
        nn.Conv1d(1, 12, 7, stride=2),
        nn.ReLU(),
        nn.Conv1d(12, 24, 5, stride=2),
        nn.ReLU(),
        nn.AdaptiveAvgPool1d(4),
        mlp(96, 32, 4),
    )


TASKS = (
    Task("waves-momentum", "signals", waves, signal_net, MOMENTUM, 32, ("constant", "cosine-warmup"), unseen=True),
    Task(
        "picture-adam",
        "coordinates",
        picture,
        partial(mlp, 16, 64, 64, 1),
        ADAM,
        256,
        ("constant", "one-cycle"),
        loss=F.mse_loss,
        unseen=True,
    ),
    Task(
        "ratings-adamw", "factors", ratings, Factors, ADAMW, 128, ("constant", "linear"), loss=F.mse_loss, unseen=True
    ),
)

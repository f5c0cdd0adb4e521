"""Losses that are bounded, or rise no further than where they start: margins, contrast, overlap, angles."""

from __future__ import annotations

from functools import lru_cache, partial

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.data import clusters, digits, friedman, split
from benchmarks.models import mlp
from benchmarks.task import ADAM, ADAMW, MOMENTUM, SGD, Data, Task, Tensor

MARGIN, SCALE = 0.5, 64.0


@lru_cache
def greatest() -> Data:
    """Eight normal numbers, and which is the greatest: 3,000 and 1,000."""
    x = torch.randn(4000, 8, generator=torch.Generator().manual_seed(0))
    return split(x, x.argmax(1), 1000)


@lru_cache
def views() -> Data:
    """Two noisy views of hidden traits through two mixings, 2 by 16 numbers: 4,000 and 1,000."""
    random = np.random.default_rng(4)
    hidden = random.normal(size=(5000, 6))
    sides = [hidden @ random.normal(size=(6, 16)) + 0.5 * random.normal(size=(5000, 16)) for _ in range(2)]
    pairs = torch.from_numpy(np.stack(sides, 1).astype(np.float32))
    return split(pairs, torch.zeros(5000), 1000)


@lru_cache
def discs() -> Data:
    """Noisy images, 10 by 10, of a disc, and which pixels it covers: 3,000 and 1,000."""
    random = np.random.default_rng(5)
    rows, columns = np.meshgrid(np.linspace(-1, 1, 10), np.linspace(-1, 1, 10), indexing="ij")
    centre, radius = random.uniform(-0.6, 0.6, (4000, 2, 1, 1)), random.uniform(0.2, 0.5, (4000, 1, 1))
    inside = ((rows - centre[:, 0]) ** 2 + (columns - centre[:, 1]) ** 2 < radius**2).astype(np.float32)
    images = inside + 0.7 * random.normal(size=inside.shape)
    return split(torch.from_numpy(images.astype(np.float32)).flatten(1), torch.from_numpy(inside).flatten(1), 1000)


@lru_cache
def directions() -> Data:
    """Friedman's regression, squashed into -1..1: 4,000 and 2,000."""
    data = friedman()
    return Data(data.inputs, torch.tanh(data.targets), data.held_inputs, torch.tanh(data.held_targets))


class Cosines(nn.Module):
    """Cosines between what is learnt of an example and the centre of each class."""

    def __init__(self, inputs: int, classes: int, width: int = 16) -> None:
        super().__init__()
        self.body, self.centres = mlp(inputs, 64, width), nn.Parameter(torch.randn(classes, width))

    def forward(self, inputs: Tensor) -> Tensor:
        """Return cosines, shape (n, classes)."""
        return F.linear(F.normalize(self.body(inputs)), F.normalize(self.centres))


class Towers(nn.Module):
    """One network for each view; unit vectors, shape (n, 2, width)."""

    def __init__(self, width: int = 12) -> None:
        super().__init__()
        self.left, self.right = mlp(16, 48, width), mlp(16, 48, width)

    def forward(self, pairs: Tensor) -> Tensor:
        """Return both vectors of each pair."""
        return torch.stack([F.normalize(self.left(pairs[:, 0])), F.normalize(self.right(pairs[:, 1]))], 1)


def margin_softmax(cosines: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy of scaled cosines, the right one's angle widened by a margin (arXiv 1801.07698, equation 3)."""
    angles = torch.acos(cosines.clamp(-0.9999, 0.9999).gather(1, targets[:, None]))
    return F.cross_entropy(SCALE * cosines.scatter(1, targets[:, None], torch.cos(angles + MARGIN)), targets)


def cosine_softmax(cosines: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy of scaled cosines."""
    return F.cross_entropy(SCALE / 2 * cosines, targets)


def contrast(vectors: Tensor, _: Tensor) -> Tensor:
    """Each left view is to be closest to its own right one among 50 (arXiv 2002.05709, equation 1)."""
    parts = [part @ other.T / 0.1 for part, other in zip(*(v.split(50) for v in vectors.unbind(1)), strict=True)]
    losses = [F.cross_entropy(scores, torch.arange(len(scores))) for scores in parts]
    return torch.stack(losses).mean()


def focal(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy, less where the answer is right already (arXiv 1708.02002, equation 4)."""
    logs = F.log_softmax(logits, 1).gather(1, targets[:, None])
    return -((1 - logs.exp()) ** 2 * logs).mean()


def dice(logits: Tensor, masks: Tensor) -> Tensor:
    """One less the overlap with the mask, soft (arXiv 1606.04797, section 3)."""
    shown = logits.sigmoid()
    return (1 - (2 * (shown * masks).sum(1) + 1) / (shown.sum(1) + masks.sum(1) + 1)).mean()


def overlap(logits: Tensor, masks: Tensor) -> Tensor:
    """One less the intersection over the union, soft."""
    shown = logits.sigmoid()
    both = (shown * masks).sum(1)
    return (1 - (both + 1) / (shown.sum(1) + masks.sum(1) - both + 1)).mean()


def bounded(outputs: Tensor, targets: Tensor) -> Tensor:
    """Squared error of what is squashed into -1..1."""
    return F.mse_loss(outputs.tanh(), targets)


_cosines = partial(Cosines, 8, 8)
_seen, _kept = (
    partial(Task, wider=True, horizon=600, seeds=2),
    partial(Task, wider=True, unseen=True, horizon=600, seeds=2),
)
BOTH = ("constant", "linear")

TASKS = (
    _seen("margin-adam", "margins", greatest, _cosines, ADAM, 64, BOTH, margin_softmax),
    _seen("margin-momentum", "margins", greatest, _cosines, MOMENTUM, 64, BOTH, margin_softmax),
    _seen("contrast-adam", "margins", views, Towers, ADAM, 50, BOTH, contrast),
    _seen("focal-adamw", "bounded", clusters, partial(mlp, 20, 64, 5), ADAMW, 32, BOTH, focal),
    _seen("dice-adam", "bounded", discs, partial(mlp, 100, 64, 100), ADAM, 32, BOTH, dice),
    _seen("tanh-momentum", "bounded", directions, partial(mlp, 10, 64, 1), MOMENTUM, 32, BOTH, bounded),
    _kept("cosine-adamw", "margins (kept)", digits, partial(Cosines, 64, 10), ADAMW, 32, BOTH, cosine_softmax),
    _kept("contrast-momentum", "margins (kept)", views, Towers, MOMENTUM, 50, BOTH, contrast),
    _kept("overlap-momentum", "bounded (kept)", discs, partial(mlp, 100, 64, 100), MOMENTUM, 32, BOTH, overlap),
    _kept("focal-sgd", "bounded (kept)", digits, partial(mlp, 64, 64, 10), SGD, 32, BOTH, focal),
)

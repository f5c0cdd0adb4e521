"""What is trained: models of three sizes."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import nn


@dataclass(frozen=True, slots=True)
class Size:
    """One model size.

    Attributes:
        name: What the table calls it.
        net: The model.
        shape: Shape of one batch of inputs.
        steps: Optimizer steps per run.
        repeats: How often each contestant runs.
    """

    name: str
    net: nn.Module
    shape: tuple[int, ...]
    steps: int
    repeats: int


def mlp(*widths: int) -> nn.Module:
    """Return linear layers from each width to the next, for 10 classes."""
    hidden = [layer for pair in pairwise(widths) for layer in (nn.Linear(*pair), nn.ReLU())]
    return nn.Sequential(*hidden, nn.Linear(widths[-1], 10))


def convnet(*widths: int) -> nn.Module:
    """Return convolutions of 3 by 3 from each width to the next, mean-pooled, for 10 classes."""
    hidden = [layer for pair in pairwise(widths) for layer in (nn.Conv2d(*pair, 3, padding=1), nn.ReLU())]
    return nn.Sequential(*hidden, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], 10))


def sizes() -> list[Size]:
    """Return models whose bare step takes about 0.5, 5 and 100 ms on one core of a slow server (2 GHz, AVX2).

    Elsewhere the page says what it took: the smallest is a single layer, of which little but torch's own calls is left.

    None has activations so large that the allocator asks the system anew for each: those page faults cost up to
    half of a step, by luck.
    """
    torch.manual_seed(0)
    return [
        Size("0.5 ms", mlp(32), (32, 32), steps=120, repeats=80),
        Size("5 ms", mlp(256, 512), (128, 256), steps=30, repeats=120),
        Size("100 ms", convnet(3, 256, 256), (12, 3, 8, 8), steps=6, repeats=100),
    ]

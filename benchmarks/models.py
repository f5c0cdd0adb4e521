"""The models of the tasks, small enough for a step to take about a millisecond."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import nn

from benchmarks.data import LENGTH, SYMBOLS
from benchmarks.task import Tensor


def mlp(*widths: int, norm: Callable[[int], nn.Module] | None = None, dropout: float = 0.0) -> nn.Module:
    """Return linear layers of these widths with ReLU between them."""
    layers: list[nn.Module] = [nn.Flatten()]
    for before, after in pairwise(widths[:-1]):
        layers.append(nn.Linear(before, after))
        layers += [norm(after)] if norm else []
        layers.append(nn.ReLU())
        layers += [nn.Dropout(dropout)] if dropout else []
    return nn.Sequential(*layers, nn.Linear(widths[-2], widths[-1]))


def lenet() -> nn.Module:
    """LeNet for images of 14 by 14."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        mlp(144, 120, 84, 10),
    )


def convnet(classes: int = 10, dropout: float = 0.0) -> nn.Module:
    """Three strided convolutions with BatchNorm."""
    layers: list[nn.Module] = []
    for before, after in ((1, 8), (8, 16), (16, 32)):
        layers += [nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout), nn.Linear(32, classes))


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )

    def forward(self, inputs: Tensor) -> Tensor:
        return torch.relu(inputs + self.layers(inputs))


def resnet(width: int = 8) -> nn.Module:
    """A residual block on half the resolution."""
    stem = nn.Conv2d(1, width, 3, stride=2, padding=1)
    return nn.Sequential(stem, _Block(width), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10))


class _Attention(nn.Module):
    """Pre-norm self-attention and a feed-forward layer, both added to their inputs."""

    def __init__(self, width: int, heads: int, *, causal: bool) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal
        self.norm, self.project, self.out = nn.LayerNorm(width), nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.feed = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, inputs: Tensor) -> Tensor:
        batch, length, width = inputs.shape
        parts = self.project(self.norm(inputs)).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = nn.functional.scaled_dot_product_attention(parts[0], parts[1], parts[2], is_causal=self.causal)
        inputs = inputs + self.out(mixed.transpose(1, 2).reshape(batch, length, width))
        return inputs + self.feed(inputs)


class ViT(nn.Module):
    """A vision transformer for the 8 by 8 digits, patches of 2 by 2."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.patch = nn.Conv2d(1, width, 2, stride=2)
        self.position = nn.Parameter(0.02 * torch.randn(16, width))
        self.layers = _Attention(width, 2, causal=False)
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 10))

    def forward(self, images: Tensor) -> Tensor:
        """Return logits, shape (n, 10)."""
        tokens = self.patch(images).flatten(2).transpose(1, 2) + self.position
        return self.head(self.layers(tokens).mean(1))


class CharTransformer(nn.Module):
    """A causal transformer over characters; logits have shape (n, symbols, length)."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.embed = nn.Embedding(SYMBOLS, width)
        self.position = nn.Parameter(0.02 * torch.randn(LENGTH, width))
        self.layers = _Attention(width, 2, causal=True)
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, SYMBOLS))

    def forward(self, codes: Tensor) -> Tensor:
        """Return logits."""
        return self.head(self.layers(self.embed(codes) + self.position)).transpose(1, 2)


class CharGRU(nn.Module):
    """A gated recurrent network over characters; logits have shape (n, symbols, length)."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.embed = nn.Embedding(SYMBOLS, 16)
        self.gru = nn.GRU(16, width, batch_first=True)
        self.head = nn.Linear(width, SYMBOLS)

    def forward(self, codes: Tensor) -> Tensor:
        """Return logits."""
        return self.head(self.gru(self.embed(codes))[0]).transpose(1, 2)


class CharWindow(nn.Module):
    """A convolution over the last five characters, no recurrence; logits have shape (n, symbols, length)."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.embed = nn.Embedding(SYMBOLS, 12)
        self.window, self.head = nn.Conv1d(12, width, 5), nn.Conv1d(width, SYMBOLS, 1)

    def forward(self, codes: Tensor) -> Tensor:
        """Return logits."""
        past = nn.functional.pad(self.embed(codes).transpose(1, 2), (4, 0))
        return self.head(torch.relu(self.window(past)))

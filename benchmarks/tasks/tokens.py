"""Token models as they are trained: AdamW, warmup, clipping; and the fine-tuning of few numbers, of low rank."""

from __future__ import annotations

import copy
from functools import lru_cache, partial

import torch
from torch import nn

from benchmarks.data import digits, fashion, only, text
from benchmarks.models import CharGRU, CharTransformer, CharWindow, mlp
from benchmarks.task import ADAM, ADAMW, MOMENTUM, SGD, Data, Task, Tensor
from benchmarks.tasks.finetuning import pretrained

LANGUAGE = partial(torch.optim.AdamW, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
BOTH, WARM = ("constant", "linear"), ("constant", "cosine-warmup")


class LowRank(nn.Module):
    """A linear layer that is kept as it is, and a product of two thin matrices that is trained (arXiv 2106.09685)."""

    def __init__(self, layer: nn.Linear, rank: int) -> None:
        super().__init__()
        self.layer = layer.requires_grad_(False)
        self.down = nn.Parameter(torch.randn(rank, layer.in_features) / layer.in_features**0.5)
        self.up = nn.Parameter(torch.zeros(layer.out_features, rank))

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the sum of both."""
        return self.layer(inputs) + inputs @ self.down.T @ self.up.T  # type: ignore[no-any-return]


def low_rank(rank: int, inputs: int, data: object) -> nn.Module:
    """Return an MLP that knows the first five classes, with low-rank additions and a last layer drawn anew."""
    net = copy.deepcopy(pretrained(data, partial(mlp, inputs, 64, 64, 5)))  # type: ignore[arg-type]
    for at in (1, 3):
        net[at] = LowRank(net[at], rank)  # type: ignore[index, operator]
    net[5].reset_parameters()  # type: ignore[index, operator, union-attr]
    return net


@lru_cache
def new_pixels() -> Data:
    """The last five classes of Fashion-MNIST."""
    return only(fashion(), range(5, 10))


@lru_cache
def new_digits() -> Data:
    """The digits from 5 to 9."""
    return only(digits(), range(5, 10))


_seen, _kept = partial(Task, wider=True, seeds=2), partial(Task, wider=True, unseen=True, seeds=2)
_clothes, _figures = partial(low_rank, 4, 196, fashion), partial(low_rank, 2, 64, digits)

TASKS = (
    _seen("tokens-adamw", "tokens", text, CharTransformer, LANGUAGE, 16, WARM, clip=1.0, horizon=500),
    _seen("tokens-window", "tokens", text, partial(CharWindow, 32), LANGUAGE, 16, WARM, clip=1.0, horizon=500),
    _kept("tokens-gru", "tokens (kept)", text, partial(CharGRU, 24), LANGUAGE, 8, WARM, clip=0.5, horizon=500),
    _kept("tokens-long", "tokens (kept)", text, partial(CharTransformer, 16), ADAMW, 8, WARM, clip=1.0, horizon=500),
    _seen("lowrank-adamw", "low rank", new_pixels, _clothes, ADAMW, 32, BOTH, horizon=600),
    _seen("lowrank-momentum", "low rank", new_pixels, _clothes, MOMENTUM, 32, BOTH, horizon=600),
    _kept("lowrank-adam", "low rank (kept)", new_digits, _figures, ADAM, 16, BOTH, horizon=600),
    _kept("lowrank-sgd", "low rank (kept)", new_digits, _figures, SGD, 16, BOTH, horizon=600),
)

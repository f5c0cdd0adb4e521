"""Fine-tuning: pretrained on the first five classes, continued on the last five with a new last layer."""

import copy
from collections.abc import Callable
from functools import lru_cache, partial

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.data import digits, fashion, only
from benchmarks.models import convnet, mlp
from benchmarks.task import ADAMW, MOMENTUM, Data, Task

FIRST, LAST = range(5), range(5, 10)
STEPS = 600
_conv = partial(convnet, 5, 0.1)
_mlp = partial(mlp, 64, 64, 32, 5)


@lru_cache
def new_fashion() -> Data:
    """The last five classes of Fashion-MNIST."""
    return only(fashion(), LAST)


@lru_cache
def new_digits() -> Data:
    """The digits from 5 to 9."""
    return only(digits(), LAST)


@lru_cache
def pretrained(data: Callable[[], Data], model: Callable[[], nn.Module]) -> nn.Module:
    """Return a model trained on the first five classes; copy it before training."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        known, net = only(data(), FIRST), model()
        optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
        for _ in range(STEPS):
            batch = torch.randint(len(known.inputs), (64,))
            optimizer.zero_grad()
            F.cross_entropy(net(known.inputs[batch]), known.targets[batch]).backward()
            optimizer.step()
    optimizer.zero_grad()
    return net


def continued(data: Callable[[], Data], model: Callable[[], nn.Module]) -> nn.Module:
    """Return the pretrained model with its last layer drawn anew."""
    net = copy.deepcopy(pretrained(data, model))
    list(net.modules())[-1].reset_parameters()
    return net


TASKS = (
    Task(
        "finetune-fashion-adamw",
        "fine-tuning",
        new_fashion,
        partial(continued, fashion, _conv),
        ADAMW,
        32,
        ("constant", "linear"),
    ),
    Task(
        "finetune-digits-momentum",
        "fine-tuning",
        new_digits,
        partial(continued, digits, _mlp),
        MOMENTUM,
        32,
        ("constant", "linear"),
    ),
)

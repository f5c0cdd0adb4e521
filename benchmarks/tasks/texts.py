"""All layers fine-tuned on another text: pretrained on source code, continued on the help that Python carries."""

from __future__ import annotations

import argparse
import copy
import typing
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.data import LENGTH, SYMBOLS, Tensor, text
from benchmarks.models import CharWindow
from benchmarks.task import ADAM, ADAMW, Task

STEPS = 800


@lru_cache
def source() -> Tensor:
    """Windows of source code that Python carries, shape (n, length + 1)."""
    characters = "".join(Path(one.__file__).read_text(encoding="utf-8") for one in (argparse, typing))
    ranked = sorted(set(characters), key=lambda one: (-characters.count(one), one))
    code = {one: min(rank, SYMBOLS - 1) for rank, one in enumerate(ranked)}
    return torch.tensor([code[one] for one in characters]).unfold(0, LENGTH + 1, LENGTH)


@lru_cache
def pretrained(model: Callable[[], nn.Module]) -> nn.Module:
    """Return a model trained on source code; copy it before training."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        windows, net = source(), model()
        optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)
        for _ in range(STEPS):
            batch = windows[torch.randint(len(windows), (32,))]
            optimizer.zero_grad()
            F.cross_entropy(net(batch[:, :-1]), batch[:, 1:]).backward()
            optimizer.step()
    optimizer.zero_grad()
    return net


def continued(model: Callable[[], nn.Module]) -> nn.Module:
    """Return the pretrained model, to be trained on."""
    return copy.deepcopy(pretrained(model))


_wide, _narrow = partial(continued, CharWindow), partial(continued, partial(CharWindow, 32))
BOTH = ("constant", "linear")

TASKS = (
    Task("retext-adamw", "fine-tuned text", text, _wide, ADAMW, 16, BOTH, horizon=400, wider=True, seeds=2),
    Task(
        "retext-adam",
        "fine-tuned text (kept)",
        text,
        _narrow,
        ADAM,
        8,
        BOTH,
        horizon=400,
        wider=True,
        unseen=True,
        seeds=2,
    ),
)

"""Longer trainings of tiny models."""

from __future__ import annotations

from functools import partial
from typing import Any

from torch.nn import functional as F

from benchmarks.data import clusters, friedman
from benchmarks.models import mlp
from benchmarks.task import ADAM, MOMENTUM, Task

_WIDER: Any = {"wider": True, "seeds": 2}

TASKS = (
    Task(
        "friedman-momentum-8000",
        "long",
        friedman,
        partial(mlp, 10, 24, 1),
        MOMENTUM,
        16,
        ("linear",),
        F.mse_loss,
        8000,
        **_WIDER,
    ),
    Task(
        "clusters-adam-8000",
        "long (kept)",
        clusters,
        partial(mlp, 20, 24, 5),
        ADAM,
        16,
        ("linear",),
        horizon=8000,
        unseen=True,
        **_WIDER,
    ),
    Task(
        "friedman-adam-20000",
        "long (kept)",
        friedman,
        partial(mlp, 10, 24, 1),
        ADAM,
        16,
        ("linear",),
        F.mse_loss,
        20_000,
        unseen=True,
        **_WIDER,
    ),
)

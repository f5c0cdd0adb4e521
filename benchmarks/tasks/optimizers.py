"""The other optimizers of ``torch.optim``, Lion, Muon, SOAP and schedule-free AdamW: two small models each."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from pytorch_optimizer import SOAP
from schedulefree import AdamWScheduleFree
from torch.nn import functional as F

from benchmarks.data import friedman, text
from benchmarks.models import CharWindow, mlp
from benchmarks.task import Task


class Lion(torch.optim.Optimizer):
    """The sign of an averaged gradient is the step (arXiv 2302.06675, algorithm 2)."""

    def __init__(self, params: Any, lr: float = 1e-4, betas: tuple[float, float] = (0.9, 0.99)) -> None:
        super().__init__(params, {"lr": lr, "betas": betas})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """Take one step."""
        loss = closure() if closure is not None else None
        for group in self.param_groups:
            now, later = group["betas"]
            for one in (one for one in group["params"] if one.grad is not None):
                average = self.state[one].setdefault("average", torch.zeros_like(one))
                one.add_(torch.lerp(one.grad, average, now).sign(), alpha=-group["lr"])
                average.lerp_(one.grad, 1 - later)
        return loss


def muon(params: Iterable[torch.nn.Parameter], lr: float) -> list[torch.optim.Optimizer]:
    """Muon for the matrices, AdamW for the rest, at one rate."""
    known = list(params)
    matrices, rest = [one for one in known if one.ndim == 2], [one for one in known if one.ndim != 2]
    first = torch.optim.Muon(matrices, lr=lr, weight_decay=0.0, adjust_lr_fn="match_rms_adamw")
    return [first, torch.optim.AdamW(rest, lr=lr)] if rest else [first]


def sparse_adam(params: Iterable[torch.nn.Parameter], lr: float) -> list[torch.optim.Optimizer]:
    """Adam, and SparseAdam for the first parameter where there are others: a table of embeddings."""
    first, *rest = params
    dense = torch.optim.Adam(rest or [first], lr=lr)
    return [dense, torch.optim.SparseAdam([first], lr=lr)] if rest else [dense]


def sparse_window() -> torch.nn.Module:
    """A model of text whose embeddings have sparse gradients."""
    model = CharWindow()
    model.embed.sparse = True
    return model


OPTIMIZERS: dict[str, Callable[..., Any]] = {
    "adafactor": partial(torch.optim.Adafactor, foreach=True),
    "radam": partial(torch.optim.RAdam, foreach=True),
    "nadam": partial(torch.optim.NAdam, foreach=True),
    "adamax": partial(torch.optim.Adamax, foreach=True),
    "adagrad": partial(torch.optim.Adagrad, foreach=True),
    "adadelta": partial(torch.optim.Adadelta, foreach=True),
    "rprop": partial(torch.optim.Rprop, foreach=True),
    "asgd": partial(torch.optim.ASGD, foreach=True),
    "lion": partial(Lion),
    "muon": partial(muon),
    "schedule-free": partial(AdamWScheduleFree),
}


def _two(name: str, optimizer: Callable[..., Any]) -> tuple[Task, Task]:
    both: Any = {
        "optimizer": optimizer,
        "schedules": ("constant",) if name == "schedule-free" else ("constant", "linear"),
        "wider": True,
        "seeds": 2,
    }
    net = partial(mlp, 10, 48, 48, 1)
    return (
        Task(f"friedman-{name}", name, friedman, net, batch_size=64, loss=F.mse_loss, horizon=1000, **both),
        Task(f"window-{name}", f"{name} (kept)", text, CharWindow, batch_size=8, horizon=400, unseen=True, **both),
    )


TASKS = (
    *(task for name, optimizer in OPTIMIZERS.items() for task in _two(name, optimizer)),
    replace(_two("sparse-adam", partial(sparse_adam))[1], model=sparse_window),
    *(replace(task, family="soap (kept)", unseen=True) for task in _two("soap", partial(SOAP, weight_decay=0.0))),
)

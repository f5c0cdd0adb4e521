"""Who is timed: bare loops, our searches and the peers, each ready to be called."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.tuner import Tuner
from torch import nn
from torch.utils.data import DataLoader
from torch_lr_finder import LRFinder

import lrfind
import lrfind.lightning
from benchmarks.overhead.unread import MAX_LR, MIN_LR, Unread
from lrfind.lightning.loop import LightningLoop

Batch = tuple[torch.Tensor, torch.Tensor]
Call = Callable[[], object]
Contestant = Callable[[nn.Module, DataLoader[Batch]], Call]


class Module(pl.LightningModule):
    """The Lightning form of a model."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def training_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
        """Return the loss of a batch."""
        inputs, targets = batch
        return nn.functional.cross_entropy(self.net(inputs), targets)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return the optimizer that everybody uses."""
        return _optimizer(self)


def bare(net: nn.Module, loader: DataLoader[Batch]) -> Call:
    """``zero_grad``, forward, ``backward``, ``step``."""
    optimizer = _optimizer(net)

    def call() -> None:
        net.train()
        for inputs, targets in loader:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(net(inputs), targets)
            loss.backward()
            optimizer.step()

    return call


def bare_reading(net: nn.Module, loader: DataLoader[Batch]) -> Call:
    """The bare loop that also reads its losses."""
    optimizer = _optimizer(net)

    def call() -> None:
        net.train()
        losses = []
        for inputs, targets in loader:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(net(inputs), targets)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())

    return call


def ours(net: nn.Module, loader: DataLoader[Batch]) -> Call:
    """``lrfind.find``."""
    optimizer, options = _optimizer(net), _search(loader)
    return lambda: lrfind.find(net, optimizer, loader, nn.functional.cross_entropy, **options)


def torch_lr_finder(net: nn.Module, loader: DataLoader[Batch]) -> Call:
    """``LRFinder.range_test`` of torch-lr-finder."""
    optimizer = _optimizer(net)

    def call() -> None:
        finder = LRFinder(net, optimizer, nn.functional.cross_entropy)
        finder.range_test(loader, start_lr=MIN_LR, end_lr=MAX_LR, num_iter=len(loader), diverge_th=float("inf"))
        finder.reset()

    return call


def fit(net: nn.Module, loader: DataLoader[Batch]) -> Call:
    """Lightning's own ``Trainer.fit``."""
    trainer, module = _trainer(len(loader)), Module(net)
    return lambda: trainer.fit(module, loader)


def ours_lightning(net: nn.Module, loader: DataLoader[Batch]) -> Call:
    """``lrfind.lightning.find``."""
    trainer, module, options = _trainer(len(loader)), Module(net), _search(loader)

    def call() -> None:
        LightningLoop(trainer, module, loader).schedule()  # as the call does with a strategy of its own
        lrfind.lightning.find(trainer, module, loader, **options)

    return call


def tuner(net: nn.Module, loader: DataLoader[Batch]) -> Call:
    """Lightning's ``Tuner.lr_find``."""
    finder, module = Tuner(_trainer(-1)), Module(net)
    options = {"min_lr": MIN_LR, "max_lr": MAX_LR, "num_training": len(loader), "early_stop_threshold": None}
    return lambda: finder.lr_find(module, loader, update_attr=False, **options)


PYTORCH: dict[str, Contestant] = {
    "bare loop": bare,
    "bare loop, `loss.item()`": bare_reading,
    "`lrfind.find`": ours,
    "torch-lr-finder": torch_lr_finder,
}
LIGHTNING: dict[str, Contestant] = {
    "`Trainer.fit`": fit,
    "`lrfind.lightning.find`": ours_lightning,
    "`Tuner.lr_find`": tuner,
}


def _optimizer(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=MIN_LR, momentum=0.9)


def _search(loader: DataLoader[Batch]) -> dict[str, Any]:
    return {"strategy": Unread(len(loader)), "progress": False}


def _trainer(steps: int) -> pl.Trainer:
    return pl.Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=-1,
        max_steps=steps,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tempfile.gettempdir(),
    )

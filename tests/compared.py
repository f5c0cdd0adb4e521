"""Small things to compare: modules, data and factories that other processes can import."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path

import torch
from lightning.pytorch import LightningDataModule, LightningModule
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lrfind.compare import PyTorchTarget, Training

EPOCH = 16


def data(seed=0, size=EPOCH * 8):
    """Points on a noisy plane; always the same."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(size, 4, generator=generator)
    return TensorDataset(
        x, x @ torch.tensor([[1.0], [-2.0], [0.5], [3.0]]) + 0.1 * torch.randn(size, 1, generator=generator)
    )


def net(width=16, dropout=0.1):
    return nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, 1))


def make(width=16, validation=True, groups=False, accumulate=1, momentum=0.9):
    """A plain PyTorch training."""
    model = net(width)
    parameters = model.parameters()
    if groups:
        parameters = [{"params": model[0].parameters(), "lr": 0.001}, {"params": model[3].parameters(), "lr": 0.01}]
    return Training(
        model,
        torch.optim.SGD(parameters, lr=0.01, momentum=momentum),
        DataLoader(data(), batch_size=8, shuffle=True),
        nn.MSELoss(),
        accumulate=accumulate,
        validation=DataLoader(data(1, 40), batch_size=16) if validation else None,
        metrics=lambda model, batch: {"error": (model(batch[0]) - batch[1]).abs().mean()},
        test=DataLoader(data(2, 40), batch_size=16) if validation else None,
    )


class Net(LightningModule):
    """A module with whatever schedulers, groups and steps a test asks for."""

    def __init__(self, lr=0.01, scheduler=False, groups=False, dropout=0.1):
        super().__init__()
        self.lr, self.scheduler, self.groups = lr, scheduler, groups
        self.net = net(dropout=dropout)

    def _loss(self, batch):
        return nn.functional.mse_loss(self.net(batch[0]), batch[1])

    def training_step(self, batch, batch_idx):
        return self._loss(batch)

    def validation_step(self, batch, batch_idx):
        self.log("val_loss", self._loss(batch))

    def test_step(self, batch, batch_idx):
        self.log("test_loss", self._loss(batch))

    def configure_optimizers(self):
        parameters = self.parameters()
        if self.groups:
            parts = (self.net[0].parameters(), 0.1 * self.lr), (self.net[3].parameters(), self.lr)
            parameters = [{"params": part, "lr": lr} for part, lr in parts]
        optimizer = torch.optim.SGD(parameters, lr=self.lr, momentum=0.9)
        if not self.scheduler:
            return optimizer
        scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


class Unjudged(LightningModule):
    """No validation; loaders of its own; two optimizers, stepped by hand."""

    def __init__(self):
        super().__init__()
        self.automatic_optimization = False
        self.net = net()

    def train_dataloader(self):
        return DataLoader(data(), batch_size=8, shuffle=True)

    def training_step(self, batch, batch_idx):
        first, second = self.optimizers()
        loss = nn.functional.mse_loss(self.net(batch[0]), batch[1])
        first.zero_grad()
        second.zero_grad()
        self.manual_backward(loss)
        first.step()
        second.step()
        return loss

    def configure_optimizers(self):
        return [torch.optim.SGD(self.net[0].parameters(), lr=0.1), torch.optim.SGD(self.net[3].parameters(), lr=0.05)]


class Points(LightningDataModule):
    def train_dataloader(self):
        return DataLoader(data(), batch_size=8, shuffle=True)

    def val_dataloader(self):
        return DataLoader(data(1, 40), batch_size=16)

    def test_dataloader(self):
        return DataLoader(data(2, 40), batch_size=16)


def loaders(batch_size=8):
    return DataLoader(data(), batch_size=batch_size, shuffle=True), DataLoader(data(1, 40), batch_size=16)


@dataclass(frozen=True)
class Fragile(PyTorchTarget):
    """A training that goes wrong: with one arm and seed it raises, with others it stops early or its process dies."""

    raises: tuple[str, int] | None = None
    dies: tuple[str, int] | None = None
    stops: tuple[str, int] | None = None
    marks: str = ""
    always: bool = False

    def train(self, arm, seed, steps, told):
        with (Path(self.marks) / f"{arm.name}-{seed}").open("a") as file:
            file.write(".")
        if (arm.name, seed) == self.raises:
            raise RuntimeError("out of luck")
        if (arm.name, seed) == self.dies and (
            self.always or len((Path(self.marks) / f"{arm.name}-{seed}").read_text()) == 1
        ):
            os._exit(7)
        return super().train(arm, seed, steps // 2 if (arm.name, seed) == self.stops else steps, told)


@dataclass(frozen=True)
class Killed(PyTorchTarget):
    """A training whose process is killed at the given step, counted over all runs; as the power going off."""

    marks: str = ""
    at: int = 0

    def train(self, arm, seed, steps, told):
        with (Path(self.marks) / f"{arm.name}-{seed}").open("a") as file:
            file.write(".")
        count = 0

        def tell(done, words):
            nonlocal count
            count += 1
            done_before = sum(1 for _ in Path(self.marks).iterdir())
            if self.at and (done_before - 1) * steps + count >= self.at:
                os.kill(os.getpid(), signal.SIGKILL)
            told(done, words)

        return super().train(arm, seed, steps, tell)

"""Small things to compare: data and factories that other processes can import, without Lightning's 4 s."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path

import torch
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

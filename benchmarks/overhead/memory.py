"""How much host memory a search takes beside a training step, as multiples of the weights: ours and the peers'.

The models are large and their batch is one row, so that weights, gradients and the state of Adam are what counts. Read
is the peak of the process's resident memory above what it held before, each case in a process of its own, forked from
one that has only imported, which has called the contestant once with a tiny model, so that no import counts. What is
freed is given back at once (glibc's ``mallopt``), so that the peak is of what is held.

Run: ``python -m benchmarks.overhead.memory`` (Linux); it writes the table of docs/loops.md.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import platform
import re
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.tuner import Tuner
from torch import nn
from torch.utils.data import DataLoader
from torch_lr_finder import LRFinder

import lrfind
import lrfind.lightning
from benchmarks.overhead.contestants import Batch, _trainer
from benchmarks.overhead.unread import MAX_LR, MIN_LR, Unread

PAGE = Path(__file__).parents[2] / "docs" / "loops.md"
WIDTH, LAYERS, STEPS, RANK = 1024, 24, 4, 8
MB = 1e6
M_MMAP_THRESHOLD = -3
"""Of glibc's malloc.h."""

Loader = DataLoader[Batch]
Run = Callable[[nn.Module, torch.optim.Optimizer, Loader], None]


class Adapted(nn.Module):
    """A frozen linear layer, and beside it one of low rank that is trained.

    Args:
        width: Of inputs and outputs.
        rank: Of what is trained.
    """

    def __init__(self, width: int, rank: int) -> None:
        super().__init__()
        self.frozen = nn.Parameter(torch.randn(width, width) / width**0.5, requires_grad=False)
        self.down = nn.Parameter(torch.randn(rank, width) / width**0.5)
        self.up = nn.Parameter(torch.zeros(width, rank))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return what both make of the inputs."""
        return x @ self.frozen.T + x @ self.down.T @ self.up.T


class Module(pl.LightningModule):
    """The Lightning form of a model whose optimizer is there."""

    def __init__(self, net: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        super().__init__()
        self.net, self.optimizer, self.lr = net, optimizer, MIN_LR

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        """Return the loss of a batch."""
        return nn.functional.mse_loss(self.net(batch[0]), batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return the optimizer."""
        return self.optimizer


def step(model: nn.Module, optimizer: torch.optim.Optimizer, loader: Loader) -> None:
    """Take one training step."""
    inputs, targets = next(iter(loader))
    optimizer.zero_grad()
    nn.functional.mse_loss(model(inputs), targets).backward()
    optimizer.step()


def ours(model: nn.Module, optimizer: torch.optim.Optimizer, loader: Loader) -> None:
    """``lrfind.find``."""
    lrfind.find(model, optimizer, loader, nn.functional.mse_loss, strategy=Unread(STEPS), progress=False)


def ours_in_lightning(model: nn.Module, optimizer: torch.optim.Optimizer, loader: Loader) -> None:
    """``lrfind.lightning.find``."""
    module = Module(model, optimizer)
    lrfind.lightning.find(_trainer(-1), module, loader, strategy=Unread(STEPS), progress=False)


def torch_lr_finder(model: nn.Module, optimizer: torch.optim.Optimizer, loader: Loader) -> None:
    """``LRFinder.range_test`` of torch-lr-finder, and its ``reset``."""
    finder = LRFinder(model, optimizer, nn.functional.mse_loss)
    finder.range_test(loader, start_lr=MIN_LR, end_lr=MAX_LR, num_iter=STEPS, diverge_th=float("inf"))
    finder.reset()


def tuner(model: nn.Module, optimizer: torch.optim.Optimizer, loader: Loader) -> None:
    """``Tuner.lr_find`` of Lightning."""
    options = {"min_lr": MIN_LR, "max_lr": MAX_LR, "num_training": STEPS, "early_stop_threshold": None}
    Tuner(_trainer(-1)).lr_find(Module(model, optimizer), loader, update_attr=False, **options)


RUNS: dict[str, Run] = {
    "a training step": step,
    "`lrfind.find`": ours,
    "`lrfind.lightning.find`": ours_in_lightning,
    "torch-lr-finder": torch_lr_finder,
    "`Tuner.lr_find`": tuner,
}
TRAININGS = {
    "full fine-tuning, at its start": "full",
    "full fine-tuning, in its middle": "middle",
    "LoRA, at its start": "lora",
}


def training(kind: str, width: int, layers: int) -> tuple[nn.Module, torch.optim.Optimizer, Loader]:
    """Return a model, Adam and one batch.

    Args:
        kind: ``"full"``; ``"middle"``, where gradients and moments are there; ``"lora"``, with twice the layers.
        width: Of each layer.
        layers: How many.
    """
    if kind == "lora":
        model = nn.Sequential(*(Adapted(width, RANK) for _ in range(2 * layers)))
    else:
        model = nn.Sequential(*(nn.Linear(width, width) for _ in range(layers)))
    optimizer = torch.optim.Adam([one for one in model.parameters() if one.requires_grad], lr=MIN_LR, foreach=False)
    batches: Any = [(torch.randn(1, width), torch.randn(1, width))] * STEPS
    loader: Loader = DataLoader(batches, batch_size=None)
    if kind == "middle":
        step(model, optimizer, loader)
    return model, optimizer, loader


def multiple(kind: str, name: str) -> float:
    """Return the peak above what was held before, in multiples of the weights.

    Args:
        kind: Of ``training``.
        name: Of ``RUNS``.
    """
    torch.manual_seed(0)
    RUNS[name](*training(kind, 8, 1))
    model, optimizer, loader = training(kind, WIDTH, LAYERS)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak begins anew
    before = resident("VmRSS")
    RUNS[name](model, optimizer, loader)
    return (resident("VmHWM") - before) / size_of(model)


def table() -> str:
    """Measure every case in a fresh process; return the table."""
    rows = [f"| | {' | '.join(RUNS)} |", "| --- |" + " --- |" * len(RUNS)]
    for title, kind in TRAININGS.items():
        peaks = [_measured(kind, name) for name in RUNS]
        above = [f"{one - peaks[0]:+.2f}" for one in peaks[1:]]
        rows.append(f"| {title} | {peaks[0]:.2f} | {' | '.join(above)} |")
        print(rows[-1], flush=True)
    return "\n".join(rows)


def about() -> str:
    """Say what was measured, and with what."""
    sizes = {kind: training(kind, WIDTH, LAYERS)[0] for kind in ("full", "lora")}
    full, lora = (size_of(one) / MB for one in sizes.values())
    trained = sum(one.nbytes for one in sizes["lora"].parameters() if one.requires_grad) / MB
    packages = ("torch", "lightning", "torch-lr-finder")
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    return (
        f"Measured by `python -m benchmarks.overhead.memory`: {LAYERS} layers of {WIDTH} in float32 ({full:.0f} MB), "
        f"and {2 * LAYERS} frozen ones with adapters of rank {RANK} ({lora:.0f} MB, of which {trained:.1f} MB train); "
        f"Adam; {versions}; Python {platform.python_version()}, {platform.system()}. The Tuner keeps what it "
        f"puts back on disk."
    )


def write(text: str, place: str = "memory") -> None:
    """Put a table and what is said about it into docs/loops.md, between the comments that mark their place."""
    page = PAGE.read_text(encoding="utf-8")
    put = re.sub(
        rf"(<!-- {place} -->\n).*?(\n<!-- end -->)", lambda found: found[1] + text + found[2], page, flags=re.S
    )
    PAGE.write_text(put, encoding="utf-8")


def _measured(kind: str, name: str) -> float:
    with multiprocessing.get_context("fork").Pool(1) as pool:
        return pool.apply(multiple, (kind, name))


def resident(kind: str) -> int:
    """Return resident memory of this process in bytes: ``VmRSS`` now, or ``VmHWM``, its peak."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(kind)).split()[1])


def size_of(model: nn.Module) -> int:
    """Return how many bytes the weights of a model have."""
    return sum(one.nbytes for one in model.parameters())


if __name__ == "__main__":
    torch.set_num_threads(1)
    ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, 1 << 16)
    write(f"{table()}\n\n{about()}")

"""How much memory a search takes, as a multiple of the model's weights: each case in a process of its own.

The model is large and its batch is one row, so that weights, gradients and the state of Adam are what counts. Read is
the peak of the process's resident memory in one training step, and in one probe, above what it held before.

Run: ``python -m benchmarks.overhead.memory`` (Linux).
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import cast

import torch
from torch import nn

from lrfind.isolation import Isolation
from lrfind.pytorch import PyTorchLoop
from lrfind.records import Probe

WIDTH, LAYERS, STEPS = 1024, 24, 4
MOMENTS = ("start", "middle")
MEANS = ("training", "copy", "snapshot")


def resident(kind: str) -> int:
    """Resident memory of this process in bytes: ``VmRSS`` now, or ``VmHWM``, its peak."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(kind)).split()[1])


def multiple(moment: str, means: str) -> float:
    """Return the peak above what was held before, in multiples of the weights.

    Args:
        moment: Of training: at its start, or in its middle, where gradients and Adam's moments are there.
        means: What takes the memory: a step of training itself, or a probe under this isolation.
    """
    model = nn.Sequential(*(nn.Linear(WIDTH, WIDTH) for _ in range(LAYERS)))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-6, foreach=False)
    loader = [(torch.randn(1, WIDTH), torch.randn(1, WIDTH))]

    def train() -> None:
        optimizer.zero_grad()
        nn.functional.mse_loss(model(loader[0][0]), loader[0][1]).backward()
        optimizer.step()

    if moment == "middle":
        train()
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak begins anew
    before = resident("VmRSS")
    if means == "training":
        train()
    else:
        loop = PyTorchLoop(model, optimizer, loader, nn.functional.mse_loss, isolation=cast(Isolation, means))
        loop.run(Probe((1e-6,) * STEPS))
    weights = sum(one.numel() * one.element_size() for one in model.parameters())
    return (resident("VmHWM") - before) / weights


def main() -> None:
    """Measure every case in a fresh process and print a table."""
    print("| | " + " | ".join(MEANS) + " |\n| --- |" + " --- |" * len(MEANS))
    for moment in MOMENTS:
        commands = [[sys.executable, "-m", "benchmarks.overhead.memory", moment, means] for means in MEANS]
        found = [subprocess.run(each, capture_output=True, text=True, check=True).stdout.strip() for each in commands]
        print(f"| {moment} | {' | '.join(found)} |", flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(f"{multiple(*sys.argv[1:]):.1f}")
    else:
        main()

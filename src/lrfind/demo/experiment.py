"""The built-in tasks: LeNet on Fashion-MNIST or digits, at guessed rates and at found ones."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from lrfind.compare.arms import FIXED
from lrfind.compare.comparison import Arm
from lrfind.compare.targets.lightning import LightningTraining
from lrfind.compare.targets.protocol import Survey
from lrfind.demo.data import load
from lrfind.lightning import LRFinder
from lrfind.lightning.framework import package_of

BATCH_SIZE = 64

SCHEDULES = ("constant", "linear")  # linear decay was measured to be better here than one-cycle

dataset_of = cache(load)


class LeNet(package_of().LightningModule):  # type: ignore[misc]
    """LeNet for images of 28 by 28, with ReLU and max pooling, trained by Adam.

    Source:
        LeCun et al., "Gradient-based learning applied to document recognition" (1998).
    """

    def __init__(self, lr: float = 1e-3) -> None:
        super().__init__()
        self.lr = lr
        self.layers = nn.Sequential(
            *(nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10)),
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits (n, 10) of images (n, 1, 28, 28)."""
        logits: torch.Tensor = self.layers(images)
        return logits

    def training_step(self, batch: Any, batch_idx: int) -> dict[str, torch.Tensor]:
        """Return the mean loss and accuracy of a batch."""
        images, labels = batch
        logits = self(images)
        accuracy = (logits.argmax(dim=1) == labels).float().mean()
        return {"loss": F.cross_entropy(logits, labels), "accuracy": accuracy}

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Log the mean loss and accuracy over the validation data."""
        self._log("val", batch)

    def test_step(self, batch: Any, batch_idx: int) -> None:
        """Log the mean loss and accuracy over the test data."""
        self._log("test", batch)

    def _log(self, part: str, batch: Any) -> None:
        measured = self.training_step(batch, 0)
        self.log_dict({f"{part}_{name}": value for name, value in measured.items()}, batch_size=len(batch[1]))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return Adam with the attribute ``lr``."""
        return torch.optim.Adam(self.parameters(), lr=self.lr)


@dataclass(frozen=True)
class Experiment(LightningTraining):
    """LeNet on a dataset, as a target.

    Args:
        dataset: As for ``lrfind.demo.data.load``.
        data_dir: Likewise.
        seed: The seed of the search. The found run of this seed searches and applies its rate itself.
    """

    dataset: str = "fashion-mnist"
    data_dir: str | Path | None = None
    seed: int | None = None
    setting = f"Adam, batches of {BATCH_SIZE}"

    @property
    def title(self) -> str:
        """The names of model and dataset."""
        return f"LeNet on {dataset_of(self.dataset, self.data_dir).title}"

    def identity(self) -> Mapping[str, Any]:
        """Return the model and its data, without where files are."""
        return {"model": "LeNet", "dataset": self.dataset, "batch_size": BATCH_SIZE}

    def parts(self) -> tuple[Any, Any, Mapping[str, Any]]:
        """Build LeNet and its loaders."""
        images = dataset_of(self.dataset, self.data_dir)
        return LeNet(), images.loaders(batch_size=BATCH_SIZE, seed=0), {}

    def survey(self) -> Survey:
        """See ``lrfind.compare.Target``."""
        known = super().survey()
        note = dataset_of(self.dataset, self.data_dir).note
        return replace(known, notes=(note, *known.notes)) if note else known

    def callbacks(self, arm: Arm, seed: int) -> list[Any]:
        """Return the finder for the found run of the search's seed; its watch raises if the run has another rate."""
        return [LRFinder(seed=seed, progress=False)] if arm.name == FIXED and seed == self.seed else []

"""LeNet as a Lightning module: one attribute ``lr``, and an optimizer that reads it."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from lrfind.lightning.framework import lightning_package


class LeNet(lightning_package().LightningModule):  # type: ignore[misc]
    """Two convolutions and three linear layers for images of 28 by 28, trained by Adam.

    Args:
        lr: The learning rate.

    Source:
        LeCun et al., "Gradient-based learning applied to document recognition" (1998), with ReLU and max pooling.
    """

    def __init__(self, lr: float = 1e-3) -> None:
        super().__init__()
        self.lr = lr
        self.layers = nn.Sequential(
            nn.Conv2d(1, 6, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 16, 5),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(400, 120),
            nn.ReLU(),
            nn.Linear(120, 84),
            nn.ReLU(),
            nn.Linear(84, 10),
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the logits, shape (n, 10), of images, shape (n, 1, 28, 28)."""
        logits: torch.Tensor = self.layers(images)
        return logits

    def training_step(self, batch: Any, batch_idx: int) -> dict[str, torch.Tensor]:
        """Return the mean loss and accuracy of a batch."""
        return self.measure(batch)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Log the mean loss and accuracy over the validation data."""
        self._log("val", batch)

    def test_step(self, batch: Any, batch_idx: int) -> None:
        """Log the mean loss and accuracy over the test data."""
        self._log("test", batch)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return Adam at the attribute ``lr``."""
        return torch.optim.Adam(self.parameters(), lr=self.lr)

    def _log(self, part: str, batch: Any) -> None:
        for name, value in self.measure(batch).items():
            self.log(f"{part}_{name}", value, batch_size=len(batch[1]))

    def measure(self, batch: Any) -> dict[str, torch.Tensor]:
        """Return the mean loss and accuracy of a batch."""
        images, labels = batch
        logits = self(images)
        accuracy = (logits.argmax(dim=1) == labels).float().mean()
        return {"loss": F.cross_entropy(logits, labels), "accuracy": accuracy}

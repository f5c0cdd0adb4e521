"""A run: one training at one learning rate, as plain data."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Row:
    """One validation of a run.

    Attributes:
        step: Optimizer steps done.
        epoch: Epochs done.
        lr: The rate read back from the optimizer at the last step.
        train_loss: Mean over the batches since the last row.
        train_accuracy: Likewise, in [0, 1].
        val_loss: Mean over the validation data.
        val_accuracy: Likewise, in [0, 1].
    """

    step: int
    epoch: float
    lr: float
    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float


@dataclass(frozen=True, slots=True)
class Run:
    """One training.

    Attributes:
        name: What the run is called; no other run of a comparison is called so.
        lr: The rate that was asked for.
        lr_applied: The least and the greatest rate read back from the optimizer over the run.
        schedule: What the rate did.
        epochs: How long it trained.
        seconds: Wall time of the training, any search before it not counted.
        test_loss: Mean over the test data, after training; nothing is chosen by it.
        test_accuracy: Likewise, in [0, 1].
        rows: One per validation, in order; at least one.
    """

    name: str
    lr: float
    lr_applied: tuple[float, float]
    schedule: str
    epochs: int
    seconds: float
    test_loss: float
    test_accuracy: float
    rows: tuple[Row, ...]

    @property
    def last(self) -> Row:
        """The validation at the end."""
        return self.rows[-1]

    def to_dict(self) -> dict[str, Any]:
        """Return the run as plain JSON types, its final figures first."""
        final = {key: value for key, value in asdict(self.last).items() if key.startswith(("train_", "val_"))}
        data = asdict(self)
        rows = data.pop("rows")
        return {**data, "lr_applied": list(self.lr_applied), **final, "history": list(rows)}


def best(runs: tuple[Run, ...]) -> Run | None:
    """Return the run with the least final validation loss; None where none is finite."""
    finite = [run for run in runs if math.isfinite(run.last.val_loss)]
    return min(finite, key=lambda run: run.last.val_loss, default=None)

"""What is compared, as plain data: an arm is a way to train, a run is one training of an arm with one seed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from lrfind.codec import Plain
from lrfind.errors import BadInputError

Origin = Literal["given", "found"]


@dataclass(frozen=True, slots=True)
class Arm:
    """A way to train: a rate under a schedule.

    Attributes:
        name: What the arm is called; no other arm of a comparison is called so.
        lr: The rate; under a schedule, its peak.
        schedule: What the rate does over the training: the name of a shape.
        base_lr: The lower end of a cyclical schedule; None where the schedule has none.
        cycles: How many cycles the training takes; None where the schedule has none.
        origin: Whether the rate was given by hand or found.
        variant: Which of several targets is trained; empty where there is only one.
    """

    name: str
    lr: float
    schedule: str = "constant"
    base_lr: float | None = None
    cycles: int | None = None
    origin: Origin = "given"
    variant: str = ""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.lr) and self.lr > 0):
            raise BadInputError(f"the rate of the arm {self.name!r} must be positive and finite, got lr={self.lr}.")
        if self.base_lr is not None and not 0 < self.base_lr <= self.lr:
            raise BadInputError(
                f"base_lr of the arm {self.name!r} must be above 0 and at most its lr, "
                f"got {self.base_lr} and {self.lr}."
            )

    @property
    def is_fixed(self) -> bool:
        """Whether the rate stays as it is: the arms that a cyclical schedule has to beat."""
        return self.schedule == "constant"


@dataclass(frozen=True, slots=True)
class Row:
    """One evaluation of a run.

    Attributes:
        step: Optimizer steps done.
        epoch: Passes over the data done; NaN where the data do not say how long they are.
        lr: The rate read back from the optimizer at the last step.
        metrics: By name: ``train_loss`` (mean since the last row), ``val_loss`` and whatever else was evaluated,
            accuracies in [0, 1]; may be non-finite.
    """

    step: int
    epoch: float
    lr: float
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Run(Plain):
    """One training.

    Attributes:
        arm: The name of the arm that was trained.
        seed: What seeded the weights and the order of batches: the same seed pairs runs of different arms.
        lr_applied: The least and the greatest rate read back from the optimizer over the run.
        steps: Optimizer steps.
        seconds: Wall time of the training, any search before it not counted.
        rows: One per evaluation, in order; at least one.
        tested: Metrics on the test data after training, where there are any; nothing is chosen by them.
    """

    arm: str
    seed: int
    lr_applied: tuple[float, float]
    steps: int
    seconds: float
    rows: tuple[Row, ...]
    tested: Mapping[str, float] = field(default_factory=dict)

    @property
    def last(self) -> Row:
        """The evaluation at the end."""
        return self.rows[-1]

    def final(self, metric: str) -> float:
        """Return a metric at the end; NaN where the run has none of that name."""
        return self.last.metrics.get(metric, self.tested.get(metric, math.nan))


@dataclass(frozen=True, slots=True)
class Failure:
    """A run that ended with an error, or whose worker died twice.

    Attributes:
        arm: The name of the arm.
        seed: The seed.
        error: Its type and message.
    """

    arm: str
    seed: int
    error: str

"""What a comparison needs of a target."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from lrfind.compare.comparison import Arm, Run
from lrfind.records import Finding

Told = Callable[[int, str], None]
"""Called with the optimizer steps done and a few words, for progress."""

TRAIN_LOSS = "train_loss"


@dataclass(frozen=True, slots=True)
class Survey:
    """What is known of a target before training.

    Attributes:
        epoch_steps: Optimizer steps in one pass over the data; None if unknown.
        metrics: The names of the metrics; ``"train_loss"`` is always among them.
        notes: What to know of it, for example that a scheduler is not used.
    """

    epoch_steps: float | None
    metrics: tuple[str, ...]
    notes: tuple[str, ...] = ()


class Target(Protocol):
    """What is trained, built anew for every run. It can be pickled, for other processes."""

    @property
    def title(self) -> str:
        """The names of model and data, for reports."""

    @property
    def setting(self) -> str:
        """What all runs share, as ``name=value, name=value`` or in a few words."""

    def identity(self) -> Mapping[str, Any]:
        """Return plain data that is equal only for targets that train the same."""

    def survey(self) -> Survey:
        """Return the length of an epoch and the metrics, without training."""

    def find(self, schedule: str, seed: int, total_steps: int, **options: Any) -> Finding:
        """Search a rate for ``total_steps`` under a schedule; the options are ``lrfind.SearchOptions``."""

    def train(self, arm: Arm, seed: int, steps: int, told: Told) -> Run:
        """Train one arm; a seed gives the same weights and batches for every arm."""

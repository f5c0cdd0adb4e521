"""What a comparison needs of the thing that is trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from lrfind.compare.comparison import Arm, Run
from lrfind.records import Finding

Told = Callable[[int, str], None]
"""Told the optimizer steps done and a few words, for showing progress."""

TRAIN_LOSS = "train_loss"


@dataclass(frozen=True, slots=True)
class Survey:
    """What is known of a target before anything is trained.

    Attributes:
        epoch_steps: Optimizer steps in one pass over the data; None where the data does not say.
        metrics: The names of what is evaluated; ``"train_loss"`` is always among them.
        notes: What a person should know: a scheduler that is not used, say.
    """

    epoch_steps: float | None
    metrics: tuple[str, ...]
    notes: tuple[str, ...] = ()


class Target(Protocol):
    """What is trained; it can be pickled, so that other processes can train it too."""

    @property
    def title(self) -> str:
        """What is trained on what, for people."""
        ...

    @property
    def setting(self) -> str:
        """What all runs have in common, as ``name=value, name=value`` or in a few words."""
        ...

    def identity(self) -> Mapping[str, Any]:
        """Return plain data that two targets share only if they train the same thing."""
        ...

    def survey(self) -> Survey:
        """Find out what there is to train and to evaluate; nothing is trained."""
        ...

    def find(self, schedule: str, seed: int, total_steps: int, **options: Any) -> Finding:
        """Search a rate for a training of so many steps under a schedule; ``lrfind.SearchOptions``."""
        ...

    def train(self, arm: Arm, seed: int, steps: int, told: Told) -> Run:
        """Train one arm: the same seed gives the same weights and the same batches, whatever the arm."""
        ...

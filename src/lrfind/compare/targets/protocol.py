"""What a comparison needs of the thing that is trained."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from lrfind.compare.runs import Arm, Run
from lrfind.records import Finding

Told = Callable[[int, str], None]
"""Told the optimizer steps done and a few words, for showing progress."""

TRAIN_LOSS = "train_loss"

EVALUATIONS = 10
"""How often a run is evaluated, its end included."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What is known of a target before anything is trained.

    Attributes:
        epoch_steps: Optimizer steps in one pass over the data; None where the data does not say.
        metrics: The names of what is evaluated; ``"train_loss"`` is always among them.
        notes: What a person should know: a scheduler that is overruled, say.
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
        """What all runs have in common, in a few words."""
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


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread: sums in another order give other digits, and training amplifies them."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def evaluation_steps(steps: int) -> int:
    """Return every how many optimizer steps to evaluate.

    Example:
        >>> evaluation_steps(3750), evaluation_steps(7)
        (375, 1)
    """
    return max(1, steps // EVALUATIONS)

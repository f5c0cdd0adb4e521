"""What a peer is: from a task, a schedule and a seed to a suggestion and its cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.task import Task


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What a peer said.

    Attributes:
        lr: The rate it suggests; None where it suggests none.
        steps: Optimizer steps that it took.
        forwards: Batches it evaluated besides; each counts as a third of a step.
        loss: For a method that trains instead of suggesting: the held-out loss it ends with.
        interval: Where it says that its own rate may lie, if it says so.
    """

    lr: float | None
    steps: int
    forwards: int = 0
    loss: float | None = None
    interval: tuple[float, float] | None = None

    @property
    def cost(self) -> float:
        """Steps, evaluations counted at a third of a step."""
        return self.steps + self.forwards / 3


@dataclass(frozen=True, slots=True)
class Peer:
    """A method that is run; to add one, put its record in ``PEERS`` of a file in ``benchmarks/peers``.

    Attributes:
        name: What the tables call it.
        run: Given a task, a schedule's name and a seed, returns the suggestion.
        is_blind: Whether it does not know the schedule; then it is run once for both.
        is_sweep: Whether it is a single range test.
        packages: Distributions that must be installed to run it.
        seeds: How many search seeds it is given.
    """

    name: str
    run: Callable[[Task, str, int], Suggestion]
    is_blind: bool = True
    is_sweep: bool = True
    packages: tuple[str, ...] = ()
    seeds: int = 5

"""Runs: in turn here; ``processes`` and ``cluster`` do the same elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Literal

from lrfind.compare.runs import Arm, Failure, Run
from lrfind.compare.targets.variants import Variants
from lrfind.records import Finding

Todo = Sequence[tuple[Arm, int]]
"""Arms and seeds, in the order to train."""

_BETWEEN = 0.1
"""Seconds between two reports of one run: telling of every step would cost more than small steps do."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, for showing progress.

    Attributes:
        kind: ``"searching"`` and ``"found"`` for a schedule, named by ``arm``; ``"kept"`` for a run that an earlier
            call finished; ``"started"``, ``"step"``, ``"finished"``, ``"failed"`` and ``"died"`` (it is tried again).
        arm: The arm's name.
        seed: The seed.
        done: Optimizer steps done.
        total: Optimizer steps in all.
        words: A few words: the loss, or what went wrong.
        finding: What was found, of ``"found"``.
    """

    kind: Literal["searching", "found", "kept", "started", "step", "finished", "failed", "died"]
    arm: str
    seed: int
    done: int = 0
    total: int = 0
    words: str = ""
    finding: Finding | None = None


OnEvent = Callable[[Event], None]


def in_turn(target: Variants, todo: Todo, steps: int, on_event: OnEvent) -> Iterator[Run | Failure]:
    """Train one after the other, in this process."""
    for arm, seed in todo:
        yield attempt(target, arm, seed, steps, on_event)


def attempt(target: Variants, arm: Arm, seed: int, steps: int, on_event: OnEvent) -> Run | Failure:
    """Train once; an error is the answer, so that the other runs go on."""
    told = monotonic()

    def now_and_then(done: int, words: str) -> None:
        nonlocal told
        if monotonic() - told > _BETWEEN or done == steps:
            told = monotonic()
            on_event(Event("step", arm.name, seed, done, steps, words))

    on_event(Event("started", arm.name, seed, 0, steps))
    try:
        return target.train(arm, seed, steps, now_and_then)
    except Exception as error:  # noqa: BLE001  it is a user's code that runs; whatever it raises is reported
        return Failure(arm.name, seed, f"{type(error).__name__}: {error}")

"""How a run is timed: the loader is the clock; ratios within a repeat."""

from __future__ import annotations

import copy
import gc
import math
import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter, process_time
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from benchmarks.overhead.contestants import LIGHTNING, PYTORCH, Batch, Contestant
from benchmarks.overhead.sizes import Size

WARM_UP = 2
"""Steps at the start of each run that are not timed as steps: what they take above one is setup."""


@dataclass(frozen=True, slots=True)
class Timing:
    """One run, in seconds, by one clock.

    Attributes:
        step: Median time of a step.
        mean: Mean time of a step.
        outside: The rest of the call: setup and restore.
    """

    step: float
    mean: float
    outside: float


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one contestant by both clocks."""

    cpu: Timing
    wall: Timing


@dataclass(frozen=True, slots=True)
class Ratio:
    """Quartiles of the ratios of all repeats.

    Attributes:
        low: The lower quartile.
        median: The median.
        high: The upper quartile.
        repeats: How many there were.
    """

    low: float
    median: float
    high: float
    repeats: int

    @property
    def margin(self) -> float:
        """Half the 95 % interval of the median, were the ratios normal: 1.96 * 1.2533 / 1.349 = 1.82."""
        return 1.82 * (self.high - self.low) / math.sqrt(self.repeats)

    def __str__(self) -> str:
        return f"{self.median:.3f} ({self.low:.3f}..{self.high:.3f})"


Runs = dict[str, list[Run]]
Measured = dict[str, Runs]
Reading = Callable[[Run], float]


class Ticks:
    """When each batch was asked for, by both clocks; kept where a search does not look, which would put it back."""

    def __init__(self) -> None:
        self._kept: Any = threading.Thread()  # which never runs
        self._kept.ticks = [], []

    @property
    def cpu(self) -> list[float]:
        """Seconds of CPU time."""
        return self._kept.ticks[0]  # type: ignore[no-any-return]

    @property
    def wall(self) -> list[float]:
        """Seconds by the wall clock."""
        return self._kept.ticks[1]  # type: ignore[no-any-return]

    def note(self) -> None:
        """Note the time."""
        self.cpu.append(process_time())
        self.wall.append(perf_counter())


class Clocked(Dataset[Batch]):
    """A few batches over and over.

    Args:
        shape: Shape of one batch of inputs.
        length: How many batches.
        note: Called as each is asked for.
    """

    def __init__(self, shape: Sequence[int], length: int, note: Callable[[], None]) -> None:
        generator = torch.Generator().manual_seed(0)
        self._batches = [
            (torch.randn(*shape, generator=generator), torch.randint(10, shape[:1], generator=generator))
            for _ in range(4)
        ]
        self._length, self._note = length, note

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Batch:
        self._note()
        return self._batches[index % len(self._batches)]


def measure(size: Size) -> Runs:
    """Run every contestant once per repeat, in an order drawn anew each time; return its runs, by repeat."""
    contestants = list({**PYTORCH, **LIGHTNING}.items())
    runs: Runs = {name: [] for name, _ in contestants}
    for _, contestant in contestants:
        timed(contestant, size)
    gc.freeze()
    for repeat in range(size.repeats):
        for name, contestant in random.Random(repeat).sample(contestants, len(contestants)):
            runs[name].append(timed(contestant, size))
    return runs


def timed(contestant: Contestant, size: Size) -> Run:
    """Time one run from the size's own weights."""
    ticks = Ticks()
    data = Clocked(size.shape, size.steps, ticks.note)
    call = contestant(copy.deepcopy(size.net), DataLoader(data, batch_size=None, collate_fn=_unchanged))
    gc.collect()
    cpu, wall = process_time(), perf_counter()
    call()
    cpu, wall = process_time() - cpu, perf_counter() - wall
    if len(ticks.cpu) != size.steps:
        raise RuntimeError(f"{contestant.__name__} took {len(ticks.cpu)} steps, not {size.steps}.")
    return Run(_timing(ticks.cpu, cpu), _timing(ticks.wall, wall))


def ratio(runs: Sequence[Run], base: Sequence[Run], of: Reading) -> Ratio:
    """Return the ratio of two contestants, repeat by repeat."""
    values = [of(run) / of(other) for run, other in zip(runs, base, strict=True)]
    low, median, high = np.quantile(values, (0.25, 0.5, 0.75)).tolist()
    return Ratio(low, median, high, len(values))


def _timing(ticks: Sequence[float], total: float) -> Timing:
    steps = np.diff(ticks)
    late = steps[WARM_UP:]
    untimed = total - float(np.sum(late)) - (WARM_UP + 1) * float(np.median(late))
    return Timing(float(np.median(late)), float(np.mean(late)), untimed)


def _unchanged(batch: Batch) -> Batch:
    return batch

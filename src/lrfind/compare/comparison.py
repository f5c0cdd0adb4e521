"""A comparison as plain data, versioned JSON out and in: arms are ways to train, runs are trainings of an arm."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from lrfind.codec import Plain
from lrfind.errors import BadInputError, MissingExtraError
from lrfind.records import Finding

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


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean over seeds and where it lies.

    Attributes:
        mean: The mean over the seeds.
        low: The lower end of its 95 % interval; equal to the mean where one seed says nothing of spread.
        high: The upper end.
    """

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Pair:
    """Two arms, seed by seed.

    Attributes:
        first: The arm that is better in the mean.
        second: The other one.
        difference: How much better ``first`` is in the metric, 0 or above, with its simultaneous 95 % interval: all
            pairs that the verdict looks at are inside theirs at once in 95 of 100 comparisons.
        is_settled: Whether that interval leaves out 0.
        seeds: How many seeds both have.
        seeds_needed: How many seeds in all would settle it, if the difference and its spread stay as they are; None
            where it is settled, or where that cannot be known (one seed, no difference, no spread).
    """

    first: str
    second: str
    difference: Interval
    is_settled: bool
    seeds: int
    seeds_needed: int | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer.

    Attributes:
        sentence: The answer in a sentence, for people.
        winner: The arm that beats every other one past its interval; None where it is too close to call.
        best: The arm that is best in the mean, settled or not; None where no run ended with a finite metric.
        pairs: ``best`` against every other arm, the closest first.
        kinds: The best fixed arm against the best arm under a schedule, where there are both: Smith's question.
        lost: Arms with a run that did not end with a finite metric; they count as worse than all others.
        not_compared: Arms that are not compared: a run failed, or none was finished.
        seeds: How many seeds the arms are compared on.
        unsure: Variants that did not come out best and whose rates the search was unsure of.
    """

    sentence: str
    winner: str | None
    best: str | None
    pairs: tuple[Pair, ...]
    kinds: Pair | None = None
    lost: tuple[str, ...] = ()
    not_compared: tuple[str, ...] = field(default=(), metadata={"was": "apart"})
    seeds: int = 0
    unsure: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Comparison(Plain):
    """What was compared, what happened, what it means.

    Attributes:
        title: What is trained on what, for people.
        setting: What all runs have in common, in a sentence.
        metric: The metric that is judged, at the end of training.
        mode: Whether the least or the greatest is best.
        arms: The arms, in the order to show.
        runs: The finished runs, by arm and then by seed.
        verdict: The answer.
        finding: What the found arms rest on; None where all rates were given.
        failures: Runs that ended with an error.
        summaries: For each arm with a run, the metric's mean over its seeds.
        environment: What it ran on: names and versions.
        notes: What a person should know.
    """

    schema: ClassVar[str] = "lrfind/comparison/1"

    title: str
    setting: str
    metric: str
    mode: Literal["min", "max"]
    arms: tuple[Arm, ...]
    runs: tuple[Run, ...]
    verdict: Verdict
    finding: Finding | None = None
    failures: tuple[Failure, ...] = ()
    summaries: Mapping[str, Interval] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def runs_of(self, arm: str) -> tuple[Run, ...]:
        """Return the runs of an arm, by seed."""
        return tuple(run for run in self.runs if run.arm == arm)

    def _repr_html_(self) -> str | None:
        """Return the verdict, the table of arms and the chart of results, for notebooks."""
        from lrfind.report.html import notebook_html

        with suppress(MissingExtraError):  # the notebook shows the text then
            return notebook_html(self)
        return None

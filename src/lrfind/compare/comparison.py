"""A comparison as frozen data with versioned JSON: arms, runs and the verdict."""

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from lrfind.codec import Plain
from lrfind.errors import BadInputError, MissingExtraError
from lrfind.records import Finding

Mode = Literal["min", "max"]


@dataclass(frozen=True, slots=True)
class Arm:
    """A rate under a schedule.

    Attributes:
        name: The arm's name, unique in a comparison.
        lr: The rate; under a schedule, its maximum.
        schedule: The name of the schedule, ``"constant"`` for a fixed rate.
        base_lr: The lowest rate of a cyclical schedule, else None.
        cycles: The number of cycles of a cyclical schedule, else None.
        origin: Whether the rate was given by hand or found.
        variant: The name of the target; empty if there is only one.
    """

    name: str
    lr: float
    schedule: str = "constant"
    base_lr: float | None = None
    cycles: int | None = None
    origin: Literal["given", "found"] = "given"
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
        """Whether the rate is constant."""
        return self.schedule == "constant"


@dataclass(frozen=True, slots=True)
class Row:
    """One evaluation of a run.

    Attributes:
        step: Optimizer steps done.
        epoch: Passes over the data done; NaN if the length of the data is unknown.
        lr: The rate read back from the optimizer at the last step.
        metrics: By name: ``train_loss`` (mean since the last row), ``val_loss`` and all else that was evaluated;
            accuracies are in [0, 1]; may be non-finite.
    """

    step: int
    epoch: float
    lr: float
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Run(Plain):
    """One training of an arm.

    Attributes:
        arm: The name of the arm.
        seed: The seed of the weights and of the order of batches; runs of one seed are paired.
        lr_applied: The lowest and the highest rate read back from the optimizer.
        steps: Optimizer steps done.
        seconds: Wall time of the training, without the search.
        rows: The evaluations, in order; at least one.
        tested: Metrics on the test data after training, if there are any; nothing is chosen by them.
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
        """The last evaluation."""
        return self.rows[-1]

    def final(self, metric: str) -> float:
        """Return a metric at the end of training; NaN if it was not evaluated."""
        return self.last.metrics.get(metric, self.tested.get(metric, math.nan))


@dataclass(frozen=True, slots=True)
class Failure:
    """A run that ended with an error, of which ``error`` has type and message, or whose worker died twice."""

    arm: str
    seed: int
    error: str


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean over seeds with the ends of its 95 % interval, which equal the mean if there is only one seed."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Pair:
    """Two arms, compared seed by seed.

    Attributes:
        first: The arm with the better mean.
        second: The other arm.
        difference: How much better ``first`` is in the metric, 0 or above, with a simultaneous 95 % interval: the
            intervals of all pairs of the verdict hold at once in 95 of 100 comparisons.
        is_settled: Whether the interval excludes 0.
        seeds: The number of seeds that both have.
        seeds_needed: How many seeds in all would settle it, if the difference and its spread stay the same; None if
            it is settled or this is unknown (one seed, no difference, no spread).
    """

    first: str
    second: str
    difference: Interval
    is_settled: bool
    seeds: int
    seeds_needed: int | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """Which arm wins, if any.

    Attributes:
        sentence: The verdict in words.
        winner: The arm that is settled to be better than every other; None if it is too close to call.
        best: The arm with the best mean, settled or not; None if no arm could be compared.
        pairs: ``best`` against every other arm, the closest first.
        kinds: The best fixed arm against the best arm under a schedule, if there are both.
        lost: Arms with a run that ended with a non-finite metric; they count as worse than all others.
        not_compared: Arms with a failed run, or with no seed in common with the others.
        seeds: The number of seeds that the arms are compared on.
        unsure: Variants, but for the best arm's, whose rates the search was unsure of.
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

    def __str__(self) -> str:
        return self.sentence


@dataclass(frozen=True, slots=True)
class Comparison(Plain):
    """The arms that were compared, their runs and the verdict.

    Attributes:
        title: What is trained on what, for people.
        setting: What all runs have in common, in a sentence.
        metric: The metric that decides, at the end of training.
        mode: Whether its minimum or its maximum is best.
        arms: The arms, in the order to show.
        runs: The finished runs, by arm and then by seed.
        verdict: Which arm wins, if any.
        finding: The finding that the found arms have their rates from; None if all rates were given.
        failures: Runs that ended with an error.
        summaries: For each arm with a run, the metric's mean over its seeds.
        environment: Versions by package, and the machine under ``"on"``.
        notes: What to know when reading it.
    """

    schema: ClassVar[str] = "lrfind/comparison/1"

    title: str
    setting: str
    metric: str
    mode: Mode
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
        from lrfind.report.texts import notebook_html

        with suppress(MissingExtraError):  # the notebook then shows the repr
            return notebook_html(self)
        return None

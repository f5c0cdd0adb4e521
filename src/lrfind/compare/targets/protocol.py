"""What a comparison needs of a target, and the recorder of its runs."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Protocol

from lrfind.compare.arms import rates
from lrfind.compare.comparison import Arm, Row, Run
from lrfind.errors import BadInputError, RateNotAppliedError
from lrfind.loop import Recorder
from lrfind.optim import CLOSE, differing
from lrfind.records import Finding, Probe, Stop

Told = Callable[[int, str], None]
"""Called with the optimizer steps done and a few words, for progress."""

TRAIN_LOSS = "train_loss"

EVALUATIONS = 10  # of a run, the one at its end included


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


def evaluation_steps(steps: int) -> int:
    """Return the optimizer steps between two evaluations."""
    return max(1, steps // EVALUATIONS)


class RunRecorder(Recorder):
    """A run is a long probe that nothing ends early: checks each step's rate, calls ``evaluate`` when it is due."""

    is_probe = False

    def __init__(self, arm: Arm, seed: int, steps: int, evaluate: Callable[[], None], told: Told) -> None:
        super().__init__(Probe(rates(arm, steps), seed))
        self._arm, self._evaluate, self._told = arm, evaluate, told
        self._every = evaluation_steps(steps)
        self._rows: list[Row] = []
        self._trained: dict[str, list[float]] = {}
        self._seconds = 0.0

    def observe(self, loss: float, values: Mapping[str, float] | None = None) -> Stop | None:
        """Take the loss of one batch, or all its values."""
        for name, value in ({"loss": loss} if values is None else values).items():
            self._trained.setdefault(f"train_{name}", []).append(value)
        before = self.steps
        stop = super().observe(loss)
        if self.steps > before:
            held, wanted = self._lrs[-1], self.probe.lrs[self.steps - 1]
            if differing([held], [wanted], CLOSE) is not None:
                raise RateNotAppliedError(
                    f"step {self.steps} was made with lr={held}, not {wanted}: the step itself changes the rate, so "
                    f"arms cannot be compared on it."
                )
            self._told(self.steps, f"loss {loss:.3g}")
            if stop or self.steps % self._every == 0:
                self._evaluate()
        return stop

    def add_row(self, metrics: Mapping[str, float]) -> dict[str, float]:
        """Keep one evaluation per step; return the rate and training means that were added to it, else nothing."""
        if self.steps == (self._rows[-1].step if self._rows else 0):
            return {}
        trained = {name: sum(values) / len(values) for name, values in self._trained.items()}
        epoch = self.batches / self._length if self._length else math.nan
        self._rows.append(Row(self.steps, epoch, self._lrs[-1], {**metrics, **trained}))
        self._trained = {}
        self._seconds = perf_counter() - self._begun
        return {"lr": self._lrs[-1], **trained}

    def run(self, tested: Mapping[str, Any]) -> Run:
        """Return the run with its metrics on test data."""
        if not self._rows:
            raise BadInputError("the training data gave no batch; check the loader, its batch_size and drop_last.")
        span = min(self._lrs), max(self._lrs)
        return Run(self._arm.name, self.probe.seed, span, self.steps, self._seconds, tuple(self._rows), tested)

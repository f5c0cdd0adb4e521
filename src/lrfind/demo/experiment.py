"""The built-in task: LeNet on Fashion-MNIST or digits, at guessed rates, at the found one and under a schedule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

from lrfind.compare.arms import FIXED
from lrfind.compare.comparison import Comparison
from lrfind.compare.function import compare
from lrfind.compare.runs import Arm
from lrfind.compare.targets.lightning import LightningTarget
from lrfind.compare.targets.protocol import Survey
from lrfind.compare.targets.specs import Builder
from lrfind.demo.data import Dataset, load
from lrfind.demo.lenet import LeNet
from lrfind.lightning import LRFinder
from lrfind.lightning.framework import lightning_package
from lrfind.report.loggers import forget_events

BATCH_SIZE = 64

LRS = (1e-5, 1e-4, 1e-1)
"""The guesses of the published experiment."""

SCHEDULES = ("constant", "linear")
"""The found rate as it was, and under linear decay, which was measured to be better here than one-cycle."""


@dataclass(frozen=True)
class Experiment(LightningTarget):
    """LeNet on a dataset; a target like any other.

    Args:
        dataset: As ``lrfind.demo.data.load`` takes it.
        data_dir: Likewise.
        tensorboard: Where the event files go, a folder per arm and seed.
        seed: The seed of the search, whose rate the found run with this seed finds anew, and applies itself, as users
            have it; None gives it its rate as any other arm.
    """

    model: Builder = LeNet
    dataset: str = "fashion-mnist"
    data_dir: str | None = None
    tensorboard: Path | None = None
    seed: int | None = None
    data: Builder | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        object.__setattr__(self, "data", partial(_loaders, self.dataset, self.data_dir))
        object.__setattr__(self, "loggers", None if self.tensorboard is None else partial(_logger, self.tensorboard))
        super().__post_init__()

    @property
    def title(self) -> str:
        """What is trained on what, for people."""
        return f"{LeNet.__name__} on {dataset_of(self.dataset, self.data_dir).title}"

    @property
    def setting(self) -> str:
        """What all runs have in common."""
        return f"Adam, batches of {BATCH_SIZE}"

    def identity(self) -> Mapping[str, Any]:
        """Return what is trained: wherever the data and the event files are, it is the same."""
        return {"model": LeNet.__name__, "dataset": self.dataset, "batch_size": BATCH_SIZE}

    def survey(self) -> Survey:
        """See ``lrfind.compare.targets.protocol.Target``."""
        known = super().survey()
        note = dataset_of(self.dataset, self.data_dir).note
        return replace(known, notes=(note, *known.notes)) if note else known

    def callbacks(self, arm: Arm, seed: int) -> list[Any]:
        """Let the found run find, apply and verify its rate; with another seed than the search's it would be another.

        Its watch raises at the second step if the arm trains with another rate than this one finds.
        """
        finds = arm.name == FIXED and self.seed is not None and seed == self.seed
        return [LRFinder(seed=seed, progress=False)] if finds else []


def run(
    experiment: Experiment, *, lrs: Sequence[float] = LRS, epochs: float | None = None, **options: Any
) -> Comparison:
    """Train LeNet at guessed rates, at the found one, and at the one found for a schedule, under it.

    Args:
        experiment: What is trained.
        lrs: The guessed rates.
        epochs: How long each run trains; by default as long as makes a training on the dataset.
        **options: As ``lrfind.compare.compare`` takes them; ``seeds`` is by default the one of the search.
    """
    images = dataset_of(experiment.dataset, experiment.data_dir)
    if experiment.tensorboard is not None:
        forget_events(experiment.tensorboard)
    asked: dict[str, Any] = {"seeds": (experiment.seed or 0,), "schedules": SCHEDULES, **options}
    return compare(experiment, lrs=lrs, epochs=images.epochs if epochs is None else epochs, **asked)


@cache
def dataset_of(name: str, data_dir: str | None) -> Dataset:
    """Load a dataset once for all runs of a process; a run only reads it."""
    return load(name, data_dir)


def _loaders(name: str, data_dir: str | None) -> tuple[Any, Any, Any]:
    return dataset_of(name, data_dir).loaders(batch_size=BATCH_SIZE, seed=0)


def _logger(folder: Path, arm: str, seed: int) -> Any:
    return lightning_package().loggers.TensorBoardLogger(
        folder, name=arm, version=f"seed-{seed}", default_hp_metric=False
    )

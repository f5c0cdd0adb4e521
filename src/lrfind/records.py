"""Probe, Record, Finding: plain data, to and from versioned JSON."""

from __future__ import annotations

import math
import os
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

from lrfind.codec import Plain, write_json
from lrfind.errors import BadInputError, check_rate
from lrfind.replies import Reply
from lrfind.schedules import SCHEDULES, constant, remaining
from lrfind.words import PICTURES, TO_PICTURE, as_html, as_text, purpose

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from torch.optim.lr_scheduler import LRScheduler

    from lrfind.optim import AppliedRate, Optimizers
    from lrfind.schedules import Shape, Stretched
    from lrfind.suggest.judging import Judgement
    from lrfind.suggest.training import Training

Stop = Literal["done", "diverged", "non-finite"]


@dataclass(frozen=True, slots=True)
class Probe:
    """A short training run from the starting point.

    Attributes:
        lrs: The learning rate of each optimizer step, in order; positive and finite.
        seed: Seeds the batch order and every random number of the probe.

    Raises:
        BadInputError: If ``lrs`` is empty or holds a rate that is not positive and finite.
    """

    lrs: tuple[float, ...]
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.lrs:
            raise BadInputError("a probe needs at least one learning rate, got none.")
        for lr in self.lrs:
            check_rate(lr)


@dataclass(frozen=True, slots=True)
class Record(Plain):
    """What a probe gave.

    Attributes:
        probe: The probe.
        lrs: The rate read back from the optimizer at each step that ran.
        losses: The raw training loss of each of these steps, before the step; may be non-finite.
        stop: Why the probe ended: ``"done"`` (every step ran), ``"diverged"`` or ``"non-finite"``.
        epochs: Number of passes over the loader; the last one may be incomplete.
        seconds: Wall time.
        ratios: Each param group's rate as a multiple of these; the groups of several optimizers in a row.
        optimizer: The class name of the optimizer; of several, the first one's. Empty if unknown.
        is_fresh: Whether the optimizer had no state yet: training begins here, and is not resumed or under way.
        steps_per_epoch: Optimizer steps in one pass over the data; 0 if unknown.
        reply: How the optimizer replies to its rate; None if unknown.
        used: The rate that the optimizer had before the search; 0 if unknown.
    """

    probe: Probe
    lrs: tuple[float, ...]
    losses: tuple[float, ...]
    stop: Stop
    epochs: int = field(default=1, metadata={"was": "passes"})
    seconds: float = 0.0
    ratios: tuple[float, ...] = (1.0,)
    optimizer: str = ""
    is_fresh: bool = True
    steps_per_epoch: float = field(default=0.0, metadata={"was": "epoch"})
    reply: Reply | None = None
    used: float = 0.0

    def __post_init__(self) -> None:
        if len(self.lrs) != len(self.losses):
            raise BadInputError(f"a record needs one loss per rate, got {len(self.lrs)=}, {len(self.losses)=}.")
        if self.stop not in get_args(Stop):
            raise BadInputError(f"stop must be one of {get_args(Stop)}, got {self.stop!r}.")


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of a search, everything counted: optimizer steps, and seconds of wall time."""

    steps: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Finding(Plain):
    """The answer of a search, with its evidence.

    Attributes:
        lr: The learning rate to train with; under a schedule, its peak.
        base_lr: The lower end of the range for a cyclical schedule.
        max_lr: The upper end: two octaves below where the loss stops falling or turns ragged; above ``lr`` if the
            usual rate was taken.
        interval: Of a calibrated reading: where the best rate of a grid search lies, for about 90 % of the
            benchmark's tasks; most of it is often as good. Of another: where ``lr`` would land with other seeds.
        method: The reading rule that chose ``lr``.
        schedule: The schedule that ``lr`` was chosen for.
        records: Everything that ran, but for a first range test that a higher one replaced.
        cost: What the search took.
        notes: What a person should know about how the answer came about.
        final_fraction: Mean of rate / peak over the last fifth of that schedule, in [0, 1]; None if unknown.
        total_steps: Optimizer steps of the training that ``lr`` was chosen for; None if unknown.
        epochs: Its passes over the data, likewise.
    """

    schema: ClassVar[str] = "lrfind/finding/1"

    lr: float
    base_lr: float
    max_lr: float
    interval: tuple[float, float]
    method: str
    schedule: str
    records: tuple[Record, ...] = field(repr=False)
    cost: Cost
    notes: tuple[str, ...] = ()
    final_fraction: float | None = field(default=None, metadata={"was": "left"})
    total_steps: int | None = field(default=None, metadata={"was": "horizon"})
    epochs: float | None = None

    def __post_init__(self) -> None:
        low, high = self.interval
        for name, first, second in (("range", self.base_lr, self.max_lr), ("interval", low, high)):
            if not 0 < first <= self.lr <= second < math.inf:
                raise BadInputError(f"the {name} must hold lr={self.lr}, got {first}..{second}.")

    def __str__(self) -> str:
        return as_text(self)

    @property
    def headline(self) -> str:
        """The rate, the optimizer and the training that it is for."""
        name = f" for {self.optimizer}" if self.optimizer else ""
        return f"lr {self.lr:.3g}{name}, {purpose(self)}"

    @property
    def is_calibrated(self) -> bool:
        """Whether ``lr`` was read by the rule that knows the training: then the interval is that of the best rate."""
        return self.method == "calibrated"

    @property
    def optimizer(self) -> str:
        """The class name of the optimizer that was searched; empty if unknown."""
        return self.records[0].optimizer if self.records else ""

    @property
    def used(self) -> float | None:
        """The rate that the optimizer had before the search, under a schedule its peak; None if unknown."""
        return (self.records[0].used or None) if self.records else None

    @property
    def ratios(self) -> tuple[float, ...]:
        """Each param group's rate as a multiple of ``lr``; empty if unknown."""
        return self.records[0].ratios if self.records else ()

    @property
    def length(self) -> Training:
        """What is known of the training that ``lr`` was chosen for: its length and its schedule."""
        from lrfind.suggest.training import Training

        steps_per_epoch, final_fraction = self.records[0].steps_per_epoch if self.records else 0.0, self.final_fraction
        if final_fraction is None:
            final_fraction = remaining(SCHEDULES.get(self.schedule, constant))
        return Training(self.total_steps, self.epochs, steps_per_epoch, self.schedule, final_fraction)

    def _repr_html_(self) -> str:
        """Return the words and the picture, for notebooks; nothing is loaded from elsewhere."""
        from lrfind.plots import picture

        return as_html(self, picture(self))

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the finding as JSON, atomically.

        Raises:
            BadInputError: If the path is that of a picture.
            LRFindError: If the file cannot be written.
        """
        if str(path).lower().endswith(PICTURES):
            raise BadInputError(f"save() writes JSON, {path} is a picture: {TO_PICTURE.format(path)}.")
        return write_json(path, self.to_dict())

    def at(
        self,
        schedule: str | Shape | Stretched | LRScheduler | None = None,
        *,
        total_steps: int | None = None,
        epochs: float | None = None,
        **former: int | None,
    ) -> Finding:
        """Answer for another training from the same records; nothing is run.

        Trainings of more than 8,000 steps were hardly measured, and schedules that end between a tenth and all of their
        peak not at all. From 2,000 steps on, the interval is wider.

        Args:
            schedule: As for ``find``; by default the same shape.
            total_steps: How many optimizer steps training takes.
            epochs: Instead, or too, the passes over the data. By default both are as they were; if one is given, the
                other is unknown.
            **former: ``horizon``, the former name of ``total_steps``.

        Raises:
            BadInputError: If an argument is unknown or out of its range, or the finding is not one of range tests.
        """
        from lrfind.options import reread

        return reread(self, schedule=schedule, total_steps=total_steps, epochs=epochs, **former)

    def judge(self, lr: float) -> Judgement:
        """Say whether another rate would be better, as good or worse, from the same records; nothing is run.

        Args:
            lr: The rate to judge, such as the one that you have been using.

        Raises:
            BadInputError: If it is not positive and finite, or the finding is not one of range tests.
        """
        from lrfind.strategies.reading import judged

        return judged(self, lr)

    def apply(self, optimizer: Optimizers, scheduler: Any = None) -> AppliedRate:
        """Set ``lr`` on the optimizer, ratios of param groups kept, and verify it at every step from now on.

        Args:
            optimizer: The optimizer to train with, or those that were searched together.
            scheduler: The scheduler (or schedulers) that drives it, if any, from any library; scaled so that its peak
                is ``lr``. A ``CyclicLR`` or ``OneCycleLR`` whose peak is the finding's ``max_lr`` is left as it is. An
                earlier watch of this method over the optimizer ends.

        Returns:
            The watch over the rate: ``.least`` and ``.greatest`` rate used so far, ``.remove()`` to stop.

        Raises:
            BadInputError: If a scheduler drives another optimizer, or cannot be driven.
            RateNotAppliedError: Here or at a later ``optimizer.step()``, if the optimizer has another rate.
        """
        from lrfind.optim import apply_rate, as_list

        if hasattr(lead := as_list(optimizer)[0], "param_groups"):
            warn_of_another(self, type(lead).__name__)
        return apply_rate(optimizer, self.lr, scheduler, ratios=self.ratios, max_lr=self.max_lr)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the loss against the rate, with the found rate and the range marked; return the axes."""
        from lrfind.plots import plot_finding

        if ax is not None and not hasattr(ax, "set_xscale"):
            file = ax if isinstance(ax, (str, os.PathLike)) else "curve.png"
            raise BadInputError(f"plot() takes axes of matplotlib, got {ax!r:.80}: {TO_PICTURE.format(file)}.")
        return plot_finding(self, ax)


def warn_of_another(finding: Finding, optimizer: str) -> None:
    """Warn the caller's caller if a finding is applied to another class of optimizers than it was found for."""
    if finding.optimizer.removesuffix("W") not in ("", optimizer.removesuffix("W")):  # AdamW's rates mean the same
        said = f"lr={finding.lr:.3g} was found for {finding.optimizer} and is applied to {optimizer}"
        warnings.warn(f"{said}, whose rates mean something else; search with {optimizer}.", stacklevel=3)

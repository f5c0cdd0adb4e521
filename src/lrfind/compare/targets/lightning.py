"""A Lightning module and its data, trained by a Trainer of the comparison's own."""

from __future__ import annotations

import copy
import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import torch

from lrfind.compare.arms import rates
from lrfind.compare.runs import Arm, Row, Run
from lrfind.compare.targets.identity import identity_of
from lrfind.compare.targets.pace import Pace, Patience
from lrfind.compare.targets.protocol import TRAIN_LOSS, Survey, Told, evaluation_steps, one_thread
from lrfind.compare.targets.specs import Builder, build, name_of_builder, own, to_callable
from lrfind.errors import BadInputError
from lrfind.isolation import seed_all
from lrfind.lightning import find
from lrfind.lightning.framework import TALKERS, callback_bases, fit, package_of_module
from lrfind.lightning.loop import chosen_optimizers
from lrfind.loop import quiet
from lrfind.records import Finding

OURS: tuple[str, ...] = ("max_steps", "max_epochs", "max_time", "min_steps", "min_epochs", "val_check_interval")
OURS = (*OURS, "check_val_every_n_epoch", "num_sanity_val_steps", "enable_checkpointing", "logger")
"""Options of a Trainer that a comparison sets itself."""

Loggers = Callable[[str, int], Any]
"""Told an arm's name and a seed, returns a Lightning logger, or several."""


@dataclass(frozen=True)
class LightningTarget:
    """A Lightning module and its data; both are built anew for every run.

    Args:
        model: The module's class or a function that returns one, or where to import it from.
        data: Likewise: a datamodule, or a function that returns one, the training loader, or a tuple of the loaders
            for training, validation and test (the last two may be left out); None for the module's own loaders.
        model_args: What ``model`` is called with.
        data_args: What ``data`` is called with.
        trainer: Options of the Trainer: precision, accumulation, clipping, device; by default one device. Every run has
            its own copy of them, callbacks and plugins too.
        loggers: Returns the loggers of a run; by default there are none.

    Example:
        ``LightningTarget("mine.models:Net", "mine.data:Images", model_args={"width": 64})``
    """

    model: Builder
    data: Builder | None = None
    model_args: Mapping[str, Any] = field(default_factory=dict)
    data_args: Mapping[str, Any] = field(default_factory=dict)
    trainer: Mapping[str, Any] = field(default_factory=dict)
    loggers: Loggers | None = None

    def __post_init__(self) -> None:
        to_callable(self.model, "model")
        if self.data is not None:
            to_callable(self.data, "data")
        if taken := sorted(set(OURS) & set(self.trainer)):
            raise BadInputError(f"the comparison sets {', '.join(taken)} of the trainer itself; leave it out.")

    @property
    def title(self) -> str:
        """What is trained on what, for people."""
        model = name_of_builder(self.model)
        return model if self.data is None else f"{model} on {name_of_builder(self.data)}"

    @property
    def setting(self) -> str:
        """What all runs have in common."""
        options = {**self.model_args, **self.data_args, **self.trainer}
        return ", ".join(f"{name}={value}" for name, value in options.items())

    def identity(self) -> Mapping[str, Any]:
        """Return plain data that names what is trained."""
        parts = {"model": self.model, "data": self.data}
        built = {name: None if one is None else identity_of(to_callable(one, name)) for name, one in parts.items()}
        return {**built, **{name: identity_of(getattr(self, name)) for name in ("model_args", "data_args", "trainer")}}

    def survey(self) -> Survey:
        """See ``lrfind.compare.targets.Target``."""
        surveyor = _Surveyor()
        with quiet(*TALKERS), one_thread():
            module, data = self._build(0)
            trainer = self._trainer(module, -1, [surveyor], num_sanity_val_steps=1)
            fit(trainer, module, **data.fit)
        return surveyor.survey

    def find(self, schedule: str, seed: int, horizon: int, **options: Any) -> Finding:
        """See ``lrfind.compare.targets.Target``."""
        with quiet(*TALKERS), one_thread():
            module, data = self._build(seed)
            trainer, loader = self._trainer(module, horizon, []), data.fit.get("train_dataloaders")
            return find(trainer, module, loader, datamodule=data.module, seed=seed, schedule=schedule, **options)

    def train(self, arm: Arm, seed: int, steps: int, told: Told) -> Run:
        """See ``lrfind.compare.targets.Target``."""
        with quiet(*TALKERS), one_thread():
            module, data = self._build(seed)
            history = History(arm, steps, told)
            logger = None if self.loggers is None else self.loggers(arm.name, seed)
            callbacks = [*self.callbacks(arm, seed), history]
            trainer = self._trainer(module, steps, callbacks, logger=logger or False)
            fit(trainer, module, **data.fit)
            tested = data.test(trainer, module)
        return Run(arm.name, seed, history.pace.span, history.pace.steps, history.seconds, tuple(history.rows), tested)

    def callbacks(self, arm: Arm, seed: int) -> list[Any]:
        """Return callbacks that come before the comparison's own; for targets built on this one."""
        return []

    def options(self) -> dict[str, Any]:
        """Return the options of the Trainer beside the comparison's own, for a module just built.

        Raises:
            BadInputError: If they cannot be copied: no run may see what another left in a callback.
        """
        modules = {id(one): one for one in sys.modules.values()}  # Python's own, which have no copies
        try:
            return copy.deepcopy(dict(self.trainer), modules)
        except Exception as error:
            raise BadInputError(
                f"trainer= cannot be deep-copied, so that runs would share it ({type(error).__name__}: {error}); give "
                f"what cannot a __deepcopy__, or return it anew from the method callbacks of a subclass of the target."
            ) from error

    def _build(self, seed: int) -> tuple[Any, _Data]:
        seed_all(seed)
        module = build(self.model, own(self.model_args), "model")
        if not hasattr(module, "training_step"):
            raise BadInputError(f"model must build a LightningModule, got a {type(module).__name__}.")
        data = _Data(None if self.data is None else build(self.data, own(self.data_args), "data"))
        seed_all(seed, data.made)
        return module, data

    def _trainer(self, module: Any, steps: int, callbacks: list[Any], **changes: Any) -> Any:
        given = self.options()
        every = evaluation_steps(steps) * int(given.get("accumulate_grad_batches", 1)) if steps > 0 else None
        ours: dict[str, Any] = {
            "devices": 1,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            **given,
            "callbacks": [*given.get("callbacks", ()), *callbacks],
            "max_steps": steps,
            "max_epochs": -1,
            "val_check_interval": every,
            "check_val_every_n_epoch": None if every else 1,
            "num_sanity_val_steps": 0,
            "enable_checkpointing": False,
            "logger": False,
            **changes,
        }
        return package_of_module(module).Trainer(**ours)


class _Data:
    """What ``data`` made, as ``fit`` and ``test`` take it."""

    def __init__(self, made: Any) -> None:
        self.made = made
        self.module = made if hasattr(made, "train_dataloader") else None
        parts = made if isinstance(made, tuple) else (made,)
        if len(parts) > 3:
            raise BadInputError(f"data must return at most three loaders (train, validation, test), got {len(parts)}.")
        train, validation, self._test = (*parts, None, None)[:3]
        loaders = {"train_dataloaders": train, "val_dataloaders": validation}
        self.fit: dict[str, Any] = {"datamodule": made} if self.module is not None else loaders

    def test(self, trainer: Any, module: Any) -> dict[str, float]:
        """Evaluate the test data after training, where there are any and the module can."""
        given = {"datamodule": self.module} if self.module is not None else {"dataloaders": self._test}
        has_data = self._test is not None or (self.module is not None and _overrides(self.module, "test_dataloader"))
        if not (has_data and _overrides(module, "test_step")):
            return {}
        (found, *_) = trainer.test(module, verbose=False, **given)
        return {name: float(value) for name, value in found.items()}


class History(*callback_bases()):  # type: ignore[misc]
    """Gives each step its rate, keeps a row per evaluation, and logs what the module does not.

    Args:
        arm: What is trained.
        steps: For how many optimizer steps.
        told: Told how far it is.

    Attributes:
        rows: The evaluations so far.
        pace: The rates set and read back, once training has begun.
        seconds: Wall time of the training.
    """

    def __init__(self, arm: Arm, steps: int, told: Told) -> None:
        self.rows: list[Row] = []
        self.seconds = 0.0
        self._rates, self._steps, self._every, self._told = rates(arm, steps), steps, evaluation_steps(steps), told
        self._means: dict[str, list[float]] = {}
        self._start = perf_counter()
        self._pace: Pace | None = None
        self._patience = Patience()

    @property
    def pace(self) -> Pace:
        """The rates.

        Raises:
            BadInputError: If training never began.
        """
        if self._pace is None or not self._pace.steps:
            raise BadInputError("the training data gave no batch; check the loader, its batch_size and drop_last.")
        return self._pace

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Take over the rate: the module's own schedulers are not stepped."""
        if pl_module.automatic_optimization:
            trainer.strategy.lr_scheduler_configs = []
        self._pace = Pace(chosen_optimizers(trainer), self._rates).__enter__()

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Begin to count."""
        self._start = perf_counter()

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Keep the losses; stop after the last step, which Lightning ends with an evaluation."""
        self._let_go_on(trainer)
        scale = trainer.accumulate_grad_batches if pl_module.automatic_optimization else 1
        for name, value in _scalars(outputs).items():
            self._means.setdefault(f"train_{name}", []).append(value * scale if name == "loss" else value)
        if self._pace is None or not self._patience.check(self._pace.steps):
            return  # batches are accumulated, or the gradients were not finite
        loss = self._means.get(TRAIN_LOSS, [math.nan])[-1]
        is_due = self._pace.is_done or self._pace.steps % self._every == 0
        if is_due and not trainer.enable_validation:
            self._add(trainer, {})
        trainer.should_stop = self._pace.is_done
        self._told(self._pace.steps, f"loss {loss:.3g}")

    def _let_go_on(self, trainer: Any) -> None:
        """Lightning counts the steps of all optimizers, also those that a scaler skips: move its end as far away."""
        if self._pace is not None:
            left = self._steps - self._pace.steps
            trainer.fit_loop.epoch_loop.max_steps = trainer.global_step + left

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Keep a row."""
        self._add(trainer, _scalars(trainer.callback_metrics))

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Stop setting rates."""
        self.seconds = perf_counter() - self._start
        self.pace.__exit__()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Stop setting rates."""
        if self._pace is not None:
            self._pace.__exit__()

    def _add(self, trainer: Any, metrics: Mapping[str, float]) -> None:
        if self._pace is None or self._pace.steps == (self.rows[-1].step if self.rows else 0):
            return
        trained = {name: sum(values) / len(values) for name, values in self._means.items()}
        epoch = (trainer.fit_loop.epoch_loop.total_batch_idx + 1) / trainer.num_training_batches or math.nan
        self.rows.append(Row(self.pace.steps, epoch, self.pace.last, {**metrics, **trained}))
        self._means = {}
        for logger in trainer.loggers:
            logger.log_metrics({"lr": self.pace.last, **trained}, step=self.pace.steps)


class _Surveyor(*callback_bases()):  # type: ignore[misc]
    """Looks at a fit that ends before its first step."""

    def __init__(self) -> None:
        self._metrics: tuple[str, ...] = ()
        self._length = math.inf
        self._notes: list[str] = []

    @property
    def survey(self) -> Survey:
        length = self._length if 0 < self._length < math.inf else None
        return Survey(length, (TRAIN_LOSS, *self._metrics), tuple(self._notes))

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        names = sorted({type(config.scheduler).__name__ for config in trainer.lr_scheduler_configs})
        if names:
            self._notes.append(
                f"{type(pl_module).__name__} brings {', '.join(names)}, which the arms' schedules take the place of."
            )

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        self._metrics = tuple(_scalars(trainer.callback_metrics))

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        self._length = _epoch_steps(trainer)
        trainer.should_stop = True
        if not self._metrics:
            self._notes.append("There is no validation: runs are judged by their training loss.")


def _epoch_steps(trainer: Any) -> float:
    """Optimizer steps in one pass over the data; the last one may be of fewer batches."""
    batches: float = trainer.num_training_batches
    return math.ceil(batches / trainer.accumulate_grad_batches) if math.isfinite(batches) else math.inf


def _overrides(part: Any, method: str) -> bool:
    """Say whether a module, or a datamodule, has a method that is not Lightning's own."""
    return not getattr(type(part), method).__module__.startswith(("lightning.", "pytorch_lightning."))


def _scalars(values: Any) -> dict[str, float]:
    """The numbers in what a step returned or logged, by name."""
    if values is None:
        return {}
    named = values.items() if isinstance(values, Mapping) else (("loss", values),)
    return {str(name): float(value) for name, value in named if _is_scalar(value)}


def _is_scalar(value: Any) -> bool:
    return isinstance(value, (int, float)) or (isinstance(value, torch.Tensor) and value.numel() == 1)

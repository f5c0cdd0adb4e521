"""A Lightning module and its data, trained by a Trainer of the comparison's own."""

from __future__ import annotations

import copy
import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import torch

from lrfind.compare.runs import Arm, Run
from lrfind.compare.targets.identity import identity_of
from lrfind.compare.targets.protocol import TRAIN_LOSS, Survey, Told, evaluation_steps, one_thread
from lrfind.compare.targets.recorder import RunRecorder, probe_of
from lrfind.compare.targets.specs import Builder, build, name_of_builder, to_callable, with_modules_copied
from lrfind.errors import BadInputError
from lrfind.isolation import seed_all
from lrfind.lightning import find
from lrfind.lightning.framework import TALKERS, callback_bases, fit, package_of_module
from lrfind.lightning.loop import ProbeCallback
from lrfind.loop import ignore, quiet
from lrfind.optim import Optimizers
from lrfind.ranks import Ranks
from lrfind.records import Finding, Probe

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

    def find(self, schedule: str, seed: int, total_steps: int, **options: Any) -> Finding:
        """See ``lrfind.compare.targets.Target``."""
        with quiet(*TALKERS), one_thread():
            module, data = self._build(seed)
            trainer, loader = self._trainer(module, total_steps, []), data.fit.get("train_dataloaders")
            return find(trainer, module, loader, datamodule=data.module, seed=seed, schedule=schedule, **options)

    def train(self, arm: Arm, seed: int, steps: int, told: Told) -> Run:
        """See ``lrfind.compare.targets.Target``."""
        with quiet(*TALKERS), one_thread():
            module, data = self._build(seed)
            logger = None if self.loggers is None else self.loggers(arm.name, seed)
            with RunCallback(probe_of(arm, seed, steps), told) as recording:
                callbacks = [*self.callbacks(arm, seed), recording]
                trainer = self._trainer(module, steps, callbacks, logger=logger or False)
                fit(trainer, module, **data.fit)
            return recording.recorder.run(arm, data.test(trainer, module))

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
        module = build(self.model, with_modules_copied(self.model_args), "model")
        if not hasattr(module, "training_step"):
            raise BadInputError(f"model must build a LightningModule, got a {type(module).__name__}.")
        data = _Data(None if self.data is None else build(self.data, with_modules_copied(self.data_args), "data"))
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


class RunCallback(ProbeCallback):
    """Drives a run's recorder from inside the trainer, and logs what the module does not.

    Args:
        probe: The rate of each step.
        told: Told how far the run is.
    """

    def __init__(self, probe: Probe, told: Told) -> None:
        super().__init__(probe, ignore, None, Ranks())
        self._told = told

    @property
    def recorder(self) -> RunRecorder:
        """The recorder, once training has begun."""
        return cast(RunRecorder, super().recorder)

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Take over the rate: the module's own schedulers are not stepped."""
        self._trainer = trainer
        super().on_fit_start(trainer, pl_module)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Keep the numbers of a batch; stop after the last step, which Lightning ends with an evaluation."""
        scale = trainer.accumulate_grad_batches if pl_module.automatic_optimization else 1
        values = {name: value * scale if name == "loss" else value for name, value in _scalars(outputs).items()}
        if self.recorder.observe(values.get("loss", math.nan), values):
            trainer.should_stop = True
        # Lightning counts the steps of all optimizers, also those that a scaler skips: move its end as far away.
        trainer.fit_loop.epoch_loop.max_steps = trainer.global_step + self.recorder.left

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Keep a row."""
        self._add_row(_scalars(trainer.callback_metrics))

    def _recorder_for(self, optimizers: Optimizers) -> RunRecorder:
        return RunRecorder(self.probe, optimizers, self._evaluate, self._told)

    def _evaluate(self) -> None:
        if not self._trainer.enable_validation:  # which else comes by itself
            self._add_row({})

    def _add_row(self, metrics: dict[str, float]) -> None:
        if row := self.recorder.add_row(metrics):
            for logger in self._trainer.loggers:
                logger.log_metrics(row, step=self.recorder.steps)


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
        """Note the schedulers."""
        names = sorted({type(config.scheduler).__name__ for config in trainer.lr_scheduler_configs})
        if names:
            self._notes.append(
                f"{type(pl_module).__name__} brings {', '.join(names)}, which the arms' schedules take the place of."
            )

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Note the metrics."""
        self._metrics = tuple(_scalars(trainer.callback_metrics))

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Note the length of an epoch, and end the fit."""
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

"""The target for Lightning modules."""

import copy
import math
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import Any

import torch

from lrfind.compare.comparison import Arm, Run
from lrfind.compare.targets.protocol import TRAIN_LOSS, RunRecorder, Survey, Told, evaluation_steps
from lrfind.compare.targets.specs import Builder, build, builder_name, faults_of, identity_of, setting_of, to_callable
from lrfind.errors import BadInputError
from lrfind.isolation import seed_all
from lrfind.lightning import VerifyLR, find
from lrfind.lightning.framework import LOGGER_NAMES, fit, package_of
from lrfind.lightning.loop import ProbeCallback
from lrfind.loop import quiet
from lrfind.records import Finding

RESERVED = (
    *("max_steps", "max_epochs", "max_time", "min_steps", "min_epochs", "val_check_interval"),
    *("check_val_every_n_epoch", "num_sanity_val_steps", "enable_checkpointing", "logger"),
)
"""Options of the Trainer that a comparison sets."""

UNUSED = ("Checkpoint", "DeviceStatsMonitor", "EarlyStopping", "LearningRateFinder", "LearningRateMonitor")
"""Callbacks that a comparison leaves out, with lrfind's own: it sets the rate, the length and the logging itself."""

Loggers = Callable[[str, int], Any]
"""``loggers(arm_name, seed)`` returns a Lightning logger, or several."""


class LightningTraining(ABC):
    """A target for a Lightning module; a subclass builds its parts."""

    loggers: Loggers | None = None

    @abstractmethod
    def parts(self) -> tuple[Any, Any, Mapping[str, Any]]:
        """Build the module, its data and the given options of the Trainer."""

    def callbacks(self, arm: Arm, seed: int) -> list[Any]:
        """Return callbacks that run before the comparison's own; for subclasses."""
        return []

    def survey(self) -> Survey:
        """See ``lrfind.compare.Target``."""
        metrics: list[str] = []
        with self._built(0) as (module, data, options):
            callback = package_of(module).callbacks.LambdaCallback(
                on_validation_end=lambda trainer, _: metrics.extend(_scalars(trainer.callback_metrics)),
                on_train_start=lambda trainer, _: setattr(trainer, "should_stop", True),
            )
            data.pop("test_dataloaders", None)
            # none of these steps is taken, but a scheduler may ask how many there are
            trainer = _trainer(module, 10_000, options, [callback], num_sanity_val_steps=1)
            fit(trainer, module, **data)
        batches = trainer.num_training_batches / trainer.accumulate_grad_batches
        notes = []
        if names := ", ".join(sorted({type(config.scheduler).__name__ for config in trainer.lr_scheduler_configs})):
            notes.append(f"{names} of {type(module).__name__} is not used: each arm has its schedule.")
        given = options.get("callbacks"), type(module).configure_callbacks(module)
        reserved = [name for name in RESERVED if name in options and name not in ("max_steps", "max_epochs")]
        if names := ", ".join(chain(reserved, *(_parted(module, each)[1] for each in given))):
            notes.append(f"Left out: {names}. A comparison sets the rate, the length and the logging of a run itself.")
        if not metrics:
            notes.append("There is no validation: runs are judged by their training loss.")
        # the last step of an epoch may accumulate fewer batches
        return Survey(math.ceil(batches) if 0 < batches < math.inf else None, (TRAIN_LOSS, *metrics), tuple(notes))

    def find(
        self, schedule: str | None = None, seed: int = 0, total_steps: int | None = None, **options: Any
    ) -> Finding:
        """See ``lrfind.compare.Target``; schedule and length are optional, as for ``lrfind.find``."""
        with self._built(seed) as (module, data, given):
            epochs = options.pop("epochs", None)
            passes = math.ceil(epochs) if epochs else -1 if total_steps else None  # None means 1000
            trainer = _trainer(module, total_steps or -1, given, [], max_epochs=passes)
            loader, datamodule = data.get("train_dataloaders"), data.get("datamodule")
            if not (total_steps and epochs):  # else the trainer ends training at the lesser
                options |= {"total_steps": total_steps, "epochs": epochs}
            options |= {"schedule": schedule, "seed": seed}
            return find(trainer, module, loader, datamodule=datamodule, **options)

    def train(self, arm: Arm, seed: int, steps: int, told: Told) -> Run:
        """See ``lrfind.compare.Target``."""
        with self._built(seed) as (module, data, options):
            logger, test = self.loggers and self.loggers(arm.name, seed), data.pop("test_dataloaders", None)
            with RunCallback(arm, seed, steps, told) as recording:
                callbacks = [*self.callbacks(arm, seed), recording]
                trainer = _trainer(module, steps, options, callbacks, logger=logger or False)
                fit(trainer, module, **data)
            datamodule, tested = data.get("datamodule"), {}
            has_test = test is not None or (datamodule is not None and overrides(datamodule, "test_dataloader"))
            if has_test and overrides(module, "test_step"):
                (tested, *_) = trainer.test(module, dataloaders=test, datamodule=datamodule, verbose=False)
            return recording.run({name: float(value) for name, value in tested.items()})

    @contextmanager
    def _built(self, seed: int) -> Iterator[tuple[Any, dict[str, Any], Mapping[str, Any]]]:
        """Seed and build all parts, with Lightning's messages silenced, and its refusals as ``BadInputError``."""
        with quiet(*LOGGER_NAMES):
            try:
                seed_all(seed)
                module, made, options = self.parts()
                if not hasattr(module, "training_step"):
                    raise BadInputError(f"model must build a LightningModule, got a {type(module).__name__}.")
                seed_all(seed, made)
                yield module, _for_fit(made), options
            except Exception as error:
                words = " ".join(str(error).split())
                if type(error).__name__ == "MisconfigurationException" or words.startswith("An invalid dataloader"):
                    raise BadInputError(f"Lightning refuses it: {words}") from error
                raise


@dataclass(frozen=True)
class LightningTarget(LightningTraining):
    """A Lightning module and its data; both are built anew for every run.

    Args:
        model: The module's class, a function that returns the module, or its name as ``"package.module:name"``.
        data: Likewise for a datamodule, the training loader, or a tuple of the loaders for training, validation and
            test (the last two are optional). None uses the module's own loaders.
        model_args: Keyword arguments of ``model``.
        data_args: Keyword arguments of ``data``.
        trainer: Options of the Trainer: precision, accumulation, clipping, devices (one by default). Every run has its
            own copy of them, callbacks and plugins too.
        loggers: ``loggers(arm_name, seed)`` returns the Lightning logger or loggers of a run.

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
        if taken := sorted(set(RESERVED) & set(self.trainer)):
            raise BadInputError(f"the comparison sets {', '.join(taken)} of the trainer itself; leave it out.")

    @property
    def title(self) -> str:
        """The names of model and data."""
        return " on ".join(builder_name(each) for each in (self.model, self.data) if each is not None)

    @property
    def setting(self) -> str:
        """The given arguments and options."""
        return setting_of(self.model_args, self.data_args, self.trainer)

    def identity(self) -> Mapping[str, Any]:
        """See ``lrfind.compare.Target``."""
        parts = {"model": self.model, "data": self.data}
        built = {name: None if each is None else identity_of(to_callable(each, name)) for name, each in parts.items()}
        return {**built, **{name: identity_of(getattr(self, name)) for name in ("model_args", "data_args", "trainer")}}

    def parts(self) -> tuple[Any, Any, Mapping[str, Any]]:
        """Build the module and its data; copy the options of the Trainer."""
        model = build(self.model, self.model_args, "model")
        data = None if self.data is None else build(self.data, self.data_args, "data")
        modules = {id(each): each for each in sys.modules.values()}  # deepcopy cannot copy modules
        try:
            return model, data, copy.deepcopy(dict(self.trainer), modules)
        except Exception as error:
            raise BadInputError(
                f"trainer= cannot be deep-copied, so that runs would share it ({type(error).__name__}: {error}); give "
                f"what cannot a __deepcopy__, or return it anew from the method callbacks of a subclass of the target."
            ) from error


def _trainer(module: Any, steps: int, given: Mapping[str, Any], callbacks: list[Any], **changes: Any) -> Any:
    """Return a Trainer for ``steps`` (-1 is no limit) with the given options and the comparison's own."""
    every = evaluation_steps(steps) * int(given.get("accumulate_grad_batches", 1)) if steps > 0 else None
    theirs = _parted(module, given.get("callbacks"))[0]
    module.configure_callbacks = partial(_configured, module)  # no lambda: the module may be pickled
    options: dict[str, Any] = {
        "devices": 1,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        **{name: option for name, option in given.items() if name not in RESERVED},
        "callbacks": [*theirs, *callbacks],
        "max_steps": steps,
        "max_epochs": -1,
        "val_check_interval": every,
        "check_val_every_n_epoch": None if every else 1,
        "num_sanity_val_steps": 0,
        "enable_checkpointing": False,
        "logger": False,
        **changes,
    }
    with faults_of("building the trainer"):
        return package_of(module).Trainer(**options)


def _parted(module: Any, given: Any) -> tuple[list[Any], list[str]]:
    """Return the callbacks that are used, and the names of the others."""
    callbacks = package_of(module).callbacks
    kinds = (VerifyLR, *(getattr(callbacks, name) for name in UNUSED))
    each = [*given] if isinstance(given, Iterable) else [given] if given else []
    unused = [callback for callback in each if isinstance(callback, kinds)]
    return [callback for callback in each if callback not in unused], [type(callback).__name__ for callback in unused]


def _configured(module: Any) -> list[Any]:
    return _parted(module, type(module).configure_callbacks(module))[0]


def _for_fit(made: Any) -> dict[str, Any]:
    if hasattr(made, "train_dataloader"):
        return {"datamodule": made}
    loaders = made if isinstance(made, tuple) else (made,)
    if len(loaders) > 3:
        raise BadInputError(f"data must return at most three loaders (train, validation, test), got {len(loaders)}.")
    return dict(zip(("train_dataloaders", "val_dataloaders", "test_dataloaders"), loaders, strict=False))


class RunCallback(RunRecorder, ProbeCallback):
    """Records a run, and logs its rate and training means."""

    def __init__(self, arm: Arm, seed: int, steps: int, told: Told) -> None:
        super().__init__(arm, seed, steps, self._end_of_interval, told)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Record a batch; stop after the last step, after which Lightning validates."""
        self._trainer = trainer
        scale = trainer.accumulate_grad_batches if pl_module.automatic_optimization else 1
        values = {name: value * scale if name == "loss" else value for name, value in _scalars(outputs).items()}
        if self.observe(values.get("loss", math.nan), values):
            trainer.should_stop = True
        # Lightning counts the steps of every optimizer and those that a scaler skips, so max_steps moves along.
        trainer.fit_loop.epoch_loop.max_steps = trainer.global_step + len(self.probe.lrs) - self.steps

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Record an evaluation."""
        self._log_row(_scalars(trainer.callback_metrics))

    def _end_of_interval(self) -> None:
        if not self._trainer.enable_validation:  # else on_validation_end does it
            self._log_row({})

    def _log_row(self, metrics: dict[str, float]) -> None:
        if row := self.add_row(metrics):
            for logger in self._trainer.loggers:
                logger.log_metrics(row, step=self.steps)


def overrides(part: Any, method: str) -> bool:
    """Say whether a method of a module or a datamodule is the user's."""
    return ".core." not in (getattr(getattr(part, method), "__module__", None) or "")  # where Lightning's own are


def _scalars(values: Any) -> dict[str, float]:
    named = values if isinstance(values, Mapping) else {"loss": values}
    return {
        str(name): float(value)
        for name, value in named.items()
        if isinstance(value, (int, float)) or (isinstance(value, torch.Tensor) and value.numel() == 1)
    }

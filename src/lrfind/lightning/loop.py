"""Runs probes in a fresh inner Trainer: nothing of the outer training is touched."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from lrfind.curves import PATIENCE
from lrfind.errors import BadInputError
from lrfind.isolation import (
    KINDS,
    Isolation,
    check_isolation,
    copies_of,
    generators_in,
    length_of,
    preserved,
    seed_all,
)
from lrfind.lightning.framework import TALKERS, callback_bases, fit
from lrfind.lightning.inner import check_strategy, detached, inner_trainer, lift_limits, silence
from lrfind.loop import Driver, OnStep, ignore, quiet
from lrfind.records import Probe, Record


class LightningLoop:
    """Probes a module inside the kind of training that a trainer would give it.

    Args:
        trainer: The trainer that will train, or is training; it is only read.
        module: The module, in the state that training starts from.
        data: What training reads: a datamodule, a loader, or None for the module's own ``train_dataloader``.
        optimizer: Which of several optimizers to probe, by index; None moves all of them together.
        isolation: As ``lrfind.find`` takes it.
        is_fitting: Whether the trainer is within ``fit``: its optimizers exist, setup hooks have run.
    """

    def __init__(
        self,
        trainer: Any,
        module: Any,
        data: Any = None,
        *,
        optimizer: int | None = None,
        isolation: Isolation = "auto",
        is_fitting: bool = False,
    ) -> None:
        check_strategy(trainer, is_fitting=is_fitting)
        _check_module(module)
        if not any(True for _ in module.parameters()):
            raise BadInputError(f"{type(module).__name__} has no parameters, so there is nothing to train.")
        check_isolation(isolation)
        self._trainer, self._module, self._data = trainer, module, data
        self._optimizer, self._is_fitting = optimizer, is_fitting
        self._isolation = isolation

    @property
    def per_epoch(self) -> float:
        """Optimizer steps in one pass over the data; 0 where that is not known before it is set up."""
        length, limit = length_of(self._data), self._trainer.limit_train_batches
        batches = min(length, limit) if isinstance(limit, int) else int(length * limit)
        return float(math.ceil(batches / self._trainer.accumulate_grad_batches))

    def run(self, probe: Probe, on_step: OnStep = ignore) -> Record:
        """Run one probe; see ``lrfind.loop.Loop``."""
        with self._apart(probe.seed) as (module, optimizers, data):
            with _Driver(probe, on_step, optimizers, self._optimizer) as driver:
                fit(inner_trainer(self._trainer, driver), module, **_as_fit_argument(data))
            return driver.recorder.record()

    def scheduler_configs(self) -> list[Any]:
        """Return Lightning's configurations of the schedulers that training would have; nothing is trained."""
        with self._apart(0) as (module, _, data):
            look = _Look()
            fit(inner_trainer(self._trainer, look), module, **_as_fit_argument(data))
        return look.configs

    @contextmanager
    def _apart(self, seed: int) -> Iterator[tuple[Any, list[Any], Any]]:
        """Yield a module, its optimizers where there are any yet, and data that can be trained with; put all back."""
        data = detached(self._data, is_set_up=self._is_fitting)
        originals = (self._module, list(self._trainer.optimizers) if self._is_fitting else [])
        copies = copies_of(originals, self._isolation)
        generators = generators_in(vars(self._module), kinds=KINDS)
        state = originals if copies is None else ()
        with quiet(*TALKERS), preserved(self._data, data, *generators, state=state, apart=(self._trainer,)):
            module, optimizers = copies or originals
            silence(module, is_set_up=self._is_fitting)
            seed_all(seed, data)
            yield module, optimizers, data


class _Look(*callback_bases()):  # type: ignore[misc]
    """Notes the schedulers of a fit, which is given no batch."""

    def __init__(self) -> None:
        self.configs: list[Any] = []

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        self.configs = list(trainer.lr_scheduler_configs)
        trainer.limit_train_batches = 0


class _Driver(Driver, *callback_bases()):  # type: ignore[misc]
    """Drives a probe's recorder from inside the inner Trainer."""

    on_train_batch_start = on_before_zero_grad = on_before_backward = None
    on_after_backward = on_before_optimizer_step = None
    """Lightning calls no hook, and times none, that is not callable."""

    nothing_ran = "the training data gave no batch; check the loader, its batch_size and drop_last."

    def __init__(self, probe: Probe, on_step: OnStep, optimizers: Sequence[Any], index: int | None) -> None:
        super().__init__(probe, on_step)
        self._optimizers, self._index = list(optimizers), index
        self._is_parallel, self._silent = False, 0

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        lift_limits(trainer)
        if self._optimizers:
            trainer.strategy.optimizers = self._optimizers
        if pl_module.automatic_optimization:
            trainer.strategy.lr_scheduler_configs = []
        self.start(chosen_optimizers(trainer, self._index))

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        self._is_parallel = trainer.world_size > 1
        if self._is_parallel:  # joining the processes may have seeded anew
            seed_all(self.probe.seed + trainer.global_rank)

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        self.recorder.begin_pass(trainer.num_training_batches)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if self.recorder.observe(self._loss(trainer, pl_module, outputs)):
            trainer.should_stop = True

    def _loss(self, trainer: Any, module: Any, outputs: Any) -> float:
        """The loss of one batch, averaged over ranks; Lightning has divided it by the batches of a step."""
        loss = outputs.get("loss") if isinstance(outputs, dict) else outputs
        is_automatic = module.automatic_optimization
        if loss is None:
            if not is_automatic:
                raise BadInputError(
                    f"{type(module).__name__} optimizes manually and its training_step returns no loss; return it."
                )
            self._silent += 1
            if self._silent >= PATIENCE and self._silent > self.recorder.batches:
                raise BadInputError(f"training_step of {type(module).__name__} returns no loss; return it.")
            loss = math.nan
        if self._is_parallel:
            loss = torch.as_tensor(loss).detach().to(trainer.strategy.root_device, copy=True)
            loss = trainer.strategy.reduce(loss, reduce_op="mean")
        return float(loss) * (trainer.accumulate_grad_batches if is_automatic else 1)


def _check_module(module: Any) -> None:
    if isinstance(module, type):
        raise BadInputError(f"model must be a LightningModule, got the class {module.__name__}; make one of it.")
    if not hasattr(module, "training_step"):
        raise BadInputError(f"model must be a LightningModule, got a {type(module).__name__}.")


def chosen_optimizers(trainer: Any, index: int | None = None) -> list[torch.optim.Optimizer]:
    """Return the trainer's optimizers that are searched: one by its index, or all.

    Raises:
        BadInputError: If there is none, or not so many.
    """
    optimizers: list[torch.optim.Optimizer] = [one for one in trainer.optimizers if one.param_groups]
    if not optimizers:
        raise BadInputError("configure_optimizers returned no optimizer, so there is no rate to find; return one.")
    if index is None:
        return optimizers
    if not 0 <= index < len(optimizers):
        raise BadInputError(f"optimizer={index} was asked for, and configure_optimizers returned {len(optimizers)}.")
    return [optimizers[index]]


def _as_fit_argument(data: Any) -> dict[str, Any]:
    return {"datamodule" if hasattr(data, "train_dataloader") else "train_dataloaders": data}

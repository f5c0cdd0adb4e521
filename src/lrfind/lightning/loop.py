"""Runs probes in a fresh inner Trainer on a deep copy of the module: nothing of the outer training is touched."""

from __future__ import annotations

import copy
import math
from time import perf_counter
from typing import Any

import torch

from lrfind.curves import DivergenceWatch
from lrfind.errors import BadInputError
from lrfind.isolation import clone, fresh, preserved, seed_all
from lrfind.lightning.framework import callback_bases, fit, package_of, quiet
from lrfind.loop import OnStep
from lrfind.optim import rates_of, read_rate, set_rate
from lrfind.records import Probe, Record, Stop

_CARRIED = ("accumulate_grad_batches", "gradient_clip_val", "gradient_clip_algorithm", "limit_train_batches")


class LightningLoop:
    """Probes a module inside the kind of training that a trainer would give it.

    Args:
        trainer: The trainer that will train, or is about to; it is only read.
        module: The module, in the state that training starts from.
        data: What training reads: a datamodule, a loader, or None for the module's own ``train_dataloader``.
        is_set_up: Whether the ``setup`` hooks of module and data have run already.
    """

    def __init__(self, trainer: Any, module: Any, data: Any = None, *, is_set_up: bool = False) -> None:
        package_of(trainer)
        if trainer.world_size > 1:
            raise BadInputError(
                f"the search runs on one device so far, and this trainer has {trainer.world_size}; search with "
                f"Trainer(devices=1), then pass the rate on with lrfind.lightning.apply."
            )
        if not any(True for _ in module.parameters()):
            raise BadInputError(f"{type(module).__name__} has no parameters, so there is nothing to train.")
        self._trainer = trainer
        self._module = module
        self._data = data
        self._is_set_up = is_set_up

    def run(self, probe: Probe, on_step: OnStep = lambda lr, loss: None) -> Record:
        """Run one probe; see ``lrfind.loop.Loop``."""
        start = perf_counter()
        driver = _Driver(probe, on_step)
        data = _detached(self._data, is_set_up=self._is_set_up)
        with preserved(self._data, self._module.__dict__), quiet():
            (module,) = clone((self._module,))
            _silence(module, is_set_up=self._is_set_up)
            seed_all(probe.seed, data)
            inner = _inner_trainer(self._trainer, driver, len(probe.lrs))
            fit(inner, module, **_as_fit_argument(data))
        if not driver.lrs:
            raise BadInputError("the training data gave no batch; check the loader, its batch_size and drop_last.")
        return driver.record(perf_counter() - start)


class _Driver(*callback_bases()):  # type: ignore[misc]
    """Sets each step's rate, reads it back and records the loss, inside the inner Trainer."""

    def __init__(self, probe: Probe, on_step: OnStep) -> None:
        self.probe, self.on_step = probe, on_step
        self.lrs: list[float] = []
        self.losses: list[float] = []
        self.stop: Stop = "done"
        self.passes = 0
        self._watch = DivergenceWatch()
        self._sum = 0.0

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        trainer.strategy.lr_scheduler_configs = []
        optimizer = only_optimizer(trainer)
        ratios = rates_of(optimizer).ratios

        def before_step(*_: Any) -> None:
            set_rate(optimizer, self.probe.lrs[len(self.lrs)], ratios)
            self.lrs.append(read_rate(optimizer, ratios))

        optimizer.register_step_pre_hook(before_step)

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        self.passes += 1

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        loss = outputs.get("loss") if isinstance(outputs, dict) else outputs
        if loss is None and not pl_module.automatic_optimization:
            raise BadInputError(
                f"{type(pl_module).__name__} optimizes manually and its training_step returns no loss; return the loss."
            )
        self._sum += math.nan if loss is None else float(torch.as_tensor(loss).detach())
        if len(self.lrs) == len(self.losses):
            return
        self.losses.append(self._sum)
        self._sum = 0.0
        self.on_step(self.lrs[-1], self.losses[-1])
        if reason := self._watch.observe(self.losses[-1]):
            self.stop = reason
            trainer.should_stop = True

    def record(self, seconds: float) -> Record:
        steps = len(self.losses)
        return Record(self.probe, tuple(self.lrs[:steps]), tuple(self.losses), self.stop, self.passes, seconds)


def only_optimizer(trainer: Any) -> torch.optim.Optimizer:
    """Return the trainer's optimizer.

    Raises:
        BadInputError: If it has none or several.
    """
    if len(trainer.optimizers) != 1:
        raise BadInputError(
            f"one optimizer can be searched so far, and configure_optimizers returned {len(trainer.optimizers)}; "
            f"return one."
        )
    optimizer: torch.optim.Optimizer = trainer.optimizers[0]
    return optimizer


def _inner_trainer(outer: Any, driver: _Driver, steps: int) -> Any:
    package = package_of(outer)
    logger = package.loggers.logger.DummyLogger()
    is_cuda = outer.accelerator.__class__.__name__ == "CUDAAccelerator"
    return package.Trainer(
        accelerator=copy.copy(outer.accelerator),
        devices=outer.device_ids if is_cuda else outer.num_devices,
        precision=outer.precision,
        max_epochs=-1,
        max_steps=steps,
        limit_val_batches=0,
        num_sanity_val_steps=0,
        logger=logger,
        callbacks=[driver],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        **{name: getattr(outer, name) for name in _CARRIED},
    )


def _silence(module: Any, *, is_set_up: bool) -> None:
    """Keep a copied module from bringing its own callbacks, and from setting up twice."""
    module.configure_callbacks = list
    if is_set_up:
        module.setup = module.prepare_data = module.configure_model = _nothing


def _detached(data: Any, *, is_set_up: bool) -> Any:
    """Return data whose use leaves the given datamodule or loader untouched."""
    if not hasattr(data, "train_dataloader"):
        return fresh(data)
    twin = copy.copy(data)
    twin.trainer = None
    if is_set_up:
        twin.setup = twin.prepare_data = _nothing
    twin.train_dataloader = lambda: fresh(type(data).train_dataloader(twin))
    twin.teardown = _nothing
    return twin


def _as_fit_argument(data: Any) -> dict[str, Any]:
    return {"datamodule" if hasattr(data, "train_dataloader") else "train_dataloaders": data}


def _nothing(*_: Any, **__: Any) -> None:
    pass

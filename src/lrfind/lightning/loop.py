"""Runs probes with the user's own trainer, strategy and optimizers, and puts all of them back."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import torch

from lrfind.curves import PATIENCE
from lrfind.errors import BadInputError
from lrfind.isolation import Kept, end_workers, fresh, length_of, loaders_in, seed_all
from lrfind.lightning.framework import TALKERS, callback_bases, fit
from lrfind.lightning.probing import check_strategy, make_ready
from lrfind.loop import Loop, OnStep, quiet
from lrfind.ranks import Ranks
from lrfind.recorder import Recorder
from lrfind.records import Probe, Record


class LightningLoop(Loop):
    """Probes a module with its own trainer, which is put back like everything else.

    Args:
        trainer: The trainer that will train, or is training.
        module: The module, in the state that training starts from.
        data: What training reads: a datamodule, a loader, or None for the module's own ``train_dataloader``.
        optimizer: Which of several optimizers to probe, by index; None moves all of them together.
        is_fitting: Whether the trainer is within ``fit``: its optimizers exist, setup hooks have run.
    """

    def __init__(
        self, trainer: Any, module: Any, data: Any = None, *, optimizer: int | None = None, is_fitting: bool = False
    ) -> None:
        check_strategy(trainer, is_fitting=is_fitting)
        _check_module(module)
        self._trainer, self._module, self._data = trainer, module, data
        self._optimizer, self._is_fitting = optimizer, is_fitting
        self._twin: Any = None
        self._made: Any = None
        self._survey: _Survey | None = None
        self._ranks = Ranks.all() if trainer.world_size > 1 else Ranks()

    @property
    def steps_per_epoch(self) -> float:
        """Optimizer steps in one pass over the data; 0 where that is not known."""
        if _gives_loaders(self._data):
            batches: float = self.survey().batches
        elif isinstance(self._data, (dict, list, tuple)):  # of several loaders, the first record knows
            batches = 0
        else:
            length, limit = length_of(self._data), self._trainer.limit_train_batches
            batches = min(length, limit) if isinstance(limit, int) else int(length * limit)
        return float(math.ceil(batches / self._trainer.accumulate_grad_batches))

    def _begin(self, stack: ExitStack) -> Kept:
        stack.enter_context(self._ranks.together())
        stack.enter_context(quiet(*TALKERS))
        self._twin = None if _gives_loaders(self._data) else fresh(self._data)
        self._made = None
        stack.callback(lambda: end_workers([*loaders_in(self._twin), *loaders_in(self._made)]))
        return Kept((self._trainer, self._module), data=(self._data,), skip=loaders_in(self._twin))

    def _run(self, probe: Probe, on_step: OnStep | None) -> Record:
        with ProbeCallback(probe, on_step, self._ranks, self._optimizer) as recorder:
            self._fit(recorder)
        return recorder.record()

    def survey(self) -> _Survey:
        """Return what training would have, its schedulers and the length of its data; nothing is trained."""
        if self._survey is None:
            survey = _Survey()
            with self, self.kept.probe(0):
                self._fit(survey)
                batches = self._trainer.num_training_batches
            survey.batches = batches if math.isfinite(batches) else 0
            self._survey = survey
        return self._survey

    def _fit(self, callback: Any) -> None:
        """Train with one callback, which ends it."""
        trainer, module = self._trainer, self._module
        source = trainer.fit_loop._data_source
        make_ready(trainer, module, callback)
        if self._twin is None:
            giver = module if self._data is None else self._data
            giver.train_dataloader = self._lasting(giver.train_dataloader)
        if not self._is_fitting:
            if self._data is not None and self._twin is None:
                self._data.on_exception = _nothing
            data = self._data if self._twin is None else self._twin
            name = "datamodule" if hasattr(data, "train_dataloader") else "train_dataloaders"
            fit(trainer, module, **{name: data})
            return
        if self._twin is not None:
            source = type(source)(self._twin, "train_dataloader")
        trainer.fit_loop._data_source = source
        callback.on_fit_start(trainer, module)
        module.zero_grad()
        with torch.autograd.set_detect_anomaly(trainer._detect_anomaly):
            trainer.fit_loop.run()

    def _lasting(self, make: Callable[[], Any]) -> Callable[[], Any]:
        """Return what makes loaders anew for each probe, but where they have workers: these last for the search."""

        def train_dataloader() -> Any:
            if self._made is None:
                made = make()
                if not any(one.num_workers for one in loaders_in(made)):
                    return made
                self._made = fresh(made)
            return self._made

        return train_dataloader


class _Survey(*callback_bases()):  # type: ignore[misc]
    """Notes what a fit has that is given no batch.

    Attributes:
        configs: Lightning's configurations of its schedulers.
        batches: Batches in one pass over its data; 0 where that is not known.
    """

    def __init__(self) -> None:
        self.configs: list[Any] = []
        self.batches = 0

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Note the schedulers, and end the fit."""
        self.configs = list(trainer.lr_scheduler_configs)
        trainer.should_stop = True


class ProbeCallback(Recorder, *callback_bases()):  # type: ignore[misc]
    """Records a probe from inside the trainer."""

    on_train_batch_start = on_before_zero_grad = on_before_backward = None
    on_after_backward = on_before_optimizer_step = None
    """Lightning calls no hook, and times none, that is not callable."""

    nothing_ran = "the training data gave no batch; check the loader, its batch_size and drop_last."

    def __init__(
        self, probe: Probe, on_step: OnStep | None = None, ranks: Ranks | None = None, index: int | None = None
    ) -> None:
        super().__init__(probe, on_step, ranks)
        self._index, self._silent = index, 0

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Take over the rate: the module's own schedulers are not stepped."""
        schedulers = [config.scheduler for config in trainer.lr_scheduler_configs]
        if pl_module.automatic_optimization:
            trainer.strategy.lr_scheduler_configs = []
        self.start(chosen_optimizers(trainer, self._index), schedulers)

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Seed the processes."""
        if self._ranks.size > 1:  # joining the processes may have seeded anew; those that share a batch share a seed
            seed_all(self.probe.seed + trainer.strategy.distributed_sampler_kwargs["rank"])

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Count a pass over the data."""
        self.begin_pass(trainer.num_training_batches)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Take the loss of a batch; stop where the recorder says so."""
        if self.observe(self._loss(trainer, pl_module, outputs)):
            trainer.should_stop = True

    def _loss(self, trainer: Any, module: Any, outputs: Any) -> float:
        """The loss of one batch; Lightning has divided it by the batches of a step."""
        loss = outputs.get("loss") if isinstance(outputs, dict) else outputs
        is_automatic = module.automatic_optimization
        if loss is None:
            if not is_automatic:
                raise BadInputError(
                    f"{type(module).__name__} optimizes manually and its training_step returns no loss; return it."
                )
            self._silent += 1
            if self._silent >= PATIENCE and self._silent > self.batches:
                raise BadInputError(f"training_step of {type(module).__name__} returns no loss; return it.")
            loss = math.nan
        scale = trainer.accumulate_grad_batches if is_automatic else 1
        return float(loss) * scale


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


def data_of(trainer: Any) -> Any:
    """Return what a trainer that is in ``fit`` trains on: a datamodule, loaders, or None for the module's own."""
    if trainer.datamodule is not None:
        return trainer.datamodule
    source = trainer.fit_loop._data_source.instance
    return None if source is trainer.lightning_module else source


def _gives_loaders(data: Any) -> bool:
    """Say whether the loaders are made anew for each training: by a datamodule, or by the module."""
    return data is None or hasattr(data, "train_dataloader")


def _nothing(*_: Any) -> None:
    pass

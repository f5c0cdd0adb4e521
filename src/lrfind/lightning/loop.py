"""Runs probes with the user's own trainer, strategy and optimizers, and puts all of them back."""

import math
from collections.abc import Callable
from contextlib import ExitStack
from functools import cached_property, partial
from typing import Any, cast

import torch
from typing_extensions import Unpack

from lrfind.curves import PATIENCE
from lrfind.errors import BadInputError
from lrfind.isolation import Kept, end_workers, fresh, generators_kept, length_of, loaders_in, seed_all
from lrfind.lightning.attributes import named_rates
from lrfind.lightning.framework import LOGGER_NAMES, callback_bases, fit, package_of
from lrfind.loop import Loop, OnStep, Recorder, quiet
from lrfind.optim import Scheduled, to_schedule
from lrfind.options import SearchOptions, with_options
from lrfind.ranks import Ranks
from lrfind.records import Finding, Probe, Record
from lrfind.schedules import AsConstant
from lrfind.search import find_with
from lrfind.steps import no_batches


@with_options
def find(
    trainer: Any,
    model: Any,
    train_dataloaders: Any = None,
    *,
    datamodule: Any = None,
    optimizer: int | None = None,
    **options: Unpack[SearchOptions],
) -> Finding:
    """Find a learning rate for a module as a trainer would train it; nothing is applied and nothing moves.

    Args:
        trainer: The trainer; its precision, accumulation, clipping, limits and device are used.
        model: The module.
        train_dataloaders: As for ``trainer.fit``; by default the module's own ``train_dataloader``.
        datamodule: Instead, a datamodule.
        optimizer: Of several optimizers, the index of the one to search; by default all move together.
        **options: Those of every search, see ``lrfind.SearchOptions``; ``total_steps``, ``epochs`` and ``schedule``
            are by default the trainer's and its module's own.

    Returns:
        The finding; ``lrfind.lightning.apply(finding, model)`` sets the rate.

    Raises:
        BadInputError: If an argument cannot be used; the message says what to change.
        ProbeError: If the losses cannot be read.
    """
    if train_dataloaders is not None and datamodule is not None:
        raise BadInputError("give train_dataloaders or datamodule, not both.")
    data = datamodule if datamodule is not None else train_dataloaders
    with generators_kept():  # first of all
        return find_with(LightningLoop(trainer, model, data, optimizer=optimizer), **options)


class LightningLoop(Loop):
    """Probes a module with its own trainer; takes what ``find`` takes.

    ``is_fitting`` says that the trainer is within ``fit``: its optimizers exist, setup hooks have run.
    """

    def __init__(
        self, trainer: Any, module: Any, data: Any = None, *, optimizer: int | None = None, is_fitting: bool = False
    ) -> None:
        _check_trainer(trainer, is_fitting=is_fitting)
        if isinstance(module, type):
            raise BadInputError(f"model must be a LightningModule, got the class {module.__name__}; make one of it.")
        if not hasattr(module, "training_step"):
            raise BadInputError(f"model must be a LightningModule, got a {type(module).__name__}.")
        if fault := no_batches(data):
            raise BadInputError(f"data {fault}")
        self._trainer, self._module, self._data = trainer, module, data
        self._optimizer, self._is_fitting = optimizer, is_fitting
        self._gives_loaders = data is None or hasattr(data, "train_dataloader")  # anew for each training
        self._twin = self._made = cast(Any, None)
        self.ranks = Ranks.all() if trainer.world_size > 1 else Ranks(may_join=True)

    @property
    def steps_per_epoch(self) -> float:
        """See ``Loop``."""
        if self._gives_loaders:
            batches: float = self._survey[1]
        elif isinstance(self._data, (dict, list, tuple)):  # several loaders: known from the first record
            batches = 0
        else:
            length, limit = length_of(self._data), self._trainer.limit_train_batches
            batches = min(length, limit) if isinstance(limit, int) else int(length * limit)
        return float(math.ceil(batches / self._trainer.accumulate_grad_batches))

    def left(self) -> tuple[float, float]:
        """See ``Loop``."""
        trainer = self._trainer
        return trainer.max_steps - trainer.global_step, (trainer.max_epochs or -1) - trainer.current_epoch

    def schedule(self) -> Scheduled | AsConstant | None:
        """Return the schedule that drives the first optimizer; None if there is none."""
        for config in self._trainer.lr_scheduler_configs if self._is_fitting else self._survey[0]:
            if config.interval != "epoch":
                return to_schedule(config.scheduler, every=config.frequency)
            steps = self.left()[1] // config.frequency
            if steps < 1:
                name = type(config.scheduler).__name__
                return AsConstant(name, "how many epochs training takes is not known before it")
            return to_schedule(config.scheduler, int(steps))
        return None

    @cached_property
    def _survey(self) -> tuple[list[Any], float]:
        """The schedulers' configurations and the number of batches per pass, found without training."""
        configs: list[Any] = []

        def look(trainer: Any, module: Any) -> None:
            configs.extend(trainer.lr_scheduler_configs)
            trainer.should_stop = True

        with self, self.kept.probe(0):
            self._fit(package_of(self._trainer).callbacks.LambdaCallback(on_fit_start=look))
            batches = self._trainer.num_training_batches
        return configs, batches if math.isfinite(batches) else 0

    def _begin(self, stack: ExitStack) -> Kept:
        stack.enter_context(quiet(*LOGGER_NAMES))
        self._twin = None if self._gives_loaders else fresh(self._data)
        self._made = None
        stack.callback(lambda: end_workers([*loaders_in(self._twin), *loaders_in(self._made)]))
        return Kept((self._trainer, self._module), data=(self._data,), skip=loaders_in(self._twin))

    def _run(self, probe: Probe, on_step: OnStep | None) -> Record:
        with ProbeCallback(probe, on_step, self.ranks) as recorder:
            recorder.index = self._optimizer
            self._fit(recorder)
        return recorder.record()

    def _fit(self, callback: Any) -> None:
        trainer, module, data = self._trainer, self._module, self._data if self._twin is None else self._twin
        source = trainer.fit_loop._data_source
        _make_ready(trainer, module, callback)
        if self._twin is None:
            giver = module if data is None else data
            giver.train_dataloader = partial(self._lasting, giver.train_dataloader)
        if not self._is_fitting:
            if hasattr(data, "on_exception"):
                data.on_exception = lambda *_: None
            fit(trainer, module, **{"datamodule" if hasattr(data, "train_dataloader") else "train_dataloaders": data})
            return
        trainer.fit_loop._data_source = source if self._twin is None else type(source)(data, "train_dataloader")
        callback.on_fit_start(trainer, module)
        module.zero_grad()
        with torch.autograd.set_detect_anomaly(trainer._detect_anomaly):
            trainer.fit_loop.run()

    def _lasting(self, make: Callable[[], Any]) -> Any:
        """Make loaders anew for each probe, but keep those with workers for the search."""
        if self._made is None:
            made = make()
            if not any(each.num_workers for each in loaders_in(made)):
                return made
            self._made = fresh(made)
        return self._made


class ProbeCallback(Recorder, *callback_bases()):  # type: ignore[misc]
    """Records a probe from inside the trainer."""

    on_train_batch_start = on_before_zero_grad = on_before_backward = None
    on_after_backward = on_before_optimizer_step = None
    """Lightning skips hooks that are not callable, and does not time them."""

    nothing_ran = "the training data gave no batch; check the loader, its batch_size and drop_last."
    index: int | None = None
    """Of several optimizers, that of the one to search; by default all move together."""
    _silent = 0

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Take over the rate: the module's own schedulers are not stepped."""
        schedulers = [config.scheduler for config in trainer.lr_scheduler_configs]
        if pl_module.automatic_optimization:
            trainer.strategy.lr_scheduler_configs = []
        self.start(chosen_optimizers(trainer, self.index), schedulers, named_rates(pl_module))

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Seed the processes."""
        if self._ranks.size > 1:  # setting up the processes may have reseeded; ranks that share a batch share a seed
            seed_all(self.probe.seed + trainer.strategy.distributed_sampler_kwargs["rank"])

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Count a pass over the data."""
        self.begin_pass(trainer.num_training_batches)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Take the loss of a batch; stop if the recorder says so."""
        if self.observe(self._loss(trainer, pl_module, outputs)):
            trainer.should_stop = True

    def _loss(self, trainer: Any, module: Any, outputs: Any) -> float:
        """Return the loss of a batch, times accumulation, by which Lightning has divided it."""
        loss, name = outputs.get("loss") if isinstance(outputs, dict) else outputs, type(module).__name__
        if loss is None and not module.automatic_optimization:
            raise BadInputError(f"{name} optimizes manually and its training_step returns no loss; return it.")
        if loss is None:
            self._silent += 1
            if self._silent >= PATIENCE and self._silent > self.batches:
                raise BadInputError(f"training_step of {name} returns no loss; return it.")
            return math.nan
        return float(loss) * (trainer.accumulate_grad_batches if module.automatic_optimization else 1)


def checked_index(index: int | None) -> int | None:
    """Return the index of an optimizer, or None; refuse what is neither."""
    if index is not None and not isinstance(index, int):
        raise BadInputError(f"optimizer must be the index of an optimizer, 0 or more, got {index!r}.")
    return index


def chosen_optimizers(trainer: Any, index: int | None = None) -> list[torch.optim.Optimizer]:
    """Return the trainer's optimizers that are searched: one by its index, or all."""
    optimizers: list[torch.optim.Optimizer] = [each for each in trainer.optimizers if each.param_groups]
    if not optimizers:
        raise BadInputError("configure_optimizers returned no optimizer, so there is no rate to find; return one.")
    if index is not None and not 0 <= index < len(optimizers):
        raise BadInputError(f"optimizer={index} was asked for, and configure_optimizers returned {len(optimizers)}.")
    return optimizers if index is None else [optimizers[index]]


def _check_trainer(trainer: Any, *, is_fitting: bool) -> None:
    """Check that this is a trainer whose strategy can be put back, on devices that are running."""
    package, strategy = package_of(trainer), getattr(trainer, "strategy", None)
    if not isinstance(trainer, package.Trainer):
        raise BadInputError(
            f"trainer must be a Lightning Trainer, as in find(trainer, model), got the {type(trainer).__name__} of "
            f"{type(trainer).__module__.partition('.')[0]}."
        )
    names = ("SingleDeviceStrategy", "DDPStrategy", "FSDPStrategy", "ModelParallelStrategy")
    known = tuple(getattr(package.strategies, name) for name in names if hasattr(package.strategies, name))
    if isinstance(strategy, package.strategies.DeepSpeedStrategy) or not isinstance(strategy, known):
        raise BadInputError(
            f"the search does not run under {type(strategy).__name__}, whose engine keeps weights to itself; "
            f'search with strategy="ddp", "fsdp" or on one device, then pass the rate on with lrfind.lightning.apply.'
        )
    if trainer.world_size > 1 and not is_fitting:
        raise BadInputError(
            f"this trainer has {trainer.world_size} devices, which run only within fit; search there with "
            f"Trainer(callbacks=[LRFinder(apply=False)]), or search with Trainer(devices=1)."
        )


def _make_ready(trainer: Any, module: Any, callback: Any) -> None:
    """Let a trainer train as usual with only one callback, which ends it."""
    package = package_of(trainer)
    accumulation = [each for each in trainer.callbacks if hasattr(each, "get_accumulate_grad_batches")]
    if accumulation:
        trainer.accumulate_grad_batches = accumulation[0].get_accumulate_grad_batches(trainer.current_epoch)
    trainer.callbacks = [callback]
    trainer.loggers = [package.loggers.logger.DummyLogger()]
    trainer.log_every_n_steps = trainer.limit_val_batches = trainer.num_sanity_val_steps = 0
    trainer.profiler = package.profilers.PassThroughProfiler()
    trainer.should_stop = False
    module.configure_callbacks = list
    trainer.fit_loop = _endless(trainer)


def _endless(trainer: Any) -> Any:
    """Return a copy of the trainer's fit loop, with the same limits to read, that runs until it is told to stop."""
    old = trainer.fit_loop

    class Epoch(type(old.epoch_loop)):  # type: ignore[misc]
        _is_training_done = property(lambda self: self._num_ready_batches_reached())

    class Endless(type(old)):  # type: ignore[misc]
        done = property(lambda self: self.max_batches == 0 or self.trainer.should_stop)
        _can_stop_early = True

        def teardown(self) -> None:
            """Keep the loader's workers for the next probe."""
            self.epoch_loop.teardown()

    loop = Endless(trainer, min_epochs=old.min_epochs, max_epochs=old.max_epochs)
    loop.epoch_loop = Epoch(trainer, min_steps=old.min_steps, max_steps=old.max_steps)
    return loop

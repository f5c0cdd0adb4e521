"""A trainer for the time of a probe: it trains as ever, without callbacks, loggers, validation and limits."""

from __future__ import annotations

from typing import Any

from lrfind.errors import BadInputError
from lrfind.lightning.framework import package_of


def check_strategy(trainer: Any, *, is_fitting: bool) -> None:
    """Check that a trainer's strategy can be probed.

    Raises:
        BadInputError: If it is of a kind that is not known to be put back, or runs on devices that are not running yet.
    """
    kinds, strategy = package_of(trainer).strategies, trainer.strategy
    known = (
        kinds.SingleDeviceStrategy,
        kinds.DDPStrategy,
        kinds.FSDPStrategy,
        getattr(kinds, "ModelParallelStrategy", ()),
    )
    if isinstance(strategy, kinds.DeepSpeedStrategy) or not any(isinstance(strategy, one) for one in known):
        raise BadInputError(
            f"the search does not run under {type(strategy).__name__}, whose engine keeps weights to itself; "
            f'search with strategy="ddp", "fsdp" or on one device, then pass the rate on with lrfind.lightning.apply.'
        )
    if trainer.world_size > 1 and not is_fitting:
        raise BadInputError(
            f"this trainer has {trainer.world_size} devices, which run only within fit; search there with "
            f"Trainer(callbacks=[LRFinder(apply=False)]), or search with Trainer(devices=1)."
        )


def make_ready(trainer: Any, module: Any, callback: Any) -> None:
    """Let a trainer run a probe: only one callback hears of it, and only that ends it.

    Nothing is put back here: the trainer is part of what a loop keeps.
    """
    package = package_of(trainer)
    accumulation = [one for one in trainer.callbacks if hasattr(one, "get_accumulate_grad_batches")]
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
    """Return a loop like the trainer's own, with its limits for all to read, which goes on until it is told to stop."""
    old = trainer.fit_loop

    class Epoch(type(old.epoch_loop)):  # type: ignore[misc]
        _is_training_done = property(lambda self: self._num_ready_batches_reached())

    class Endless(type(old)):  # type: ignore[misc]
        done = property(lambda self: self.max_batches == 0 or self.trainer.should_stop)
        _can_stop_early = True

        def teardown(self) -> None:
            """Leave the workers of the loader to the next probe."""
            self.epoch_loop.teardown()

    loop = Endless(trainer, min_epochs=old.min_epochs, max_epochs=old.max_epochs)
    loop.epoch_loop = Epoch(trainer, min_steps=old.min_steps, max_steps=old.max_steps)
    return loop

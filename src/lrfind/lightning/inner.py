"""The inner Trainer that a probe is fitted in, as much like the outer one as a probe needs, and its data."""

from __future__ import annotations

import copy
import math
from typing import Any

from lrfind.errors import BadInputError
from lrfind.isolation import fresh
from lrfind.lightning.framework import package_of

_CARRIED = ("accumulate_grad_batches", "gradient_clip_val", "gradient_clip_algorithm", "limit_train_batches")
_PARALLEL = ("_process_group_backend", "_timeout", "_start_method", "_ddp_comm_state", "_ddp_comm_hook")


def inner_trainer(outer: Any, driver: Any) -> Any:
    """Return a Trainer that trains as the outer one would, and of which nobody hears."""
    package = package_of(outer)
    strategy = _strategy(outer)
    carried = {name: getattr(outer, name) for name in _CARRIED}
    carried["accumulate_grad_batches"] = _accumulation(outer)
    return _trainer_like(package.Trainer, outer)(
        **strategy,
        plugins=[copy.deepcopy(outer.precision_plugin)],
        max_epochs=-1,
        max_steps=-1,
        limit_val_batches=0,
        num_sanity_val_steps=0,
        logger=package.loggers.logger.DummyLogger(),
        log_every_n_steps=0,
        callbacks=[driver],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=outer._accelerator_connector.use_distributed_sampler,
        overfit_batches=outer.overfit_batches,
        reload_dataloaders_every_n_epochs=outer.reload_dataloaders_every_n_epochs,
        **carried,
    )


def _trainer_like(base: Any, outer: Any) -> Any:
    """Return a Trainer class that tells the module how long the outer Trainer will train; see ``lift_limits``."""

    class Inner(base):  # type: ignore[misc]
        max_epochs = property(lambda self: outer.max_epochs)
        max_steps = property(lambda self: outer.max_steps)

        @property
        def estimated_stepping_batches(self) -> float:  # as Lightning estimates them
            limit: float = math.inf if outer.max_steps == -1 else outer.max_steps
            if outer.max_epochs == -1:
                return limit
            if self.train_dataloader is None:
                self.fit_loop.setup_data()
            if self.num_training_batches == math.inf:
                return outer.max_steps  # type: ignore[no-any-return]
            steps = math.ceil(self.num_training_batches / self.accumulate_grad_batches) * max(outer.max_epochs or 1, 1)
            return limit if limit < steps else steps

    return Inner


def lift_limits(trainer: Any) -> None:
    """Let an inner Trainer's loop, which has just taken the outer one's limits, go on as long as the probe asks for."""
    trainer.fit_loop.max_epochs = -1
    trainer.fit_loop.epoch_loop.max_steps = -1


def check_strategy(outer: Any, *, is_fitting: bool) -> None:
    """Check that a trainer's strategy can be probed.

    Raises:
        BadInputError: If it shards the model, or runs on several devices that are not running yet.
    """
    strategies = package_of(outer).strategies
    name = type(outer.strategy).__name__
    if not isinstance(outer.strategy, (strategies.SingleDeviceStrategy, strategies.DDPStrategy)):
        raise BadInputError(
            f"the search does not run under {name}, which splits the model over devices; search with "
            f'strategy="ddp" or on one device, then pass the rate on with lrfind.lightning.apply.'
        )
    if outer.world_size > 1 and not is_fitting:
        raise BadInputError(
            f"this trainer has {outer.world_size} devices, which run only within fit; search there with "
            f"Trainer(callbacks=[LRFinder(apply=False)]), or search with Trainer(devices=1)."
        )


def detached(data: Any, *, is_set_up: bool) -> Any:
    """Return data whose use leaves the given datamodule or loader untouched."""
    if not hasattr(data, "train_dataloader"):
        return fresh(data)
    twin = copy.copy(data)
    twin.trainer = None
    if is_set_up:
        twin.setup = twin.prepare_data = _nothing
    twin.train_dataloader = lambda: fresh(type(data).train_dataloader(twin))
    twin.teardown = twin.on_exception = _nothing
    return twin


def silence(module: Any, *, is_set_up: bool) -> None:
    """Keep a module from bringing its own callbacks, and from setting up twice."""
    module.configure_callbacks = list
    if is_set_up:
        module.setup = module.prepare_data = module.configure_model = _nothing
        module.teardown = _nothing


def _strategy(outer: Any) -> dict[str, Any]:
    is_cuda = type(outer.accelerator).__name__ == "CUDAAccelerator"
    if not isinstance(outer.strategy, package_of(outer).strategies.DDPStrategy):
        devices = outer.device_ids if is_cuda else outer.num_devices
        return {"accelerator": copy.copy(outer.accelerator), "devices": devices}
    return {
        "strategy": _joined(outer),
        "accelerator": "cuda" if is_cuda else "cpu",
        "devices": outer.num_devices,
        "num_nodes": outer.num_nodes,
        "sync_batchnorm": outer.strategy._layer_sync is not None,
    }


def _joined(outer: Any) -> Any:
    """Return a data-parallel strategy that joins the processes of the outer one instead of starting its own."""
    old = outer.strategy
    given = {name.removeprefix("_"): getattr(old, name) for name in _PARALLEL if hasattr(old, name)}
    environment = copy.copy(old.cluster_environment)
    environment.teardown = _nothing
    strategy = package_of(outer).strategies.DDPStrategy(
        parallel_devices=old.parallel_devices, cluster_environment=environment, **given, **old._ddp_kwargs
    )
    strategy._configure_launcher = _nothing
    return strategy


def _accumulation(outer: Any) -> int:
    for callback in outer.callbacks:
        if hasattr(callback, "get_accumulate_grad_batches"):
            return int(callback.get_accumulate_grad_batches(outer.current_epoch))
    return int(outer.accumulate_grad_batches)


def _nothing(*_: Any, **__: Any) -> None:
    pass

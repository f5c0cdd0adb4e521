"""``find`` and ``apply``: the same as the callback does, as calls of their own."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from typing_extensions import Unpack

from lrfind.errors import BadInputError, RateNotAppliedError
from lrfind.finder import planned
from lrfind.isolation import generators_kept
from lrfind.lightning.attributes import put, trace, unread_error
from lrfind.lightning.loop import LightningLoop
from lrfind.optim import Scheduled, to_schedule
from lrfind.options import SearchOptions, with_options
from lrfind.records import Finding
from lrfind.schedules import AsConstant
from lrfind.search import find_with


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
        train_dataloaders: What ``trainer.fit`` would be given; by default the module's own ``train_dataloader``.
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
        loop = LightningLoop(trainer, model, data, optimizer=optimizer)
        is_asked = "schedule" in options or not isinstance(options.get("strategy", "auto"), str)
        with loop:
            configs = [] if is_asked else loop.survey().configs
            return find_with(loop, **with_plan(options, trainer, configs))


def with_plan(options: SearchOptions, trainer: Any, configs: Sequence[Any]) -> SearchOptions:
    """Return the options of a search with what a trainer will do, where the user does not say: length and schedule.

    Args:
        options: What the user says.
        trainer: The trainer.
        configs: Lightning's configurations of the schedulers that it will step.
    """
    total_steps, epochs = trainer.max_steps - trainer.global_step, (trainer.max_epochs or -1) - trainer.current_epoch
    return planned(options, lambda: _schedule_of(trainer, configs), total_steps=total_steps, epochs=epochs)


def _schedule_of(trainer: Any, configs: Sequence[Any]) -> Scheduled | AsConstant | None:
    """Return the schedule that drives the first optimizer; None where nothing does."""
    for config in configs:
        name, every, per_epoch = type(config.scheduler).__name__, config.frequency, config.interval == "epoch"
        if not per_epoch:
            return to_schedule(config.scheduler, every=every)
        steps = ((trainer.max_epochs or -1) - trainer.current_epoch) // every
        if steps < 1:
            return AsConstant(name, "how many epochs training takes is not known before it")
        return to_schedule(config.scheduler, steps)
    return None


def apply(finding: Finding, model: Any, *, attr: str | None = None) -> None:
    """Write a found rate to the attribute that the module's optimizer reads.

    Args:
        finding: What ``find`` returned.
        model: The module, before ``fit``.
        attr: The attribute (``"lr"``, ``"hparams.lr"``); by default those the optimizer is seen to read. Where the
            module scales it, it is given the value with which the optimizer has the found rate.

    Raises:
        RateNotAppliedError: If the optimizer does not read it; the message names what it does read.

    Warns:
        UserWarning: If it could not be told what the optimizer reads.
    """
    wiring = trace(model, finding.lr, attr=attr)
    values, name = wiring.values, attr or (*wiring.read, *wiring.unread, "lr")[0]
    if not wiring.is_known:
        warnings.warn(
            f"The rate is written to self.{name}, and it could not be told whether the optimizer reads it: "
            f"{type(model).__name__}.configure_optimizers asks for what only training has. Train with "
            f"VerifyLR({finding.lr!r}), or with LRFinder(), which sets the optimizer itself.",
            stacklevel=2,
        )
        values = {name: finding.lr}
    elif name not in wiring.read:
        raise unread_error(model, name, wiring)
    if values is None:
        raise RateNotAppliedError(
            f"no value of self.{name} gives the optimizer of {type(model).__name__} lr={finding.lr!r}; let "
            f"configure_optimizers use the attribute as it is, or train with LRFinder(), which sets the optimizer."
        )
    for each, value in values.items():
        put(model, each, value)

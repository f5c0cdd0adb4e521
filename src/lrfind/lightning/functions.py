"""``find`` and ``apply``: the same as the callback does, as calls of their own."""

from __future__ import annotations

from typing import Any

from typing_extensions import Unpack

from lrfind.errors import BadInputError
from lrfind.isolation import Isolation
from lrfind.lightning.attributes import complain, put, trace
from lrfind.lightning.loop import LightningLoop
from lrfind.records import Finding
from lrfind.search import SearchOptions, find_with


def find(
    trainer: Any,
    model: Any,
    train_dataloaders: Any = None,
    *,
    datamodule: Any = None,
    optimizer: int | None = None,
    isolation: Isolation = "auto",
    **options: Unpack[SearchOptions],
) -> Finding:
    """Find a learning rate for a module as a trainer would train it; nothing is applied and nothing moves.

    Args:
        trainer: The trainer; its precision, accumulation, clipping, limits and device are used.
        model: The module.
        train_dataloaders: What ``trainer.fit`` would be given; by default the module's own ``train_dataloader``.
        datamodule: Instead, a datamodule.
        optimizer: Of several optimizers, the index of the one to search; by default all move together.
        isolation: As ``lrfind.find`` takes it.
        **options: See ``lrfind.search.SearchOptions``; ``horizon`` and ``epochs`` are the trainer's own by default.

    Returns:
        The finding; ``lrfind.lightning.apply(finding, model)`` sets the rate.

    Raises:
        BadInputError: If an argument cannot be used; the message says what to change.
        ProbeError: If the losses cannot be read.
    """
    if train_dataloaders is not None and datamodule is not None:
        raise BadInputError("give train_dataloaders or datamodule, not both.")
    data = datamodule if datamodule is not None else train_dataloaders
    loop = LightningLoop(trainer, model, data, optimizer=optimizer, isolation=isolation)
    return find_with(loop, **with_horizon(options, trainer))


def with_horizon(options: SearchOptions, trainer: Any) -> SearchOptions:
    """Return the options of a search with how long a trainer will train, where the user does not say."""
    if not isinstance(options.get("strategy", "auto"), str) or {"horizon", "epochs"} & set(options):
        return options
    known: SearchOptions = {}
    if (steps := trainer.max_steps - trainer.global_step) > 0:
        known["horizon"] = steps
    if (epochs := (trainer.max_epochs or -1) - trainer.current_epoch) > 0:
        known["epochs"] = epochs
    return {**known, **options}


def apply(finding: Finding, model: Any, *, attr: str | None = None) -> None:
    """Write a found rate to the attribute that the module's optimizer reads.

    Args:
        finding: What ``find`` returned.
        model: The module, before ``fit``.
        attr: The attribute (``"lr"``, ``"hparams.lr"``); by default those the optimizer is seen to read.

    Raises:
        RateNotAppliedError: If the optimizer does not read it; the message names what it does read.
    """
    wiring = trace(model, also=attr)
    if not (attr or wiring.read) or (attr and attr not in wiring.read):
        raise complain(model, attr or "lr", wiring)
    for name in (attr,) if attr else wiring.read:
        put(model, name, finding.lr)

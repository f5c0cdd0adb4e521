"""What the command line describes, as a target of a comparison; Lightning is asked for where it is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lrfind.cli.faults import UsageError
from lrfind.cli.options import BUILT_IN, check_bare
from lrfind.cli.plain import DescribedTask
from lrfind.compare.targets.pytorch import PyTorchTarget

if TYPE_CHECKING:
    from lrfind.compare.targets.protocol import Target

Length = tuple[float | None, int | None]
"""Epochs or optimizer steps; none of them where nothing was said."""


def to_target(
    model: str | None, data: str | None, task: str | None, arguments: tuple[str, ...]
) -> tuple[Target, Length, str]:
    """Return the target that the options name, how long it trains of its own, and what a person should know.

    Raises:
        LRFindError: If something that is named cannot be used; the message says what to change.
    """
    if task is None:
        return _lightning(model, data, arguments)
    if model is not None or data is not None:
        raise UsageError("--task brings its own model and data; leave out --model and --data.")
    if task in BUILT_IN:
        return _built_in(task, arguments)
    described = DescribedTask(task, arguments)
    return PyTorchTarget(described.function, described.arguments()), (None, None), ""


def _lightning(model: str | None, data: str | None, arguments: tuple[str, ...]) -> tuple[Target, Length, str]:
    from lrfind.cli.lightning import Described
    from lrfind.cli.lightning_target import LightningTargetOf

    described = Described(model, data, arguments)
    target = LightningTargetOf.of(described)
    names = ", ".join(target.overruled)
    note = f"The comparison sets {names} of the trainer itself; what was given is not used." if names else ""
    epochs, steps = described.length
    return target, (None, steps) if steps is not None else (epochs, None), note


def _built_in(task: str, arguments: tuple[str, ...]) -> tuple[Target, Length, str]:
    from lrfind.demo.experiment import Experiment, dataset_of

    check_bare(task, arguments)
    return Experiment(dataset=task), (dataset_of(task, None).epochs, None), ""

"""What the command line names to be trained: a Lightning module, a plain PyTorch task, a task that is built in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from lrfind.cli.faults import UsageError

if TYPE_CHECKING:
    from lrfind.compare.targets.protocol import Target
    from lrfind.records import Finding

BUILT_IN = ("fashion-mnist", "digits")
"""What ``--task`` takes beside a function."""


class Named(Protocol):
    """What is named; it is built when it is asked for something."""

    def search(self, options: dict[str, Any]) -> tuple[Finding, str]:
        """Search a rate; return the finding, and how to train with it where that is known."""
        ...

    def target(self) -> tuple[Target, dict[str, Any], str]:
        """Return it for a comparison, how long it trains by itself, and what a person should know."""
        ...


def named(given: Mapping[str, Any], arguments: tuple[str, ...]) -> Named:
    """Return what ``--model``, ``--data`` and ``--task`` name; ``arguments`` is the rest of the command line."""
    model, data, task = given["model"], given["data"], given["task"]
    if task is None:
        from lrfind.cli.lightning import Described

        return Described(model, data, arguments)
    if model is not None or data is not None:
        raise UsageError("--task brings its own model and data; leave out --model and --data.")
    if task not in BUILT_IN:
        from lrfind.cli.plain import DescribedTask

        return DescribedTask(task, arguments)
    if arguments:
        raise UsageError(f"the built-in task {task} takes no arguments, got {' '.join(arguments)}.")
    return BuiltIn(task)


@dataclass(frozen=True)
class BuiltIn:
    """The demo's LeNet on one of its datasets, which trains as long as it does in the demo."""

    name: str

    def search(self, options: dict[str, Any]) -> tuple[Finding, str]:
        """Search a rate; see ``Named``."""
        from lrfind import lightning
        from lrfind.demo.data import load
        from lrfind.demo.experiment import BATCH_SIZE, LeNet
        from lrfind.isolation import seed_all
        from lrfind.lightning.framework import LOGGER_NAMES, lightning_package
        from lrfind.loop import quiet

        images = load(self.name)
        seed_all(options["seed"])
        length = {} if {"total_steps", "epochs"} & set(options) else {"epochs": images.epochs}
        with quiet(*LOGGER_NAMES):
            trainer = lightning_package().Trainer(logger=False, enable_checkpointing=False)
            loader = images.loaders(batch_size=BATCH_SIZE, seed=0)[0]
            return lightning.find(trainer, LeNet(), loader, **{**options, **length}), ""

    def target(self) -> tuple[Target, dict[str, Any], str]:
        """Return it for a comparison; see ``Named``."""
        from lrfind.demo.experiment import Experiment, dataset_of

        return Experiment(dataset=self.name), {"epochs": dataset_of(self.name, None).epochs}, ""

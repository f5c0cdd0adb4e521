"""The subcommand ``lr_find`` for a ``LightningCLI`` script."""

from __future__ import annotations

import inspect
from typing import Any

from lrfind.lightning.attributes import trace
from lrfind.lightning.functions import find
from lrfind.records import Finding


def with_lr_find(cli: type[Any]) -> type[Any]:
    """Return a ``LightningCLI``, or a subclass of one, that also has the subcommand ``lr_find``.

    Args:
        cli: ``LightningCLI`` of either Lightning package, or your own subclass.

    Example:
        In ``train.py``, ``with_lr_find(LightningCLI)(MyModel, MyData)`` instead of ``LightningCLI(MyModel, MyData)``;
        then ``python train.py lr_find --config config.yaml`` prints the finding, and ``--out finding.json`` keeps it.
    """
    signature = inspect.signature(cli.__init__)

    class LRFindCLI(cli):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            given = signature.bind_partial(self, *args, **kwargs)
            given.apply_defaults()
            given.arguments["trainer_class"] = _with_method(given.arguments["trainer_class"])
            super().__init__(*given.args[1:], **given.kwargs)

        @staticmethod
        def subcommands() -> dict[str, set[str]]:
            return {**cli.subcommands(), "lr_find": {"model", "train_dataloaders", "datamodule"}}

    LRFindCLI.__name__ = LRFindCLI.__qualname__ = cli.__name__
    return LRFindCLI


def _with_method(trainer_class: Any) -> Any:
    if not isinstance(trainer_class, type):
        return trainer_class
    twin = type(trainer_class.__name__, (trainer_class,), {"lr_find": lr_find, "__doc__": trainer_class.__doc__})
    twin.__module__ = trainer_class.__module__
    return twin


def lr_find(
    self: Any,
    model: Any,
    train_dataloaders: Any = None,
    datamodule: Any = None,
    *,
    schedule: str | None = None,
    method: str = "calibrated",
    min_lr: float = 1e-6,
    max_lr: float = 30.0,
    steps: int = 128,
    seed: int = 0,
    optimizer_index: int | None = None,
    out: str | None = None,
) -> Finding:
    """Find a learning rate for the model as this trainer would train it; nothing is trained.

    Args:
        self: The trainer.
        model: The module.
        train_dataloaders: What ``fit`` would be given.
        datamodule: Instead, a datamodule.
        schedule: What the rate will do in training: constant, linear or cosine; by default what the module's own
            scheduler does.
        method: The reading rule.
        min_lr: The first rate of the range test.
        max_lr: The last rate of the range test.
        steps: Optimizer steps of the range test.
        seed: Seeds the batch order and the random numbers of the range test.
        optimizer_index: Of several optimizers, the one to search.
        out: Write the finding to this JSON file.
    """
    options: Any = {"method": method, "min_lr": min_lr, "max_lr": max_lr, "steps": steps}
    if schedule is not None:
        options["schedule"] = schedule
    finding = find(
        self, model, train_dataloaders, datamodule=datamodule, optimizer=optimizer_index, seed=seed, **options
    )
    print(finding)
    if read := [name for name in trace(model, optimizer=optimizer_index or 0).read if not name.startswith("hparams.")]:
        print(f"To train with it: fit --model.{read[0]} {finding.lr!r}")
    if out is not None:
        print(f"Written to {finding.save(out)}.")
    return finding

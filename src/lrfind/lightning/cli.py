"""The subcommand ``lr_find`` for a ``LightningCLI`` script."""

from __future__ import annotations

import inspect
from pydoc import locate
from typing import Any, Literal

from lrfind.errors import BadInputError
from lrfind.lightning.attributes import trace
from lrfind.lightning.loop import find
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

        def after_lr_find(self) -> None:
            print(_to_train_with(self.model, self.config["lr_find"], *self.trainer.lr_found))

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
    total_steps: int | None = None,
    epochs: float | None = None,
    method: str = "calibrated",
    min_lr: float = 1e-6,
    max_lr: float = 30.0,
    steps: int = 128,
    seed: int = 0,
    strategy: Literal["auto", "range"] = "auto",
    budget: float | None = None,
    optimizer_index: int | None = None,
    resume: str | None = None,
    out: str | None = None,
    ckpt_path: str | None = None,
    weights_only: bool | None = None,
) -> Finding:
    """Find a learning rate for the model as this trainer would train it; nothing is trained.

    Args:
        self: The trainer.
        model: The module.
        train_dataloaders: What ``fit`` would be given.
        datamodule: Instead, a datamodule.
        schedule: What the rate will do in training: a name, as `find` takes it; by default what the module's own
            scheduler does.
        total_steps: How many optimizer steps training will take; by default what the trainer says.
        epochs: Or how many passes over the data.
        method: The reading rule.
        min_lr: The first rate of the range test.
        max_lr: The last rate of the range test.
        steps: Optimizer steps of the range test.
        seed: Seeds the batch order and the random numbers of the range test.
        strategy: One range test (range), or shorter ones beside it (auto).
        budget: What auto may cost: a share of training below 1, else steps.
        optimizer_index: Of several optimizers, the one to search.
        resume: Keep the search in this file; killed, it goes on from it.
        out: Write the finding to this JSON file.
        ckpt_path: Only taken so that a configuration of `fit` can be read; must not be set.
        weights_only: Likewise; not used.

    Raises:
        BadInputError: If there is a checkpoint.
    """
    if ckpt_path is not None:
        raise BadInputError(
            f"a search starts where training starts, not at a checkpoint; leave out ckpt_path {ckpt_path}."
        )
    options: Any = {"method": method, "min_lr": min_lr, "max_lr": max_lr, "steps": steps, "strategy": strategy}
    given = {"schedule": schedule, "total_steps": total_steps, "epochs": epochs, "budget": budget, "resume": resume}
    options |= {name: value for name, value in given.items() if value is not None}
    finding = find(
        self, model, train_dataloaders, datamodule=datamodule, optimizer=optimizer_index, seed=seed, **options
    )
    self.lr_found = finding, optimizer_index
    print(finding)
    if out is not None:
        print(f"Written to {finding.save(out)}.")
    return finding


def _to_train_with(model: Any, config: Any, finding: Finding, index: int | None) -> str:
    """Say with which argument of ``fit``, or else how, the optimizer has the found rate."""
    if (chosen := config.get("optimizer")) is not None:  # by the command line
        usual = inspect.signature(locate(chosen.class_path)).parameters  # type: ignore[arg-type]
        others = {name: value for name, value in vars(chosen.init_args).items() if value != usual[name].default}
        flags = [f"--optimizer.{name} {value}" for name, value in {**others, "lr": repr(finding.lr)}.items()]
        return f"To train with it: fit --optimizer {chosen.class_path} {' '.join(flags)}"
    arguments = inspect.signature(type(model).__init__).parameters
    values = trace(model, finding.lr, optimizer=index).values or {}
    for name, value in values.items():
        if name.removeprefix("hparams.") in arguments:
            return f"To train with it: fit --model.{name.removeprefix('hparams.')} {value!r}"
    places = " or ".join(f"self.{name} to {value!r}" for name, value in values.items())
    how = f"set {places}" if places else "give the Trainer the callback lrfind.lightning.LRFinder"
    return f"To train with it: {how}."

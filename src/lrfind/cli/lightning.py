"""A Lightning module, its data and its trainer from the command line, by LightningCLI's own parser."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from importlib.util import find_spec
from types import MethodType
from typing import Any, get_type_hints

import torch

from lrfind.cli.faults import UsageError, condensed
from lrfind.cli.named import described, load_named
from lrfind.errors import BadInputError, LRFindError
from lrfind.isolation import generators_kept
from lrfind.lightning.framework import PACKAGES, TALKERS, lightning_package
from lrfind.loop import quiet

_UNUSED = ("ckpt_path", "weights_only")
"""What a configuration that LightningCLI saved may hold beside model, data, trainer, optimizer and scheduler."""


@dataclass(frozen=True, slots=True)
class Built:
    """What the command line described.

    Attributes:
        model: The module.
        datamodule: The data; None where the module has its own loaders.
        trainer: The trainer's options, callbacks and the like built.
    """

    model: Any
    datamodule: Any
    trainer: Mapping[str, Any]


@dataclass(frozen=True)
class Described:
    """A description that can be sent to another process and built there, as often as wanted.

    Attributes:
        model: ``module:Class`` of the LightningModule; None where ``--config`` names it.
        data: Likewise of the LightningDataModule; None where ``--config`` names it or the module has its own loaders.
        arguments: The other arguments: ``--model.*``, ``--data.*``, ``--trainer.*``, ``--config``.
    """

    model: str | None
    data: str | None
    arguments: tuple[str, ...]

    def __reduce__(self) -> Any:
        """Leave behind what was parsed: it is parsed anew elsewhere."""
        return Described, (self.model, self.data, self.arguments)

    @cached_property
    def parsed(self) -> Any:
        """The LightningCLI that has read the arguments and built nothing.

        Raises:
            UsageError: If an argument is unknown or has a value of the wrong kind.
            BadInputError: If something that is named cannot be imported or is of the wrong kind.
        """
        model = None if self.model is None else _checked(self.model, "--model", "LightningModule")
        data = None if self.data is None else _checked(self.data, "--data", "LightningDataModule")
        with quiet(*TALKERS), generators_kept():
            return _parse(_package_of(model, data), model, data, self.arguments)

    def build(self) -> Built:
        """Build model and data, with whatever the random number generators hold.

        Raises:
            UsageError: If an argument is unknown or has a value of the wrong kind.
            BadInputError: If something that is named cannot be imported or used.
            LRFindError: If a constructor raises.
        """
        parsed = self.parsed
        with quiet(*TALKERS), faults_of_constructors():
            built = Built(*parsed.build())
        _check_loader(built.datamodule or built.model, parsed.package)
        return built

    def build_trainer(self, built: Built) -> Any:
        """Build the trainer."""
        with quiet(*TALKERS), faults_of_constructors():
            return self.parsed.package.Trainer(**built.trainer)

    @property
    def length(self) -> tuple[float | None, int | None]:
        """The epochs and the steps of training, as far as the trainer was told."""
        trainer = self.parsed.config["trainer"]
        return trainer["max_epochs"], trainer["max_steps"] if trainer["max_steps"] != -1 else None

    def seed(self, otherwise: int) -> int:
        """Return the seed that the configuration gives, or else another one."""
        given = self.parsed.config["seed_everything"]
        return otherwise if given is None or isinstance(given, bool) else int(given)


@contextmanager
def faults_of_constructors() -> Iterator[None]:
    """Turn what a constructor raises into a fault that says where.

    Raises:
        LRFindError: If one raises.
    """
    try:
        yield
    except LRFindError:
        raise
    except Exception as error:
        raise LRFindError(f"building the model, the data or the trainer raised {described(error)}.") from error


def _parse(package: Any, model: Any, data: Any, arguments: tuple[str, ...]) -> Any:
    from argparse import ArgumentError

    cli = _cli_of(package)
    takes = inspect.signature(cli.__init__).parameters  # of late, it also loads checkpoints
    late = {name: False for name in ("load_from_checkpoint_support",) if name in takes}
    try:
        return cli(
            model,
            data,
            args=list(arguments),
            run=False,
            save_config_callback=None,
            seed_everything_default=False,
            trainer_defaults={"logger": False, "enable_checkpointing": False},
            parser_kwargs={"exit_on_error": False},
            auto_configure_optimizers=False,
            **late,
        )
    except ArgumentError as error:
        raise UsageError(condensed(str(error))) from error


def _cli_of(owner: Any) -> type[Any]:
    """Return the package's LightningCLI, parsing first and building when it is asked to."""
    cli = import_module(f"{owner.__name__}.cli")

    class Parsed(cli.LightningCLI):  # type: ignore[misc, name-defined]
        package = owner

        def add_arguments_to_parser(self, parser: Any) -> None:
            parser.add_optimizer_args((torch.optim.Optimizer,))
            parser.add_lr_scheduler_args(cli.LRSchedulerTypeTuple)
            for name in _UNUSED:
                parser.add_argument(f"--{name}", default=None, help="Of no use to a search.")

        def instantiate_classes(self) -> None:
            if (path := self.config.get("ckpt_path")) is not None:
                raise UsageError(
                    f"a search starts where training starts, not at a checkpoint; leave out ckpt_path {path}."
                )

        def build(self) -> tuple[Any, Any, dict[str, Any]]:
            built = self.parser.instantiate_classes(self.config)
            if (optimizer := built.get("optimizer")) is not None:
                self._configure(built["model"], optimizer, built.get("lr_scheduler"))
            return built["model"], built.get("data"), dict(built["trainer"])

        def _configure(self, model: Any, optimizer: Any, scheduler: Any) -> None:
            """Have the module build the optimizer; LightningCLI's own way builds one that stays with the original."""

            def configure_optimizers(module: Any) -> Any:
                built = cli.instantiate_class(module.parameters(), optimizer)
                return self.configure_optimizers(module, built, scheduler and cli.instantiate_class(built, scheduler))

            model.configure_optimizers = MethodType(configure_optimizers, model)

    return Parsed


def _checked(spec: str, option: str, kind: str) -> Any:
    """Import a class of the right kind, or a function that returns one."""
    found = load_named(spec, option)
    made = _made_by(found, spec, option)
    bases = tuple(getattr(import_module(module), kind) for package, module in PACKAGES.items() if find_spec(package))
    if issubclass(made, bases):
        return found
    hint = "; a plain PyTorch model goes with its data in a function: --task" if option == "--model" else ""
    raise BadInputError(f"{option} {spec} is no {kind} but a {made.__name__}{hint}.")


def _check_loader(source: Any, package: Any) -> None:
    is_overridden = import_module(f"{package.__name__}.utilities.model_helpers").is_overridden
    if not is_overridden("train_dataloader", source):
        raise BadInputError(
            f"{type(source).__name__} has no train_dataloader; give it one, or name a LightningDataModule with --data."
        )


def _made_by(found: Any, spec: str, option: str) -> type[Any]:
    if isinstance(found, type):
        return found
    if not callable(found):
        raise BadInputError(f"{option} {spec} must be a class, got a {type(found).__name__}.")
    made = get_type_hints(found).get("return") if inspect.isfunction(found) else None
    if not isinstance(made, type):
        raise BadInputError(f"{option} {spec} is a function; annotate the class that it returns.")
    return made


def _package_of(*named: Any) -> Any:
    """Return the Lightning that the classes come from; where none is named, the one that is installed."""
    for one in named:
        kind = one if isinstance(one, type) else get_type_hints(one).get("return") if one else object
        for base in getattr(kind, "__mro__", ()):
            for module in PACKAGES.values():
                if base.__module__.startswith(f"{module}."):
                    return import_module(module)
    return lightning_package()

"""A Lightning module, its data and its trainer from the command line, by LightningCLI's own parser."""

from __future__ import annotations

import inspect
import json
from argparse import ArgumentError
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from importlib.util import find_spec
from pydoc import locate
from typing import TYPE_CHECKING, Any, get_type_hints

from lrfind import lightning
from lrfind.cli.faults import UsageError, condensed, refusals
from lrfind.cli.options import load_named
from lrfind.compare.targets.identity import identity_of
from lrfind.compare.targets.lightning import RESERVED, LightningTraining
from lrfind.compare.targets.specs import faults_of, name_of_builder, setting_of
from lrfind.errors import BadInputError
from lrfind.isolation import generators_kept, seed_all
from lrfind.lightning.attributes import trace
from lrfind.lightning.framework import LOGGER_NAMES, PACKAGES, package_of
from lrfind.loop import quiet

if TYPE_CHECKING:
    from lrfind.compare.targets.protocol import Target
    from lrfind.records import Finding

_UNUSED = ("ckpt_path", "weights_only")
"""What a configuration that LightningCLI saved may hold beside model, data, trainer, optimizer and scheduler."""

_BUILDING = "building the model, the data or the trainer"

_NOT_TRAINED = ("config", "seed_everything", *_UNUSED)
"""Of a configuration, what does not say what is trained."""


@dataclass(frozen=True)
class Described(LightningTraining):
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
        """The LightningCLI that has read the arguments and built nothing."""
        model, kind = _checked(self.model, "--model", "LightningModule")
        data, data_kind = _checked(self.data, "--data", "LightningDataModule")
        with quiet(*LOGGER_NAMES), generators_kept():
            return _parse(package_of(kind or data_kind), model, data, self.arguments)

    def build(self) -> tuple[Any, Any, dict[str, Any]]:
        """Build the module, its datamodule and the trainer's options, with what the random number generators hold."""
        parsed = self.parsed
        with quiet(*LOGGER_NAMES), faults_of(_BUILDING):
            model, data, trainer = parsed.build()
        is_overridden = import_module(f"{parsed.package.__name__}.utilities.model_helpers").is_overridden
        if not is_overridden("train_dataloader", source := data or model):
            raise BadInputError(
                f"{type(source).__name__} has no train_dataloader; give it one, or name a LightningDataModule with "
                f"--data."
            )
        return model, data, trainer

    def build_trainer(self, options: Mapping[str, Any]) -> Any:
        """Build the trainer."""
        with quiet(*LOGGER_NAMES), faults_of(_BUILDING):
            return self.parsed.package.Trainer(**options)

    @property
    def length(self) -> dict[str, Any]:
        """The epochs or the steps of training, as far as the trainer was told."""
        trainer = self.parsed.config["trainer"]
        told = {"steps": trainer["max_steps"], "epochs": trainer["max_epochs"]}
        return dict([(name, count) for name, count in told.items() if count not in (None, -1)][:1])

    def search(self, options: dict[str, Any]) -> tuple[Finding, str]:
        """Search a rate; see ``lrfind.cli.named.Named``."""
        configured = self.parsed.config["seed_everything"]
        if configured is not None and not isinstance(configured, bool):
            options = {**options, "seed": int(configured)}
        seed_all(options["seed"])
        model, data, trainer_options = self.build()
        trainer = self.build_trainer(trainer_options)
        if not (self.length or {"total_steps", "epochs"} & set(options)):
            options = {**options, "epochs": None}  # else the trainer's own default, a thousand, would pass for a wish
        with quiet(*LOGGER_NAMES), refusals():
            finding = lightning.find(trainer, model, datamodule=data, **options)
            read = trace(model).read
        return finding, f"Train with it: the optimizer reads self.{read[0]} of {type(model).__name__}." if read else ""

    def target(self) -> tuple[Target, dict[str, Any], str]:
        """Return it for a comparison; see ``lrfind.cli.named.Named``."""
        names = ", ".join(name for name in RESERVED if name in self._given and name not in ("max_epochs", "max_steps"))
        note = f"The comparison sets {names} of the trainer itself; what was given is not used." if names else ""
        return self, self.length, note

    @property
    def title(self) -> str:
        """What is trained on what, for people."""
        return " on ".join(name_of_builder(path) for path in self._paths.values())

    @property
    def setting(self) -> str:
        """What was asked for and is not the default."""
        parsed = self.parsed
        defaults = parsed.parser.get_defaults()
        changed = {
            name.split(".")[-1]: value
            for name, value in parsed.config.items()
            if name not in _NOT_TRAINED and value is not None and defaults.get(name) != value
        }
        return setting_of({name: value for name, value in changed.items() if name not in (*RESERVED, "class_path")})

    def identity(self) -> Mapping[str, Any]:
        """Return plain data that names what is trained."""
        parsed = self.parsed
        config = json.loads(parsed.parser.dump(parsed.config, format="json", skip_link_targets=False))
        kept = {name: value for name, value in config.items() if name not in _NOT_TRAINED}
        kept["trainer"] = {name: value for name, value in config["trainer"].items() if name not in RESERVED}
        code = {name: identity_of(locate(path.replace(":", "."))) for name, path in self._paths.items()}
        return {"model": self.model, "data": self.data, "code": code, "config": kept}

    def parts(self) -> tuple[Any, Any, Mapping[str, Any]]:
        """Build the module, its data, and the trainer's options that were given."""
        model, data, options = self.build()
        return model, data, {name: options[name] for name in self._given if name not in RESERVED}

    @property
    def _given(self) -> list[str]:
        """The trainer's options that are not at their defaults."""
        parsed = self.parsed
        defaults, given = parsed.parser.get_defaults()["trainer"], parsed.config["trainer"]
        return [name for name in vars(given) if given[name] is not None and given[name] != defaults[name]]

    @property
    def _paths(self) -> dict[str, str]:
        """Where the classes of the module and its data are imported from."""
        named, config = {"model": self.model, "data": self.data}, self.parsed.config
        return {
            name: path or config[name]["class_path"] for name, path in named.items() if config.get(name) is not None
        }


def _parse(package: Any, model: Any, data: Any, arguments: tuple[str, ...]) -> Any:
    cli = _cli_of(package)
    takes = inspect.signature(cli.__init__).parameters  # of late, it also loads checkpoints
    late = {name: False for name in ("load_from_checkpoint_support",) if name in takes}
    return cli(
        model,
        data,
        args=list(arguments),
        run=False,
        save_config_callback=None,
        seed_everything_default=False,
        trainer_defaults={"logger": False, "enable_checkpointing": False},
        parser_kwargs={"exit_on_error": False},
        **late,
    )


def _cli_of(owner: Any) -> type[Any]:
    """Return the package's LightningCLI, parsing first and building when it is asked to."""
    cli = import_module(f"{owner.__name__}.cli")

    class Parsed(cli.LightningCLI):  # type: ignore[misc, name-defined]
        package = owner

        def add_arguments_to_parser(self, parser: Any) -> None:
            for name in _UNUSED:
                parser.add_argument(f"--{name}", default=None, help="Of no use to a search.")

        def parse_arguments(self, parser: Any, args: Any) -> None:
            try:
                super().parse_arguments(parser, args)
            except ArgumentError as error:
                raise UsageError(condensed(str(error), parser)) from error

        def instantiate_classes(self) -> None:
            if (path := self.config.get("ckpt_path")) is not None:
                raise UsageError(
                    f"a search starts where training starts, not at a checkpoint; leave out ckpt_path {path}."
                )

        def instantiate_trainer(self, **_: Any) -> Any:
            return dict(self.config_init["trainer"])

        def build(self) -> tuple[Any, Any, dict[str, Any]]:
            super().instantiate_classes()
            return self.model, self.datamodule, self.trainer

    return Parsed


def _checked(spec: str | None, option: str, base: str) -> tuple[Any, type[Any] | None]:
    """Import a class of the right kind, or a function that returns one; return it, and the class."""
    if spec is None:
        return None, None
    found = load_named(spec, option)
    is_function = inspect.isfunction(found)
    made = get_type_hints(found).get("return") if is_function else found
    if not isinstance(made, type):
        wrong = "is a function; annotate the class that it returns" if is_function else "must be a class"
        raise BadInputError(f"{option} {spec} {wrong}, got a {type(made).__name__}.")
    bases = tuple(getattr(import_module(module), base) for package, module in PACKAGES.items() if find_spec(package))
    if issubclass(made, bases):
        return found, made
    hint = "; a plain PyTorch model goes with its data in a function: --task" if option == "--model" else ""
    raise BadInputError(f"{option} {spec} is no {base} but a {made.__name__}{hint}.")

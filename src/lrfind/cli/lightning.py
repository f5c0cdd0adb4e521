"""A Lightning module, its data and its trainer from the command line, parsed by LightningCLI."""

import inspect
import json
from argparse import ArgumentError
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from importlib.util import find_spec
from pydoc import locate
from typing import Any, get_type_hints

from lrfind.cli.faults import WHAT_TO_TRAIN, UsageError, load_named
from lrfind.compare.targets.lightning import RESERVED, LightningTraining, overrides
from lrfind.compare.targets.specs import builder_name, faults_of, identity_of
from lrfind.errors import BadInputError
from lrfind.flags import condensed
from lrfind.isolation import generators_kept
from lrfind.lightning.cli import to_train_with
from lrfind.lightning.framework import LOGGER_NAMES, PACKAGES, package_of
from lrfind.loop import quiet

_UNUSED = ("ckpt_path", "weights_only")  # may be in a configuration that LightningCLI saved

_AS_PARSER: dict[str, Any] = {
    "run": False,
    "save_config_callback": None,
    "seed_everything_default": False,
    "trainer_defaults": {"logger": False, "enable_checkpointing": False},
    "parser_kwargs": {"exit_on_error": False},
}
"""Options of a LightningCLI that only parses."""


@dataclass(frozen=True)
class Described(LightningTraining):
    """A target that is described by command-line arguments, so that it can be pickled."""

    model: str | None  # module:Class; None where the configuration names it
    data: str | None
    arguments: tuple[str, ...]

    def __reduce__(self) -> Any:
        """Leave out what was parsed; another process parses again."""
        return Described, (self.model, self.data, self.arguments)

    @cached_property
    def parsed(self) -> Any:
        """The LightningCLI after parsing, before it builds anything."""
        model, kind = _checked(self.model, "--model", "LightningModule")
        data, data_kind = _checked(self.data, "--data", "LightningDataModule")
        with quiet(*LOGGER_NAMES), generators_kept():
            return _cli_of(package_of(kind or data_kind))(model, data, args=list(self.arguments), **_AS_PARSER)

    @cached_property
    def given(self) -> dict[str, Any]:
        """The arguments that differ from the defaults."""
        parser, config = self.parsed.parser, self.parsed.config
        given = json.loads(parser.dump(config, format="json", skip_default=True, skip_link_targets=False))
        return {name: value for name, value in given.items() if name not in ("config", "seed_everything", *_UNUSED)}

    @property
    def compared(self) -> dict[str, Any]:
        """These arguments, without the trainer's that a comparison sets itself."""
        trainer = self.given.get("trainer", {})
        return {**self.given, "trainer": {name: value for name, value in trainer.items() if name not in RESERVED}}

    def parts(self) -> tuple[Any, Any, Mapping[str, Any]]:
        """Build the module, its datamodule and the given options of the Trainer."""
        parsed = self.parsed
        with faults_of("building the model, the data or the trainer's parts"):
            model, data, options = parsed.build()
        if not overrides(source := data or model, "train_dataloader"):
            raise BadInputError(
                f"{type(source).__name__} has no train_dataloader; give it one, or name a LightningDataModule with "
                f"--data."
            )
        return model, data, {name: options[name] for name in self.given.get("trainer", ())}

    def advice(self, lr: float) -> str:
        """Say how the optimizer of the module built last gets the rate."""
        how, value = to_train_with(self.parsed.model, lr, self.parsed.config)
        return f"To train with it: {how}." if value is None else f"To train with it: {how} {value:.3g}"

    @property
    def length(self) -> dict[str, Any]:
        """The length of training, as ``steps`` and ``epochs`` that the trainer was given."""
        trainer = self.parsed.config["trainer"]
        told = {"steps": trainer["max_steps"], "epochs": trainer["max_epochs"]}
        return {name: count for name, count in told.items() if count not in (None, -1)}

    @property
    def seed(self) -> int | None:
        """The seed in the configuration."""
        seed = self.parsed.config["seed_everything"]
        return None if isinstance(seed, bool) else seed

    @property
    def title(self) -> str:
        """The names of model and data."""
        return " on ".join(builder_name(path) for path in self._paths.values())

    @property
    def setting(self) -> str:
        """The arguments that differ from the defaults."""
        told: list[tuple[str, Any]] = []
        for name, part in self.compared.items():
            is_titled = name in ("model", "data") and "class_path" in part  # the title has the class
            told += [*_told(name, part)][is_titled:]
        return ", ".join(f"{name}={value}" for name, value in told)

    def identity(self) -> Mapping[str, Any]:
        """See ``lrfind.compare.Target``."""
        code = {name: identity_of(locate(path.replace(":", "."))) for name, path in self._paths.items()}
        return {"model": self.model, "data": self.data, "code": code, "given": self.compared}

    @property
    def _paths(self) -> dict[str, str]:
        named, config = {"model": self.model, "data": self.data}, self.parsed.config
        return {
            name: path or config[name]["class_path"] for name, path in named.items() if config.get(name) is not None
        }


def _told(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the arguments within a configuration by name, with the names of classes in place of their paths."""
    if isinstance(value, list):
        yield name, f"[{', '.join(str(dict(_told(name, each)).get(name, each)) for each in value)}]"
    elif isinstance(value, dict):
        if "class_path" in value:
            yield name, value["class_path"].rpartition(".")[2]
        for inner, each in value.get("init_args", value).items():
            if inner != "class_path":
                yield from _told(inner, each)
    else:
        yield name, value


def _cli_of(owner: Any) -> type[Any]:
    """Return a subclass of the package's LightningCLI that parses, and builds only in ``build``."""
    cli = import_module(f"{owner.__name__}.cli")

    class Parsed(cli.LightningCLI):  # type: ignore[misc, name-defined]
        def add_arguments_to_parser(self, parser: Any) -> None:
            for name in _UNUSED:
                parser.add_argument(f"--{name}", default=None, help="Of no use to a search.")

        def parse_arguments(self, parser: Any, args: Any) -> None:
            try:
                super().parse_arguments(parser, args)
            except ArgumentError as error:
                said = condensed(str(error), parser)
                raise UsageError(WHAT_TO_TRAIN if said.endswith("are required: model.") else said) from error

        def _add_instantiators(self) -> None:  # parts are built in build
            pass

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
    """Import a subclass of ``base`` or a function that returns one; return it and the class."""
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

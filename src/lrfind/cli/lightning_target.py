"""A Lightning module that the command line describes, as a target of a comparison."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pydoc import locate
from typing import Any

from lrfind.cli.lightning import Built, Described
from lrfind.compare.runs import Arm
from lrfind.compare.targets.identity import identity_of
from lrfind.compare.targets.lightning import OURS, LightningTarget
from lrfind.compare.targets.specs import name_of_builder

_NOT_TRAINED = ("config", "seed_everything", "ckpt_path", "weights_only")
"""Of a configuration, what does not say what is trained."""


class _Builder:
    """Builds model and data together, as their parser does, and hands them out one after the other."""

    def __init__(self, described: Described) -> None:
        self.described = described
        self._built: Built | None = None

    def __reduce__(self) -> Any:
        """Leave behind what was built."""
        return _Builder, (self.described,)

    def model(self) -> Any:
        """Build both; return the model."""
        self._built = self.described.build()
        return self._built.model

    def data(self) -> Any:
        """Return the data built beside the last model."""
        return None if self._built is None else self._built.datamodule

    def option(self, name: str) -> Any:
        """Return an option of the trainer, built beside the last model."""
        return None if self._built is None else self._built.trainer[name]


@dataclass(frozen=True)
class LightningTargetOf(LightningTarget):
    """A Lightning module that the command line describes.

    Attributes:
        builder: Builds it.
    """

    builder: _Builder = field(kw_only=True)

    @classmethod
    def of(cls, described: Described) -> LightningTargetOf:
        """Return the target for a description.

        Raises:
            LRFindError: If it cannot be parsed.
        """
        builder, parsed = _Builder(described), described.parsed
        has_data = parsed.config.get("data") is not None
        given = parsed.config["trainer"]
        trainer = {name: given[name] for name in _options(parsed) if name not in OURS and not _is_built(given[name])}
        return cls(builder.model, builder.data if has_data else None, trainer=trainer, builder=builder)

    @property
    def title(self) -> str:
        """What is trained on what, for people."""
        described, config = self.builder.described, self.builder.described.parsed.config
        names = [_name(described.model, config["model"])]
        if self.data is not None:
            names.append(_name(described.data, config["data"]))
        return " on ".join(names)

    @property
    def setting(self) -> str:
        """What was asked for and is not the default."""
        changed = {name.split(".")[-1]: value for name, value in _changed(self.builder.described.parsed).items()}
        return ", ".join(f"{name}={value}" for name, value in changed.items() if name not in (*OURS, "class_path"))

    def identity(self) -> Mapping[str, Any]:
        """Return plain data that names what is trained."""
        described, parsed = self.builder.described, self.builder.described.parsed
        config = json.loads(parsed.parser.dump(parsed.config, format="json", skip_link_targets=False))
        kept = {name: value for name, value in config.items() if name not in _NOT_TRAINED}
        kept["trainer"] = {name: value for name, value in config["trainer"].items() if name not in OURS}
        named = {"model": described.model, "data": described.data}
        paths = {name: named[name] or (config.get(name) or {}).get("class_path") for name in named}
        code = {name: identity_of(locate(path.replace(":", "."))) for name, path in paths.items() if path}
        return {**named, "code": code, "config": kept}

    @property
    def overruled(self) -> list[str]:
        """The trainer's options that were given and that a comparison sets itself, those of length aside."""
        given = _options(self.builder.described.parsed)
        return [name for name in OURS if name in given and name not in ("max_epochs", "max_steps")]

    def callbacks(self, arm: Arm, seed: int) -> list[Any]:
        """Return the callbacks that the trainer was given, new ones for every run."""
        given = self.builder.option("callbacks")
        return given if isinstance(given, list) else [given] if given else []

    def options(self) -> dict[str, Any]:
        """Return the options of the Trainer, those that are objects built beside the module."""
        parsed = self.builder.described.parsed
        built = {
            name: self.builder.option(name) for name in _options(parsed) if _is_built(parsed.config["trainer"][name])
        }
        return {**self.trainer, **{name: value for name, value in built.items() if name not in (*OURS, "callbacks")}}


def _options(parsed: Any) -> list[str]:
    """Return the trainer's options that are not at their defaults."""
    defaults, given = parsed.parser.get_defaults()["trainer"], parsed.config["trainer"]
    return [name for name in vars(given) if given[name] is not None and given[name] != defaults[name]]


def _is_built(value: Any) -> bool:
    """Say whether an option describes an object: a callback, a profiler, a strategy."""
    return any(hasattr(one, "class_path") for one in (value if isinstance(value, list) else [value]))


def _changed(parsed: Any) -> dict[str, Any]:
    """Return the arguments that are not at their defaults, by their whole names."""
    defaults = parsed.parser.get_defaults()
    return {
        name: value
        for name, value in parsed.config.items()
        if name not in _NOT_TRAINED and value is not None and defaults.get(name) != value
    }


def _name(spec: str | None, config: Any) -> str:
    return name_of_builder(spec or config["class_path"])

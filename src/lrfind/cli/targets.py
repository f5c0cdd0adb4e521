"""What the command line describes, as a target of a comparison."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lrfind.cli.faults import UsageError
from lrfind.cli.lightning import Built, Described
from lrfind.cli.plain import DescribedTask
from lrfind.compare.runs import Arm
from lrfind.compare.targets.lightning import OURS, LightningTarget
from lrfind.compare.targets.pytorch import PyTorchTarget
from lrfind.compare.targets.specs import name_of_builder

if TYPE_CHECKING:
    from lrfind.compare.targets.protocol import Target

_APART = ("config", "seed_everything", "ckpt_path", "weights_only")
"""Of a configuration, what does not say what is trained."""


def to_target(model: str | None, data: str | None, task: str | None, arguments: tuple[str, ...]) -> Target:
    """Return the target that the options name.

    Raises:
        LRFindError: If something that is named cannot be used; the message says what to change.
    """
    if task is None:
        return LightningTargetOf.of(Described(model, data, arguments))
    if model is not None or data is not None:
        raise UsageError("--task brings its own model and data; leave out --model and --data.")
    described = DescribedTask(task, arguments)
    return PyTorchTarget(described.function, described.arguments())


class _Once:
    """Builds model and data together, as their parser does, and hands them out one after the other."""

    def __init__(self, described: Described) -> None:
        self.described = described
        self._built: Built | None = None

    def __reduce__(self) -> Any:
        """Leave behind what was built."""
        return _Once, (self.described,)

    def model(self) -> Any:
        """Build both; return the model."""
        self._built = self.described.build()
        return self._built.model

    def data(self) -> Any:
        """Return the data built beside the last model."""
        return None if self._built is None else self._built.datamodule

    def callbacks(self) -> list[Any]:
        """Return the trainer's callbacks built beside the last model."""
        given = None if self._built is None else self._built.trainer["callbacks"]
        return given if isinstance(given, list) else [given] if given else []


@dataclass(frozen=True)
class LightningTargetOf(LightningTarget):
    """A Lightning module that the command line describes.

    Attributes:
        once: Builds it.
    """

    once: _Once = field(kw_only=True)

    @classmethod
    def of(cls, described: Described) -> LightningTargetOf:
        """Return the target for a description.

        Raises:
            LRFindError: If it cannot be parsed.
        """
        once, parsed = _Once(described), described.parsed
        has_data = parsed.config.get("data") is not None
        trainer = {
            name.removeprefix("trainer."): value
            for name, value in _changed(parsed).items()
            if name.startswith("trainer.") and name.removeprefix("trainer.") not in (*OURS, "callbacks")
        }
        return cls(once.model, once.data if has_data else None, trainer=trainer, once=once)

    @property
    def title(self) -> str:
        """What is trained on what, for people."""
        described, config = self.once.described, self.once.described.parsed.config
        names = [_name(described.model, config["model"])]
        if self.data is not None:
            names.append(_name(described.data, config["data"]))
        return " on ".join(names)

    @property
    def setting(self) -> str:
        """What was asked for and is not the default."""
        changed = {name.split(".")[-1]: value for name, value in _changed(self.once.described.parsed).items()}
        return ", ".join(f"{name}={value}" for name, value in changed.items() if name not in (*OURS, "class_path"))

    def identity(self) -> Mapping[str, Any]:
        """Return plain data that names what is trained."""
        described, parsed = self.once.described, self.once.described.parsed
        config = json.loads(parsed.parser.dump(parsed.config, format="json", skip_link_targets=False))
        kept = {name: value for name, value in config.items() if name not in _APART}
        kept["trainer"] = {name: value for name, value in config["trainer"].items() if name not in OURS}
        return {"model": described.model, "data": described.data, "config": kept}

    def callbacks(self, arm: Arm, seed: int) -> list[Any]:
        """Return the callbacks that the trainer was given, new ones for every run."""
        return self.once.callbacks()


def _changed(parsed: Any) -> dict[str, Any]:
    """Return the arguments that are not at their defaults, by their whole names."""
    defaults = parsed.parser.get_defaults()
    return {
        name: value
        for name, value in parsed.config.items()
        if name not in _APART and value is not None and defaults.get(name) != value
    }


def _name(spec: str | None, config: Any) -> str:
    return name_of_builder(spec or config["class_path"])

"""A plain PyTorch task from the command line: a function that returns what ``lrfind.find`` takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lrfind.cli.faults import UsageError, condensed
from lrfind.cli.options import load_named
from lrfind.compare.targets.protocol import Target
from lrfind.compare.targets.pytorch import PyTorchTarget, Training, find_for, to_training
from lrfind.compare.targets.specs import faults_of
from lrfind.errors import BadInputError
from lrfind.isolation import generators_kept, seed_all
from lrfind.loop import quiet
from lrfind.records import Finding


@dataclass(frozen=True, slots=True)
class DescribedTask:
    """A task as the command line describes it.

    Attributes:
        spec: ``module:function``.
        given: Its arguments: ``--task.NAME VALUE``, ``--config``.
    """

    spec: str
    given: tuple[str, ...]

    @property
    def function(self) -> Callable[..., Any]:
        """The function."""
        function = load_named(self.spec, "--task")
        if not callable(function) or isinstance(function, type):
            kind = "class; a LightningModule goes to --model" if callable(function) else type(function).__name__
            raise BadInputError(
                f"--task {self.spec} must be a function that returns (model, optimizer, loader, loss_fn), got a {kind}."
            )
        return function  # type: ignore[no-any-return]

    def arguments(self) -> dict[str, Any]:
        """Return what the function is to be called with."""
        from argparse import ArgumentError

        from jsonargparse import ActionConfigFile, ArgumentParser  # type: ignore[attr-defined]

        parser = ArgumentParser(exit_on_error=False)
        parser.add_argument("--config", action=ActionConfigFile)
        parser.add_function_arguments(self.function, "task", fail_untyped=False)
        try:
            with quiet(), generators_kept():  # quiet on what jsonargparse will change in its next major version
                config = parser.instantiate_classes(parser.parse_args(list(self.given)))
        except ArgumentError as error:
            raise UsageError(condensed(str(error), parser)) from error
        return dict(config.get("task") or {})

    def build(self) -> Training:
        """Call the function."""
        function, arguments = self.function, self.arguments()
        with faults_of(f"--task {self.spec}"):
            made = function(**arguments)
        return to_training(made, f"--task {self.spec}")

    def search(self, options: dict[str, Any]) -> tuple[Finding, str]:
        """Search a rate; see ``lrfind.cli.named.Named``."""
        seed_all(options["seed"])
        return find_for(self.build(), **options), ""

    def target(self) -> tuple[Target, dict[str, Any], str]:
        """Return it for a comparison; see ``lrfind.cli.named.Named``."""
        return PyTorchTarget(self.function, self.arguments()), {}, ""

"""A plain PyTorch task from the command line: a function that returns what ``lrfind.find`` takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lrfind.cli.faults import UsageError, condensed
from lrfind.cli.named import described, load_named
from lrfind.compare import Training
from lrfind.errors import BadInputError, LRFindError
from lrfind.isolation import generators_kept
from lrfind.loop import quiet

_PARTS = ("model", "optimizer", "loader", "loss_fn")
_TAKEN = (*_PARTS, "step", "accumulate")


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
        """The function.

        Raises:
            BadInputError: If it cannot be imported or is none.
        """
        function = load_named(self.spec, "--task")
        if isinstance(function, type):
            raise BadInputError(
                f"--task {self.spec} must be a function that returns (model, optimizer, loader, loss_fn), got a class; "
                f"a LightningModule goes to --model."
            )
        if not callable(function):
            raise BadInputError(f"--task {self.spec} must be a function, got a {type(function).__name__}.")
        return function  # type: ignore[no-any-return]

    def arguments(self) -> dict[str, Any]:
        """Return what the function is to be called with.

        Raises:
            UsageError: If an argument is unknown, missing or of the wrong kind.
        """
        from argparse import ArgumentError

        from jsonargparse import ActionConfigFile, ArgumentParser  # type: ignore[attr-defined]

        parser = ArgumentParser(exit_on_error=False)
        parser.add_argument("--config", action=ActionConfigFile)
        parser.add_function_arguments(self.function, "task", fail_untyped=False)
        try:
            with quiet(), generators_kept():  # quiet on what jsonargparse will change in its next major version
                config = parser.instantiate_classes(parser.parse_args(list(self.given)))
        except ArgumentError as error:
            raise UsageError(condensed(str(error))) from error
        return dict(config.get("task") or {})

    def build(self) -> dict[str, Any]:
        """Call the function; return, by name, what ``lrfind.find`` takes of what it gave.

        Raises:
            UsageError: If an argument is unknown, missing or of the wrong kind.
            BadInputError: If the function cannot be imported or gives something else.
            LRFindError: If it raises.
        """
        function, arguments = self.function, self.arguments()
        try:
            given = function(**arguments)
        except LRFindError:
            raise
        except Exception as error:
            raise LRFindError(f"--task {self.spec} raised {described(error)}.") from error
        return {name: part for name, part in self._by_name(given).items() if name in _TAKEN}

    def _by_name(self, given: Any) -> Mapping[str, Any]:
        if isinstance(given, tuple) and len(given) == len(_PARTS):
            return dict(zip(_PARTS, given, strict=True))
        if isinstance(given, Training):
            return {name: getattr(given, name) for name in _TAKEN}
        if isinstance(given, Mapping) and set(_PARTS[:3]) <= set(given):
            return given
        size = f" of {len(given)}" if isinstance(given, (tuple, list)) else ""
        names = f" of {', '.join(map(str, given))}" if isinstance(given, Mapping) else ""
        raise BadInputError(
            f"--task {self.spec} must return (model, optimizer, loader, loss_fn), a dict with these names or a "
            f"lrfind.compare.Training, got a {type(given).__name__}{size}{names}."
        )

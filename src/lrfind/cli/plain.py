"""A plain PyTorch task from the command line: a function that returns what ``lrfind.find`` takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lrfind.cli.faults import UsageError, condensed
from lrfind.cli.named import described, load_named
from lrfind.errors import BadInputError, LRFindError

_PARTS = ("model", "optimizer", "loader", "loss_fn")
_NEEDED = ("model", "optimizer", "loader")


@dataclass(frozen=True, slots=True)
class DescribedTask:
    """A task that can be sent to another process and built there, as often as wanted.

    Attributes:
        spec: ``module:function``.
        arguments: Its arguments: ``--task.NAME VALUE``, ``--config``.
    """

    spec: str
    arguments: tuple[str, ...]

    def __call__(self) -> dict[str, Any]:
        """Call the function; return what it gave, by name.

        Raises:
            UsageError: If an argument is unknown, missing or of the wrong kind.
            BadInputError: If the function cannot be imported or gives something else.
            LRFindError: If it raises.
        """
        function = load_named(self.spec, "--task")
        if not callable(function):
            raise BadInputError(f"--task {self.spec} must be a function, got a {type(function).__name__}.")
        named = _parse(function, self.arguments)
        try:
            given = function(**named)
        except LRFindError:
            raise
        except Exception as error:
            raise LRFindError(f"--task {self.spec} raised {described(error)}.") from error
        return _by_name(given, self.spec)


def _parse(function: Callable[..., Any], arguments: tuple[str, ...]) -> dict[str, Any]:
    """Read the function's arguments by its signature."""
    from argparse import ArgumentError

    from jsonargparse import ActionConfigFile, ArgumentParser  # type: ignore[attr-defined]

    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--config", action=ActionConfigFile)
    parser.add_function_arguments(function, "task", fail_untyped=False)
    try:
        config = parser.instantiate_classes(parser.parse_args(list(arguments)))
    except ArgumentError as error:
        raise UsageError(condensed(str(error))) from error
    return dict(config.get("task") or {})


def _by_name(given: Any, spec: str) -> dict[str, Any]:
    if isinstance(given, (tuple, list)) and len(given) == len(_PARTS):
        given = dict(zip(_PARTS, given, strict=True))
    if isinstance(given, Mapping) and all(given.get(name) is not None for name in _NEEDED):
        return dict(given)
    got = f"a dict of {', '.join(map(str, given)) or 'nothing'}" if isinstance(given, Mapping) else _shape(given)
    raise BadInputError(
        f"--task {spec} must return (model, optimizer, loader, loss_fn), or a dict with these names, got {got}."
    )


def _shape(given: Any) -> str:
    return f"{len(given)} values" if isinstance(given, (tuple, list)) else type(given).__name__

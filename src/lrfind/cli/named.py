"""The target that the command line names: a Lightning module, a function or a built-in task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from lrfind.cli.faults import UsageError
from lrfind.cli.options import load_named
from lrfind.errors import TYPO, BadInputError
from lrfind.flags import condensed

if TYPE_CHECKING:
    from lrfind.compare.targets.protocol import Target

BUILT_IN = ("fashion-mnist", "digits")  # names for --task


@dataclass(frozen=True)
class Named:
    """A target, and what its configuration says."""

    target: Target
    length: Mapping[str, Any] = field(default_factory=dict)  # of training, in steps and epochs
    seed: int | None = None
    note: str = ""  # printed before a comparison
    advice: Callable[[float], str] = lambda _: ""  # after a search, on how to use the rate


def named(given: Mapping[str, Any], arguments: tuple[str, ...]) -> Named:
    """Return the target of ``--model``, ``--data`` and ``--task``; ``arguments`` is the rest of the command line."""
    model, data, task = given["model"], given["data"], given["task"]
    if task is None:
        from lrfind.cli.lightning import Described

        target = Described(model, data, arguments)
        return Named(target, target.length, target.seed, target.note, target.advice)
    if model is not None or data is not None:
        raise UsageError("--task brings its own model and data; leave out --model and --data.")
    if task not in BUILT_IN:
        return _function(task, arguments)
    if arguments:
        raise UsageError(f"the built-in task {task} takes no arguments, got {' '.join(arguments)}.")
    from lrfind.demo.experiment import Experiment, dataset_of

    return Named(Experiment(dataset=task), {"epochs": dataset_of(task, None).epochs})


def _function(spec: str, words: tuple[str, ...]) -> Named:
    if spec.isidentifier():
        near = get_close_matches(spec, BUILT_IN, 1, TYPO)
        hint = f"did you mean {near[0]}?" if near else f"there are {' and '.join(BUILT_IN)}, or name your function."
        raise UsageError(f"there is no built-in task {spec}; {hint}")
    if of_trainer := [word for word in words if word.startswith("--trainer")]:
        raise UsageError(f"a --task has no trainer, got {of_trainer[0]}; how long it trains is said by --epochs.")
    function = load_named(spec, "--task")
    if not callable(function) or isinstance(function, type):
        kind = "class; a LightningModule goes to --model" if callable(function) else type(function).__name__
        raise BadInputError(
            f"--task {spec} must be a function that returns (model, optimizer, loader, loss_fn), got a {kind}."
        )
    from argparse import ArgumentError

    from jsonargparse import ActionConfigFile, ArgumentParser  # type: ignore[attr-defined]

    from lrfind.compare.targets.pytorch import PyTorchTarget
    from lrfind.isolation import generators_kept
    from lrfind.loop import quiet

    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--config", action=ActionConfigFile)
    parser.add_function_arguments(function, "task", fail_untyped=False)
    try:
        with quiet(), generators_kept():  # jsonargparse warns of its next major version
            config = parser.instantiate_classes(parser.parse_args(list(words)))
    except ArgumentError as error:
        raise UsageError(condensed(str(error), parser)) from error
    return Named(PyTorchTarget(function, dict(config.get("task") or {}), f"--task {spec}"))

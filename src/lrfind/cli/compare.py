"""``lrfind compare``: the found rate against guessed ones and against cyclical schedules, and which one wins."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import typer
from rich.console import Console

from lrfind.cli.faults import FAILED, UsageError, check_folder, check_installed, refusals, spoken_faults
from lrfind.cli.named import named
from lrfind.cli.options import JSON, TRAINED, check_words, option, parse_lrs, parse_seeds, parse_settings, takes
from lrfind.compare.arms import ARMS, CYCLES, check_schedules
from lrfind.errors import BadInputError

if TYPE_CHECKING:
    from lrfind.compare.comparison import Comparison
    from lrfind.compare.targets.protocol import Target

_arms = partial(option, panel="What to compare")
_where = partial(option, panel="Where and how long")

_OPTIONS = {
    **TRAINED,
    "lrs": _arms(str, "", "Rates to compare with, separated by commas: 1e-4,1e-2."),
    "schedules": _arms(str, ",".join(ARMS), "What the found rates are trained under; constant is fixed."),
    "settings": _arms(
        list[str],
        [],
        "Values of another argument, each trained at its own found rates; may be given several times.",
        "--set",
        metavar="model.NAME=VALUE,VALUE",
    ),
    "cycles": _arms(int, CYCLES, "Cycles of a cyclical schedule."),
    "seeds": _arms(str, "3", "How many seeds for each, or which ones: 0,7,8."),
    "metric": _arms(str, "val_loss", "What decides, at the end of training."),
    "mode": _arms(Literal["min", "max"], "min", "Whether its least or its greatest wins."),
    "epochs": _where(float | None, None, "Epochs of each run; by default --trainer.max_epochs, else 5."),
    "steps": _where(int | None, None, "Or its optimizer steps."),
    "jobs": _where(int, 1, "In how many processes to train at once."),
    "ray": _where(str | None, None, "Or through Ray: local, auto or a cluster's address.", metavar="ADDRESS"),
    "out": option(Path, Path("runs/compare"), "The folder for finished runs and the report."),
    "tensorboard": option(bool, False, "Also write the folder for TensorBoard.", "--tensorboard"),
    "as_json": JSON,
}
_PASSED_ON = ("cycles", "metric", "mode", "jobs", "ray", "out")


@takes(_OPTIONS)
def compare(context: typer.Context, **given: Any) -> None:
    """Train your model at the found rate, at guessed ones and under cyclical schedules, and say which wins.

    Runs are paired: the same seed gives every arm the same weights and the same batches. What is finished is kept in
    the folder: after Ctrl-C, or with more seeds, the same command goes on where it was.

    ```text
    lrfind compare --model train:Net --data train:Data --lrs 1e-4,1e-2
    lrfind compare --config config.yaml --epochs 10 --seeds 5 --jobs 2
    lrfind compare --task train:make --schedules constant,one-cycle
    lrfind compare --model train:Net --set model.hidden=16,64 --schedules constant
    ```
    """
    with spoken_faults(advice="What is finished is kept: the same command goes on where it was."):
        options = _checked(given)
        check_words(context, is_named=bool(given["model"] or given["task"]))
        from lrfind.compare import compare as run

        targets, length = _targets(given, tuple(context.args))
        if given["epochs"] is None and given["steps"] is None:
            options |= length
        comparison = concluded(lambda: run(targets, **options), lambda comparison: _conclude(comparison, given))
    raise typer.Exit(0 if comparison.runs else FAILED)


def _checked(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what ``lrfind.compare`` takes, after finding out before any work whether it goes together."""
    options = {name: given[name] for name in (*_PASSED_ON, "epochs", "steps")}
    options["lrs"] = parse_lrs(given["lrs"]) if given["lrs"] else ()
    options["schedules"] = tuple(name.strip() for name in given["schedules"].split(",") if name.strip())
    options["seeds"] = parse_seeds(given["seeds"])
    variants = len(parse_settings(given["settings"]))
    if given["epochs"] is not None and given["steps"] is not None:
        raise UsageError("give --epochs or --steps, not both.")
    try:
        check_schedules(options["lrs"], options["schedules"], given["cycles"], variants=variants)
    except BadInputError as error:
        raise UsageError(str(error)) from error
    check_folder(given["out"])
    check_installed("jinja2", extra="compare")
    if given["tensorboard"]:
        check_installed("tensorboard", extra="demo")
    return options


def _targets(given: Mapping[str, Any], arguments: tuple[str, ...]) -> tuple[dict[str, Target], dict[str, Any]]:
    """Return what is to be trained, by name, and how long it trains by itself."""
    trainer = {text.partition("=")[0] for text in given["settings"] if text.startswith("trainer.")}
    if trainer:
        from lrfind.compare.targets.lightning import RESERVED

        if taken := sorted(trainer & {f"trainer.{name}" for name in RESERVED}):
            names = ", ".join(taken)
            raise UsageError(f"--set: a comparison sets {names} itself; all arms train for --epochs or --steps.")
    made = {
        name: named(given, (*arguments, *words)).target() for name, words in parse_settings(given["settings"]).items()
    }
    for note in dict.fromkeys(note for _, _, note in made.values() if note):
        Console(stderr=True, highlight=False).print(note, soft_wrap=True)
    return {name: target for name, (target, _, _) in made.items()}, next(length for _, length, _ in made.values())


def concluded(run: Callable[[], Comparison], conclude: Callable[[Comparison], None]) -> Comparison:
    """Run a comparison and conclude it, also the part that was finished when Ctrl-C was pressed."""
    from lrfind.compare import CutShort

    try:
        with refusals():
            comparison = run()
    except CutShort as cut:
        if cut.comparison.runs:
            conclude(cut.comparison)
        raise
    conclude(comparison)
    return comparison


def _conclude(comparison: Comparison, given: Mapping[str, Any]) -> None:
    """Write the report, and show what it says."""
    from lrfind.cli.views import say, show_comparison
    from lrfind.report import write_report
    from lrfind.report.loggers import write_tensorboard

    out = given["out"]
    page = write_report(comparison, out)
    if given["tensorboard"]:
        write_tensorboard(comparison, out / "tensorboard")
    if given["as_json"]:
        print(json.dumps(comparison.to_dict(), indent=1))
        return
    console = Console(highlight=False)
    show_comparison(console, comparison)
    say(console, f"Report: {page}")
    if given["tensorboard"]:
        say(console, f"TensorBoard: tensorboard --logdir {out / 'tensorboard'}")

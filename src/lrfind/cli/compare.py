"""``lrfind compare``: train at found rates, guessed ones and under schedules, and say which arm wins."""

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

import typer
from rich.console import Console

from lrfind.cli.faults import UsageError, check_folder, check_installed, misuse, spoken_faults, starting
from lrfind.cli.options import JSON, TRAINED, check_words, named, numbers, option, parse_settings
from lrfind.compare.arms import ARMS, CYCLES, check_arms, to_seeds
from lrfind.compare.comparison import Comparison
from lrfind.flags import takes

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
    "mode": _arms(
        Literal["min", "max"], None, "Whether its least or its greatest wins; by default max for accuracies."
    ),
    "epochs": _where(float | None, None, "Epochs of each run; by default --trainer.max_epochs, else 5."),
    "steps": _where(int | None, None, "Or its optimizer steps."),
    "jobs": _where(int, 1, "In how many processes to train at once."),
    "ray": _where(str | None, None, "Or through Ray: local, auto or a cluster's address.", metavar="ADDRESS"),
    "out": option(Path, Path("runs/compare"), "The folder for finished runs and the report."),
    "tensorboard": option(bool, False, "Also write the folder for TensorBoard.", "--tensorboard"),
    "as_json": JSON,
}


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
        with starting():
            from lrfind.compare import compare as run

            settings = parse_settings(given["settings"]).items()
            chosen = {name: named(given, (*context.args, *words)) for name, words in settings}
        if given["epochs"] is None and given["steps"] is None:
            options |= dict([*next(iter(chosen.values())).length.items()][:1])
        targets = {name: each.target for name, each in chosen.items()}
        how = {name: given[name] for name in ("tensorboard", "as_json")}
        comparison = reported(lambda: run(targets, **options), given["out"], **how)
    raise typer.Exit(0 if comparison.runs else 1)


def _checked(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of ``lrfind.compare``; raise if they cannot be used together."""
    options = {name: given[name] for name in ("cycles", "metric", "mode", "jobs", "ray", "out", "epochs", "steps")}
    options["lrs"] = numbers(given["lrs"], float, "--lrs") if given["lrs"] else ()
    options["schedules"] = tuple(name.strip() for name in given["schedules"].split(",") if name.strip())
    which = numbers(given["seeds"], int, "--seeds")
    if given["epochs"] is not None and given["steps"] is not None:
        raise UsageError("give --epochs or --steps, not both.")
    if given["jobs"] < 1:
        raise UsageError(f"--jobs must be at least 1, got {given['jobs']}.")
    with misuse():
        options["seeds"] = to_seeds(which if len(which) > 1 else which[0])
        variants = len(parse_settings(given["settings"]))
        check_arms(options["lrs"], options["schedules"], given["cycles"], variants=variants, mode=given["mode"])
    check_folder(given["out"])
    check_installed("jinja2", extra="compare")
    if given["tensorboard"]:
        check_installed("tensorboard", extra="demo")
    return options


def reported(run: Callable[[], Comparison], out: Path, *, tensorboard: bool, as_json: bool = False) -> Comparison:
    """Run a comparison and report it; on Ctrl-C, report the finished runs."""
    from lrfind.cli.views import say, show_comparison
    from lrfind.compare import CutShort
    from lrfind.compare.verdict import closing
    from lrfind.report import write_report
    from lrfind.report.loggers import write_tensorboard
    from lrfind.report.rows import labelled

    try:
        comparison = run()
    except CutShort as cut:
        finished = cut.comparison
        if finished.runs:
            reported(lambda: finished, out, tensorboard=tensorboard, as_json=as_json)
        raise
    page, events = write_report(comparison, out), out / "tensorboard"
    if tensorboard:
        write_tensorboard(comparison, events)
    if as_json:
        print(json.dumps(comparison.to_dict(), indent=1))
        return comparison
    console = Console(highlight=False)
    show_comparison(console, comparison)
    if comparison.runs:
        say(console, closing(labelled(comparison)), "bold")
    say(console, f"Report: {page}")
    if tensorboard:
        say(console, f"TensorBoard: tensorboard --logdir {events}")
    return comparison

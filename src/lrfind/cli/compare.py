"""``lrfind compare``: the found rate against guessed ones and against cyclical schedules, and which one wins."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console

from lrfind.cli.comparing import concluded
from lrfind.cli.faults import FAILED, UsageError, check_folder, check_installed, refusals, spoken_faults
from lrfind.cli.options import Data, Json, Model, Task, check_words, parse_lrs, parse_names, parse_seeds
from lrfind.compare.arms import ARMS, CYCLES, check_schedules
from lrfind.errors import BadInputError

if TYPE_CHECKING:
    from lrfind.compare.comparison import Comparison
    from lrfind.compare.running import OnEvent
    from lrfind.compare.targets.protocol import Target

_ARMS = "What to compare"
_WHERE = "Where and how long"


def compare(
    context: typer.Context,
    model: Model = None,
    data: Data = None,
    task: Task = None,
    lrs: Annotated[
        str, typer.Option(help="Rates to compare with, separated by commas: 1e-4,1e-2.", rich_help_panel=_ARMS)
    ] = "",
    schedules: Annotated[
        str, typer.Option(help="What the found rates are trained under; constant is fixed.", rich_help_panel=_ARMS)
    ] = ",".join(ARMS),
    cycles: Annotated[int, typer.Option(help="Cycles of a cyclical schedule.", rich_help_panel=_ARMS)] = CYCLES,
    seeds: Annotated[
        str, typer.Option(help="How many seeds for each, or which ones: 0,7,8.", rich_help_panel=_ARMS)
    ] = "3",
    metric: Annotated[
        str, typer.Option(help="What decides, at the end of training.", rich_help_panel=_ARMS)
    ] = "val_loss",
    mode: Annotated[
        Literal["min", "max"], typer.Option(help="Whether its least or its greatest wins.", rich_help_panel=_ARMS)
    ] = "min",
    epochs: Annotated[
        float | None,
        typer.Option(help="Epochs of each run; by default --trainer.max_epochs, else 5.", rich_help_panel=_WHERE),
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Or its optimizer steps.", rich_help_panel=_WHERE)] = None,
    jobs: Annotated[int, typer.Option(help="In how many processes to train at once.", rich_help_panel=_WHERE)] = 1,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS", help="Or through Ray: local, auto or a cluster's address.", rich_help_panel=_WHERE
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="The folder for finished runs and the report.")] = Path("runs/compare"),
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Also write the folder for TensorBoard.")] = False,
    as_json: Json = False,
) -> None:
    """Train your model at the found rate, at guessed ones and under cyclical schedules, and say which wins.

    Runs are paired: the same seed gives every arm the same weights and the same batches. What is finished is kept in
    the folder: after Ctrl-C, or with more seeds, the same command goes on where it was.

    ```text
    lrfind compare --model train:Net --data train:Data --lrs 1e-4,1e-2
    lrfind compare --config config.yaml --epochs 10 --seeds 5 --jobs 2
    lrfind compare --task train:make --schedules constant,one-cycle
    ```
    """
    with spoken_faults(advice="What is finished is kept: the same command goes on where it was."):
        options: dict[str, Any] = {
            "lrs": parse_lrs(lrs) if lrs else (),
            "schedules": parse_names(schedules),
            "seeds": parse_seeds(seeds),
            "cycles": cycles,
            "metric": metric,
            "mode": mode,
            "jobs": jobs,
            "ray": ray,
            "out": out,
        }
        if epochs is not None and steps is not None:
            raise UsageError("give --epochs or --steps, not both.")
        _check(options)
        if tensorboard:
            check_installed("tensorboard", extra="demo")
        check_words(context, model, task)
        from lrfind.cli.targets import to_target

        target, length, note = to_target(model, data, task, tuple(context.args))
        if note:
            Console(stderr=True, highlight=False).print(note, soft_wrap=True)
        if epochs is None and steps is None:
            epochs, steps = length
        comparison = _run(target, tensorboard=tensorboard, as_json=as_json, epochs=epochs, steps=steps, **options)
    raise typer.Exit(0 if comparison.runs else FAILED)


def _run(target: Target, *, out: Path, tensorboard: bool, as_json: bool, **options: Any) -> Comparison:
    from lrfind.compare import compare as compare_arms

    def run(tell: OnEvent) -> Comparison:
        with refusals():
            return compare_arms(target, out=out, on_event=tell, **options)

    def conclude(comparison: Comparison) -> None:
        _conclude(comparison, out, tensorboard=tensorboard, as_json=as_json)

    arms = len(options["lrs"]) + len(options["schedules"])
    return concluded(run, conclude, runs=arms * len(options["seeds"]))


def _check(options: dict[str, Any]) -> None:
    """Find out before any work whether the options can be used together."""
    try:
        check_schedules(options["lrs"], options["schedules"], options["cycles"])
    except BadInputError as error:
        raise UsageError(str(error)) from error
    check_folder(options["out"])
    check_installed("jinja2", extra="compare")


def _conclude(comparison: Comparison, out: Path, *, tensorboard: bool, as_json: bool) -> None:
    """Write the report, and show what it says."""
    from lrfind.cli.views import say, show_comparison
    from lrfind.report import write_report
    from lrfind.report.loggers import write_tensorboard

    page = write_report(comparison, out)
    if tensorboard:
        write_tensorboard(comparison, out / "tensorboard")
    if as_json:
        print(json.dumps(comparison.to_dict(), indent=1))
        return
    console = Console(highlight=False)
    show_comparison(console, comparison)
    say(console, f"Report: {page}")
    if tensorboard:
        say(console, f"TensorBoard: tensorboard --logdir {out / 'tensorboard'}")

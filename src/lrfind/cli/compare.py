"""``lrfind compare``: the found rate against guessed ones and against cyclical schedules, and which one wins."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console

from lrfind.cli.faults import FAILED, UsageError, check_folder, spoken_faults
from lrfind.cli.options import Data, Json, Model, Task, parse_lrs, parse_names, parse_seeds
from lrfind.compare.arms import ARMS, CYCLES, check_schedules
from lrfind.errors import BadInputError

if TYPE_CHECKING:
    from lrfind.compare.comparison import Comparison
    from lrfind.compare.running import Event
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
        _check(options)
        target, length = _described(model, data, task, tuple(context.args))
        if epochs is None and steps is None:
            epochs, steps = length
        comparison = run_comparison(target, epochs=epochs, steps=steps, **options)
        _conclude(comparison, out, as_json=as_json)
    raise typer.Exit(0 if comparison.runs else FAILED)


def run_comparison(target: Target, *, out: Path, **options: Any) -> Comparison:
    """Compare, and write the report, also of what was finished when Ctrl-C was pressed.

    Raises:
        LRFindError: If something cannot be used; the message says what to change.
        KeyboardInterrupt: At Ctrl-C.
    """
    from lrfind.cli.lightning import refusals
    from lrfind.compare import CutShort
    from lrfind.compare import compare as compare_arms
    from lrfind.report import forget_report, write_report

    console = Console(stderr=True, highlight=False)
    forget_report(out)  # so that none outlives what it tells of
    try:
        with refusals():
            comparison = compare_arms(target, out=out, on_event=_teller(console), **options)
    except CutShort as cut:
        if cut.comparison.runs:
            write_report(cut.comparison, out)
        raise
    write_report(comparison, out)
    return comparison


def _check(options: dict[str, Any]) -> None:
    """Find out before any work whether the options can be used together."""
    try:
        check_schedules(options["lrs"], options["schedules"], options["cycles"])
    except BadInputError as error:
        raise UsageError(str(error)) from error
    check_folder(options["out"])


def _described(
    model: str | None, data: str | None, task: str | None, arguments: tuple[str, ...]
) -> tuple[Target, tuple[float | None, int | None]]:
    """Return the target, and the epochs or steps that its trainer was told."""
    from lrfind.cli.targets import LightningTargetOf, to_target

    target = to_target(model, data, task, arguments)
    if not isinstance(target, LightningTargetOf):
        return target, (None, None)
    epochs, steps = target.once.described.length
    return target, (None, steps) if steps is not None else (epochs, None)


def _teller(console: Console) -> Callable[[Event], None]:
    """Print a line as each run ends, where there is no terminal that shows bars."""

    def tell(event: Event) -> None:
        if console.is_terminal:
            return
        if event.kind in ("searching", "found"):
            console.print(f"{event.kind} a rate for {event.arm} {event.words}".rstrip(), markup=False)
        elif event.kind in ("kept", "finished", "failed", "died"):
            console.print(f"{event.kind}: {event.arm}, seed {event.seed} {event.words}".rstrip(), markup=False)

    return tell


def _conclude(comparison: Comparison, out: Path, *, as_json: bool) -> None:
    from lrfind.cli.views import say, show_comparison

    if as_json:
        print(json.dumps(comparison.to_dict(), indent=1))
        return
    console = Console(highlight=False)
    show_comparison(console, comparison)
    say(console, f"Report: {out / 'report.html'}")

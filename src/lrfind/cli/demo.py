"""``lrfind demo``: the experiment that the project starts from, on data that comes with it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from lrfind.cli.comparing import concluded
from lrfind.cli.faults import UsageError, check_folder, check_installed, spoken_faults
from lrfind.cli.options import parse_lrs

if TYPE_CHECKING:
    from lrfind.compare.comparison import Comparison
    from lrfind.compare.running import Event, OnEvent
    from lrfind.demo.data import Dataset


EPOCHS = {"fashion-mnist": 3, "digits": 30}
"""Of each run, by default: on two cores the whole is done in less than five minutes."""

MOST_JOBS = 4
"""Each process that trains has its own copy of the data."""


def demo(
    dataset: Annotated[str, typer.Option(help="auto, fashion-mnist or digits.")] = "auto",
    data_dir: Annotated[
        Path | None, typer.Option(help="Folder that holds FashionMNIST/raw; by default LRFIND_DATA, else the cache.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Where the report goes.")] = Path("runs/demo"),
    epochs: Annotated[int | None, typer.Option(help="Epochs of each run; by default 3, or 30 on digits.")] = None,
    seed: Annotated[int, typer.Option(help="Seeds the weights, the batches and the search.")] = 0,
    seeds: Annotated[int, typer.Option(help="How many seeds each rate is trained with, from --seed on.")] = 3,
    lrs: Annotated[str, typer.Option(help="The guessed rates, separated by commas.")] = "1e-5,1e-4,1e-1",
    jobs: Annotated[
        int | None, typer.Option(help="In how many processes to train at once; by default one a core, at most four.")
    ] = None,
) -> None:
    """Train LeNet at guessed learning rates and at the found ones, and write a report.

    ```text
    lrfind demo --seed 1 --lrs 1e-4,1e-2 --out runs/mine
    ```
    """
    with spoken_faults():
        where: Any = {"dataset": dataset, "data_dir": data_dir, "out": out}
        run_demo(parse_lrs(lrs), **where, epochs=epochs, seed=seed, seeds=seeds, jobs=jobs)


def run_demo(
    lrs: tuple[float, ...],
    *,
    dataset: str,
    data_dir: Path | None,
    out: Path,
    epochs: int | None,
    seed: int,
    seeds: int,
    jobs: int | None,
) -> None:
    """Run the experiment and write its report, also of the runs that were finished at Ctrl-C.

    Raises:
        LRFindError: If something cannot be used; the message says what to change.
        KeyboardInterrupt: At Ctrl-C.
    """
    for name, value, least in (("epochs", epochs, 1), ("seed", seed, 0), ("seeds", seeds, 1), ("jobs", jobs, 1)):
        if value is not None and value < least:
            raise UsageError(f"--{name} must be at least {least}, got {value}.")
    check_folder(out)
    check_installed("jinja2", "tensorboard", extra="demo")
    console = Console(markup=False)
    place = None if data_dir is None else str(data_dir)
    images = _load(console, dataset, place)
    from lrfind.demo.experiment import SCHEDULES, Experiment, run
    from lrfind.report import forget_report

    events = out / "tensorboard"
    experiment = Experiment(dataset=dataset, data_dir=place, tensorboard=events, seed=seed)
    forget_report(out)  # not before: a mistake in the options costs nobody a finished report
    runs = seeds * (len(lrs) + len(SCHEDULES))
    which: dict[str, Any] = {
        "seeds": tuple(range(seed, seed + seeds)),
        "epochs": epochs or EPOCHS[images.name],
        "jobs": jobs or min(os.cpu_count() or 1, MOST_JOBS, runs),
    }
    concluded(
        lambda tell: run(experiment, lrs=lrs, on_event=_with_curve(console, tell), **which),
        lambda comparison: _conclude(console, comparison, out, events),
        runs=runs,
    )


def _with_curve(console: Console, tell: OnEvent) -> OnEvent:
    """Return what tells of events, and shows the finding for a constant rate as soon as it is there."""

    def tell_and_show(event: Event) -> None:
        tell(event)
        if event.finding is not None and event.finding.schedule == "constant":
            from lrfind.cli.views import show_finding

            show_finding(console, event.finding)
            console.print()

    return tell_and_show


def _load(console: Console, name: str, data_dir: str | None) -> Dataset:
    """Load the data, and say at once what a person should know about it."""
    with Console(stderr=True).status("loading"):
        from lrfind.demo.experiment import dataset_of

        images = dataset_of(name, data_dir)
    if images.note:
        console.print(images.note, soft_wrap=True, highlight=False)
    return images


def _conclude(console: Console, comparison: Comparison, out: Path, events: Path) -> None:
    """Write the report, add to TensorBoard's files what only the end knows, and show what it all says."""
    from lrfind.cli.views import say, show_comparison
    from lrfind.compare.sentences import closing
    from lrfind.report import write_report
    from lrfind.report.loggers import write_tensorboard
    from lrfind.report.rows import labelled

    page = write_report(comparison, out)
    write_tensorboard(comparison, events)
    show_comparison(console, comparison)
    say(console, f"Report: {page}")
    say(console, f"TensorBoard: tensorboard --logdir {events}")
    if comparison.verdict.seeds == 1:
        say(console, "lrfind demo --seeds 3 trains with three seeds, which give intervals.")
    say(console, closing(labelled(comparison)), "bold")
    say(console, "Now for your own model: lrfind find --model train:Net --data train:Data")

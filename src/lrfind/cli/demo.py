"""``lrfind demo``: the experiment that the project starts from, on data that comes with it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from lrfind.cli.compare import concluded
from lrfind.cli.faults import UsageError, check_folder, check_installed, spoken_faults
from lrfind.cli.options import option, parse_lrs, takes

if TYPE_CHECKING:
    from lrfind.compare.comparison import Comparison
    from lrfind.compare.running import Event
    from lrfind.demo.data import Dataset

EPOCHS = {"fashion-mnist": 3, "digits": 30}
"""Of each run, by default: on two cores the whole is done in less than five minutes."""

MOST_JOBS = 4
"""Each process that trains has its own copy of the data."""


_OPTIONS = {
    "dataset": option(str, "auto", "auto, fashion-mnist or digits."),
    "data_dir": option(
        Path | None, None, "Folder that holds FashionMNIST/raw; by default LRFIND_DATA, else the cache."
    ),
    "out": option(Path, Path("runs/demo"), "Where the report goes."),
    "epochs": option(int | None, None, "Epochs of each run; by default 3, or 30 on digits."),
    "seed": option(int, 0, "Seeds the weights, the batches and the search."),
    "seeds": option(int, 3, "How many seeds each rate is trained with, from --seed on."),
    "lrs": option(str, "1e-5,1e-4,1e-1", "The guessed rates, separated by commas."),
    "jobs": option(int | None, None, "In how many processes to train at once; by default one a core, at most four."),
}


@takes(_OPTIONS)
def demo(**given: Any) -> None:
    """Train LeNet at guessed learning rates and at the found ones, and write a report.

    ```text
    lrfind demo --seed 1 --lrs 1e-4,1e-2 --out runs/mine
    ```
    """
    with spoken_faults():
        _run(**{**given, "lrs": parse_lrs(given["lrs"])})


def _run(lrs: tuple[float, ...], *, dataset: str, data_dir: Path | None, out: Path, **numbers: Any) -> None:
    """Run the experiment and write its report, also of the runs that were finished at Ctrl-C."""
    for name, value in numbers.items():
        least = 0 if name == "seed" else 1
        if value is not None and value < least:
            raise UsageError(f"--{name} must be at least {least}, got {value}.")
    check_folder(out)
    check_installed("jinja2", "tensorboard", extra="demo")
    console = Console(markup=False)
    place = None if data_dir is None else str(data_dir)
    images = _load(console, dataset, place)
    from lrfind.demo.experiment import SCHEDULES, Experiment, run
    from lrfind.report import forget_report

    seed, seeds, events = numbers["seed"], numbers["seeds"], out / "tensorboard"
    experiment = Experiment(dataset=dataset, data_dir=place, tensorboard=events, seed=seed)
    forget_report(out)  # not before: a mistake in the options costs nobody a finished report
    options: dict[str, Any] = {
        "seeds": tuple(range(seed, seed + seeds)),
        "epochs": numbers["epochs"] or EPOCHS[images.name],
        "jobs": numbers["jobs"] or min(os.cpu_count() or 1, MOST_JOBS, seeds * (len(lrs) + len(SCHEDULES))),
        "on_event": lambda event: _show_finding(console, event),
    }
    concluded(
        lambda: run(experiment, lrs=lrs, **options),
        lambda comparison: _conclude(console, comparison, out, events),
    )


def _show_finding(console: Console, event: Event) -> None:
    """Show the finding for a constant rate as soon as it is there."""
    from lrfind.cli.views import show_finding

    if event.finding is not None and event.finding.schedule == "constant":
        show_finding(console, event.finding)
        console.print()


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

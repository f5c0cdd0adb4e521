"""``lrfind demo``: the built-in experiment."""

import os
from pathlib import Path
from typing import Any

from rich.console import Console

from lrfind.cli.compare import reported
from lrfind.cli.faults import UsageError, check_folder, check_installed, misuse, spoken_faults, starting
from lrfind.cli.options import numbers, option
from lrfind.compare.arms import CYCLES, check_arms
from lrfind.flags import takes

EPOCHS = {"fashion-mnist": 3, "digits": 30}  # so that the default takes less than five minutes on two cores
MOST_JOBS = 4  # each process has its own copy of the data

_OPTIONS = {
    "dataset": option(str, "auto", "auto, fashion-mnist or digits."),
    "data_dir": option(Path | None, None, "Folder of FashionMNIST/raw; by default LRFIND_DATA, else the cache."),
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
        lrs, seed, seeds, out = numbers(given["lrs"], float, "--lrs"), given["seed"], given["seeds"], given["out"]
        for name, least in {"epochs": 1, "seed": 0, "seeds": 1, "jobs": 1}.items():
            if given[name] is not None and given[name] < least:
                raise UsageError(f"--{name} must be at least {least}, got {given[name]}.")
        with misuse():
            check_arms(lrs, (), CYCLES, variants=2)  # the two found arms count
        check_folder(out)
        check_installed("jinja2", "tensorboard", extra="demo")
        with starting():
            from lrfind.cli.views import show_finding
            from lrfind.compare import Event, compare
            from lrfind.demo.experiment import SCHEDULES, Experiment, dataset_of
            from lrfind.report import forget_report

            images = dataset_of(given["dataset"], given["data_dir"])
        console = Console(highlight=False)
        if images.note:
            console.print(images.note, soft_wrap=True, markup=False)

        def show(event: Event) -> None:
            if event.finding is not None and event.finding.schedule == "constant":
                show_finding(console, event.finding)
                console.print()

        experiment = Experiment(dataset=given["dataset"], data_dir=given["data_dir"], seed=seed)
        forget_report(out)  # only after the options have been checked
        options: dict[str, Any] = {
            "lrs": lrs,
            "schedules": SCHEDULES,
            "seeds": tuple(range(seed, seed + seeds)),
            "epochs": given["epochs"] or EPOCHS[images.name],
            "jobs": given["jobs"] or min(os.cpu_count() or 1, MOST_JOBS, seeds * (len(lrs) + len(SCHEDULES))),
            "on_event": show,
        }
        comparison = reported(lambda: compare(experiment, **options), out, tensorboard=True)
        if comparison.verdict.seeds == 1:
            print("lrfind demo --seeds 3 trains with three seeds, which give intervals.")
        print("Now for your own model: lrfind find --model train:Net --data train:Data")

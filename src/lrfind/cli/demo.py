"""``lrfind demo``: the experiment that the project starts from, on data that comes with it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from lrfind.cli.faults import UsageError, check_folder, spoken_faults
from lrfind.cli.options import parse_lrs
from lrfind.errors import LRFindError, MissingExtraError

if TYPE_CHECKING:
    from lrfind.demo.data import Dataset
    from lrfind.demo.experiment import Experiment, Report


def demo(
    dataset: Annotated[str, typer.Option(help="auto, fashion-mnist or digits.")] = "auto",
    data_dir: Annotated[
        Path | None, typer.Option(help="Folder that holds FashionMNIST/raw; by default LRFIND_DATA, else the cache.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Where the report goes.")] = Path("runs/demo"),
    epochs: Annotated[int | None, typer.Option(help="Epochs of each run; by default 5, or 30 on digits.")] = None,
    seed: Annotated[int, typer.Option(help="Seeds the weights, the batches and the search.")] = 0,
    lrs: Annotated[str, typer.Option(help="The guessed rates, separated by commas.")] = "1e-5,1e-4,1e-1",
) -> None:
    """Train LeNet at guessed learning rates and at the found one, and write a report.

    ```text
    lrfind demo --seed 1 --lrs 1e-4,1e-2 --out runs/mine
    ```
    """
    with spoken_faults():
        run_demo(parse_lrs(lrs), dataset=dataset, data_dir=data_dir, out=out, epochs=epochs, seed=seed)


def run_demo(
    lrs: tuple[float, ...], *, dataset: str, data_dir: Path | None, out: Path, epochs: int | None, seed: int
) -> None:
    """Run the experiment and write its report, also of the runs that were finished when it was cut short.

    Raises:
        LRFindError: If something cannot be used; the message says what to change.
        KeyboardInterrupt: At Ctrl-C.
    """
    if epochs is not None and epochs < 1:
        raise UsageError(f"--epochs must be at least 1, got {epochs}.")
    check_folder(out)
    check_extras()
    console = Console(markup=False)
    images = _load(console, dataset, data_dir)
    from lrfind.demo.experiment import Experiment, Settings
    from lrfind.report import forget_report

    experiment = Experiment(images, Settings(lrs, epochs or images.epochs, seed, out / "tensorboard"))
    forget_report(out)  # not before: a mistake in the options costs nobody a finished report
    try:
        with _progress(len(lrs) + 1) as experiment.report:
            experiment.run()
    except (Exception, KeyboardInterrupt) as error:
        cause = "Ctrl-C" if isinstance(error, KeyboardInterrupt) else f"{type(error).__name__}: {error}"
        with suppress(LRFindError):  # what cut the runs short is what is reported
            _conclude(console, experiment, out, cause)
        raise
    _conclude(console, experiment, out)


def _load(console: Console, name: str, data_dir: Path | None) -> Dataset:
    """Load the data, and say at once what a person should know about it."""
    with Console(stderr=True).status("loading"):
        from lrfind.demo.data import load

        images = load(name, data_dir)
    if images.note:
        console.print(images.note, soft_wrap=True, highlight=False)
    return images


@contextmanager
def _progress(runs: int) -> Iterator[Report]:
    """Show a bar per run in a terminal; print a line as each begins elsewhere."""
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    tasks: dict[str, TaskID] = {}
    columns = (TextColumn("{task.fields[run]:>8}"), BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:

        def report(name: str, done: int, total: int, words: str) -> None:
            if name not in tasks:
                tasks[name] = bar.add_task(words, run=name, total=total)
                if not console.is_terminal:
                    console.print(f"run {len(tasks)} of {runs}: {name}", highlight=False)
            bar.update(tasks[name], completed=done, total=total, description=words)

        yield report


def check_extras() -> None:
    """Find out before any work whether everything that the report needs is installed.

    Raises:
        MissingExtraError: If something is missing.
    """
    for package in ("jinja2", "tensorboard"):
        if find_spec(package) is None:
            raise MissingExtraError(package, "demo")


def _conclude(console: Console, experiment: Experiment, out: Path, cause: str = "") -> None:
    """Write the report of what was finished, and show its table."""
    from lrfind.report import Results, write_report

    finding = experiment.finding
    if finding is None or not experiment.runs:
        return
    wanted = len(experiment.settings.lrs) + 1
    missing = wanted - len(experiment.runs)
    notes = [experiment.dataset.note] if experiment.dataset.note else []
    if missing:
        notes.append(f"Cut short ({cause}): {missing} of {wanted} runs did not finish and are not shown.")
    results = Results(
        dataset=experiment.dataset.name,
        title=experiment.title,
        setting=experiment.setting,
        seed=experiment.settings.seed,
        finding=finding,
        runs=experiment.runs,
        environment=_environment(),
        notes=tuple(notes),
    )
    page = write_report(results, out)
    console.print(_table(results))
    console.print(str(finding), highlight=False, soft_wrap=True)
    for note in notes:
        console.print(note, highlight=False, soft_wrap=True)
    console.print(f"Report: {page}", highlight=False, soft_wrap=True)
    console.print(f"TensorBoard: tensorboard --logdir {out / 'tensorboard'}", highlight=False, soft_wrap=True)


def _table(results: Any) -> Any:
    from rich.table import Table

    from lrfind.compare.runs import best

    table = Table(title=f"{results.title}, {results.runs[0].epochs} epochs, seed {results.seed}")
    for heading in ("run", "lr applied", "val loss", "val accuracy", "test loss", "test accuracy", "time (s)"):
        table.add_column(heading, justify="left" if heading == "run" else "right", overflow="fold")
    winner = best(results.runs)
    for run in results.runs:
        least, greatest = run.lr_applied
        applied = f"{least:.3g}" if least == greatest else f"{least:.3g}..{greatest:.3g}"
        last = run.last
        table.add_row(
            run.name,
            applied,
            f"{last.val_loss:.4f}",
            f"{100 * last.val_accuracy:.2f} %",
            f"{run.test_loss:.4f}",
            f"{100 * run.test_accuracy:.2f} %",
            f"{run.seconds:.0f}",
            style="bold green" if run is winner else None,
        )
    return table


def _environment() -> dict[str, str]:
    import platform
    from importlib.metadata import version

    import torch

    from lrfind.lightning.framework import lightning_package

    capability = torch.backends.cpu.get_cpu_capability()
    packages = ("lrfind", "torch", lightning_package().__name__.split(".")[0], "numpy")
    return {
        **{name: version(name) for name in packages},
        "Python": platform.python_version(),
        "on": f"{platform.system()} {platform.machine()} ({capability}) with {os.cpu_count()} cores",
    }

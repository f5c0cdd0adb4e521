"""``lrfind find``: a learning rate for the user's own model and data; nothing is trained."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console

from lrfind.cli.faults import UsageError, check_file, refusals, spoken_faults
from lrfind.cli.options import BUILT_IN, Data, Json, Model, Task, check_bare, check_figure, check_words
from lrfind.errors import BadInputError
from lrfind.schedules import SCHEDULES
from lrfind.suggest import METHODS

if TYPE_CHECKING:
    from lrfind.records import Finding
    from lrfind.suggest.judging import Judgement

QUICK = 60
"""Steps of the shortest search whose mean regret was measured to be hardly worse: docs/choosing.md."""

_TRAINING = "How it will be trained"
_SEARCH = "How to search"
_OUTPUT = "What to do with the finding"


def find(
    context: typer.Context,
    model: Model = None,
    data: Data = None,
    task: Task = None,
    schedule: Annotated[
        str | None,
        typer.Option(
            help=f"What the rate will do: {', '.join(SCHEDULES)}. By default what the module's schedulers do.",
            rich_help_panel=_TRAINING,
        ),
    ] = None,
    total_steps: Annotated[
        int | None,
        typer.Option(
            "--total-steps", "--horizon", help="How many optimizer steps training will take.", rich_help_panel=_TRAINING
        ),
    ] = None,
    epochs: Annotated[
        float | None,
        typer.Option(
            help="Or how many passes over the data; by default --trainer.max_epochs.", rich_help_panel=_TRAINING
        ),
    ] = None,
    method: Annotated[
        str,
        typer.Option(help=f"The reading: {', '.join(METHODS)}.", rich_help_panel=_SEARCH),
    ] = "calibrated",
    min_lr: Annotated[float, typer.Option(help="The least rate to try.", rich_help_panel=_SEARCH)] = 1e-6,
    max_lr: Annotated[float, typer.Option(help="The greatest rate to try.", rich_help_panel=_SEARCH)] = 30.0,
    steps: Annotated[int, typer.Option(help="Optimizer steps of the range test.", rich_help_panel=_SEARCH)] = 128,
    seed: Annotated[int, typer.Option(help="Seeds the weights, batches and search.", rich_help_panel=_SEARCH)] = 0,
    strategy: Annotated[
        Literal["auto", "range"],
        typer.Option(help="One range test (range), or shorter ones beside it (auto).", rich_help_panel=_SEARCH),
    ] = "auto",
    quick: Annotated[
        bool,
        typer.Option(
            "--quick", help="One range test of 60 steps: --strategy range --steps 60.", rich_help_panel=_SEARCH
        ),
    ] = False,
    budget: Annotated[
        float | None,
        typer.Option(help="What auto may cost: a share of training below 1, else steps.", rich_help_panel=_SEARCH),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(help="Keep the search in this file; killed, it goes on from it.", rich_help_panel=_SEARCH),
    ] = None,
    lr: Annotated[
        float | None,
        typer.Option(help="Also judge this rate, say your own, by the same search.", rich_help_panel=_OUTPUT),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Keep the finding in this JSON file.", rich_help_panel=_OUTPUT)
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw the curve into this file: .png, .svg or .pdf.", rich_help_panel=_OUTPUT)
    ] = None,
    as_json: Json = False,
) -> None:
    """Find a learning rate for your model; nothing is trained, nothing moves.

    It takes all arguments of your classes and of Lightning's Trainer, as LightningCLI does: --model.NAME, --data.NAME,
    --trainer.NAME, --config FILE.yaml; --print_config lists them.

    ```text
    lrfind find --model train:Net --data train:Data --trainer.max_epochs 9
    lrfind find --config config.yaml --model.hidden 64 --out finding.json
    lrfind find --task train:make --schedule cosine --epochs 10
    lrfind find --task digits --quick
    ```
    """
    search: dict[str, Any] = {
        "method": method,
        "min_lr": min_lr,
        "max_lr": max_lr,
        "steps": steps,
        "seed": seed,
        "strategy": strategy,
    }
    given = {"schedule": schedule, "total_steps": total_steps, "epochs": epochs, "budget": budget, "resume": resume}
    if quick:
        search |= {"strategy": "range", "steps": QUICK}
    search |= {name: value for name, value in given.items() if value is not None}
    with spoken_faults():
        check_words(context, model, task)
        check_search(search)
        check_lr(lr)
        check_figure(plot)
        check_file(out, option="--out")
        check_file(plot, option="--plot")
        if task is not None and (model or data):
            raise UsageError("--task brings its own model and data; leave out --model and --data.")
        if task in BUILT_IN:
            finding, advice = find_built_in(str(task), tuple(context.args), search)
        elif task is not None:
            finding, advice = find_plain(task, tuple(context.args), search)
        else:
            finding, advice = find_lightning(model, data, tuple(context.args), search)
        judgement = None if lr is None else finding.judge(lr)
        _conclude(finding, judgement, advice, out=out, plot=plot, as_json=as_json)


def check_search(search: dict[str, Any]) -> None:
    """Find out before any work whether there can be such a search.

    Raises:
        UsageError: If an option is out of its range.
    """
    from lrfind.options import to_strategy

    try:
        to_strategy(**search)
    except BadInputError as error:
        raise UsageError(str(error)) from error


def check_lr(lr: float | None) -> None:
    """Find out before any work whether a rate can be judged.

    Raises:
        UsageError: If it is not positive and finite.
    """
    if lr is not None and not 0 < lr < math.inf:
        raise UsageError(f"--lr must be positive and finite, got {lr}.")


def find_plain(task: str, arguments: tuple[str, ...], search: dict[str, Any]) -> tuple[Finding, list[str]]:
    """Search for a plain PyTorch task; return the finding, and what to do with it.

    Raises:
        LRFindError: If something cannot be used; the message says what to change.
    """
    import lrfind
    from lrfind.cli.plain import DescribedTask
    from lrfind.isolation import seed_all

    what = DescribedTask(task, arguments)
    seed_all(search["seed"])
    finding = lrfind.find(**what.build(), **search)
    return finding, _unsaid(search, "--epochs or --total-steps")


def find_built_in(name: str, arguments: tuple[str, ...], search: dict[str, Any]) -> tuple[Finding, list[str]]:
    """Search for the demo's LeNet on one of its datasets, which trains as long as it does in the demo.

    Raises:
        LRFindError: If the data is not there, or arguments are given.
    """
    from lrfind import lightning
    from lrfind.demo.data import load
    from lrfind.demo.experiment import BATCH_SIZE
    from lrfind.demo.lenet import LeNet
    from lrfind.isolation import seed_all
    from lrfind.lightning.framework import TALKERS, lightning_package
    from lrfind.loop import quiet

    check_bare(name, arguments)
    images = load(name)
    seed_all(search["seed"])
    if not {"total_steps", "epochs"} & set(search):
        search = {**search, "epochs": images.epochs}
    with quiet(*TALKERS):
        trainer = lightning_package().Trainer(logger=False, enable_checkpointing=False)
        loader = images.loaders(batch_size=BATCH_SIZE, seed=0)[0]
        return lightning.find(trainer, LeNet(), loader, **search), []


def find_lightning(
    model: str | None, data: str | None, arguments: tuple[str, ...], search: dict[str, Any]
) -> tuple[Finding, list[str]]:
    """Search for a Lightning module; return the finding, and where its optimizer reads the rate.

    Raises:
        LRFindError: If something cannot be used; the message says what to change.
    """
    from lrfind import lightning
    from lrfind.cli.lightning import Described
    from lrfind.isolation import seed_all
    from lrfind.lightning.attributes import trace
    from lrfind.lightning.framework import TALKERS
    from lrfind.loop import quiet

    what = Described(model, data, arguments)
    seed_all(seed := what.seed(otherwise=search["seed"]))
    built = what.build()
    trainer = what.build_trainer(built)
    has_length = what.length != (None, None)
    if not (has_length or {"total_steps", "epochs"} & set(search)):
        search = {**search, "epochs": None}  # else the trainer's own default, a thousand, would pass for a wish
    with quiet(*TALKERS), refusals():
        search = {**search, "seed": seed}
        finding = lightning.find(trainer, built.model, datamodule=built.datamodule, **search)
        read = trace(built.model).read
    advice = [f"Train with it: the optimizer reads self.{read[0]} of {type(built.model).__name__}."] if read else []
    return finding, advice + _unsaid(search, "--trainer.max_epochs or --epochs", is_known=has_length)


def _unsaid(search: dict[str, Any], options: str, *, is_known: bool = False) -> list[str]:
    """Say what would make the rate fit better, where the length of training is not known."""
    if is_known or search.get("total_steps") or search.get("epochs"):
        return []
    return [f"How long training will be was not said; with {options}, the rate is chosen for that length."]


def _conclude(
    finding: Finding,
    judgement: Judgement | None,
    advice: list[str],
    *,
    out: Path | None,
    plot: Path | None,
    as_json: bool,
) -> None:
    from lrfind.cli.views import say, show_finding

    if out is not None:
        finding.save(out)
    if plot is not None:
        _draw(finding, plot)
    if as_json:
        said = {} if judgement is None else {"judgement": judgement.to_dict()}
        print(json.dumps(finding.to_dict() | said, indent=1))
        return
    console = Console(highlight=False)
    show_finding(console, finding)
    advice = ([] if judgement is None else [judgement.sentence]) + advice
    advice += [f"Written to {out}; lrfind show {out} shows it again."] if out else []
    advice += [f"Drawn in {plot}."] if plot else []
    for words in advice:
        say(console, words)


def _draw(finding: Finding, path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 4.6), layout="constrained")
    finding.plot(figure.subplots())
    figure.savefig(path, dpi=150)

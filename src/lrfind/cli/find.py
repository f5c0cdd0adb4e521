"""``lrfind find``: a learning rate for the user's own model and data."""

import json
import math
import shlex
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import typer
from rich.console import Console

from lrfind.cli.faults import UsageError, check_folder, misuse, spoken_faults, starting
from lrfind.cli.options import JSON, TRAINED, check_words, named, option
from lrfind.errors import LRFindError
from lrfind.flags import SEARCH, takes
from lrfind.records import Finding

QUICK = 60  # steps of the shortest search whose mean regret is hardly worse: docs/choosing.md

_FORMATS = (".png", ".svg", ".pdf")

_output = partial(option, panel="What to do with the finding")
_search = partial(option, panel="How to search")
_training = partial(option, panel="How it will be trained")

_OPTIONS = {
    **TRAINED,
    **{name: _search(*described) for name, described in SEARCH.items()},
    **{name: _training(*SEARCH[name]) for name in ("schedule", "epochs")},
    "total_steps": _training(*SEARCH["total_steps"], "--total-steps", "--horizon"),
    "quick": _search(bool, False, f"One range test of {QUICK} steps: --strategy range --steps {QUICK}.", "--quick"),
    "lr": _output(float | None, None, "Also judge this rate, say your own, by the same search."),
    "out": _output(Path | None, None, "Keep the finding in this JSON file."),
    "plot": _output(Path | None, None, f"Draw the curve into this file: {', '.join(_FORMATS)}."),
    "as_json": JSON,
}


@takes(_OPTIONS)
def find(context: typer.Context, **given: Any) -> None:
    """Find a learning rate for your model, which stays as it is.

    It takes all arguments of your classes and of Lightning's Trainer, as LightningCLI does: --model.NAME, --data.NAME,
    --trainer.NAME, --config FILE.yaml; --print_config lists them.

    ```text
    lrfind find --model train:Net --data train:Data --trainer.max_epochs 9
    lrfind find --config config.yaml --model.hidden 64 --out finding.json
    lrfind find --task train:make --schedule cosine --epochs 10
    lrfind find --task digits --quick
    ```
    """
    search = {name: given[name] for name in SEARCH if given[name] is not None}
    if given["quick"]:
        search |= {"strategy": "range", "steps": QUICK}
    with spoken_faults():
        check_words(context, is_named=bool(given["model"] or given["task"]))
        with starting():
            _check(search, given)
            chosen = named(given, tuple(context.args))
        if chosen.seed is not None:
            search["seed"] = chosen.seed
        if not {"total_steps", "epochs"} & set(search):
            search |= {name.replace("steps", "total_steps"): count for name, count in chosen.length.items()}
        finding = chosen.target.find(**search)
        _conclude(finding, [*filter(None, [chosen.advice(finding.lr)]), *_advice(finding, given, context.args)], given)


def _check(search: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    from lrfind.options import to_strategy

    with misuse():
        to_strategy(**search)
    if {"total_steps", "epochs"} <= set(search):
        raise UsageError("give --total-steps or --epochs, not both.")
    lr, plot = given["lr"], given["plot"]
    if lr is not None and not 0 < lr < math.inf:
        raise UsageError(f"--lr must be positive and finite, got {lr}.")
    if plot is not None and plot.suffix.lower() not in _FORMATS:
        raise UsageError(f"--plot {plot}: the name must end in one of {', '.join(_FORMATS)}.")
    for flag, path in {"--out": given["out"], "--plot": plot}.items():
        if path is not None and path.is_dir():
            raise LRFindError(f"{flag} {path} is a folder; name a file in it.")
        if path is not None:
            check_folder(path.parent, option=flag)


def _conclude(finding: Finding, advice: list[str], given: Mapping[str, Any]) -> None:
    from lrfind.cli.views import say, show_finding

    judgement = None if given["lr"] is None else finding.judge(given["lr"])
    if given["out"] is not None:
        advice.append(f"Written to {finding.save(given['out'])}; lrfind show {given['out']} shows it again.")
    if given["plot"] is not None:
        from lrfind.plots import curve_figure

        curve_figure(finding).savefig(given["plot"])
        advice.append(f"Drawn in {given['plot']}.")
    if given["as_json"]:
        said = {} if judgement is None else {"judgement": judgement.to_dict()}
        print(json.dumps(finding.to_dict() | said, indent=1))
        return
    console = Console(highlight=False)
    show_finding(console, finding)
    for words in [*([] if judgement is None else [judgement.sentence]), *advice]:
        say(console, words)


def _advice(finding: Finding, given: Mapping[str, Any], arguments: list[str]) -> list[str]:
    """Say how to compare rates where training is short."""
    from lrfind.strategies.notes import rates_to_try

    rates = rates_to_try(finding) if finding.schedule == "constant" else []  # rates given by hand are held constant
    if not rates:
        return []
    command = ["lrfind", "compare"]
    for name in (*TRAINED, "epochs", "total_steps"):
        if (value := given[name]) is not None:
            command += [f"--{name.removeprefix('total_')}", f"{value:g}" if isinstance(value, float) else str(value)]
    command += [*arguments, "--lrs", ",".join(rates), "--schedules", ""]
    if (out := given["out"]) is not None:
        command += ["--out", str(out.with_name(f"{out.stem}-compare"))]
    return [
        f"To compare these rates: {shlex.join(command)}",
        "If the lowest or the highest of them is best, go on in that direction: after so short a search, the best rate "
        "can be much further away.",
    ]

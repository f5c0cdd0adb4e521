"""The experiment of docs/experiment.md and the README: train what is missing, write the tables: ``make experiment``."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median
from typing import Any

import torch

from benchmarks.store import HERE
from lrfind.compare.comparison import Comparison
from lrfind.compare.function import compare
from lrfind.demo.experiment import SCHEDULES, Experiment
from lrfind.records import Finding

SEEDS = (0, 1, 2, 3, 4)
EPOCHS = 5
LRS = (1e-5, 1e-4, 1e-3, 2e-3, 1e-1)
RESULTS = HERE / "experiment.json"
PAGE, README = HERE.parent / "docs" / "experiment.md", HERE.parent / "README.md"

METRICS = ("val_loss", "val_accuracy", "test_loss", "test_accuracy")
ABOUT = {
    "1e-05": "1e-5, guessed",
    "0.0001": "1e-4, guessed",
    "0.001": "1e-3, Adam's default",
    "0.002": "2e-3, what the published run trained at",
    "0.1": "1e-1, guessed",
    "found": "found",
    "linear": "found for linear decay, under it",
}


def main() -> None:
    """Train what is missing of five seeds, keep the numbers, write the tables of the page and of the README."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/experiment"), help="where finished runs are kept")
    parser.add_argument("--jobs", type=int, default=2, help="in how many processes to train at once")
    parser.add_argument("--stored", action="store_true", help="run nothing, write the tables of what is stored")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if not arguments.stored:
        whole = trained(arguments.out, jobs=arguments.jobs)
        RESULTS.write_text(json.dumps([_results(one) for one in whole], indent=1) + "\n", encoding="utf-8")
    write(json.loads(RESULTS.read_text(encoding="utf-8")))


def trained(out: Path, *, jobs: int) -> list[Comparison]:
    """Train what is missing of every seed.

    Raises:
        RuntimeError: If a run failed.
    """
    whole = []
    for seed in SEEDS:
        whole.append(_train(seed, out / f"seed-{seed}", jobs))
        for failure in whole[-1].failures:
            raise RuntimeError(f"seed {seed}: {failure.arm} failed: {failure.error}")
    return whole


def write(results: list[dict[str, Any]]) -> None:
    """Write the tables into both pages."""
    for path, tables in ((PAGE, page_tables(results)), (README, {"experiment": readme_table(results)})):
        text = path.read_text(encoding="utf-8")
        for name, table in tables.items():
            text = replaced(text, name, table)
        path.write_text(text, encoding="utf-8")


def replaced(text: str, name: str, table: str) -> str:
    """Put a table between ``<!-- name -->`` and the ``<!-- end -->`` that follows it."""
    before, after = text.split(f"<!-- {name} -->\n", 1)
    return f"{before}<!-- {name} -->\n{table}\n{after[after.index('<!-- end -->') :]}"


def page_tables(results: list[dict[str, Any]]) -> dict[str, str]:
    """Return the tables of the page: the arms over all seeds, then each seed."""
    return {"arms": _arms_table(results), "seeds": _seeds_table(results), "linear": _linear_table(results)}


def readme_table(results: list[dict[str, Any]]) -> str:
    """Return the table of the README: medians over the seeds."""
    heading = "| LeNet on Fashion-MNIST, Adam, batch 64, 5 epochs | rate | validation loss | validation accuracy |"
    rows = [heading, "| --- | --- | --- | --- |"]
    for arm, words, lr in (("1e-05", "guessed", "1e-5"), ("0.0001", "guessed", "1e-4"), ("0.1", "guessed", "1e-1")):
        rows.append(f"| {words} | {lr} | {_of(results, arm, 'val_loss', _loss)} | {_percent(results, arm)} |")
    most = max(one["search_steps"] for one in results)
    for arm, words in (
        ("found", f"found, by a search of at most {most} steps"),
        ("linear", "found for linear decay, by the same search"),
    ):
        lr, loss = f"{median(one['lrs'][arm] for one in results):.2g}", _of(results, arm, "val_loss", _loss)
        rows.append(f"| **{words}** | **{lr}** | **{loss}** | **{_percent(results, arm)}** |")
    return "\n".join(rows)


def _train(seed: int, out: Path, jobs: int) -> Comparison:
    experiment = Experiment(dataset="fashion-mnist", seed=seed)
    return compare(experiment, lrs=LRS, schedules=SCHEDULES, seeds=(seed,), epochs=EPOCHS, out=out, jobs=jobs)


def _results(comparison: Comparison) -> dict[str, Any]:
    """What the pages say of one seed."""
    finding = _found(comparison)
    return {
        "seed": comparison.runs[0].seed,
        "range": [finding.base_lr, finding.max_lr],
        "search_steps": finding.cost.steps,
        "lrs": {arm.name: arm.lr for arm in comparison.arms},
        "arms": {one.arm: {name: round(one.final(name), 6) for name in METRICS} for one in comparison.runs},
        "environment": dict(comparison.environment),
    }


def _found(comparison: Comparison) -> Finding:
    if comparison.finding is None:
        raise RuntimeError(f"{comparison.title} was compared without a search.")
    return comparison.finding


def _arms_table(results: list[dict[str, Any]]) -> str:
    heading = "| rate | validation loss | validation accuracy, % | test loss | test accuracy, % |"
    rows = [heading, "| --- | --- | --- | --- | --- |"]
    for arm, words in ABOUT.items():
        found = f"{_span([one['lrs'][arm] for one in results], _rate)}, " if arm in ("found", "linear") else ""
        cells = (_of(results, arm, name, _accuracy if "accuracy" in name else _loss, _span) for name in METRICS)
        rows.append(f"| {found}{words} | {' | '.join(cells)} |")
    return "\n".join(rows)


def _seeds_table(results: list[dict[str, Any]]) -> str:
    heading = "| seed | found rate | range | search steps | at the found rate | at 1e-3 | at 2e-3 |"
    rows = [heading, "| --- | --- | --- | --- | --- | --- | --- |"]
    for one in results:
        arms = ("found", "0.001", "0.002")
        least = min(arms, key=lambda arm: one["arms"][arm]["val_loss"])
        ends = {arm: f"{_loss(m['val_loss'])}, {_accuracy(m['val_accuracy'])} %" for arm, m in one["arms"].items()}
        cells = (f"**{ends[arm]}**" if arm == least else ends[arm] for arm in arms)
        low, high = one["range"]
        start = f"| {one['seed']} | {_rate(one['lrs']['found'])} | {low:.2g} to {high:.2g} | {one['search_steps']} | "
        rows.append(f"{start}{' | '.join(cells)} |")
    return "\n".join(rows)


def _linear_table(results: list[dict[str, Any]]) -> str:
    heading = "| seed | found for a constant rate | found for linear decay | validation accuracy | test accuracy |"
    rows = [heading, "| --- | --- | --- | --- | --- |"]
    for one in results:
        end = one["arms"]["linear"]
        lrs = f"{_rate(one['lrs']['found'])} | {_rate(one['lrs']['linear'])}"
        ends = " | ".join(f"{_accuracy(end[name])} %" for name in ("val_accuracy", "test_accuracy"))
        rows.append(f"| {one['seed']} | {lrs} | {ends} |")
    return "\n".join(rows)


Show = Callable[[float], str]


def _middle(values: Iterable[float], show: Show) -> str:
    return show(median(values))


def _span(values: Iterable[float], show: Show) -> str:
    values = list(values)
    return f"{show(median(values))} ({show(min(values))} to {show(max(values))})"


def _of(results: list[dict[str, Any]], arm: str, metric: str, show: Show, sum_up: Callable[..., str] = _middle) -> str:
    return sum_up([one["arms"][arm][metric] for one in results], show)


def _percent(results: list[dict[str, Any]], arm: str) -> str:
    return f"{100 * median(one['arms'][arm]['val_accuracy'] for one in results):.1f} %"


def _loss(value: float) -> str:
    return f"{value:.4f}"


def _accuracy(value: float) -> str:
    return f"{100 * value:.2f}"


def _rate(value: float) -> str:
    return f"{value:.3g}"


if __name__ == "__main__":
    main()

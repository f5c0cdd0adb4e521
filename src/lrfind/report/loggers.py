"""A comparison in the tools that people watch training with: TensorBoard, and every logger of Lightning's."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import chain, count
from pathlib import Path
from typing import Any, Protocol

from lrfind.compare.comparison import Comparison
from lrfind.compare.runs import Arm, Run
from lrfind.errors import from_extra
from lrfind.loggers import Metrics, log_curve
from lrfind.records import Finding

SEARCH = "search"
"""What the logger of the search is called; no run is called so."""


class Logger(Metrics, Protocol):
    """The part of a Lightning logger that is used: each of Lightning's own has it."""

    def log_hyperparams(self, params: dict[str, Any]) -> None:
        """Take the settings of a run."""

    def finalize(self, status: str) -> None:
        """Write what is not written yet."""


def log_comparison(comparison: Comparison, open_logger: Callable[[str], Logger]) -> None:
    """Log every run of a comparison, and its search, each to a logger of its own.

    A run's logger gets each row's metrics and rate, the arm as hyperparameters, and the metrics at the end as
    ``final/...``. The search's gets the loss at each rate, and the curve as a figure where it takes figures.

    Args:
        comparison: A comparison.
        open_logger: Called with ``"search"`` and with names like ``"found/seed-0"``, that a folder can have; returns
            the logger, for example ``lambda name: CSVLogger("logs", name=name)``. It is finalized here.
    """
    if comparison.finding is not None:
        log_finding(open_logger(SEARCH), comparison.finding)
    names = _folder_names(comparison.arms)
    arms = {arm.name: arm for arm in comparison.arms}
    for run in comparison.runs:
        log_run(open_logger(f"{names[run.arm]}/seed-{run.seed}"), arms[run.arm], run)


def log_run(logger: Logger, arm: Arm, run: Run) -> None:
    """Log one run, what it was and its metrics at the end; finalize the logger."""
    for row in run.rows:
        logger.log_metrics({**row.metrics, "lr": row.lr}, step=row.step)
    about = {"arm": arm.name, "lr": arm.lr, "schedule": arm.schedule, "origin": arm.origin, "seed": run.seed}
    optional = {"base_lr": arm.base_lr, "cycles": arm.cycles}
    params = {**about, **{name: value for name, value in optional.items() if value is not None}}
    last = {**run.tested, **run.last.metrics}
    _log_settings(logger, params, {f"final/{name}": value for name, value in last.items()}, run.steps)
    logger.finalize("success")


def write_tensorboard(comparison: Comparison, folder: Path) -> None:
    """Write a comparison as TensorBoard event files, a folder per run; those of an earlier one there are removed.

    Raises:
        MissingExtraError: If TensorBoard is not installed.
    """
    forget_events(folder)
    log_comparison(comparison, lambda name: TensorBoard(folder / name))


def forget_events(folder: Path) -> None:
    """Remove the event files of an earlier comparison, which are known by their names; what else is there stays."""
    runs = [old for old in folder.glob("*/seed-*") if old.name.removeprefix("seed-").isdecimal()]
    for old in (folder / SEARCH, *runs):
        files = [*old.glob("events.out.tfevents.*"), *old.glob("hparams.yaml")]
        for file in files:
            file.unlink(missing_ok=True)
        for emptied in (old, old.parent) if files else ():
            if emptied != folder:
                with suppress(OSError):  # it is not empty
                    emptied.rmdir()


def log_finding(logger: Logger, finding: Finding) -> None:
    """Log a search: what was found, the loss at each rate, and the curve; finalize the logger."""
    low, high = finding.interval
    found = {"lr": finding.lr, "base_lr": finding.base_lr, "max_lr": finding.max_lr}
    about = {"interval_low": low, "interval_high": high, "method": finding.method, "schedule": finding.schedule}
    cost = {"cost/steps": float(finding.cost.steps), "cost/seconds": finding.cost.seconds}
    _log_settings(logger, {**found, **about}, cost, 0)
    log_curve(logger, finding)
    logger.finalize("success")


class TensorBoard:
    """A logger that writes TensorBoard's event files, without Lightning.

    Args:
        folder: Where they go.

    Raises:
        MissingExtraError: If TensorBoard is not installed.
    """

    def __init__(self, folder: Path) -> None:
        with from_extra("demo"):
            from torch.utils.tensorboard import SummaryWriter
        self.experiment: Any = SummaryWriter(str(folder))

    def log_hyperparams(self, params: dict[str, Any], metrics: Mapping[str, float] | None = None) -> None:
        """Write settings, and the metrics that TensorBoard is to show beside them."""
        from torch.utils.tensorboard.summary import hparams

        for summary in hparams(params, dict(metrics or {})):  # type: ignore[no-untyped-call]
            self.experiment._get_file_writer().add_summary(summary)
        self.log_metrics(dict(metrics or {}))

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Write numbers of a step."""
        for name, value in metrics.items():
            self.experiment.add_scalar(name, value, step)

    def finalize(self, status: str) -> None:
        """Close the file."""
        self.experiment.close()


def _log_settings(logger: Any, params: dict[str, Any], ends: dict[str, float], step: int) -> None:
    """TensorBoard's loggers show metrics beside the settings if they get them together; the others have no place."""
    if "metrics" in inspect.signature(logger.log_hyperparams).parameters:
        logger.log_hyperparams(params, metrics=ends)
    else:
        logger.log_hyperparams(params)
        logger.log_metrics(ends, step=step)


def _folder_names(arms: tuple[Arm, ...]) -> dict[str, str]:
    """Return a name for each arm that is safe as a folder's; no two are the same, even where case does not count."""
    names: dict[str, str] = {}
    taken = {SEARCH}
    for number, arm in enumerate(arms):
        name = re.sub(r"[^\w.+-]+", "-", arm.name).strip("-.")[:60] or "arm"
        tries = chain((name,), (f"{name}-{other}" for other in count(number)))
        names[arm.name] = next(free for free in tries if free.lower() not in taken)
        taken.add(names[arm.name].lower())
    return names

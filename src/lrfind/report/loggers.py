"""A comparison in TensorBoard and in Lightning's loggers."""

import inspect
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from lrfind.compare.comparison import Comparison
from lrfind.errors import from_extra
from lrfind.loggers import log_curve
from lrfind.records import Finding
from lrfind.report.rows import file_names

SEARCH = "search"  # the name of the logger of the search


def log_comparison(comparison: Comparison, open_logger: Callable[[str], Any]) -> None:
    """Log every run of a comparison, and its search, each to a logger of its own, and finalize it.

    A run is logged as the metrics and rate of each row, the arm as hyperparameters, and the last metrics as
    ``final/...``; the search as the loss at each rate, and a figure if the logger takes figures.

    Args:
        comparison: A comparison.
        open_logger: Called with ``"search"`` and names like ``"found/seed-0"``, valid as folders; returns a logger with
            the methods of Lightning's, for example ``lambda name: CSVLogger("logs", name=name)``.
    """
    if comparison.finding is not None:
        log_finding(open_logger(SEARCH), comparison.finding)
    arms = {arm.name: arm for arm in comparison.arms}
    names = file_names(arms, taken=[SEARCH])
    for run in comparison.runs:
        logger = open_logger(f"{names[run.arm]}/seed-{run.seed}")
        for row in run.rows:
            logger.log_metrics({**row.metrics, "lr": row.lr}, step=row.step)
        arm = {key: value for key, value in asdict(arms[run.arm]).items() if key != "name" and value not in (None, "")}
        ends = {f"final/{name}": value for name, value in {**run.tested, **run.last.metrics}.items()}
        _log_settings(logger, {"arm": run.arm, "seed": run.seed, **arm}, ends, run.steps)
        logger.finalize("success")


def log_finding(logger: Any, finding: Finding) -> None:
    """Log a search, and finalize the logger."""
    low, high = finding.interval
    found = {"lr": finding.lr, "base_lr": finding.base_lr, "max_lr": finding.max_lr}
    about = {"interval_low": low, "interval_high": high, "method": finding.method, "schedule": finding.schedule}
    cost = {"cost/steps": float(finding.cost.steps), "cost/seconds": finding.cost.seconds}
    _log_settings(logger, {**found, **about}, cost, 0)
    log_curve(logger, finding)
    logger.finalize("success")


def write_tensorboard(comparison: Comparison, folder: Path) -> None:
    """Write a comparison as TensorBoard event files, a folder per run, after removing earlier ones.

    Raises:
        MissingExtraError: If TensorBoard is not installed.
    """
    forget_events(folder)
    log_comparison(comparison, lambda name: _tensorboard(folder / name))


def forget_events(folder: Path) -> None:
    """Remove the event files of an earlier comparison, and the folders left empty."""
    runs = [old for old in folder.glob("*/seed-*") if old.name.removeprefix("seed-").isdecimal()]
    for old in (folder / SEARCH, *runs):
        files = [*old.glob("events.out.tfevents.*"), *old.glob("hparams.yaml")]
        for file in files:
            file.unlink(missing_ok=True)
        for emptied in (old, old.parent) if files else ():
            if emptied != folder:
                with suppress(OSError):  # it is not empty
                    emptied.rmdir()


def _tensorboard(folder: Path) -> Any:
    """Return a logger of TensorBoard event files that does not need Lightning."""
    with from_extra("demo"):
        from torch.utils.tensorboard import SummaryWriter
        from torch.utils.tensorboard.summary import hparams
    writer: Any = SummaryWriter(str(folder))

    def log_metrics(metrics: dict[str, float], step: int | None = None) -> None:
        for name, value in metrics.items():
            writer.add_scalar(name, value, step)

    def log_hyperparams(params: dict[str, Any], metrics: dict[str, float]) -> None:
        for summary in hparams(params, metrics):  # type: ignore[no-untyped-call]
            writer._get_file_writer().add_summary(summary)
        log_metrics(metrics)

    methods = {"log_metrics": log_metrics, "log_hyperparams": log_hyperparams}
    return SimpleNamespace(experiment=writer, finalize=lambda status: writer.close(), **methods)


def _log_settings(logger: Any, params: dict[str, Any], ends: dict[str, float], step: int) -> None:
    """Log hyperparameters and last metrics, in one call if the logger takes both, as TensorBoard's do."""
    if "metrics" in inspect.signature(logger.log_hyperparams).parameters:
        logger.log_hyperparams(params, metrics=ends)
    else:
        logger.log_hyperparams(params)
        logger.log_metrics(ends, step=step)

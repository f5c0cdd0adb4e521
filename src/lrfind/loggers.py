"""What a training's loggers get of a search: the rate, its interval, the loss at each rate, the curve."""

from contextlib import suppress
from typing import Any, Protocol

from lrfind.errors import LRFindError
from lrfind.plots import curve_figure
from lrfind.records import Finding


class Metrics(Protocol):
    """A logger of numbers, such as each of Lightning's."""

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Log numbers at a step."""


def log_search(logger: Metrics, finding: Finding, step: int = 0) -> None:
    """Log what a search found, at a step of training, and its curve."""
    low, high = finding.interval
    found = {"lr": finding.lr, "base_lr": finding.base_lr, "max_lr": finding.max_lr}
    found |= {"interval_low": low, "interval_high": high, "steps": float(finding.cost.steps)}
    logger.log_metrics({f"lrfind/{name}": value for name, value in found.items()}, step=step)
    log_curve(logger, finding, step)


def log_curve(logger: Metrics, finding: Finding, step: int = 0) -> None:
    """Log the loss at each rate, and the curve by each tool's own method: Lightning's interface has no figures."""
    tried = [pair for record in finding.records for pair in zip(record.lrs, record.losses, strict=True)]
    for at, (lr, loss) in enumerate(tried, step):
        logger.log_metrics({"range_test/lr": lr, "range_test/loss": loss}, step=at)
    with suppress(ImportError, LRFindError):  # no matplotlib, or no curve: training goes on without the picture
        experiment: Any = getattr(logger, "experiment", None)
        if hasattr(experiment, "add_figure"):  # TensorBoard
            experiment.add_figure("rate curve", curve_figure(finding), step)
        elif hasattr(logger, "log_image"):  # Weights & Biases
            logger.log_image(key="rate curve", images=[curve_figure(finding)])
        elif hasattr(experiment, "log_figure") and hasattr(logger, "run_id"):  # MLflow
            experiment.log_figure(logger.run_id, curve_figure(finding), "rate-curve.png")

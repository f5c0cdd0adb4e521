"""Trains the same network at guessed rates and at the found one, and keeps what happened."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch.utils.data import DataLoader

from lrfind.compare.runs import Row, Run
from lrfind.demo.data import Dataset
from lrfind.demo.lenet import LeNet
from lrfind.lightning import LRFinder, VerifyLR
from lrfind.lightning.framework import TALKERS, callback_bases, fit, lightning_package
from lrfind.loop import quiet
from lrfind.records import Finding

BATCH_SIZE = 64

Report = Callable[[str, int, int, str], None]
"""Told the run's name, the steps done, the steps in all and a few words, for showing progress."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What to run.

    Attributes:
        lrs: The guessed rates, positive.
        epochs: How long each run trains.
        seed: Seeds the initial weights, the batch order and the search.
        tensorboard: Where the event files go, a folder per run; those of earlier runs are removed.
    """

    lrs: tuple[float, ...]
    epochs: int
    seed: int
    tensorboard: Path


class Experiment:
    """The runs of one experiment, in the order they finish; what is finished survives an interruption.

    Attributes:
        finding: The finding of the found run, once it has trained.
        runs: The finished runs, the guessed rates in the order given and the found one last.
    """

    def __init__(self, dataset: Dataset, settings: Settings, report: Report = lambda *_: None) -> None:
        self.dataset, self.settings, self.report = dataset, settings, report
        self.finding: Finding | None = None
        self.runs: tuple[Run, ...] = ()

    @property
    def title(self) -> str:
        """What is trained on what, for people."""
        return f"{LeNet.__name__} on {self.dataset.title}"

    @property
    def setting(self) -> str:
        """What all runs have in common, in a sentence."""
        epochs = "1 epoch" if self.settings.epochs == 1 else f"{self.settings.epochs} epochs"
        return (
            f"Each run: Adam, batches of {BATCH_SIZE}, {epochs} at a constant rate; "
            f"the same initial weights, the same batches."
        )

    def run(self) -> None:
        """Search, train the found run, then the guessed ones.

        Raises:
            KeyboardInterrupt: At Ctrl-C; ``finding`` and ``runs`` hold what was finished.
        """
        _forget(self.settings.tensorboard)
        with quiet(*TALKERS):
            finder = LRFinder(seed=self.settings.seed, progress=False)
            found = self._train("found", None, finder)
            self.finding = finder.finding
            self.runs = (found,)
            for lr in self.settings.lrs:
                run = self._train(repr(lr), lr, VerifyLR(lr))
                self.runs = (*self.runs[:-1], run, found)

    def _train(self, name: str, lr: float | None, rate: VerifyLR) -> Run:
        torch.manual_seed(self.settings.seed)
        module = LeNet() if lr is None else LeNet(lr)
        train, validation, test = self.dataset.loaders(batch_size=BATCH_SIZE, seed=self.settings.seed)
        history = _History(rate, name, self.report)
        trainer = self._trainer(name, [rate, history], 0.5 if len(train) % 2 == 0 else 1.0)
        self.report(name, 0, 1, "searching a rate" if isinstance(rate, LRFinder) else "starting")
        fit(trainer, module, train_dataloaders=train, val_dataloaders=validation)
        seconds = perf_counter() - history.start
        tested = _measure(module, test)
        return Run(
            name=name,
            lr=module.lr,
            lr_applied=rate.span,
            schedule="constant",
            epochs=self.settings.epochs,
            seconds=seconds,
            test_loss=tested["loss"],
            test_accuracy=tested["accuracy"],
            rows=tuple(history.rows),
        )

    def _trainer(self, name: str, callbacks: list[Any], val_check_interval: float) -> Any:
        pl = lightning_package()
        return pl.Trainer(
            max_epochs=self.settings.epochs,
            val_check_interval=val_check_interval,
            callbacks=callbacks,
            logger=pl.loggers.TensorBoardLogger(self.settings.tensorboard, name="", version=name),
            num_sanity_val_steps=0,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )


class _History(*callback_bases()):  # type: ignore[misc]
    """Keeps a row per validation, logs it, and reports progress."""

    def __init__(self, rate: VerifyLR, name: str, report: Report) -> None:
        self.rate, self.name, self.report = rate, name, report
        self.rows: list[Row] = []
        self.start = perf_counter()
        self._loss: list[float] = []
        self._accuracy: list[float] = []

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        self.start = perf_counter()

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self._loss.append(float(outputs["loss"]))
        self._accuracy.append(float(outputs["accuracy"]))
        if trainer.global_step % 10 == 0:
            self.report(self.name, trainer.global_step, int(trainer.estimated_stepping_batches), self._words())

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        metrics = trainer.callback_metrics
        row = Row(
            step=trainer.global_step,
            epoch=trainer.global_step / trainer.num_training_batches,
            lr=float(trainer.optimizers[0].param_groups[0]["lr"]),
            train_loss=_mean(self._loss),
            train_accuracy=_mean(self._accuracy),
            val_loss=float(metrics["val_loss"]),
            val_accuracy=float(metrics["val_accuracy"]),
        )
        self.rows.append(row)
        self._loss, self._accuracy = [], []
        logged = {"lr": row.lr, "train_loss": row.train_loss, "train_accuracy": row.train_accuracy}
        trainer.logger.log_metrics(logged, step=row.step)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        self.report(self.name, trainer.global_step, trainer.global_step, self._words())

    def _words(self) -> str:
        last = [f"validation loss {self.rows[-1].val_loss:.3f}"] if self.rows else []
        now = [f"loss {_mean(self._loss[-50:]):.3f}"] if self._loss else []
        return ", ".join([*now, *last])


def _forget(folder: Path) -> None:
    """Remove the event files of earlier runs, which are known by their names; what else is there stays."""
    for old in folder.glob("*"):
        with suppress(ValueError):
            if old.name == "found" or old.name == repr(float(old.name)):
                shutil.rmtree(old, ignore_errors=True)


@torch.inference_mode()
def _measure(module: LeNet, loader: DataLoader[Any]) -> dict[str, float]:
    """Return the mean loss and accuracy over all data of a loader."""
    module.eval()
    totals = {"loss": 0.0, "accuracy": 0.0, "size": 0.0}
    for batch in loader:
        totals["size"] += len(batch[1])
        for name, mean in module.measure(batch).items():
            totals[name] += float(mean) * len(batch[1])
    return {name: total / totals["size"] for name, total in totals.items()}


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else float("nan")

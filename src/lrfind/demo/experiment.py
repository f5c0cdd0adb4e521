"""Trains the same network at guessed rates and at the found one, and keeps what happened."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

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
        tensorboard: Where the event files go, a folder per run.
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

    def run(self) -> None:
        """Search, train the found run, then the guessed ones.

        Raises:
            KeyboardInterrupt: At Ctrl-C; ``finding`` and ``runs`` hold what was finished.
        """
        with quiet(*TALKERS):
            finder = LRFinder(seed=self.settings.seed, progress=False)
            found = self._train("found", None, finder)
            self.finding = finder.finding
            self.runs = (found,)
            for lr in self.settings.lrs:
                run = self._train(f"{lr:g}", lr, VerifyLR(lr))
                self.runs = (*self.runs[:-1], run, found)

    def _train(self, name: str, lr: float | None, rate: VerifyLR) -> Run:
        settings, pl = self.settings, lightning_package()
        torch.manual_seed(settings.seed)
        module = LeNet() if lr is None else LeNet(lr)
        train, validation = self.dataset.loaders(batch_size=BATCH_SIZE, seed=settings.seed)
        shutil.rmtree(settings.tensorboard / name, ignore_errors=True)
        history = _History(rate, name, self.report)
        trainer = pl.Trainer(
            max_epochs=settings.epochs,
            val_check_interval=0.5 if len(train) % 2 == 0 else 1.0,
            callbacks=[rate, history],
            logger=pl.loggers.TensorBoardLogger(settings.tensorboard, name="", version=name),
            num_sanity_val_steps=0,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        self.report(name, 0, 1, "searching a rate" if isinstance(rate, LRFinder) else "starting")
        fit(trainer, module, train_dataloaders=train, val_dataloaders=validation)
        return Run(
            name=name,
            lr=module.lr,
            lr_applied=rate.span,
            schedule="constant",
            epochs=settings.epochs,
            seconds=perf_counter() - history.start,
            rows=tuple(history.rows),
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


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else float("nan")

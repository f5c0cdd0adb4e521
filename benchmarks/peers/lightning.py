"""PyTorch Lightning's ``Tuner.lr_find``, as it ships."""

from __future__ import annotations

import logging
import math
import tempfile
import warnings
from typing import Any

from benchmarks.peer import Peer, Suggestion
from benchmarks.task import Task


def suggest(task: Task, schedule: str, seed: int) -> Suggestion:
    """Drive ``Tuner.lr_find`` with its defaults: 100 steps from 1e-8 to 1."""
    import lightning.pytorch as pl
    from lightning.pytorch.tuner import Tuner

    class Module(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.lr = 1e-3
            self.net, (self.optimizer,) = task.begin(seed, self.lr)

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            loss = task.loss(self.net(batch[0]), batch[1])
            return None if task.skips and not math.isfinite(loss.item()) else loss

        def configure_optimizers(self) -> Any:
            for group in self.optimizer.param_groups:
                group["lr"] = self.lr
            return self.optimizer

    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = Module()
        trainer = pl.Trainer(
            accelerator="cpu",
            devices=1,
            max_epochs=-1,
            gradient_clip_val=task.clip,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=folder,
        )
        finder = Tuner(trainer).lr_find(module, task.loader(seed))
    if finder is None:
        return Suggestion(None, 0)
    return Suggestion(finder.suggestion(), len(finder.results["lr"]))


PEERS = (Peer("Lightning", suggest),)

"""How each loop of the matrix trains a cell, with a probe before the first step and without."""

from __future__ import annotations

import gc
import random
import warnings
from importlib import import_module

import numpy as np
import pytest
import torch
from matrix_nets import BATCH, OPTIMIZERS, SCHEDULERS, Net, Points, Trouble, loader_of, plain, remains
from torch import nn
from torch.optim import lr_scheduler as schedulers
from torch.utils.data import default_collate
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from lrfind.huggingface.inner import end_workers
from lrfind.huggingface.loop import HuggingFaceLoop
from lrfind.lightning.loop import LightningLoop
from lrfind.pytorch import PyTorchLoop
from lrfind.records import Probe
from lrfind.schedules import ramp

STEPS = 24

gc.freeze()  # each Trainer of transformers collects garbage when it begins, which is slow where so much is loaded


def probe_of(exit):
    return Probe(ramp(1e-2, 1e8, STEPS) if exit == "diverged" else ramp(1e-8, 1e-5, STEPS), seed=3)


def expect(exit, run):
    """Run a probe and check that it ends as it should."""
    raised = {"exception": Trouble, "Ctrl-C": KeyboardInterrupt}.get(exit)
    Net.is_probed = True
    try:
        if raised:
            with pytest.raises(raised):
                run()
            return
        stop = run().stop
    finally:
        Net.is_probed = False
    assert stop in {"done": ("done",), "diverged": ("diverged", "non-finite"), "NaN": ("non-finite",)}[exit]


def seed_everything():
    torch.manual_seed(11)
    random.seed(11)
    np.random.seed(11)


def train_pytorch(cell, isolation):
    """Train as plain PyTorch users do; with an isolation, after a probe."""
    seed_everything()
    net, loader = Net(cell.model, cell.exit), loader_of(cell.data)
    optimizers = OPTIMIZERS[cell.optimizer]([one for one in net.parameters() if one.requires_grad])
    drivers = [SCHEDULERS[cell.training](one) for one in optimizers] if cell.training in SCHEDULERS else []
    losses, count, every = [], 0, 2 if cell.training == "accumulation" else 1

    def step(model, steppers, batch):
        nonlocal count
        count += 1

        def closure():
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=cell.training == "bf16"):
                loss = model.loss(batch)
            if cell.optimizer == "LBFGS":
                for one in steppers:
                    one.zero_grad()
            (loss / every).backward()
            if cell.training == "clipping":
                nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            return loss

        loss = None if cell.optimizer == "LBFGS" else closure()
        if count % every == 0:
            loss = steppers[0].step(closure) if cell.optimizer == "LBFGS" else loss
            for one in steppers if cell.optimizer != "LBFGS" else ():
                one.step()
                one.zero_grad()
            for one in drivers:
                one.step(*([loss.detach()] if isinstance(one, schedulers.ReduceLROnPlateau) else []))
        elif loss is None:
            loss = closure()
        losses.append(loss.item())
        return loss

    if isolation:
        loop = PyTorchLoop(net, optimizers, loader, step=step, isolation=isolation)
        expect(cell.exit, lambda: loop.run(probe_of(cell.exit)))
    for _ in range(2):
        for batch in loader:
            step(net, optimizers, batch)
    return remains(net, optimizers, drivers, losses)


def module_of(pl, cell):
    """The same network as a module that is trained by Lightning; two optimizers are stepped by hand."""

    class Module(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.net, self.losses, self.calls = Net(cell.model, cell.exit), [], 0
            self.automatic_optimization = cell.optimizer != "two"

        def training_step(self, batch, batch_idx):
            loss = self.net.loss(batch)
            self.losses.append(loss.item())
            if not self.automatic_optimization:
                self.by_hand(loss)
            return loss

        def by_hand(self, loss):
            every = 2 if cell.training == "accumulation" else 1
            self.calls += 1
            self.manual_backward(loss / every)
            if cell.training == "clipping":
                nn.utils.clip_grad_norm_(self.parameters(), 0.5)
            if self.calls % every == 0:
                for one in self.optimizers():
                    one.step()
                    one.zero_grad()
                for one in self.lr_schedulers() or ():
                    one.step(*([loss.detach()] if isinstance(one, schedulers.ReduceLROnPlateau) else []))

        def configure_optimizers(self):
            optimizers = OPTIMIZERS[cell.optimizer]([one for one in self.parameters() if one.requires_grad])
            if cell.training not in SCHEDULERS:
                return optimizers
            drivers = [SCHEDULERS[cell.training](one) for one in optimizers]
            is_plateau = cell.training == "ReduceLROnPlateau"
            extra = {"monitor": "loss", "strict": False, "reduce_on_plateau": True} if is_plateau else {}
            return optimizers, [{"scheduler": one, "interval": "step", **extra} for one in drivers]

        def on_train_batch_start(self, batch, batch_idx):
            self.log("loss", float(self.losses[-1]) if self.losses else 1.0)

    return Module()


def train_lightning(cell, isolation, package):
    """Train with a Trainer; with an isolation, a probe runs when ``fit`` starts."""
    pl = import_module({"lightning": "lightning.pytorch"}.get(package, package))

    class ProbeFirst(pl.Callback):
        def on_fit_start(self, trainer, pl_module):
            loop = LightningLoop(trainer, pl_module, loader, isolation=isolation, is_fitting=True)
            expect(cell.exit, lambda: loop.run(probe_of(cell.exit)))

    seed_everything()
    module, loader = module_of(pl, cell), loader_of(cell.data)
    by_hand = cell.optimizer == "two"
    trainer = pl.Trainer(
        max_epochs=2,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        precision="bf16-mixed" if cell.training == "bf16" else "32-true",
        accumulate_grad_batches=2 if cell.training == "accumulation" and not by_hand else 1,
        gradient_clip_val=0.5 if cell.training == "clipping" and not by_hand else None,
        callbacks=[ProbeFirst()] if isolation else [],
    )
    trainer.fit(module, loader)
    drivers = [config.scheduler for config in trainer.lr_scheduler_configs]
    return {**remains(module.net, trainer.optimizers, drivers, module.losses), "steps": trainer.global_step}


class Taught(Trainer):
    """A Trainer that keeps its losses, and has a sampler of its own where it is given one."""

    def __init__(self, *args, sampler=None, **options):
        self.losses, self.sampler = [], sampler
        super().__init__(*args, **options)

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        loss = model.loss((inputs["x"], inputs["y"]))
        self.losses.append(loss.item())
        return (loss, {}) if return_outputs else loss

    def _get_train_sampler(self, *args):
        return self.sampler or super()._get_train_sampler(*args)


def collated(rows):
    return dict(zip(("x", "y"), default_collate(rows), strict=True))


def arguments_of(cell):
    """What a Trainer is told of a cell; a plateau is looked for at the end of each epoch."""
    every = 2 if cell.training == "accumulation" else 1
    return TrainingArguments(
        ".",
        per_device_train_batch_size=BATCH,
        num_train_epochs=2,
        max_steps=12 // every if cell.data == "iterable" else -1,
        gradient_accumulation_steps=every,
        max_grad_norm=0.5 if cell.training == "clipping" else 0.0,
        bf16=cell.training == "bf16",
        use_cpu=True,
        dataloader_num_workers=int(cell.data == "workers"),
        dataloader_persistent_workers=cell.data == "workers",
        dataloader_pin_memory=False,
        accelerator_config={"use_seedable_sampler": cell.data != "sampler"},
        eval_strategy="epoch" if cell.training == "ReduceLROnPlateau" else "no",
        metric_for_best_model="loss",
        label_names=["y"],
        save_strategy="no",
        logging_strategy="no",
        report_to=[],
        disable_tqdm=True,
        seed=11,
    )


def train_huggingface(cell, isolation):
    """Train with a Trainer of transformers; with an isolation, a probe runs when ``train`` begins."""

    class ProbeFirst(TrainerCallback):
        def on_train_begin(self, args, state, control, **kwargs):
            loop = HuggingFaceLoop(trainer, isolation=isolation, is_training=True)
            expect(cell.exit, lambda: loop.run(probe_of(cell.exit)))

    seed_everything()
    net, loader = Net(cell.model, cell.exit), loader_of(cell.data)
    optimizers = OPTIMIZERS[cell.optimizer]([one for one in net.parameters() if one.requires_grad])
    optimizer = optimizers[0] if len(optimizers) == 1 else optimizers
    trainer = Taught(
        net,
        arguments_of(cell),
        data_collator=collated,
        train_dataset=loader.dataset,
        eval_dataset=Points(16),
        sampler=loader.sampler if cell.data == "sampler" else None,
        optimizers=(optimizer, SCHEDULERS[cell.training](optimizer) if cell.training in SCHEDULERS else None),
        callbacks=[ProbeFirst()] if isolation else [],
    )
    trainer.remove_callback(PrinterCallback)
    mean = trainer.train().training_loss
    end_workers(trainer)
    state = {name: value for name, value in vars(trainer.state).items() if name != "log_history"}
    return {**remains(net, optimizers, [trainer.lr_scheduler], trainer.losses), "state": plain([mean, state])}


def train(loop, cell, *, probe):
    """Train a cell in a loop."""
    package, _, isolation = loop.partition(" ")
    isolation = (isolation or "copy") if probe else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if package == "pytorch":
            return train_pytorch(cell, isolation)
        if package == "huggingface":
            return train_huggingface(cell, isolation)
        return train_lightning(cell, isolation, package)

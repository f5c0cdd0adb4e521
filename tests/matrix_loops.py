"""How each loop of the matrix trains a cell, with a probe before the first step and without."""

from __future__ import annotations

import gc
import os
import random
import warnings
from importlib import import_module
from unittest.mock import patch

import matrix_nets as nets
import numpy as np
import pytest
import torch
from matrix_nets import BATCH, OPTIMIZERS, SCHEDULERS, Loss, Net, Points, Trouble
from torch import nn
from torch.optim import lr_scheduler as schedulers
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from lrfind.huggingface.inner import base_of
from lrfind.huggingface.loop import HuggingFaceLoop
from lrfind.isolation import end_workers
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
    Loss.is_probed = True
    try:
        if raised:
            with pytest.raises(raised):
                run()
            return
        stop = run().stop
    finally:
        Loss.is_probed = False
    assert stop in {"done": ("done",), "diverged": ("diverged", "non-finite"), "NaN": ("non-finite",)}[exit]


def seed_everything():
    torch.manual_seed(11)
    random.seed(11)
    np.random.seed(11)


class Shifting:
    """A user's callback, which shifts each loss as its state says."""

    def on_batch(self, net):
        if hasattr(self, "dice"):
            net.shift = nets.move(self)


class Parts:
    """What a cell trains, and with what, made anew."""

    def __init__(self, cell, callback):
        seed_everything()
        torch._dynamo.reset()  # what other cells have compiled counts as compiled anew, and too often
        self.cell, self.callback = cell, callback
        self.net, self.loader = Net(cell.model, cell.step), nets.loader_of(cell)
        self._place = nets.place_of(cell.state, self.net, self.loader, callback)
        self.loss = Loss(cell, self.net, nets.mover_of(cell.state, self._place))

    def optimizers(self):
        return OPTIMIZERS[self.cell.optimizer]([one for one in self.net.parameters() if one.requires_grad])

    def schedulers(self, optimizers):
        kind = SCHEDULERS.get(self.cell.training)
        return [kind(one) for one in optimizers] if kind else []

    def compiled(self, model):
        is_compiled = self.cell.step == "compiled model"
        return torch.compile(model, backend=nets.BACKEND) if is_compiled else model

    def remains(self, optimizers, drivers):
        seen = nets.seen_in(self.cell.state, self._place)
        return nets.remains(self.net, optimizers, drivers, self.loss.losses, seen)


def train_pytorch(cell, is_probed):
    """Train as plain PyTorch users do; after a probe, if asked."""
    parts = Parts(cell, Shifting())
    net, loss_of, callback = parts.compiled(parts.net), parts.loss, parts.callback
    optimizers = parts.optimizers()
    drivers = parts.schedulers(optimizers)
    count, every = 0, 2 if cell.training == "accumulation" else 1

    def step(model, steppers, batch):
        nonlocal count
        count += 1
        callback.on_batch(loss_of.net)

        def closure():
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=cell.training == "bf16"):
                loss = loss_of(model, batch)
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
        return loss

    if is_probed:
        loop = PyTorchLoop(net, optimizers, parts.loader, step=step)
        expect(cell.exit, lambda: loop.run(probe_of(cell.exit)))
    for _ in range(2):
        for batch in parts.loader:
            step(net, optimizers, batch)
    return parts.remains(optimizers, drivers)


def module_of(pl, parts):
    """The same network as a module that is trained by Lightning; two optimizers are stepped by hand."""
    cell, loss_of = parts.cell, parts.loss

    class Module(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.net, self.calls = parts.net, 0
            self.automatic_optimization = cell.optimizer != "two"

        def training_step(self, batch, batch_idx):
            loss = loss_of(self.net, batch)
            if not self.automatic_optimization:
                self.by_hand(loss)
            return loss

        @torch.compiler.disable
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
            optimizers = parts.optimizers()
            is_plateau = cell.training == "ReduceLROnPlateau"
            extra = {"monitor": "loss", "strict": False, "reduce_on_plateau": True} if is_plateau else {}
            drivers = parts.schedulers(optimizers)
            return optimizers, [{"scheduler": one, "interval": "step", **extra} for one in drivers]

        def on_train_batch_start(self, batch, batch_idx):
            self.log("loss", loss_of.losses[-1] if loss_of.losses else 1.0)

    return Module()


def train_lightning(cell, is_probed, package):
    """Train with a Trainer; if asked, a probe runs when ``fit`` starts."""
    pl = import_module({"lightning": "lightning.pytorch"}.get(package, package))

    class ProbeFirst(pl.Callback):
        def on_fit_start(self, trainer, pl_module):
            loop = LightningLoop(trainer, pl_module, parts.loader, is_fitting=True)
            expect(cell.exit, lambda: loop.run(probe_of(cell.exit)))

    class User(Shifting, pl.Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            self.on_batch(pl_module.net)

    parts = Parts(cell, User())
    module, by_hand = module_of(pl, parts), cell.optimizer == "two"
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
        callbacks=[*([ProbeFirst()] if is_probed else []), parts.callback],
    )
    trainer.fit(parts.compiled(module), parts.loader)
    drivers = [config.scheduler for config in trainer.lr_scheduler_configs]
    return {**parts.remains(trainer.optimizers, drivers), "steps": trainer.global_step}


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
        accelerator_config={"use_seedable_sampler": "sampler" not in (cell.data, cell.state)},
        eval_strategy="epoch" if cell.training == "ReduceLROnPlateau" else "no",
        metric_for_best_model="loss",
        label_names=["y"],
        save_strategy="no",
        logging_strategy="no",
        report_to=[],
        disable_tqdm=True,
        torch_compile_backend=nets.BACKEND if cell.step == "compiled model" else None,
        seed=11,
    )


def trainer_of(parts, callbacks):
    """A Trainer that trains a cell, with a sampler of its own where the cell asks for one."""
    cell, loss_of, loader, optimizers = parts.cell, parts.loss, parts.loader, parts.optimizers()
    is_drawn = "sampler" in (cell.data, cell.state)

    class Taught(Trainer):
        def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
            loss = loss_of(model, (inputs["x"], inputs["y"]))
            return (loss, {}) if return_outputs else loss

        def _get_train_sampler(self, *args):
            return loader.sampler if is_drawn else super()._get_train_sampler(*args)

    optimizer = optimizers[0] if len(optimizers) == 1 else optimizers
    trainer = Taught(
        parts.net,
        arguments_of(cell),
        data_collator=lambda rows: dict(zip(("x", "y"), loader.collate_fn(rows), strict=True)),
        train_dataset=loader.dataset,
        eval_dataset=Points(16),
        optimizers=(optimizer, *(parts.schedulers([optimizer]) or [None])),
        callbacks=callbacks,
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def train_huggingface(cell, is_probed):
    """Train with a Trainer of transformers; if asked, a probe runs when ``train`` begins."""

    class ProbeFirst(TrainerCallback):
        def on_train_begin(self, args, state, control, **kwargs):
            loop = HuggingFaceLoop(trainer, is_training=True)
            expect(cell.exit, lambda: loop.run(probe_of(cell.exit)))

    class User(Shifting, TrainerCallback):
        def on_step_begin(self, args, state, control, **kwargs):
            self.on_batch(parts.net)

    with patch.dict(os.environ):  # where transformers says what to compile with
        parts = Parts(cell, User())
        trainer = trainer_of(parts, [*([ProbeFirst()] if is_probed else []), parts.callback])
        mean = trainer.train().training_loss
        end_workers(base_of(trainer.callback_handler.train_dataloader))
    state = {name: value for name, value in vars(trainer.state).items() if name != "log_history"}
    remains = parts.remains([trainer.optimizer], [trainer.lr_scheduler])
    return {**remains, "trainer": nets.plain([mean, state])}


def train(loop, cell, *, probe):
    """Train a cell in a loop; with a probe before the first step, if asked."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if loop == "pytorch":
            return train_pytorch(cell, probe)
        if loop == "huggingface":
            return train_huggingface(cell, probe)
        return train_lightning(cell, probe, loop)

"""Every callback that comes with Lightning, before and after ours: training goes on as without, or a sentence."""

import random
from datetime import timedelta
from functools import cache
from importlib import import_module

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import lrfind.lightning as lrl
from lrfind.errors import BadInputError
from lrfind.records import Cost, Finding, Probe
from lrfind.schedules import ramp

pytestmark = [
    pytest.mark.usefixtures("empty_folder"),
    pytest.mark.filterwarnings("ignore"),  # much of what Lightning advises
]
FOUND = 0.0123


class Told:
    """A strategy that probes a little and answers what it was told."""

    def propose(self, records):
        if not records:
            return [Probe(ramp(1e-4, 0.1, 6))]
        return Finding(FOUND, FOUND, FOUND, (FOUND, FOUND), "told", "constant", tuple(records), Cost(6, 0.0))


def prediction_writer(pl):
    return type("Writer", (pl.callbacks.BasePredictionWriter,), {})("epoch")


def finetuning(pl):
    body = {
        "freeze_before_training": lambda self, module: self.freeze(module.backbone),
        "finetune_function": lambda self, module, epoch, optimizer: (
            self.unfreeze_and_add_param_group(module.backbone, optimizer) if epoch == 1 else None
        ),
    }
    return type("Finetuning", (pl.callbacks.BaseFinetuning,), body)()


CALLBACKS = {
    "BackboneFinetuning": lambda pl: pl.callbacks.BackboneFinetuning(1, backbone_initial_lr=1e-3),
    "BaseFinetuning": finetuning,
    "BasePredictionWriter": prediction_writer,
    "BatchSizeFinder": lambda pl: pl.callbacks.BatchSizeFinder(steps_per_trial=1, max_trials=2, init_val=8),
    "Callback": lambda pl: pl.Callback(),
    "Checkpoint": lambda pl: pl.callbacks.Checkpoint(),
    "DeviceStatsMonitor": lambda pl: pl.callbacks.DeviceStatsMonitor(cpu_stats=True),
    "EMAWeightAveraging": lambda pl: pl.callbacks.EMAWeightAveraging(decay=0.9),
    "EarlyStopping": lambda pl: pl.callbacks.EarlyStopping("val", patience=1, min_delta=10.0),
    "GradientAccumulationScheduler": lambda pl: pl.callbacks.GradientAccumulationScheduler({0: 2, 2: 4}),
    "LambdaCallback": lambda pl: pl.callbacks.LambdaCallback(on_train_epoch_end=lambda *_: torch.rand(1)),
    "LearningRateFinder": lambda pl: pl.callbacks.LearningRateFinder(num_training_steps=20),
    "LearningRateMonitor": lambda pl: pl.callbacks.LearningRateMonitor("step", log_momentum=True),
    "ModelCheckpoint": lambda pl: pl.callbacks.ModelCheckpoint("kept", monitor="val", save_top_k=2, save_last=True),
    "ModelPruning": lambda pl: pl.callbacks.ModelPruning("l1_unstructured", amount=0.2),
    "ModelSummary": lambda pl: pl.callbacks.ModelSummary(max_depth=2),
    "OnExceptionCheckpoint": lambda pl: pl.callbacks.OnExceptionCheckpoint("kept"),
    "ProgressBar": lambda pl: pl.callbacks.ProgressBar(),
    "RichModelSummary": lambda pl: pl.callbacks.RichModelSummary(),
    "RichProgressBar": lambda pl: pl.callbacks.RichProgressBar(),
    "SpikeDetection": lambda pl: pl.callbacks.SpikeDetection(atol=100.0),
    "StochasticWeightAveraging": lambda pl: pl.callbacks.StochasticWeightAveraging(1e-3, 1, annealing_epochs=1),
    "TQDMProgressBar": lambda pl: pl.callbacks.TQDMProgressBar(),
    "ThroughputMonitor": lambda pl: pl.callbacks.ThroughputMonitor(lambda batch: len(batch[0]), window_size=2),
    "Timer": lambda pl: pl.callbacks.Timer(timedelta(hours=1)),
    "WeightAveraging": lambda pl: pl.callbacks.WeightAveraging(),
}
BARS = ("ProgressBar", "RichProgressBar", "TQDMProgressBar")


def test_the_list_is_whole(pl):
    assert sorted(pl.callbacks.__all__) == sorted(CALLBACKS)


def module(pl, lr, schedule):
    class Net(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.lr, self.batch_size, self.rates, self.losses = lr, 16, [], []
            self.backbone, self.head = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16)), nn.Linear(16, 1)

        def train_dataloader(self):
            x = torch.randn(128, 8, generator=torch.Generator().manual_seed(0))
            return DataLoader(TensorDataset(x, (2 * x[:, :1]).sin()), self.batch_size, shuffle=True)

        val_dataloader = train_dataloader

        def training_step(self, batch, batch_idx):
            loss = F.mse_loss(self.head(self.backbone(batch[0])), batch[1])
            self.rates.append([float(group["lr"]) for group in self.trainer.optimizers[0].param_groups])
            self.losses.append(loss.item())
            self.log("loss", loss)
            return loss

        def validation_step(self, batch, batch_idx):
            self.log("val", F.mse_loss(self.head(self.backbone(batch[0])), batch[1]))

        def configure_optimizers(self):
            optimizer = torch.optim.Adam([one for one in self.parameters() if one.requires_grad], lr=self.lr)
            if not schedule:
                return optimizer
            return [optimizer], [torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 6)]

    torch.manual_seed(1)
    return Net()


def trained(pl, name, *, ours=None, is_first=True, lr=FOUND, schedule=False):
    """Train and return all that a callback could have moved."""
    random.seed(1)
    np.random.seed(1)
    model, theirs = module(pl, lr, schedule), CALLBACKS[name](pl)
    callbacks = [theirs] if ours is None else [ours, theirs] if is_first else [theirs, ours]
    saving = name in ("ModelCheckpoint", "Checkpoint", "OnExceptionCheckpoint")
    trainer = pl.Trainer(
        max_epochs=4,
        callbacks=callbacks,
        accelerator="cpu",
        logger=pl.loggers.CSVLogger("logs") if name.endswith("Monitor") else False,
        enable_checkpointing=saving,
        enable_progress_bar=name in BARS,
        enable_model_summary=name.endswith("Summary"),
        num_sanity_val_steps=0,
        log_every_n_steps=2,
    )
    trainer.fit(model)
    tensors = [*model.state_dict().values(), torch.get_rng_state()]
    optimizer = trainer.optimizers[0].state_dict()
    tensors += [torch.as_tensor(value) for each in optimizer["state"].values() for value in each.values()]
    numbers = (random.getstate(), np.random.get_state()[1].tolist())
    steps = trainer.global_step * trainer.accumulate_grad_batches  # trials of batch sizes came before
    rest = (model.batch_size, model.rates[-steps:], model.losses[-steps:], optimizer["param_groups"])
    return [tensor.tolist() for tensor in tensors], numbers, rest, trainer.current_epoch, trainer.global_step


@cache
def without(package, name, schedule):
    return trained(import_module(package), name, schedule=schedule)


ON_RATES = ("BackboneFinetuning", "LearningRateFinder", "StochasticWeightAveraging")
CASES = [(name, index % 2 == 0, index % 2 == 0) for index, name in enumerate(CALLBACKS)]
REST = [(name, not before, not before) for name, before, _ in CASES]
CASES += [case for case in REST if case[0] in ON_RATES]
REST = [case for case in REST if case not in CASES] + [(name, not when, when) for name in ON_RATES for when in (1, 0)]


@pytest.mark.parametrize(
    ("name", "is_first", "schedule"), [*CASES, *(pytest.param(*case, marks=pytest.mark.slow) for case in REST)]
)
def test_training_goes_on_as_without(name, is_first, schedule):
    """Each package is tried with half of them."""
    package = "lightning.pytorch" if is_first else "pytorch_lightning"
    pl, expected = import_module(package), without(package, name, schedule)
    finder = lrl.LRFinder(apply=False, strategy=Told(), progress=False)
    assert trained(pl, name, ours=finder, is_first=is_first, schedule=schedule) == expected
    assert finder.finding.lr == FOUND
    if name == "LearningRateFinder":
        for one in (lrl.VerifyLR(FOUND), lrl.LRFinder(strategy=Told(), progress=False)):
            with pytest.raises(BadInputError, match="Lightning's LearningRateFinder also sets the rate; leave it"):
                trained(pl, name, ours=one, is_first=is_first, schedule=schedule)
        return
    verify = lrl.VerifyLR(FOUND)
    assert trained(pl, name, ours=verify, is_first=is_first, schedule=schedule) == expected
    finder = lrl.LRFinder(strategy=Told(), progress=False)
    assert trained(pl, name, ours=finder, is_first=is_first, schedule=schedule, lr=1e-4) == expected
    assert finder.applied.steps == verify.applied.steps == expected[-1]

"""The recorder, where a gradient scaler skips steps; ``test_huggingface.py`` does the same with its Trainer."""

import math

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.plugins import MixedPrecision
from torch import nn
from torch.nn import functional as F

import lrfind
from lrfind.curves import GAPS, PATIENCE
from lrfind.errors import ProbeError
from lrfind.lightning.loop import LightningLoop
from lrfind.pytorch import PyTorchLoop
from lrfind.records import Probe
from lrfind.schedules import ramp


def task(is_bad, scaler=None):
    """A model, an optimizer, data, and a step that scales its gradients and whose loss is NaN where that is asked."""
    numbers = torch.Generator().manual_seed(0)
    x = torch.randn(640, 4, generator=numbers)
    batches = list(zip(x.split(16), x.sum(1, keepdim=True).split(16), strict=True))
    torch.manual_seed(0)
    model = nn.Linear(4, 1)
    scaler, count = scaler or torch.amp.GradScaler("cpu"), 0

    def step(model, optimizer, batch):
        nonlocal count
        count += 1
        loss = F.mse_loss(model(batch[0]), batch[1])
        loss = loss * math.nan if is_bad(count, optimizer.param_groups[0]["lr"]) else loss
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        return loss

    return (model, torch.optim.SGD(model.parameters(), lr=1e-6), batches), step


def test_steps_that_a_scaler_skips_end_a_probe():
    parts, step = task(lambda count, lr: lr > 0.1)
    finding = lrfind.find(*parts, step=step, progress=False)
    assert finding.lr < 0.1
    for record in finding.records:
        assert record.stop == "non-finite"
        assert len(record.losses) == len(record.lrs)
        assert all(map(math.isfinite, record.losses))
        assert record.lrs[-2] < 0.1 < record.lrs[-1]


@pytest.mark.parametrize(
    ("bad", "stop", "steps"),
    [
        ((5, 6), "done", 24),
        ((5, 7, 9, 11), "done", 24),
        (range(5, 5 + GAPS - 1), "done", 24),
        (range(5, 5 + GAPS), "non-finite", 4),
        (range(6, 6 + GAPS), "non-finite", 5),
    ],
)
def test_only_so_many_that_are_skipped_in_a_row_end_it(bad, stop, steps):
    parts, step = task(lambda count, lr: count in bad)
    record = PyTorchLoop(*parts, step=step).run(Probe(ramp(1e-6, 1e-3, 24)))
    assert (record.stop, len(record.lrs), len(record.losses)) == (stop, steps, steps)
    assert (PATIENCE, GAPS) == (3, 24)


@pytest.mark.parametrize("first", [1, 2])
def test_without_a_single_step_there_is_a_sentence(first):
    parts, step = task(lambda count, lr: count >= first, torch.amp.GradScaler("cpu", init_scale=2.0**127))
    with pytest.raises(ProbeError, match=r"took no step and 24 losses in a row were not finite; check the data"):
        lrfind.find(*parts, step=step, progress=False)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_steps_that_lightnings_scaler_skips_end_a_probe(accumulate):
    class Module(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.net, self.count = nn.Linear(4, 1), 0

        def training_step(self, batch, batch_idx):
            self.count += 1
            return self.net(batch).square().mean() * (1.0 if self.count <= 12 else math.nan)

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters())

    half = MixedPrecision("16-mixed", "cpu", scaler=torch.amp.GradScaler("cpu", init_scale=1.0))
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = pl.Trainer(accelerator="cpu", plugins=[half], accumulate_grad_batches=accumulate, **quiet)
    data = torch.utils.data.DataLoader(torch.randn(640, 4), batch_size=16)
    record = LightningLoop(trainer, Module(), data).run(Probe(ramp(1e-6, 1e-3, 24)))
    assert (record.stop, len(record.lrs)) == ("non-finite", 12 // accumulate)
    assert all(map(math.isfinite, record.losses))


class Capped(torch.optim.Optimizer):
    """Lowers its rate inside the step, as an optimizer does that is wary of large updates."""

    def __init__(self, parameters, lr):
        super().__init__(parameters, {"lr": lr})

    def step(self, closure=None):
        for group in self.param_groups:
            group["lr"] = min(group["lr"], 0.01)
            for weight in group["params"]:
                weight.data.sub_(weight.grad, alpha=group["lr"])


def rates_of_a_record(make):
    """The rates that a probe asked for, and those that its record holds."""
    (model, _, batches), _ = task(lambda count, lr: False)
    probe = Probe(ramp(1e-3, 0.1, 8), 0)
    loop = PyTorchLoop(model, make(model.parameters()), batches, nn.MSELoss())
    return probe.lrs, loop.run(probe).lrs


def test_a_record_holds_the_rate_that_was_used_where_the_optimizer_changes_it_in_its_step():
    asked, used = rates_of_a_record(lambda parameters: Capped(parameters, 0.1))
    assert used == tuple(min(rate, 0.01) for rate in asked) != asked


def test_a_record_holds_the_rate_as_a_tensor_of_single_precision_holds_it():
    asked, used = rates_of_a_record(lambda parameters: torch.optim.SGD(parameters, lr=torch.tensor(0.1)))
    assert used == tuple(torch.tensor(asked, dtype=torch.float32).tolist()) != asked

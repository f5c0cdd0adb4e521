"""The rate that a callback finds trains as one built in from the start, under any scheduler, in Lightning's trainer."""

import lightning.pytorch as pl
import pytest
import torch
from schedulers import OWN, SCHEDULERS, TIMM, TORCH, TimmScheduler, UserScheduler, advance
from torch import nn

import lrfind.lightning as lrl
from lrfind.errors import BadInputError
from lrfind.records import Cost, Finding, Probe

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*(Detected call of|is using 'interval'|does not have many workers|lr_scheduler.step)"
)

FOUND = 0.0123
BATCHES = 8


class Told:
    """A strategy that probes a little and answers what it was told."""

    def propose(self, records):
        if not records:
            return [Probe((1e-5, 1e-4, 1e-3))]
        return Finding(FOUND, FOUND, FOUND, (FOUND, FOUND), "told", "constant", tuple(records), Cost(3, 0.0))


class Net(pl.LightningModule):
    def __init__(self, make, lr, ratios=(1.0, 0.2), interval="step", others=0):
        super().__init__()
        self.nets = nn.ModuleList(nn.Linear(4, 1) for _ in ratios)
        self.beside = nn.ModuleList(nn.Linear(4, 1) for _ in range(others))
        self.make, self.ratios, self.interval = make, ratios, interval
        self.literal = (lr,)  # no attribute that the rate could be written to
        self.rates, self.steps = [], 0

    def training_step(self, batch, batch_idx):
        self.rates.append([float(group["lr"]) for group in self.trainer.optimizers[0].param_groups])
        loss = sum(net(batch).square().mean() for net in self.nets)
        self.log("loss", loss)
        return loss

    def configure_optimizers(self):
        (lr,) = self.literal
        groups = [
            {"params": net.parameters(), "lr": lr * ratio} for net, ratio in zip(self.nets, self.ratios, strict=True)
        ]
        optimizer = torch.optim.SGD(groups, lr=lr)
        scheduler = self.make(optimizer)
        return [optimizer], [{"scheduler": scheduler, "interval": self.interval, "monitor": "loss"}]

    def lr_scheduler_step(self, scheduler, metric):
        self.steps += 1
        advance(scheduler, self.steps)


def fitted(net, *callbacks, epochs=3):
    torch.manual_seed(0)
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    quiet |= {"enable_model_summary": False, "accelerator": "cpu"}
    data = torch.utils.data.DataLoader(torch.randn(BATCHES * 2, 4), batch_size=2)
    pl.Trainer(max_epochs=epochs, callbacks=list(callbacks), **quiet).fit(net, data)
    return net


MAKERS = {**TORCH, **TIMM, **OWN, "transformers": SCHEDULERS["transformers"]["cosine_with_min_lr"]}


@pytest.mark.parametrize("interval", ["step", "epoch"])
@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_the_found_rate_trains_as_one_that_is_built_in(make, interval):
    wanted = fitted(Net(make, FOUND, interval=interval)).rates
    finder = lrl.LRFinder(strategy=Told(), progress=False)
    net = fitted(Net(make, 0.1, interval=interval), finder)
    assert net.rates == [pytest.approx(row, rel=1e-12, abs=1e-12 * FOUND) for row in wanted]
    assert finder.applied.steps == 3 * BATCHES


@pytest.mark.parametrize("make", [TORCH["CyclicLR(triangular2)"], TORCH["OneCycleLR"], TIMM["cosine, per update"]])
def test_a_rate_set_by_hand_under_a_cycle_or_a_class_of_timms_shape_is_verified(make):
    verify = lrl.VerifyLR(FOUND)
    fitted(Net(make, FOUND), verify)
    assert verify.span[1] <= FOUND
    assert verify.applied.steps == 3 * BATCHES


def test_a_scheduler_of_the_optimizer_that_is_not_searched_is_left_alone():
    class Two(Net):
        automatic_optimization = False

        def configure_optimizers(self):
            each = [torch.optim.SGD(net.parameters(), lr=0.1) for net in self.nets]
            return each, [torch.optim.lr_scheduler.ExponentialLR(one, 0.9) for one in each]

        def training_step(self, batch, batch_idx):
            for one, net in zip(self.optimizers(), self.nets, strict=True):
                one.zero_grad()
                loss = net(batch).square().mean()
                self.manual_backward(loss)
                one.step()
            for one in self.lr_schedulers():
                one.step()
            self.rates.append([float(one.param_groups[0]["lr"]) for one in self.trainer.optimizers])
            return loss

    net = fitted(Two(None, 0.1), lrl.LRFinder(strategy=Told(), optimizer=1, progress=False))
    first, second = zip(*net.rates, strict=True)
    assert first == pytest.approx([0.1 * 0.9**step for step in range(1, 25)])
    assert second == pytest.approx([FOUND * 0.9**step for step in range(1, 25)])


def test_what_a_scheduler_in_timms_shape_does_is_read():
    searched = {}
    for unit, make in (("epoch", lambda one: TimmScheduler(one, 3)), ("step", TIMM["cosine, per update"])):
        finder = lrl.LRFinder(apply=False, progress=False, steps=64, budget=64)
        fitted(Net(make, 0.1, interval=unit), finder)
        searched[unit] = finder.finding
    assert {one.schedule for one in searched.values()} == {"TimmScheduler"}
    assert searched["epoch"].left == pytest.approx(0.25, abs=0.01)
    assert searched["step"].left < 0.1


class Strange(UserScheduler):
    def step(self, epoch, batch):
        """Nobody knows what to call this with."""


def test_what_cannot_be_driven_is_refused_before_training():
    with pytest.raises(BadInputError, match=r"how Strange is to be stepped cannot be told .* schedule= as a function"):
        fitted(net := Net(Strange, 0.1), lrl.LRFinder(strategy=Told(), progress=False))
    assert not net.rates

"""The rate that a callback finds trains as one built in from the start, under any scheduler, in both trainers."""

import lightning.pytorch as pl
import pytest
import torch
import transformers
from schedulers import OWN, TIMM, TORCH, TRANSFORMERS, TimmScheduler, UserScheduler, advance
from schedulers_page import RATIOS
from torch import nn

import lrfind.huggingface as lrh
import lrfind.lightning as lrl
from lrfind.errors import BadInputError
from lrfind.records import Cost, Finding, Probe

pytestmark = [
    pytest.mark.usefixtures("imports_frozen"),
    pytest.mark.filterwarnings(
        "ignore:.*(Detected call of|is using 'interval'|does not have many workers|lr_scheduler.step|TF32)"
    ),
]

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


MAKERS = {**TORCH, **TIMM, **OWN, **TRANSFORMERS}


def approximately(rates):
    return [pytest.approx(row, rel=1e-12, abs=1e-12 * FOUND) for row in rates]


@pytest.mark.parametrize("interval", ["step", "epoch"])
@pytest.mark.parametrize("ratios", RATIOS.values(), ids=RATIOS)
@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_the_found_rate_trains_in_lightning_as_one_that_is_built_in(make, ratios, interval):
    wanted = fitted(Net(make, FOUND, ratios, interval)).rates
    finder = lrl.LRFinder(strategy=Told(), progress=False)
    net = fitted(Net(make, 0.1, ratios, interval), finder)
    assert net.rates == approximately(wanted)
    assert finder.applied.steps == 3 * BATCHES


class Every:
    """Hugging Face's Trainer steps a scheduler at each step: one that steps another, once in so many of its own."""

    def __init__(self, scheduler, every):
        self.scheduler, self.optimizer, self.every, self.steps = scheduler, scheduler.optimizer, every, 0

    def step(self):
        self.steps += 1
        if self.steps % self.every == 0:
            advance(self.scheduler, self.steps // self.every)

    def get_last_lr(self):
        return [float(group["lr"]) for group in self.optimizer.param_groups]

    def state_dict(self):
        return {}


class Model(nn.Module):
    def __init__(self, ratios):
        super().__init__()
        self.nets = nn.ModuleList(nn.Linear(4, 1) for _ in ratios)

    def forward(self, x):
        return {"loss": sum(net(x).square().mean() for net in self.nets)}


class Rates(transformers.TrainerCallback):
    def __init__(self):
        self.rates = []

    def on_pre_optimizer_step(self, args, state, control, optimizer, **kwargs):
        self.rates.append([float(group["lr"]) for group in optimizer.param_groups])


def trained(make, lr, ratios, interval, folder, *callbacks):
    """The rates of all groups at each step of Hugging Face's Trainer."""
    torch.manual_seed(0)
    model, rates = Model(ratios), Rates()
    groups = [{"params": net.parameters(), "lr": lr * one} for net, one in zip(model.nets, ratios, strict=True)]
    optimizer = torch.optim.SGD(groups, lr=lr)
    scheduler = make(optimizer)
    waits = type(scheduler).__name__ in ("ReduceLROnPlateau", "GreedyLR")  # the Trainer steps these after evaluating
    if (interval == "epoch" and not waits) or not hasattr(scheduler, "get_last_lr"):  # which the Trainer asks for
        scheduler = Every(scheduler, BATCHES if interval == "epoch" else 1)
    quiet = {"report_to": [], "disable_tqdm": True, "save_strategy": "no", "logging_strategy": "no", "use_cpu": True}
    how = {"metric_for_best_model": "loss", "eval_strategy": "epoch"}
    if interval == "step":
        how |= {"eval_strategy": "steps", "eval_steps": 1}
    args = transformers.TrainingArguments(
        folder, per_device_train_batch_size=2, num_train_epochs=3, **quiet, **(how if waits else {})
    )
    data = [{"x": row} for row in torch.randn(BATCHES * 2, 4)]
    given = {"train_dataset": data, "eval_dataset": data[:2], "optimizers": (optimizer, scheduler)}
    trainer = transformers.Trainer(model, args, callbacks=[*callbacks, rates], **given)
    trainer.can_return_loss = True
    trainer.train()
    return rates.rates


@pytest.mark.parametrize("interval", ["step", "epoch"])
@pytest.mark.parametrize("ratios", RATIOS.values(), ids=RATIOS)
@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_the_found_rate_trains_in_hugging_faces_trainer_as_one_that_is_built_in(tmp_path, make, ratios, interval):
    wanted = trained(make, FOUND, ratios, interval, tmp_path)
    finder = lrh.LRFinder(strategy=Told(), progress=False)
    assert trained(make, 0.1, ratios, interval, tmp_path, finder) == approximately(wanted)
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


@pytest.mark.parametrize("make", [*OWN.values(), TORCH["MultiplicativeLR"]], ids=[*OWN, "MultiplicativeLR"])
def test_a_monitor_of_rates_logs_what_it_does_without_a_watch(tmp_path, make):
    logged = []
    for callbacks in ([], [lrl.VerifyLR(FOUND)]):
        monitor = pl.callbacks.LearningRateMonitor("step")
        trainer = pl.Trainer(
            max_epochs=2,
            callbacks=[*callbacks, monitor],
            logger=pl.loggers.CSVLogger(tmp_path),
            log_every_n_steps=1,
            enable_checkpointing=False,
            enable_progress_bar=False,
            accelerator="cpu",
        )
        trainer.fit(Net(make, FOUND), torch.utils.data.DataLoader(torch.randn(BATCHES * 2, 4), batch_size=2))
        logged.append(monitor.lrs)
    assert list(logged[0]) == ["lr-SGD/pg1", "lr-SGD/pg2"]
    assert logged[0] == logged[1]


def test_what_a_scheduler_in_timms_shape_does_is_read():
    searched = {}
    for unit, make in (("epoch", lambda one: TimmScheduler(one, 3)), ("step", TIMM["cosine, per update"])):
        finder = lrl.LRFinder(apply=False, progress=False, steps=64, budget=64)
        fitted(Net(make, 0.1, interval=unit), finder)
        searched[unit] = finder.finding
    assert {one.schedule for one in searched.values()} == {"TimmScheduler"}
    assert searched["epoch"].final_fraction == pytest.approx(0.25, abs=0.01)
    assert searched["step"].final_fraction < 0.1


class Strange(UserScheduler):
    def step(self, epoch, batch):
        """Nobody knows what to call this with."""


def test_what_cannot_be_driven_is_refused_before_training():
    with pytest.raises(BadInputError, match=r"how Strange is to be stepped cannot be told .* schedule= as a function"):
        fitted(net := Net(Strange, 0.1), lrl.LRFinder(strategy=Told(), progress=False))
    assert not net.rates

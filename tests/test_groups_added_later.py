"""Param groups that come after the rate was applied, and models that are frozen at the start."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import lrfind
import lrfind.lightning as lrl
from lrfind.errors import BadInputError, RateNotAppliedError
from lrfind.optim import apply_rate
from lrfind.strategies.range_test import RangeTest

pytestmark = [
    pytest.mark.usefixtures("empty_folder"),
    pytest.mark.filterwarnings("ignore:The dirpath has changed"),
]
FAST = {"strategy": RangeTest(steps=64), "progress": False}
SCHEDULERS = {  # LambdaLR is not for groups that are added later, says torch
    "none": None,
    "cosine": lambda one: torch.optim.lr_scheduler.CosineAnnealingLR(one, 40),
    "step": lambda one: torch.optim.lr_scheduler.StepLR(one, 2),
    "exponential": lambda one: torch.optim.lr_scheduler.ExponentialLR(one, 0.9),
    "plateau": lambda one: torch.optim.lr_scheduler.ReduceLROnPlateau(one),
}


def loader():
    numbers = torch.Generator().manual_seed(0)
    x = torch.randn(320, 8, generator=numbers)
    return DataLoader(TensorDataset(x, (2 * x[:, :1]).sin()), 32)


def module(pl, schedule="none", *, filtered=True):
    class Net(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.lr, self.rates = 1e-3, []
            self.backbone, self.head = nn.Sequential(nn.Linear(8, 32), nn.ReLU()), nn.Linear(32, 1)

        def training_step(self, batch, batch_idx):
            self.rates.append([float(group["lr"]) for group in self.trainer.optimizers[0].param_groups])
            loss = F.mse_loss(self.head(self.backbone(batch[0])), batch[1])
            self.log("loss", loss)
            return loss

        def configure_optimizers(self):
            parameters = [one for one in self.parameters() if one.requires_grad or not filtered]
            optimizer = torch.optim.AdamW(parameters, lr=self.lr)
            if SCHEDULERS[schedule] is None:
                return optimizer
            return [optimizer], [{"scheduler": SCHEDULERS[schedule](optimizer), "monitor": "loss"}]

    torch.manual_seed(1)
    return Net()


def fit(pl, model, *callbacks, epochs=4, resume=None):
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    trainer = pl.Trainer(max_epochs=epochs, callbacks=list(callbacks), enable_checkpointing=False, **quiet)
    trainer.fit(model, loader(), ckpt_path=resume)
    return trainer


def first_or_last(schedules):
    """Whether our callback is the first: with each schedule in one package, the other way round in the other."""
    packages = ("lightning.pytorch", "pytorch_lightning")
    return [
        pytest.param(package, name, (index + other) % 2 == 0, id=f"{package}-{name}")
        for index, name in enumerate(schedules)
        for other, package in enumerate(packages)
    ]


@pytest.mark.parametrize(("pl", "schedule", "is_first"), first_or_last(SCHEDULERS), indirect=["pl"])
def test_a_backbone_that_thaws_trains_as_without(pl, schedule, is_first):
    def callbacks(one):
        thaw = pl.callbacks.BackboneFinetuning(unfreeze_backbone_at_epoch=1, backbone_initial_lr=1e-3)
        return [one, thaw] if is_first else [thaw, one]

    finder = lrl.LRFinder(**FAST)
    fit(pl, model := module(pl, schedule), *callbacks(finder))
    torch.manual_seed(1)
    plain = module(pl, schedule)
    plain.lr = finder.finding.lr
    fit(pl, plain, *callbacks(verify := lrl.VerifyLR(finder.finding.lr)))
    fit(pl, bare := module(pl, schedule), *callbacks(lrl.LRFinder(apply=False, **FAST)))
    assert len(model.rates[-1]) == len(bare.rates[-1]) == 2
    assert model.rates == plain.rates
    assert finder.applied.steps == verify.applied.steps == 40


@pytest.mark.parametrize(("pl", "schedule", "is_first"), first_or_last(SCHEDULERS), indirect=["pl"])
@pytest.mark.parametrize("kind", ["finder", "verify"])
def test_it_goes_on_thawing_after_a_resume(pl, schedule, is_first, kind):
    def callbacks():
        one = lrl.LRFinder(**FAST) if kind == "finder" else lrl.VerifyLR(1e-3)
        thaw = pl.callbacks.BackboneFinetuning(unfreeze_backbone_at_epoch=1, backbone_initial_lr=1e-3)
        return [one, thaw] if is_first else [thaw, one]

    fit(pl, module(pl, schedule), *callbacks(), epochs=2).save_checkpoint("one.ckpt")
    fit(pl, model := module(pl, schedule), *(both := callbacks()), resume="one.ckpt")
    watching = both[0 if is_first else 1]
    assert (len(model.rates), len(model.rates[-1]), watching.applied.steps) == (20, 2, 20)


def test_searched_again_after_thawing(pl):
    thaw = pl.callbacks.BackboneFinetuning(unfreeze_backbone_at_epoch=1, backbone_initial_lr=1e-3)
    finder = lrl.LRFinder(every=2, **FAST)
    fit(pl, model := module(pl, "cosine"), thaw, finder)
    assert len(finder.findings) == 2
    assert len(model.rates) == 40


@pytest.mark.parametrize("schedule", SCHEDULERS)
def test_a_group_added_in_a_loop_of_ones_own_may_hold_any_rate(schedule):
    model, late = nn.Linear(8, 1), nn.Linear(8, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scheduler = SCHEDULERS[schedule] and SCHEDULERS[schedule](optimizer)
    watch = apply_rate(optimizer, 0.2, scheduler)
    for step in range(6):
        if step == 3:
            optimizer.add_param_group({"params": late.parameters(), "lr": 0.7, "initial_lr": 0.7})
            if hasattr(scheduler, "base_lrs"):
                scheduler.base_lrs.append(0.7)
        if step > 3:
            optimizer.param_groups[1]["lr"] = 0.05 * step
        (model(torch.ones(1, 8)) + late(torch.ones(1, 8))).sum().backward()
        optimizer.step()
        if scheduler:
            scheduler.step(*[1.0] * (schedule == "plateau"))
    assert watch.steps == 6
    optimizer.param_groups[0]["lr"] = 0.9
    with pytest.raises(RateNotAppliedError, match=r"param group 0 .* has lr=0\.9"):
        optimizer.step()


def freezing(pl, at=0):
    class Freezing(pl.callbacks.BaseFinetuning):
        def freeze_before_training(self, pl_module):
            self.freeze(pl_module)

        def finetune_function(self, pl_module, epoch, optimizer):
            if epoch == at:
                self.make_trainable(pl_module)

    return Freezing()


ALL_FROZEN = r"every parameter of the optimizer is frozen when the search begins, so .* find\(.*VerifyLR\(lr\)"


@pytest.mark.parametrize("is_first", [True, False])
def test_a_model_that_is_wholly_frozen_at_the_start_is_refused_in_a_sentence(pl, is_first):
    fit(pl, module(pl, filtered=False), freezing(pl), epochs=1)  # which trains without lrfind
    model, finder = module(pl, filtered=False), lrl.LRFinder(**FAST)
    both = [finder, freezing(pl)] if is_first else [freezing(pl), finder]
    with pytest.raises(BadInputError, match=ALL_FROZEN):
        fit(pl, model, *both, epochs=1)
    assert model.rates == []


def test_verified_it_trains_as_without(pl):
    fit(pl, model := module(pl, filtered=False), freezing(pl), verify := lrl.VerifyLR(1e-3), epochs=1)
    assert (len(model.rates), verify.applied.steps) == (10, 10)


def test_what_the_sentence_advises_works(pl):
    model = module(pl, filtered=False)
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, max_epochs=1)
    finding = lrl.find(trainer, model, loader(), **FAST)
    lrl.apply(finding, model)
    fit(pl, model, freezing(pl), verify := lrl.VerifyLR(finding.lr), epochs=1)
    assert (verify.applied.steps, verify.span) == (10, (finding.lr, finding.lr))


def test_a_model_that_is_frozen_has_nothing_to_search_in_a_loop_of_ones_own():
    model = nn.Linear(8, 1).requires_grad_(requires_grad=False)
    with pytest.raises(BadInputError, match=r"at least one parameter with requires_grad"):
        lrfind.find(model, torch.optim.SGD(model.parameters(), lr=0.1), loader(), nn.MSELoss(), **FAST)

"""Param groups of rates of their own, and no rate given to the optimizer: the rate is what training calls its rate."""

import lightning.pytorch as pl
import pytest
import torch
import transformers
from lightning.pytorch.utilities import CombinedLoader
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import lrfind.huggingface as lrh
import lrfind.lightning as lrl

OPTIONS = {"progress": False, "steps": 40}
RATES = [1e-3, 2e-3, 1e-2]
"""The first is the default of torch's optimizers; of the second, half is."""


def loader():
    x = torch.randn(256, 8, generator=torch.Generator().manual_seed(0))
    return DataLoader(TensorDataset(x, x[:, :1].sin()), batch_size=16, shuffle=True)


class Module(pl.LightningModule):
    def __init__(self, lr, name="lr"):
        super().__init__()
        torch.manual_seed(0)
        setattr(self, name, lr)
        self.name, self.body, self.head = name, nn.Linear(8, 16), nn.Linear(16, 1)

    def training_step(self, batch, batch_idx):
        return F.mse_loss(self.head(self.body(batch[0]).relu()), batch[1])

    def configure_optimizers(self):
        return optimizer_of(self, getattr(self, self.name))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body, self.head = nn.Linear(8, 16), nn.Linear(16, 1)

    def forward(self, x, labels):
        return {"loss": F.mse_loss(self.head(self.body(x).relu()), labels)}


class Anew(transformers.Trainer):
    """Makes its optimizer whenever it is asked to."""

    def create_optimizer(self, *_):
        self.optimizer = optimizer_of(self.model, self.args.learning_rate)
        return self.optimizer


def optimizer_of(model, lr):
    groups = [{"params": model.body.parameters(), "lr": lr / 2}, {"params": model.head.parameters(), "lr": lr}]
    return torch.optim.AdamW(groups)


def fitted(module, *callbacks, data=None):
    """Train a module; return the rates that its groups had."""
    silent = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    options = {"accelerator": "cpu", "max_epochs": 2, "enable_model_summary": False, **silent}
    trainer = pl.Trainer(callbacks=list(callbacks), **options)
    trainer.fit(module, loader() if data is None else data)
    return [group["lr"] for group in trainer.optimizers[0].param_groups]


def trainer_of(lr, folder, *callbacks):
    options = {"use_cpu": True, "report_to": [], "save_strategy": "no", "disable_tqdm": True, "num_train_epochs": 2}
    arguments = transformers.TrainingArguments(folder, learning_rate=lr, **options)
    rows = [{"x": x, "labels": y} for x, y in loader().dataset]
    return Anew(Net(), arguments, train_dataset=rows, callbacks=list(callbacks))


def trained(trainer):
    """Train; return the rates that the groups began with."""
    trainer.train()
    return [group["initial_lr"] for group in trainer.optimizer.param_groups]


@pytest.mark.parametrize("name", ["lr", "learning_rate"])
@pytest.mark.parametrize("lr", RATES)
def test_in_lightning_it_is_the_attribute(lr, name):
    module, finder = Module(lr, name), lrl.LRFinder(**OPTIONS)
    rates = fitted(module, finder)
    assert rates == [finder.finding.lr / 2, finder.finding.lr]
    assert getattr(module, name) == finder.finding.lr
    assert fitted(module, lrl.VerifyLR(finder.finding.lr)) == rates


def test_the_rate_of_a_lesser_group_is_not_the_rate_because_of_its_name():
    class TwoRates(Module):
        def __init__(self):
            super().__init__(1e-2, "rate")
            self.head_lr = 1e-3

        def configure_optimizers(self):
            head = {"params": self.head.parameters(), "lr": self.head_lr}
            return torch.optim.AdamW([{"params": self.body.parameters()}, head], lr=self.rate)

    assert fitted(TwoRates(), lrl.VerifyLR(1e-2)) == [1e-2, 1e-3]


def test_training_in_which_only_the_second_optimizer_steps_is_watched_to_its_end():
    class Second(Module):
        def __init__(self):
            super().__init__(1e-2)
            self.automatic_optimization = False

        def configure_optimizers(self):
            return [torch.optim.SGD(self.body.parameters(), lr=1e-2), torch.optim.SGD(self.head.parameters(), lr=1e-2)]

        def training_step(self, batch, batch_idx):
            second = self.optimizers()[1]
            second.zero_grad()
            self.manual_backward(super().training_step(batch, batch_idx))
            second.step()

    assert fitted(Second(), lrl.VerifyLR(1e-2)) == [1e-2]


@pytest.mark.parametrize("lr", RATES)
def test_in_lightning_a_finding_is_applied_verified_and_written_by_hand(lr):
    trainer = pl.Trainer(accelerator="cpu", logger=False, max_epochs=2, enable_checkpointing=False)
    finding = lrl.find(trainer, Module(lr), loader(), **OPTIONS)
    assert finding.ratios == (0.5, 1.0)
    module = Module(lr)
    lrl.apply(finding, module)
    for each in (module, Module(finding.lr)):
        assert fitted(each, lrl.VerifyLR(finding.lr)) == [finding.lr / 2, finding.lr]


@pytest.mark.parametrize("lr", RATES)
def test_in_hugging_face_it_is_the_argument(lr, tmp_path):
    finder = lrh.LRFinder(**OPTIONS)
    trainer = trainer_of(lr, tmp_path, finder)
    rates = trained(trainer)
    assert rates == pytest.approx([finder.finding.lr / 2, finder.finding.lr], rel=1e-12)
    assert trained(trainer_of(trainer.args.learning_rate, tmp_path)) == pytest.approx(rates, rel=1e-12)
    finding = lrh.find(trainer_of(lr, tmp_path), **OPTIONS)
    assert finding.ratios == (0.5, 1.0)
    verified = trained(trainer_of(finding.lr, tmp_path, lrh.VerifyLR(finding.lr)))
    assert verified == pytest.approx([finding.lr / 2, finding.lr], rel=1e-12)


def test_a_combined_loader_that_has_no_length_yet():
    module, finder = Module(1e-3), lrl.LRFinder(apply=False, **OPTIONS)
    module.training_step = lambda batch, batch_idx: Module.training_step(module, batch["a"], batch_idx)
    fitted(module, finder, data=CombinedLoader({"a": loader(), "b": loader()}, "max_size_cycle"))
    assert finder.finding.lr > 0

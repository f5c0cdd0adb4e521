"""The Lightning loop, callbacks and functions, for both Lightning packages."""

import math
import random
import re
from contextlib import nullcontext
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import lrfind.lightning as lrl
from lrfind.errors import BadInputError, ProbeError, RateNotAppliedError
from lrfind.lightning.attributes import trace
from lrfind.lightning.framework import fit
from lrfind.lightning.loop import LightningLoop
from lrfind.records import Cost, Finding, Probe, Record
from lrfind.strategies.range_test import RangeTest

pytestmark = pytest.mark.usefixtures("empty_folder")


def loader(seed=0, size=640):
    torch.manual_seed(seed)
    x = torch.randn(size, 8)
    return DataLoader(TensorDataset(x, (2 * x[:, :1]).sin()), batch_size=32, shuffle=True)


def trainer(pl, *callbacks, **options):
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    options = {"max_epochs": 2, "enable_checkpointing": False, "accelerator": "cpu", **quiet, **options}
    return pl.Trainer(callbacks=list(callbacks), **options)


def module(pl, **overrides):
    """A module with batch norm, dropout, a Python counter and a non-persistent buffer."""

    class Net(pl.LightningModule):
        def __init__(self, lr=2e-3):
            super().__init__()
            self.save_hyperparameters()
            self.lr = lr
            self.count = 0
            self.losses = []
            self.register_buffer("seen", torch.zeros(1), persistent=False)
            self.net = nn.Sequential(nn.Linear(8, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 1))

        def training_step(self, batch, batch_idx):
            self.count += 1
            self.seen += 1
            loss = F.mse_loss(self.net(batch[0]), batch[1])
            self.losses.append(loss.item())
            self.log("loss", loss)
            return loss

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters(), lr=self.lr)

    return type("Net", (Net,), overrides)


def state(net, fitted):
    """Everything a search could move, as comparable values."""
    optimizer = fitted.optimizers[0].state_dict()
    tensors = [*net.state_dict().values(), net.seen, torch.get_rng_state()]
    tensors += [value for each in optimizer["state"].values() for value in each.values()]
    rest = (net.losses, net.count, optimizer["param_groups"], random.getstate(), np.random.get_state()[1].tolist())
    return [tensor.tolist() for tensor in tensors], rest, fitted.global_step, fitted.current_epoch


def trained(pl, net_class, *callbacks, lr=2e-3, **options):
    torch.manual_seed(1)
    random.seed(1)
    np.random.seed(1)
    data, net = loader(), net_class(lr)
    fitted = trainer(pl, *callbacks, **options)
    fitted.fit(net, data)
    return net, fitted


class TestNothingMoves:
    def test_training_with_the_callback_equals_training_at_its_rate_without(self, pl, tmp_path):
        finder = lrl.LRFinder()
        with_finder = state(*trained(pl, module(pl), finder))
        without = state(*trained(pl, module(pl), lr=finder.finding.lr))
        assert with_finder == without
        assert finder.finding.lr != 2e-3
        assert list(tmp_path.iterdir()) == []

    def test_only_finding_leaves_training_as_it_is(self, pl):
        finder = lrl.LRFinder(apply=False)
        assert state(*trained(pl, module(pl), finder)) == state(*trained(pl, module(pl)))
        assert finder.finding.lr > 0

    @pytest.mark.parametrize("failure", [RuntimeError("boom"), KeyboardInterrupt()])
    def test_a_search_that_fails_leaves_the_module_as_it_was(self, pl, failure):
        def training_step(self, batch, batch_idx):
            self.count += 1
            if self.count == 20:
                raise failure
            return F.mse_loss(self.net(batch[0]), batch[1])

        data, net = loader(), module(pl, training_step=training_step)()
        before = {name: value.clone() for name, value in net.state_dict().items()}
        numbers = torch.get_rng_state()
        with pytest.raises(type(failure)):
            fit(trainer(pl, lrl.LRFinder()), net, train_dataloaders=data)
        assert net.count == 0
        assert torch.equal(torch.get_rng_state(), numbers)
        assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())

    def test_find_touches_neither_trainer_nor_module(self, pl):
        data, net = loader(), module(pl)()
        before, attributes = [p.clone() for p in net.parameters()], set(vars(net))
        one = trainer(pl)
        finding = lrl.find(one, net, data, progress=False)
        assert finding == replaced_cost(lrl.find(one, net, data, progress=False), finding)
        assert all(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))
        assert (net.count, net.lr, one.global_step, set(vars(net))) == (0, 2e-3, 0, attributes)

    def test_callbacks_of_the_module_see_nothing_of_the_search(self, pl, capsys):
        class Spy(pl.Callback):
            def on_train_batch_end(self, *args):
                print("seen")

        trained(pl, module(pl, configure_callbacks=lambda self: [Spy()]), lrl.LRFinder(), max_epochs=1)
        assert capsys.readouterr().out.split() == ["seen"] * 20


def replaced_cost(finding, other):
    """The same finding, with the other's wall times."""
    data = finding.to_dict()
    data["cost"] = other.to_dict()["cost"]
    for record, twin in zip(data["records"], other.records, strict=True):
        record["seconds"] = twin.seconds
    return type(finding).from_dict(data)


class TestWhatTheTrainingDoesTheProbeDoes:
    def test_accumulation_gives_a_record_per_optimizer_step(self, pl):
        net = module(pl)()
        loop = LightningLoop(trainer(pl, accumulate_grad_batches=2), net, loader())
        record = loop.run(Probe((1e-6,) * 10))
        plain = LightningLoop(trainer(pl), net, loader()).run(Probe((1e-6,) * 20))
        means = np.reshape(plain.losses, (10, 2)).mean(axis=1)
        assert len(record.losses) == 10
        np.testing.assert_allclose(record.losses, means, rtol=0.05)

    def test_a_datamodule_is_read_and_left_alone(self, pl):
        class Data(pl.LightningDataModule):
            setups = 0

            def setup(self, stage):
                self.setups += 1

            def train_dataloader(self):
                return loader()

        data = Data()
        assert lrl.find(trainer(pl), module(pl)(), datamodule=data, progress=False).lr > 0
        assert data.setups == 0
        finder = lrl.LRFinder()
        one = trainer(pl, finder)
        one.fit(module(pl)(), datamodule=data)
        assert (data.setups, finder.applied.steps) == (1, 40)

    @pytest.mark.parametrize("fails", [False, True])
    def test_a_module_is_torn_down_as_often_as_set_up_and_a_datamodule_hears_of_no_exception(self, pl, fails, capsys):
        class Data(pl.LightningDataModule):
            def on_exception(self, exception):
                print("exception")

            def train_dataloader(self):
                return loader()

        def step(self, batch, batch_idx):
            if fails:
                raise RuntimeError("boom")
            return F.mse_loss(self.net(batch[0]), batch[1])

        hooks = {name: lambda self, stage, name=name: print(name) for name in ("setup", "teardown")}
        net = module(pl, training_step=step, **hooks)()
        with pytest.raises(RuntimeError, match="boom") if fails else nullcontext():
            lrl.find(trainer(pl), net, datamodule=Data(), strategy="range", progress=False)
        calls = capsys.readouterr().out.split()
        assert calls[:4] == ["setup", "teardown", "setup", "teardown"][: 3 if fails else 4]
        assert "exception" not in calls

    def test_the_modules_own_loader_is_used(self, pl):
        net = module(pl, train_dataloader=lambda self: loader())()
        finder = lrl.LRFinder()
        trainer(pl, finder).fit(net)
        assert finder.finding.records[0].epochs > 1

    def test_max_epochs_does_not_cut_the_search(self, pl):
        finder = lrl.LRFinder()
        trained(pl, module(pl), finder, max_epochs=1)
        assert len(finder.finding.records[0].lrs) > 20

    def test_a_checkpoint_keeps_the_finding_and_resuming_does_not_search(self, pl, tmp_path):
        first = lrl.LRFinder()
        _, fitted = trained(pl, module(pl), first, max_epochs=1)
        fitted.save_checkpoint(tmp_path / "one.ckpt")
        second = lrl.LRFinder()
        net = module(pl)()
        again = trainer(pl, second, max_epochs=2)
        again.fit(net, loader(), ckpt_path=tmp_path / "one.ckpt")
        assert second.finding == first.finding
        assert (net.count, again.global_step) == (20, 40)
        assert second.span == (first.finding.lr, first.finding.lr)


def adversarial(pl):
    """A module that optimizes two halves by hand, each with its own optimizer and scheduler."""

    def configure_optimizers(self):
        first = torch.optim.SGD(self.net[:2].parameters(), lr=self.lr)
        second = torch.optim.Adam(self.net[2:].parameters(), lr=self.lr / 4)
        return [first, second], [torch.optim.lr_scheduler.StepLR(one, 100) for one in (first, second)]

    def training_step(self, batch, batch_idx):
        self.count += 1
        loss = F.mse_loss(self.net(batch[0]), batch[1])
        self.manual_backward(loss)
        for optimizer, scheduler in zip(self.optimizers(), self.lr_schedulers(), strict=True):
            optimizer.step()
            optimizer.zero_grad()
            scheduler.step()
        self.losses.append(loss.item())
        return loss

    kind = module(pl, configure_optimizers=configure_optimizers, training_step=training_step)
    kind.automatic_optimization = property(lambda self: False, lambda self, value: None)
    return kind


class Told:
    """A strategy that probes a little and answers what it was told."""

    def propose(self, records):
        if not records:
            return [Probe((1e-5, 1e-4, 1e-3))]
        return Finding(0.0123, 0.01, 0.02, (0.01, 0.02), "told", "constant", tuple(records), Cost(3, 0.0))


class TestSeveralOptimizers:
    def test_all_move_together_and_keep_their_ratio(self, pl):
        finder = lrl.LRFinder()
        net, fitted = trained(pl, adversarial(pl), finder)
        first, second = (one.param_groups[0]["lr"] for one in fitted.optimizers)
        assert first == finder.finding.lr
        assert finder.finding.records[0].lrs[0] == pytest.approx(1e-6)
        assert second == pytest.approx(first / 4)
        assert finder.finding.records[0].ratios == (1.0, 0.25)
        assert (net.count, finder.applied.steps) == (40, 40)

    def test_one_is_named(self, pl):
        finder = lrl.LRFinder(optimizer=1)
        _, fitted = trained(pl, adversarial(pl), finder)
        first, second = (one.param_groups[0]["lr"] for one in fitted.optimizers)
        assert second == finder.finding.lr
        assert len(finder.finding.records[0].ratios) == 1
        assert first in (2e-3, finder.finding.lr * 4)

    @pytest.mark.parametrize("index", [0, 1])
    def test_an_attribute_that_both_read_is_left_alone_where_one_is_named_and_that_is_said(self, pl, index):
        net, fitted = trained(pl, adversarial(pl), finder := lrl.LRFinder(optimizer=index, strategy=Told()))
        rates = [each.param_groups[0]["lr"] for each in fitted.optimizers]
        assert rates[index] == finder.finding.lr
        assert (net.lr, rates[1 - index]) == (2e-3, 2e-3 / 4 if index == 0 else 2e-3)
        said = "self.lr gives other optimizers their rate, too: the optimizer was set, the attribute not."
        assert said in finder.finding.notes

    def test_so_it_is_not_written_by_apply(self, pl):
        net = adversarial(pl)()
        finding = lrl.find(trainer(pl), net, loader(), optimizer=1, strategy="range", progress=False)
        with pytest.raises(RateNotAppliedError, match="makes several; say which: optimizer="):
            lrl.apply(finding, net)
        with pytest.raises(RateNotAppliedError, match=r"gives other optimizers their rate, too; .* LRFinder\(\)"):
            lrl.apply(finding, net, optimizer=1)
        lrl.apply(both := lrl.find(trainer(pl), net, loader(), strategy="range", progress=False), net)
        assert net.lr == both.lr

    def test_only_finding_leaves_them_as_they_are(self, pl):
        finder = lrl.LRFinder(apply=False)
        nets = [trained(pl, adversarial(pl), *callbacks) for callbacks in ([finder], [])]
        losses = [net.losses for net, _ in nets]
        assert losses[0] == losses[1]


class TestWhenItSearches:
    def test_in_the_middle_of_training_from_the_state_it_is_in(self, pl):
        finder = lrl.LRFinder(apply=False, every=2)
        both = ([finder], [])
        outcomes = [state(*trained(pl, module(pl), *each, max_epochs=5, lr=2e-4)) for each in both]
        assert outcomes[0] == outcomes[1]
        assert len(finder.findings) == 3
        starts = [np.mean(finding.records[0].losses[:8]) for finding in finder.findings]
        assert starts[1] < 0.9 * starts[0]  # the second search starts from what two epochs have learnt
        assert all(len(finding.records[0].lrs) > 20 for finding in finder.findings)

    def test_a_rate_found_in_the_middle_is_applied_and_verified(self, pl):
        finder = lrl.LRFinder(every=1, steps=64)
        net, fitted = trained(pl, module(pl), finder, max_epochs=3, limit_train_batches=2)
        assert len(finder.findings) == 3
        assert fitted.optimizers[0].param_groups[0]["lr"] == finder.finding.lr == net.lr
        rates = [finding.lr for finding in finder.findings]
        assert (finder.span, finder.applied.steps) == ((min(rates), max(rates)), 6)

    def test_resuming_a_run_that_had_no_finder_resumes_and_searches_from_there(self, pl, tmp_path):
        _, fitted = trained(pl, module(pl), max_epochs=2, lr=2e-4)
        fitted.save_checkpoint(tmp_path / "one.ckpt")
        finder, net = lrl.LRFinder(), module(pl)()
        again = trainer(pl, finder, max_epochs=4)
        again.fit(net, loader(), ckpt_path=tmp_path / "one.ckpt")
        assert (net.count, again.global_step) == (40, 80)
        assert np.mean(finder.finding.records[0].losses[:8]) < 0.9 * np.mean(
            lrl.find(trainer(pl), module(pl)(), loader(), progress=False).records[0].losses[:8]
        )
        assert finder.span == (finder.finding.lr, finder.finding.lr)

    def test_a_curve_in_the_middle_that_cannot_be_read_keeps_the_rate_and_says_so(self, pl):
        with pytest.warns(UserWarning, match="At epoch 1 the rate is kept as it is: the loss did not fall"):
            net, _ = trained(
                pl, module(pl), finder := lrl.LRFinder(every=1, strategy=Narrowing()), max_epochs=2, lr=2e-3
            )
        assert finder.span == (finder.finding.lr, finder.finding.lr)
        assert (len(finder.findings), net.lr) == (1, finder.finding.lr)

    @pytest.mark.parametrize("at", [0, 1])
    def test_an_error_of_a_logger_is_the_users_own_and_what_was_found_is_in_use(self, pl, at):
        class Failing(pl.loggers.CSVLogger):
            def log_metrics(self, metrics, step=None):
                if "lrfind/lr" in metrics and step >= 20 * at:
                    raise ProbeError("no space left")

        finder, net = lrl.LRFinder(every=1, strategy="range", progress=False), module(pl)(2e-3)
        fitted = trainer(pl, finder, logger=Failing("logs"))
        with pytest.raises(ProbeError, match="no space left"):
            fitted.fit(net, loader())
        held = fitted.optimizers[0].param_groups[0]["lr"]
        assert (len(finder.findings), finder.finding.lr, net.lr, net.count) == (at + 1, held, held, 20 * at)

    def test_it_says_in_a_line_what_it_found_and_whether_training_uses_it(self, pl, capsys):
        for options, fate in (
            ({}, "training uses it."),
            ({"apply": False}, "does not use it."),
            ({"progress": False}, None),
        ):
            finder = lrl.LRFinder(strategy="range", **options)
            trained(pl, module(pl), finder, max_epochs=1)
            said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("lrfind:")]
            lr, steps = finder.finding.lr, finder.finding.cost.steps
            start = f"lrfind: lr {lr:.3g} (unsure: print the finding) found in {steps} steps, "  # training is short
            assert [(line.startswith(start), line.endswith(fate or "")) for line in said] == [(True, True)] * bool(fate)

    @pytest.mark.filterwarnings("ignore:.*Running in `fast_dev_run` mode")
    def test_a_run_of_one_batch_to_see_that_it_works_searches_nothing_and_says_so(self, pl):
        finder = lrl.LRFinder(every=1)
        with pytest.warns(UserWarning, match="fast_dev_run: no rate is searched; training keeps its own"):
            net, fitted = trained(pl, module(pl), finder, fast_dev_run=True)
        assert (finder.finding, net.count, fitted.optimizers[0].param_groups[0]["lr"]) == (None, 1, 2e-3)

    def test_its_checkpoint_loads_weights_only(self, pl, tmp_path):
        finder = lrl.LRFinder()
        _, fitted = trained(pl, module(pl), finder, max_epochs=1)
        fitted.save_checkpoint(tmp_path / "one.ckpt")
        loaded = torch.load(tmp_path / "one.ckpt", weights_only=True)
        assert any("LRFinder" in name for name in loaded["callbacks"])


class Narrowing:
    """A range test, and in later searches one over rates too low to change anything."""

    def __init__(self):
        self.searches = 0

    def propose(self, records):
        self.searches += not records
        return RangeTest(max_lr=30.0 if self.searches == 1 else 1e-5).propose(records)


class TestOtherCallbacks:
    def test_averaging_of_weights_may_bring_its_own_scheduler(self, pl):
        averaging = pl.callbacks.StochasticWeightAveraging(swa_lrs=1e-3, swa_epoch_start=2, annealing_epochs=2)
        finder = lrl.LRFinder(apply=True)
        trained(pl, module(pl), finder, averaging, max_epochs=5)
        assert finder.applied.steps >= 100

    def test_a_backbone_may_thaw_later(self, pl):
        class Thaw(pl.callbacks.BaseFinetuning):
            def freeze_before_training(self, pl_module):
                self.freeze(pl_module.net[0])

            def finetune_function(self, pl_module, epoch, optimizer):
                if epoch == 1:
                    self.unfreeze_and_add_param_group(pl_module.net[0], optimizer)

        def configure_optimizers(self):
            return torch.optim.Adam([one for one in self.parameters() if one.requires_grad], lr=self.lr)

        kind = module(pl, configure_optimizers=configure_optimizers)
        finder = lrl.LRFinder()
        with_finder = state(*trained(pl, kind, Thaw(), finder, max_epochs=3))
        assert with_finder == state(*trained(pl, kind, Thaw(), max_epochs=3, lr=finder.finding.lr))

    def test_early_stopping_and_validation_are_not_disturbed(self, pl, capsys):
        def validation_step(self, batch, batch_idx):
            print(self.trainer.current_epoch)
            self.log("val", F.mse_loss(self.net(batch[0]), batch[1]))

        kind = module(
            pl, validation_step=validation_step, val_dataloader=lambda self: DataLoader(loader(size=64).dataset, 32)
        )
        counts = []
        for callbacks in ([lrl.LRFinder(apply=False)], []):
            stopping = pl.callbacks.EarlyStopping("val", patience=1)
            _, fitted = trained(pl, kind, *callbacks, stopping, max_epochs=4, val_check_interval=0.5)
            counts.append((capsys.readouterr().out, fitted.global_step))
        assert counts[0] == counts[1]

    def test_the_scheduled_accumulation_is_used(self, pl):
        schedule = pl.callbacks.GradientAccumulationScheduler({0: 4})
        finder = lrl.LRFinder(apply=False)
        trained(pl, module(pl), finder, schedule, max_epochs=1)
        assert finder.finding.records[0].epochs >= 4 * len(finder.finding.records[0].lrs) / 20 - 1

    def test_whoever_set_the_rate_is_named(self, pl):
        class Meddler(pl.Callback):
            def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
                trainer.optimizers[0].param_groups[0]["lr"] = 0.7

        with pytest.raises(RateNotAppliedError, match=r"Meddler\.on_train_batch_start may have changed it"):
            trained(pl, module(pl), lrl.LRFinder(), Meddler())


class TestPrecision:
    def test_bf16(self, pl):
        finder = lrl.LRFinder(apply=False)
        outcomes = [state(*trained(pl, module(pl), *callbacks, precision="bf16-mixed")) for callbacks in ([finder], [])]
        assert outcomes[0] == outcomes[1]
        plain = lrl.find(trainer(pl), module(pl)(), loader(), progress=False)
        assert finder.finding.records[0].losses != plain.records[0].losses


class TestTheAppliedRate:
    def test_it_is_read_back_at_every_step(self, pl):
        finder = lrl.LRFinder()
        net, _ = trained(pl, module(pl), finder)
        assert finder.span == (finder.finding.lr, finder.finding.lr)
        assert finder.applied.steps == 40
        assert net.lr == finder.finding.lr

    def test_a_stale_hyperparameter_is_said(self, pl):
        finder = lrl.LRFinder()
        trained(pl, module(pl), finder)
        assert any("self.hparams.lr=0.002" in note for note in finder.finding.notes)

    def test_the_planted_liar_is_found_out_before_training(self, pl):
        """The published experiment: the rate goes to ``hparams``, the optimizer reads another attribute."""
        net = module(pl)()
        finding = lrl.find(trainer(pl), net, loader(), progress=False)
        net.hparams.lr = finding.lr
        with pytest.raises(RateNotAppliedError, match=r"self\.hparams\.lr.*does not read.*self\.lr"):
            trainer(pl, lrl.VerifyLR(finding.lr)).fit(net, loader())
        assert net.count == 0

    def test_an_attribute_the_optimizer_does_not_read_is_refused_before_the_search(self, pl):
        net = module(pl)()
        with pytest.raises(RateNotAppliedError, match=r"self\.hparams\.lr.*self\.lr"):
            trainer(pl, lrl.LRFinder(attr="hparams.lr")).fit(net, loader())
        assert net.count == 0

    def test_so_it_is_where_the_rate_is_only_found(self, pl):
        net = module(pl)()
        with pytest.raises(RateNotAppliedError, match=r"self\.hparams\.lr.*self\.lr"):
            trainer(pl, lrl.LRFinder(attr="hparams.lr", apply=False)).fit(net, loader())
        assert net.seen == 0

    @pytest.mark.parametrize("attr", [None, "lr"])
    def test_what_could_not_be_told_is_said_as_that(self, pl, attr):
        def configure_optimizers(self):
            if self.__dict__.setdefault("is_built", False):
                raise RuntimeError("once only")
            self.is_built = True
            return torch.optim.Adam(self.parameters(), lr=self.lr)

        kind = module(pl, configure_optimizers=configure_optimizers)
        finder = lrl.LRFinder(attr=attr, strategy="range", progress=False)
        net, fitted = trained(pl, kind, finder)
        assert fitted.optimizers[0].param_groups[0]["lr"] == finder.span[0] == finder.finding.lr
        assert net.lr == (2e-3 if attr is None else finder.finding.lr)
        notes = [note for note in finder.finding.notes if "hparams.lr" in note]
        assert "could not be told what its optimizer reads: it trains with" in notes[0]
        with pytest.raises(RateNotAppliedError, match=r"the optimizer of Net starts with lr=0\.002, not with lr=0\.1"):
            trained(pl, kind, lrl.VerifyLR(0.1))

    def test_apply_writes_where_the_optimizer_reads(self, pl):
        net = module(pl)()
        finding = lrl.find(trainer(pl), net, loader(), progress=False)
        lrl.apply(finding, net)
        assert net.lr == finding.lr
        verify = lrl.VerifyLR(finding.lr)
        trainer(pl, verify).fit(net, loader())
        assert verify.span == (finding.lr, finding.lr)
        with pytest.raises(RateNotAppliedError, match=r"hparams\.lr.*self\.lr"):
            lrl.apply(finding, net, attr="hparams.lr")

    @pytest.mark.parametrize("kept", ["config", "partial"])
    def test_a_rate_that_is_in_no_attribute_is_refused_with_the_way_out(self, pl, kept):
        def configure_optimizers(self):
            return (
                self.make(self.parameters()) if kept == "partial" else torch.optim.SGD(self.parameters(), **self.made)
            )

        net = module(pl, configure_optimizers=configure_optimizers)()
        net.made, net.make = {"lr": 0.1}, partial(torch.optim.SGD, lr=0.1)
        finding = lrl.find(trainer(pl), net, loader(), strategy="range", progress=False)
        with pytest.raises(RateNotAppliedError, match=r"partial or a config object; .* or train with LRFinder\(\)"):
            lrl.apply(finding, net)
        trainer(pl, finder := lrl.LRFinder(strategy="range", progress=False)).fit(net, loader())
        assert finder.span == (finder.finding.lr, finder.finding.lr)

    def test_a_literal_rate_is_replaced_on_the_optimizer_and_its_scheduler(self, pl):
        def configure_optimizers(self):
            optimizer = torch.optim.SGD(self.parameters(), lr=0.5)
            scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.9**step)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

        rates = []

        class Rates(pl.Callback):
            def on_before_optimizer_step(self, trainer, pl_module, optimizer):
                rates.append(optimizer.param_groups[0]["lr"])

        finder = lrl.LRFinder(attr=None)
        trained(pl, module(pl, configure_optimizers=configure_optimizers, lr=None), finder, Rates(), max_epochs=1)
        np.testing.assert_allclose(rates, finder.finding.lr * 0.9 ** np.arange(20), rtol=1e-12)

    def test_someone_else_setting_the_rate_is_caught_at_that_step(self, pl):
        class Meddler(pl.Callback):
            def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
                if batch_idx == 5:
                    trainer.optimizers[0].param_groups[0]["lr"] = 0.7

        with pytest.raises(RateNotAppliedError, match=r"step 6 param group 0 .*lr=0\.7"):
            trained(pl, module(pl), lrl.LRFinder(), Meddler())


class TestBadInput:
    def test_options_are_checked_when_the_callback_is_made(self):
        with pytest.raises(BadInputError, match="min_lr must be below max_lr"):
            lrl.LRFinder(min_lr=1.0, max_lr=0.1)

    def test_a_strategy_that_is_not_known_to_be_put_back(self, pl):
        unknown = trainer(pl)
        unknown.strategy.__class__ = type("Pipes", (pl.strategies.Strategy,), {})
        with pytest.raises(BadInputError, match="does not run under Pipes, whose engine keeps weights to itself"):
            lrl.find(unknown, module(pl)(), loader())

    def test_optimizers_that_are_not_there(self, pl):
        with pytest.raises(BadInputError, match="optimizer=1 was asked for, and configure_optimizers returned 1"):
            lrl.find(trainer(pl), module(pl)(), loader(), optimizer=1, progress=False)
        with pytest.raises(BadInputError, match="returned no optimizer"):
            lrl.find(trainer(pl), module(pl, configure_optimizers=lambda self: None)(), loader(), progress=False)

    def test_manual_optimization_without_a_step_or_without_a_loss(self, pl):
        still = module(pl, training_step=lambda self, batch, batch_idx: F.mse_loss(self.net(batch[0]), batch[1]))()
        silent = module(pl, training_step=lambda self, batch, batch_idx: None)()
        still.automatic_optimization = silent.automatic_optimization = False
        with pytest.raises(BadInputError, match="was not stepped in 1000 batches"):
            lrl.find(trainer(pl), still, loader(), progress=False)
        with pytest.raises(BadInputError, match="training_step returns no loss"):
            lrl.find(trainer(pl), silent, loader(), progress=False)

    def test_a_training_step_that_forgets_its_loss(self, pl):
        silent = module(pl, training_step=lambda self, batch, batch_idx: None)()
        with pytest.raises(BadInputError, match=r"training_step of .* returns no loss; return it"):
            lrl.find(trainer(pl), silent, loader(), progress=False)

    def test_find_reads_the_schedule_off_the_module_as_the_callback_does(self, pl):
        def configure(self):
            optimizer = torch.optim.Adam(self.parameters(), lr=0.1)
            total = self.trainer.estimated_stepping_batches
            scheduler = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=total)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

        scheduled, data = module(pl, configure_optimizers=configure), loader()
        finder = lrl.LRFinder(apply=False, progress=False)
        torch.manual_seed(0)
        trainer(pl, finder).fit(scheduled(), data)
        torch.manual_seed(0)
        model = scheduled()
        before = torch.get_rng_state(), [one.clone() for one in model.parameters()]
        finding = lrl.find(trainer(pl), model, data, progress=False)
        assert torch.equal(torch.get_rng_state(), before[0])
        assert all(map(torch.equal, model.parameters(), before[1]))
        assert finding.schedule == finder.finding.schedule == "LinearLR"
        assert finding.lr == finder.finding.lr
        assert lrl.find(trainer(pl), scheduled(), data, schedule="constant", progress=False).schedule == "constant"

    def test_what_is_no_module(self, pl):
        with pytest.raises(BadInputError, match="must be a LightningModule, got the class LightningModule; make one"):
            lrl.find(trainer(pl), pl.LightningModule, loader(), progress=False)
        with pytest.raises(BadInputError, match="must be a LightningModule, got a Linear"):
            lrl.find(trainer(pl), nn.Linear(1, 1), loader(), progress=False)

    def test_a_dataset_for_a_loader(self, pl):
        with pytest.raises(BadInputError, match=r"TensorDataset gives samples; wrap it: DataLoader\("):
            lrl.find(trainer(pl), module(pl)(), loader().dataset, progress=False)

    def test_every(self):
        with pytest.raises(BadInputError, match="every must be a number of epochs"):
            lrl.LRFinder(every=0)

    def test_no_data(self, pl):
        with pytest.raises(BadInputError, match="no batch"):
            lrl.find(trainer(pl), module(pl)(), [], progress=False)

    def test_both_kinds_of_data(self, pl):
        with pytest.raises(BadInputError, match="not both"):
            lrl.find(trainer(pl), module(pl)(), loader(), datamodule=object())

    def test_a_loss_that_is_never_finite(self, pl):
        def training_step(self, batch, batch_idx):
            return math.nan * self.net(batch[0]).mean()

        with pytest.raises(ProbeError, match="not finite from the first step"):
            lrl.find(trainer(pl), module(pl, training_step=training_step)(), loader(), progress=False)

    def test_a_module_without_parameters(self, pl):
        class Empty(pl.LightningModule):
            def training_step(self, batch, batch_idx):
                return batch[0].mean()

            def configure_optimizers(self):
                return torch.optim.SGD(self.parameters(), lr=0.1)

        with pytest.raises(ValueError, match="empty parameter list"):  # in configure_optimizers, of torch itself
            lrl.find(trainer(pl), Empty(), loader())

    def test_no_trainer(self):
        with pytest.raises(BadInputError, match=r"must be a Lightning Trainer, .* got the int"):
            lrl.find(3, nn.Linear(1, 1), loader())


@pytest.mark.parametrize(
    ("options", "given", "known"),
    [
        ({"max_epochs": 3}, {}, {"epochs": 3}),
        ({"max_steps": 40, "max_epochs": 5}, {}, {"epochs": 5, "total_steps": 40}),
        ({"max_epochs": -1}, {}, {}),
        ({"max_epochs": 3}, {"total_steps": 7, "seed": 1}, {"total_steps": 7, "seed": 1}),
        ({"max_epochs": 3}, {"strategy": object()}, None),
    ],
)
def test_a_search_knows_how_long_the_trainer_will_train(pl, options, given, known):
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, **options)
    loop = LightningLoop(trainer, module(pl)(), loader(), is_fitting=True)
    assert loop.planned(given) == (given if known is None else known)


@pytest.mark.parametrize("source", ["loader", "module", "datamodule"])
@pytest.mark.parametrize("options", [{}, {"schedule": "linear"}])
def test_a_search_keeps_within_its_budget_wherever_its_data_come_from(pl, source, options):
    """A tenth of 1,000 steps: the first range test has to know how long an epoch is."""
    net, data = module(pl)(), None
    if source == "module":
        net.train_dataloader = loader
    elif source == "datamodule":
        data = type("Data", (pl.LightningDataModule,), {"train_dataloader": lambda self: loader()})()
    else:
        data = loader()
    name = "datamodule" if source == "datamodule" else "train_dataloaders"
    stop = type(
        "Stop", (pl.Callback,), {"on_train_start": lambda self, fitted, net: setattr(fitted, "should_stop", True)}
    )
    finder = lrl.LRFinder(progress=False, **options)
    trainer(pl, finder, stop(), max_epochs=50).fit(net, **{name: data})
    finding = lrl.find(trainer(pl, max_epochs=50), net, **{name: data}, progress=False, **options)
    for record, *others in (finding.records, finder.finding.records):
        assert len(record.probe.lrs) == 100
        assert sum(len(other.probe.lrs) for other in others) <= 60  # which come on top of a share


class TestTheScheduleOfTheTrainer:
    @staticmethod
    def finding(pl, driver, **options):
        class Net(module(pl)):
            def configure_optimizers(self):
                optimizer = torch.optim.SGD(self.parameters(), lr=self.lr)
                return optimizer if driver is None else ([optimizer], [driver(optimizer)])

        finder = lrl.LRFinder(apply=False, seed=1, **options)
        trained(pl, Net, finder, max_epochs=4)
        return finder.finding

    def test_it_is_read_off_its_scheduler(self, pl):
        steady = self.finding(pl, None)
        annealed = self.finding(pl, lambda one: torch.optim.lr_scheduler.CosineAnnealingLR(one, 4))
        assert (steady.schedule, annealed.schedule) == ("constant", "CosineAnnealingLR")
        assert annealed.records[0].losses == steady.records[0].losses
        assert annealed.lr > 1.5 * steady.lr

    @pytest.mark.parametrize(("frequency", "left"), [(1, 0.1**39), (10, 0.1**3), (20, 0.1), (40, 1.0), (60, 1.0)])
    def test_one_that_is_stepped_every_so_many_steps_is_read_so(self, pl, frequency, left):
        class Net(module(pl)):
            def configure_optimizers(self):
                optimizer = torch.optim.SGD(self.parameters(), lr=self.lr)
                scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.1)
                how = {"scheduler": scheduler, "interval": "step", "frequency": frequency}
                return {"optimizer": optimizer, "lr_scheduler": how}

        finding = lrl.find(trainer(pl, max_steps=40), Net(), loader(), progress=False, budget=128)
        assert finding.schedule == "ExponentialLR"
        assert finding.final_fraction == pytest.approx(left, abs=1e-6)

    def test_what_the_user_says_goes_first(self, pl):
        said = self.finding(pl, lambda one: torch.optim.lr_scheduler.CosineAnnealingLR(one, 4), schedule="constant")
        assert (said.schedule, said.lr) == ("constant", self.finding(pl, None).lr)

    @pytest.mark.parametrize(
        ("driver", "how", "options", "why"),
        [
            ("LambdaLR", {}, {}, "LambdaLR was read as constant, since its peak is not the rate that the optimizer"),
            ("StepLR", {}, {"max_steps": 40, "max_epochs": -1}, "StepLR was .* how many epochs training takes is not"),
            ("ReduceLROnPlateau", {"monitor": "loss"}, {}, "ReduceLROnPlateau was read as constant: when it will"),
        ],
    )
    def test_one_that_cannot_be_read_counts_as_constant_and_that_is_said(self, pl, driver, how, options, why):
        arguments = {"LambdaLR": [lambda epoch: 10.0], "StepLR": [2], "ReduceLROnPlateau": []}[driver]

        class Net(module(pl)):
            def configure_optimizers(self):
                optimizer = torch.optim.SGD(self.parameters(), lr=self.lr)
                scheduler = getattr(torch.optim.lr_scheduler, driver)(optimizer, *arguments)
                return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, **how}}

        finding = lrl.find(trainer(pl, **options), Net(), loader(), strategy="range", seed=1, progress=False)
        assert finding.schedule == ("constant" if driver != "ReduceLROnPlateau" else driver)
        assert [note for note in finding.notes if re.search(why, note)]
        assert finding.final_fraction == 1

    def test_a_module_sees_the_limits_of_its_own_trainer(self, pl, capsys):
        class Net(module(pl)):
            def configure_optimizers(self):
                print(self.trainer.max_epochs, self.trainer.max_steps)
                return super().configure_optimizers()

            def training_step(self, batch, batch_idx):
                print(self.trainer.max_epochs, self.trainer.max_steps)
                return super().training_step(batch, batch_idx)

        outer = trainer(pl, max_epochs=3, max_steps=50)
        finding = lrl.find(outer, Net(), loader(), strategy=RangeTest(seed=1), progress=False)
        assert set(capsys.readouterr().out.splitlines()) == {"3 50"}
        assert finding.cost.steps > 50

    @pytest.mark.parametrize(
        ("options", "steps"),
        [({"max_epochs": 3}, 60), ({"max_epochs": 3, "accumulate_grad_batches": 8}, 9), ({"max_steps": 30}, 30)],
    )
    def test_a_module_that_asks_for_the_length_of_training_is_told(self, pl, options, steps, capsys):
        class Net(module(pl)):
            def configure_optimizers(self):
                optimizer = torch.optim.Adam(self.parameters(), lr=self.lr)
                total = self.trainer.estimated_stepping_batches
                print(total)
                driver = torch.optim.lr_scheduler.OneCycleLR(optimizer, self.lr, total_steps=total)
                return [optimizer], [{"scheduler": driver, "interval": "step"}]

        torch.manual_seed(1)
        finding = lrl.find(trainer(pl, **options), Net(), loader(), strategy=RangeTest(seed=1), progress=False)
        within = lrl.LRFinder(strategy=RangeTest(seed=1))
        trained(pl, Net, within, **options)
        assert set(capsys.readouterr().out.split()) == {str(steps)}
        assert within.applied.steps == steps
        assert finding.lr > 0


@pytest.mark.parametrize(
    ("make", "factor"),
    [
        (lambda o, lr: torch.optim.lr_scheduler.CyclicLR(o, lr / 10, lr), 1.0),
        (lambda o, lr: torch.optim.lr_scheduler.OneCycleLR(o, lr * 10, total_steps=10), 0.1),
        (lambda o, lr: torch.optim.lr_scheduler.CosineAnnealingLR(o, 10), 1.0),
    ],
    ids=["CyclicLR", "OneCycleLR", "CosineAnnealingLR"],
)
@pytest.mark.parametrize("form", ["lists", "dictionary", "of dictionaries"])
def test_the_attribute_gives_the_found_rate_as_the_peak_of_the_schedule(pl, make, factor, form):
    class Scheduled(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.lr, self.net = 0.1, nn.Linear(2, 1)

        def configure_optimizers(self):
            optimizer = torch.optim.SGD(self.parameters(), lr=self.lr)
            scheduler = make(optimizer, self.lr)
            if form == "dictionary":
                return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler}}
            return [optimizer], [{"scheduler": scheduler} if form == "of dictionaries" else scheduler]

    assert trace(Scheduled(), 0.02, attr="lr").values == {"lr": pytest.approx(0.02 * factor)}


def test_where_no_value_of_the_attribute_gives_the_rate_the_optimizer_has_it_and_that_is_said(pl):
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.lr**2)

    finder = lrl.LRFinder(strategy="range", progress=False)
    net, fitted = trained(pl, module(pl, configure_optimizers=configure_optimizers), finder)
    assert fitted.optimizers[0].param_groups[0]["lr"] == finder.finding.lr
    assert net.lr == 2e-3
    assert "No value of self.lr gives the found rate: the optimizer was set, the attribute not." in finder.finding.notes


@pytest.mark.parametrize("callback", [lrl.LRFinder, lrl.VerifyLR])
def test_a_class_among_the_callbacks_is_refused(pl, callback):
    if pl.__version__.startswith(("2.2.", "2.3.", "2.4.")):
        pytest.skip("Lightning refuses it by itself, when the Trainer is made")
    with pytest.raises(BadInputError, match=r"callbacks= takes objects; write LRFinder\(\) or VerifyLR\(lr\)"):
        trainer(pl, callback).fit(module(pl)(), loader())


def test_a_finder_that_is_given_the_trainer_says_that_the_trainer_takes_it(pl):
    with pytest.raises(BadInputError, match=r"LRFinder takes all by name, got a Trainer; .* callbacks=\[LRFinder\(\)"):
        lrl.LRFinder(trainer(pl))


class TestTensorRates:
    """An optimizer that holds its rate as a tensor holds it in single precision."""

    def net(self, pl, name="lr"):
        def configure_optimizers(net):
            optimizer = torch.optim.Adam(net.parameters(), lr=torch.tensor(getattr(net, name)))
            return [optimizer], [torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)]

        net = module(pl, configure_optimizers=configure_optimizers)()
        setattr(net, name, 2e-3)
        return net

    @pytest.mark.parametrize("name", ["lr", "step_size"])
    def test_what_is_found_is_written_and_trains(self, pl, name):
        finder, net = lrl.LRFinder(strategy=RangeTest(steps=64), progress=False), self.net(pl, name)
        trainer(pl, finder).fit(net, loader())
        assert getattr(net, name) == finder.finding.lr
        assert finder.applied.greatest == pytest.approx(finder.finding.lr)
        other = self.net(pl, name)
        lrl.apply(finder.finding, other)
        assert getattr(other, name) == finder.finding.lr
        trainer(pl, verify := lrl.VerifyLR(finder.finding.lr)).fit(other, loader())
        assert verify.span == finder.span


def test_a_finding_of_another_optimizer_says_so(pl):
    net = module(pl, configure_optimizers=lambda net: torch.optim.SGD(net.parameters(), lr=net.lr))()
    record = Record(Probe((0.1,)), (0.1,), (1.0,), "done", optimizer="Adam")
    finding = Finding(0.1, 0.05, 0.2, (0.05, 0.2), "valley", "constant", (record,), Cost(1, 0.1))
    with pytest.warns(UserWarning, match="lr=0.1 was found for Adam and is applied to SGD, .* search with SGD"):
        lrl.apply(finding, net)
    assert net.lr == 0.1
    lrl.apply(finding, module(pl)())


@pytest.mark.parametrize("kinds", [(torch.optim.SGD, torch.optim.Adam), (torch.optim.Adam, torch.optim.Adam)])
def test_a_monitor_of_rates_names_them_as_without(pl, kinds):
    def configure_optimizers(net):
        both = [kind(part.parameters(), lr=net.lr) for kind, part in zip(kinds, (net.net[0], net.net[4]), strict=True)]
        return both, [torch.optim.lr_scheduler.ExponentialLR(each, 0.9) for each in both]

    def training_step(net, batch, batch_idx):
        net.manual_backward(F.mse_loss(net.net(batch[0]), batch[1]))
        for each in net.optimizers():
            each.step()

    def named(*callbacks):
        kind = module(pl, configure_optimizers=configure_optimizers, training_step=training_step)
        kind.automatic_optimization = property(lambda net: False, lambda net, value: None)
        monitor = pl.callbacks.LearningRateMonitor("step")
        trainer(pl, *callbacks, monitor, logger=pl.loggers.CSVLogger("logs"), log_every_n_steps=1).fit(kind(), loader())
        return sorted(monitor.lrs)

    assert named(lrl.VerifyLR(2e-3)) == named()

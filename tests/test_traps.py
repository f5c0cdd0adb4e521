"""The traps that other finders fell into, each with the place where it was seen."""

import os
import re
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch
from test_lightning import adversarial, loader, module, state, trained, trainer
from test_pytorch import everything, find, setup, train
from torch import nn
from torch.nn import functional as F

import lrfind
import lrfind.lightning as lrl
from lrfind.curves import DivergenceWatch, to_curve
from lrfind.lightning.loop import LightningLoop
from lrfind.pytorch import PyTorchLoop
from lrfind.records import Probe, Record
from lrfind.schedules import ramp
from lrfind.suggest.published import steepest
from lrfind.suggest.training import Training

pytestmark = pytest.mark.usefixtures("empty_folder")


def record(lrs, losses, stop="done"):
    return Record(Probe(tuple(lrs)), tuple(lrs), tuple(map(float, losses)), stop)


class TestReading:
    def test_the_slope_is_taken_per_log_rate_so_noise_does_not_drown_it(self):
        """Lightning #21141: per rate, noise at the lowest rates has the steepest slope."""
        lrs = np.array(ramp(1e-8, 1.0, 100))
        for seed in range(20):
            noise = np.random.default_rng(seed).normal(0, 0.01, 100)
            losses = 2.3 - 1.5 / (1 + np.exp(-2 * np.log(lrs / 1e-3))) + noise
            assert 2.5e-4 < steepest(to_curve(record(lrs, losses)), Training()) < 4e-3

    def test_the_first_smoothed_losses_are_not_biased(self):
        """Lightning #14167: an off-by-one in the correction halved the first smoothed loss."""
        smooth = to_curve(record(ramp(1e-6, 1.0, 60), [2.3] * 60)).smooth
        assert smooth == pytest.approx(np.full(60, 2.3))

    def test_negative_losses_do_not_stop_the_sweep(self):
        """fastai #962: a multiple of a negative best loss lies below it."""
        found = find(*setup(), lambda model, batch: F.mse_loss(model(batch[0]), batch[1]) - 50.0)
        assert found.records[0].lrs[-1] > 0.1

    def test_one_nan_is_a_gap_and_all_nan_stop(self):
        """Lightning #1850, ignite #1482: one NaN poisoned the average; with all NaN the sweep never stopped."""
        watch = DivergenceWatch()
        losses = [1.0, float("nan"), 1.1, 0.9, float("nan"), float("nan"), 1.0]
        assert [watch.observe(loss) for loss in losses] == [None] * 7
        watch = DivergenceWatch()
        assert [watch.observe(float("nan")) for _ in range(3)][-1] == "non-finite"
        curve = to_curve(record(ramp(1e-6, 1.0, 40), [1.0] * 20 + [float("nan")] + [0.9] * 19))
        assert np.isfinite(curve.smooth).all()


class TestTheSweep:
    def test_a_find_in_the_middle_of_training_has_all_its_points(self, pl):
        """Lightning #4846: 0 or 1 points, since the step counter had passed the sweep's length."""
        lengths = []

        class Midway(pl.Callback):
            def on_train_epoch_start(self, trainer, pl_module):
                loop = LightningLoop(trainer, pl_module, trainer.fit_loop._data_source.instance, is_fitting=True)
                lengths.append(len(loop.run(Probe(ramp(1e-8, 1e-6, 50))).lrs))

        trained(pl, module(pl), Midway(), max_epochs=3)
        assert lengths == [50, 50, 50]

    def test_max_epochs_and_limits_neither_cut_the_sweep_nor_count_as_divergence(self, pl):
        """Lightning #16561."""
        probe = Probe(ramp(1e-8, 1e-6, 70))
        one = trainer(pl, max_epochs=1, max_steps=5, limit_train_batches=3)
        ran = LightningLoop(one, module(pl)(), loader()).run(probe)
        assert (ran.stop, len(ran.lrs), ran.epochs) == ("done", 70, 24)

    def test_accumulation_records_the_mean_over_the_batches_of_a_step(self, pl):
        """Lightning #1726: only the last micro-batch was recorded."""
        net = module(pl, training_step=lambda self, batch, index: self.net(batch[0]).sum() * 0 + index)()
        ran = LightningLoop(trainer(pl, accumulate_grad_batches=4), net, loader()).run(Probe((1e-6,) * 5))
        assert ran.losses == pytest.approx([1.5, 5.5, 9.5, 13.5, 17.5])

    def test_a_recorded_rate_is_the_rate_of_that_very_step(self):
        """ignite: recorded rates were one step ahead of the applied ones."""
        model = nn.Linear(1, 1, bias=False)
        rates = (0.5, 0.1, 0.7, 0.2)

        def loss_fn(model, batch):
            return model.weight.sum()  # a gradient of 1: each step lowers the loss by its rate

        loop = PyTorchLoop(model, torch.optim.SGD(model.parameters(), lr=1.0), [0] * 5, loss_fn)
        ran = loop.run(Probe((*rates, 0.3)))
        assert -np.diff(ran.losses) == pytest.approx(ran.lrs[:4], rel=1e-5)
        assert ran.lrs[:4] == rates

    def test_validation_does_not_run_inside_the_sweep(self, pl):
        def validation_step(self, batch, batch_idx):
            raise AssertionError("validation ran")

        kind = module(pl, validation_step=validation_step, val_dataloader=lambda self: loader())
        assert lrl.find(trainer(pl, val_check_interval=2), kind(), loader(), progress=False).lr > 0

    def test_the_bar_can_be_hidden_and_is_not_drawn_into_files(self, capfd):
        """darts #2334."""
        for progress in (True, False):
            lrfind.find(*setup(), F.mse_loss, progress=progress)
        assert capfd.readouterr() == ("", "")


class TestAfterwards:
    def test_nobody_has_to_call_reset(self):
        """torch-lr-finder #11: users forgot to, and trained on from the diverged weights."""
        model, optimizer, batches = setup()
        before = everything(model, optimizer)
        find(model, optimizer, batches)
        assert everything(model, optimizer) == before

    def test_resuming_from_a_checkpoint_still_happens(self, pl, tmp_path):
        """Lightning's callback swallowed ``ckpt_path``."""
        _, fitted = trained(pl, module(pl), max_epochs=1, lr=1e-4)
        fitted.save_checkpoint(tmp_path / "one.ckpt")
        plain, searched = module(pl)(1e-4), module(pl)(1e-4)
        results = []
        for net, callbacks in ((plain, []), (searched, [lrl.LRFinder(apply=False)])):
            data = loader()
            torch.manual_seed(5)
            one = trainer(pl, *callbacks, max_epochs=2)
            one.fit(net, data, ckpt_path=tmp_path / "one.ckpt")
            results.append((net.losses, one.global_step))
        assert results[0] == results[1]
        assert results[0][1] == 40

    @pytest.mark.parametrize("name", ["LambdaLR", "OneCycleLR", "CyclicLR", "CosineAnnealingWarmRestarts"])
    def test_the_rate_does_not_revert_at_step_two(self, pl, name):
        """Lightning's: the scheduler kept its own base rates."""
        make = {
            "LambdaLR": lambda o, lr: torch.optim.lr_scheduler.LambdaLR(o, lambda step: 0.95**step),
            "OneCycleLR": lambda o, lr: torch.optim.lr_scheduler.OneCycleLR(o, 0.5, total_steps=50),
            "CyclicLR": lambda o, lr: torch.optim.lr_scheduler.CyclicLR(o, 0.05, 0.5, 5, cycle_momentum=False),
            "CosineAnnealingWarmRestarts": lambda o, lr: torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(o, 7),
        }[name]

        def configure_optimizers(self):
            optimizer = torch.optim.SGD(self.parameters(), lr=0.5)
            return [optimizer], [{"scheduler": make(optimizer, 0.5), "interval": "step"}]

        def rates(lr):
            optimizer = torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=0.5)
            scheduler, seen = make(optimizer, 0.5), []
            for _ in range(40):
                seen.append(optimizer.param_groups[0]["lr"] * lr / 0.5)
                optimizer.step()
                scheduler.step()
            return seen

        used = []

        class Rates(pl.Callback):
            def on_before_optimizer_step(self, trainer, pl_module, optimizer):
                used.append(optimizer.param_groups[0]["lr"])

        finder = lrl.LRFinder()
        trained(pl, module(pl, configure_optimizers=configure_optimizers), finder, Rates())
        assert used == pytest.approx(rates(finder.finding.lr), rel=1e-6)
        assert finder.applied.steps == 40

    def test_ratios_of_param_groups_are_kept(self, pl):
        def configure_optimizers(self):
            groups = [{"params": self.net[:2].parameters()}, {"params": self.net[2:].parameters(), "lr": self.lr / 8}]
            return torch.optim.Adam(groups, lr=self.lr)

        finder = lrl.LRFinder()
        _, fitted = trained(pl, module(pl, configure_optimizers=configure_optimizers), finder)
        first, second = (group["lr"] for group in fitted.optimizers[0].param_groups)
        assert (first, second) == (finder.finding.lr, pytest.approx(finder.finding.lr / 8))
        assert finder.finding.records[0].ratios == pytest.approx((1.0, 0.125))

    def test_manual_optimization_keeps_its_rate(self, pl):
        """Lightning's: the rate stayed at the sweep's minimum, which was written into the model."""
        net, fitted = trained(pl, adversarial(pl), lrl.LRFinder(apply=False))
        assert net.lr == 2e-3
        assert [one.param_groups[0]["lr"] for one in fitted.optimizers] == [2e-3, 5e-4]

    def test_the_trainer_is_as_it_was_after_an_exception(self, pl):
        """Lightning's: foreign callbacks, logger and limits stayed."""

        def training_step(self, batch, batch_idx):
            raise ValueError("boom")

        one = trainer(pl, limit_val_batches=7, max_epochs=3)
        before = dict(vars(one)), list(one.callbacks), one.max_steps, one.max_epochs, one.limit_val_batches
        with pytest.raises(ValueError, match="boom"):
            lrl.find(one, module(pl, training_step=training_step)(), loader(), progress=False)
        after = dict(vars(one)), list(one.callbacks), one.max_steps, one.max_epochs, one.limit_val_batches
        assert after == before

    def test_the_callback_does_not_shift_the_order_of_batches(self, pl):
        finder = lrl.LRFinder(apply=False)
        assert trained(pl, module(pl), finder)[0].losses == trained(pl, module(pl))[0].losses
        assert state(*trained(pl, module(pl), finder)) == state(*trained(pl, module(pl)))


SCRIPT = """
import os, signal, sys
import torch
from torch import nn
from torch.nn import functional as F

def watch(event, args):
    if event == "open" and len(args) > 2 and isinstance(args[0], str) and args[2] & (os.O_WRONLY | os.O_RDWR):
        if not args[0].startswith("/dev/"):
            print("WRITES", args[0], flush=True)
    if event in ("os.mkdir", "os.rename") and "torchinductor_" not in str(args[0]):  # torch's own, for old Lightning
        print("WRITES", args[0], flush=True)

import lrfind, lrfind.lightning as lrl
import lightning.pytorch as pl
x = torch.randn(256, 4)
loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, x.sum(1, keepdim=True)), batch_size=16)
class Net(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.lr, self.net, self.count = 0.1, nn.Linear(4, 1), 0
    def training_step(self, batch, index):
        self.count += 1
        if sys.argv[1] == "kill" and self.count == 20:
            os.kill(os.getpid(), signal.SIGKILL)
        return F.mse_loss(self.net(batch[0]), batch[1])
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.lr)
net = Net()
trainer = pl.Trainer(accelerator="cpu", max_epochs=1)
sys.addaudithook(watch)
lrl.find(trainer, net, loader)
lrfind.find(net.net, torch.optim.SGD(net.net.parameters(), lr=0.1), loader, F.mse_loss)
print("DONE")
"""


class TestFiles:
    def run(self, how, folder):
        (folder / "script").mkdir()
        (folder / "work").mkdir()
        script = folder / "script" / "run.py"
        script.write_text(textwrap.dedent(SCRIPT))
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore", "PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, str(script), how]
        done = subprocess.run(command, cwd=folder / "work", env=environment, capture_output=True, text=True)
        return done, list((folder / "work").iterdir())

    def test_no_file_is_opened_for_writing(self, tmp_path):
        """pytorch-forecasting #941: a read-only working directory; Lightning #13856: stray checkpoints."""
        done, left = self.run("run", tmp_path)
        assert "DONE" in done.stdout, done.stderr
        assert not re.search(r"WRITES (?!.*/\.coverage)", done.stdout)  # but those that measure coverage
        assert left == []

    def test_after_kill_nine_nothing_is_left(self, tmp_path):
        done, left = self.run("kill", tmp_path)
        assert done.returncode == -9
        assert left == []


class TestBatches:
    def test_of_odd_sizes(self):
        """torch-lr-finder #71, #73: a last batch of another size; a batch of one."""
        model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        x = torch.randn(33, 4)
        batches = [(x[a:b], x[a:b].sum(1, keepdim=True)) for a, b in ((0, 8), (8, 9), (9, 32), (32, 33))]
        assert find(model, optimizer, batches).lr > 0
        train(model, optimizer, batches, 1)

    def test_of_a_model_with_several_inputs_outputs_and_losses(self):
        """torch-lr-finder #21, #61, #78: batches had to be pairs, and models to take one input and give one output."""

        class Two(nn.Module):
            def __init__(self):
                super().__init__()
                self.trunk, self.heads = nn.Linear(4, 8), nn.ModuleList([nn.Linear(8, 1), nn.Linear(8, 1)])

            def forward(self, signal, depth):
                hidden = self.trunk(torch.cat([signal, depth], 1)).tanh()
                return [head(hidden) for head in self.heads]

        def loss_fn(model, batch):
            signal, depth, *targets = batch
            return sum(F.mse_loss(out, target) for out, target in zip(model(signal, depth), targets, strict=True))

        x, model = torch.randn(64, 4), Two()
        batches = [(part[:, :3], part[:, 3:], part[:, :1], part[:, 1:2]) for part in x.split(16)]
        assert find(model, torch.optim.SGD(model.parameters(), lr=0.1), batches, loss_fn).lr > 0

    def test_of_a_model_that_computes_its_own_loss(self):
        """torch-lr-finder #55: the batches of transformers are dictionaries, and their models return the loss."""

        class Own(nn.Linear):
            def forward(self, inputs, labels):
                logits = super().forward(inputs)
                return {"logits": logits, "loss": F.cross_entropy(logits, labels)}

        x, model = torch.randn(64, 4), Own(4, 3)
        batches = [{"inputs": part, "labels": part[:, :3].argmax(1)} for part in x.split(16)]
        optimizer = torch.optim.Adam(model.parameters())
        assert find(model, optimizer, batches, lambda model, batch: model(**batch)["loss"]).lr > 0

    def test_none_at_all_where_a_single_tensor_is_optimized(self):
        """torch-lr-finder #80: an input is optimized, and there is no data."""

        class Image(nn.Module):
            def __init__(self):
                super().__init__()
                self.pixels = nn.Parameter(torch.zeros(3, 8))

        image, wanted = Image(), torch.randn(3, 8)
        optimizer = torch.optim.Adam(image.parameters(), lr=0.1)
        found = find(image, optimizer, [None], lambda image, _: F.mse_loss(image.pixels, wanted))
        assert found.lr > 0
        assert image.pixels.abs().max() == 0


def test_lazy_modules_are_searched_and_stay_lazy(pl):
    """Lightning #11737: copying parameters that are not there yet crashed."""

    def training_step(self, batch, batch_idx):
        return F.mse_loss(self.lazy(batch[0]), batch[1])

    net = module(pl, training_step=training_step)()
    net.lazy = nn.LazyLinear(1)
    assert lrl.find(trainer(pl), net, loader(), progress=False).lr > 0
    assert net.lazy.has_uninitialized_params()

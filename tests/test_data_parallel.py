"""Lightning's ``ddp`` on two processes: one loss, one decision, equal weights, no deadlock."""

import json
import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from lrfind.errors import BadInputError
from lrfind.lightning.loop import LightningLoop

SCRIPT = """
import json, os, sys
from pathlib import Path
import torch
from torch.nn import functional as F
import {package} as pl
import lrfind.lightning as lrl

torch.set_num_threads(1)
out, trouble = Path(sys.argv[1]), sys.argv[2]


class Net(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.lr, self.steps, self.losses, self.is_probe = 2e-3, 0, [], False
        self.net = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.BatchNorm1d(16), torch.nn.Linear(16, 1))

    def training_step(self, batch, batch_idx):
        self.steps += 1
        probing = not self.trainer.callbacks or type(self.trainer.callbacks[0]).__name__ == "ProbeCallback"
        if trouble == "raise" and probing and self.global_rank == 1 and self.steps == 10:
            raise ValueError("boom on one rank")
        loss = F.mse_loss(self.net(batch[0]), batch[1])
        self.losses.append(loss.item())
        if trouble == "nan" and probing and self.global_rank == 1 and self.steps > 40:
            return loss * float("nan")
        return loss

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=self.lr)


def fit(*callbacks):
    torch.manual_seed(0)
    x = torch.randn(512, 8)
    data = torch.utils.data.TensorDataset(x, x[:, :1] * 2 + 0.1 * torch.randn(512, 1))
    loader = torch.utils.data.DataLoader(data, batch_size=16, shuffle=True)
    quiet = dict(logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False)
    net = Net()
    trainer = pl.Trainer(strategy="ddp", devices=2, accelerator="cpu", max_epochs=2, callbacks=list(callbacks), **quiet)
    trainer.fit(net, loader)
    weights = [value.tolist() for value in net.parameters()]
    return trainer.global_rank, dict(weights=weights, losses=net.losses, steps=net.steps)


finder = lrl.LRFinder(apply=False)
rank, found = fit(finder)
_, plain = fit()
applied = lrl.LRFinder()
_, after = fit(applied)
records = finder.finding.records[0]
result = dict(found=found, plain=plain, lr=finder.finding.lr, probe=records.losses, stop=records.stop, after=after,
              span=applied.span, same=applied.finding.lr)
(out / f"{{rank}}.json").write_text(json.dumps(result))
"""


def run(tmp_path, trouble, package="lightning.pytorch"):
    script = tmp_path / "train.py"
    script.write_text(SCRIPT.format(package=package))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, str(script), str(tmp_path), trouble]
    return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240)


def results(folder: Path):
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in (0, 1)]


THE_OTHER = pytest.param("pytorch_lightning", marks=pytest.mark.slow)


@pytest.mark.parametrize("package", ["lightning.pytorch", THE_OTHER])
def test_ranks_agree_and_training_is_as_without(tmp_path, package):
    done = run(tmp_path, "none", package)
    assert done.returncode == 0, done.stderr[-2000:]
    first, second = results(tmp_path)
    assert first["found"] == first["plain"]
    assert second["found"] == second["plain"]
    assert first["found"]["losses"] != second["found"]["losses"]  # each rank has its own batches
    assert first["found"]["weights"] == second["found"]["weights"]
    assert (first["lr"], first["probe"]) == (second["lr"], second["probe"])
    assert first["span"] == second["span"] == [first["same"]] * 2
    assert first["after"]["weights"] == second["after"]["weights"]


def test_when_one_rank_gives_nan_both_stop(tmp_path):
    done = run(tmp_path, "nan")
    assert done.returncode == 0, done.stderr[-2000:]
    first, second = results(tmp_path)
    assert first["stop"] == second["stop"] == "non-finite"
    assert first["lr"] == second["lr"]
    assert first["found"] == first["plain"]


def test_when_one_rank_raises_the_job_ends(tmp_path):
    done = run(tmp_path, "raise")
    assert done.returncode != 0
    assert "boom on one rank" in done.stderr


LAUNCHED = """
import sys
import torch
from torch.nn import functional as F
import {package} as pl
import lrfind.lightning as lrl


class Net(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.lr, self.net = 2e-3, torch.nn.Linear(8, 1)

    def training_step(self, batch, batch_idx):
        return F.mse_loss(self.net(batch[0]), batch[1])

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=self.lr)


class Tells(pl.Callback):
    def on_fit_end(self, trainer, pl_module):
        finder = trainer.callbacks[1]
        sys.stdout.write(f"there {{trainer.global_rank}} {{finder.finding.lr}} {{len(finder.findings)}}\\n")


if __name__ == "__main__":
    torch.set_num_threads(1)
    x = torch.randn(256, 8)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, x[:, :1]), batch_size=16)
    finder = lrl.LRFinder(steps=40, every=1)
    quiet = dict(logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False)
    trainer = pl.Trainer(strategy=sys.argv[1], devices=2, accelerator="cpu", max_epochs=2, **quiet,
                         callbacks=[Tells(), finder])
    trainer.fit(Net(), loader)
    sys.stdout.write(f"here 0 {{finder.finding.lr}} {{len(finder.findings)}}\\n")
"""


@pytest.mark.parametrize("strategy", ["ddp_spawn", "ddp_fork"])
@pytest.mark.parametrize("package", ["lightning.pytorch", THE_OTHER])
def test_what_launched_processes_find_reaches_the_caller(tmp_path, strategy, package):
    script = tmp_path / "train.py"
    script.write_text(LAUNCHED.format(package=package))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, str(script), strategy]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-2000:]
    said = re.findall(r"(there|here) (\d) (\S+) (\d+)", done.stdout)
    assert sorted(one[:2] for one in said) == [("here", "0"), ("there", "0"), ("there", "1")]
    assert len({one[2:] for one in said}) == 1
    assert said[0][3] == "2"


@pytest.mark.parametrize("package", ["lightning.pytorch", "pytorch_lightning"])
def test_deepspeed_is_refused_in_a_sentence(package):
    pl = import_module(package)

    class DeepSpeedStrategy(pl.strategies.DeepSpeedStrategy):
        def __init__(self):
            pl.strategies.DDPStrategy.__init__(self)

    trainer = pl.Trainer(accelerator="cpu", devices=1, logger=False, enable_checkpointing=False)
    trainer.strategy.__class__ = DeepSpeedStrategy
    with pytest.raises(BadInputError, match="does not run under DeepSpeedStrategy, whose engine"):
        LightningLoop(trainer, pl.LightningModule(), is_fitting=True)

"""Searches over a network of two hosts: ``tests/two_hosts.py`` makes one of namespaces, where the system allows it."""

import json
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.two_hosts import why_not

ROOT = Path(__file__).parents[1]
COMMON = """
import torch
import torch.distributed as dist
from torch import nn
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

torch.manual_seed(0)
x = torch.randn(512, 8)
data = TensorDataset(x, x[:, :1].sin())
"""
PLAIN = """
import lrfind
from torch.nn.parallel import DistributedDataParallel

dist.init_process_group("gloo")
loader = DataLoader(data, batch_size=16, sampler=DistributedSampler(data))


def trained(is_searched):
    torch.manual_seed(0)
    model = DistributedDataParallel(nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Dropout(0.1), nn.Linear(32, 1)))
    optimizer = torch.optim.Adam(model.parameters())
    if is_searched:
        finding = lrfind.find(model, optimizer, loader, nn.MSELoss(), progress=False)
        print(f"rank {dist.get_rank()}: lr {finding.lr:.17g}")
    for inputs, targets in loader:
        optimizer.zero_grad()
        nn.functional.mse_loss(model(inputs), targets).backward()
        optimizer.step()
    return [one.detach().clone() for one in model.parameters()]


assert all(map(torch.equal, trained(True), trained(False)))
dist.destroy_process_group()
"""
LIGHTNING = """
import lightning.pytorch as pl
from lrfind.lightning import LRFinder


class Module(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.lr, self.net = 1e-3, nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Dropout(0.1), nn.Linear(32, 1))

    def training_step(self, batch, batch_idx):
        return nn.functional.mse_loss(self.net(batch[0]), batch[1])

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=self.lr)


def trained(*callbacks):
    pl.seed_everything(0)
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "max_epochs": 1}
    options = {"num_nodes": 2, "devices": 1, "strategy": "ddp", "accelerator": "cpu", **quiet}
    trainer, module = pl.Trainer(callbacks=list(callbacks), **options), Module()
    trainer.fit(module, DataLoader(data, batch_size=16, shuffle=True))
    return [one.detach().clone() for one in module.parameters()]


finder = LRFinder(apply=False, progress=False)
searched = trained(finder)
assert all(map(torch.equal, searched, trained()))
print(f"rank {dist.get_rank()}: lr {finder.finding.lr:.17g}")
dist.destroy_process_group()
"""


@cache
def reason():
    return why_not()


@pytest.mark.slow
@pytest.mark.parametrize("script", [PLAIN, LIGHTNING], ids=["plain DDP", "Lightning ddp"])
def test_a_search_over_a_network_finds_one_rate_and_leaves_training_as_it_was(tmp_path, script):
    if reason():
        pytest.skip(f"this machine gives no network of two hosts: {reason()}")
    path = tmp_path / "script.py"
    path.write_text(COMMON + script, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    command = [sys.executable, "-m", "tests.two_hosts", str(path)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600)
    hosts = [json.loads(line) for line in done.stdout.splitlines()]
    assert [host["code"] for host in hosts] == [0, 0], f"{done.stderr}\n{hosts}"
    rates = [re.search(r"rank (\d): lr (\S+)", host["out"]).groups() for host in hosts]
    assert [rank for rank, _ in rates] == ["0", "1"]
    assert rates[0][1] == rates[1][1]

"""Loops built on Fabric and on Accelerate, through ``lrfind.find(step=...)``."""

import random

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import lrfind


def parts():
    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.Tanh(), nn.Dropout(0.1), nn.Linear(16, 1))
    x = torch.randn(256, 8)
    loader = DataLoader(TensorDataset(x, x[:, :1].sin()), batch_size=16, shuffle=True)
    return model, torch.optim.Adam(model.parameters(), lr=1e-3), loader


def fabric(package):
    made = pytest.importorskip(package).Fabric(accelerator="cpu", devices=1, precision="bf16-mixed")
    model, optimizer, loader = parts()
    model, optimizer = made.setup(model, optimizer)
    loader = made.setup_dataloaders(loader)

    def step(model, optimizer, batch):
        optimizer.zero_grad()
        loss = F.mse_loss(model(batch[0]), batch[1])
        made.backward(loss)
        made.clip_gradients(model, optimizer, max_norm=1.0)
        optimizer.step()
        return loss

    return model, optimizer, loader, step, lambda: None


def accelerate():
    made = Accelerator(cpu=True, gradient_accumulation_steps=2)
    model, optimizer, loader = parts()
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.99)
    model, optimizer, loader, scheduler = made.prepare(model, optimizer, loader, scheduler)

    def step(model, optimizer, batch):
        with made.accumulate(model):
            loss = F.mse_loss(model(batch[0]), batch[1])
            made.backward(loss)
            made.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
        return loss

    return model, optimizer, loader, step, lambda: (made.step, made.sync_gradients, scheduler.state_dict())


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("make", [lambda: fabric("lightning.fabric"), accelerate], ids=["fabric", "accelerate"])
def test_training_after_a_find_equals_training_without(make):
    outcomes = []
    for search in (False, True):
        model, optimizer, loader, step, extra = make()
        if search:
            finding = lrfind.find(model, optimizer, loader, step=step, progress=False, steps=64)
            assert finding.lr > 0
            assert finding.records[0].lrs == finding.records[0].probe.lrs[: len(finding.records[0].lrs)]
        losses = [step(model, optimizer, batch).item() for _ in range(2) for batch in loader]
        state = [value.tolist() for value in model.state_dict().values()]
        outcomes.append((losses, state, torch.get_rng_state().tolist(), extra()))
    assert outcomes[0] == outcomes[1]

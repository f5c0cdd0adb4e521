"""What a cell of the matrix trains: a network, an optimizer, a schedule, data; and what remains of it afterwards."""

from __future__ import annotations

import random

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.optim import lr_scheduler as schedulers
from torch.utils.data import DataLoader, Dataset, IterableDataset, RandomSampler

BATCH, TROUBLE = 8, 15

OPTIMIZERS = {
    "SGD": lambda parameters: [torch.optim.SGD(parameters, lr=0.02)],
    "momentum": lambda parameters: [torch.optim.SGD(parameters, lr=0.02, momentum=0.9)],
    "Adam": lambda parameters: [torch.optim.Adam(parameters, lr=0.003)],
    "AdamW": lambda parameters: [torch.optim.AdamW(parameters, lr=0.003)],
    "RMSprop": lambda parameters: [torch.optim.RMSprop(parameters, lr=0.003)],
    "Adagrad": lambda parameters: [torch.optim.Adagrad(parameters, lr=0.01)],
    "NAdam": lambda parameters: [torch.optim.NAdam(parameters, lr=0.003)],
    "LBFGS": lambda parameters: [torch.optim.LBFGS(parameters, lr=0.05, max_iter=2)],
    "two": lambda parameters: [
        torch.optim.SGD(parameters[: len(parameters) // 2], lr=0.02),
        torch.optim.Adam(parameters[len(parameters) // 2 :], lr=0.005),
    ],
}

SCHEDULERS = {
    "LambdaLR": lambda o: schedulers.LambdaLR(o, lambda step: 0.9**step),
    "MultiplicativeLR": lambda o: schedulers.MultiplicativeLR(o, lambda step: 0.95),
    "StepLR": lambda o: schedulers.StepLR(o, 3, 0.5),
    "MultiStepLR": lambda o: schedulers.MultiStepLR(o, [2, 5]),
    "ConstantLR": lambda o: schedulers.ConstantLR(o, 0.5, 4),
    "LinearLR": lambda o: schedulers.LinearLR(o, 0.1, total_iters=5),
    "ExponentialLR": lambda o: schedulers.ExponentialLR(o, 0.9),
    "PolynomialLR": lambda o: schedulers.PolynomialLR(o, 20),
    "CosineAnnealingLR": lambda o: schedulers.CosineAnnealingLR(o, 12),
    "CosineAnnealingWarmRestarts": lambda o: schedulers.CosineAnnealingWarmRestarts(o, 5),
    "OneCycleLR": lambda o: schedulers.OneCycleLR(o, 0.02, total_steps=60, cycle_momentum=False),
    "CyclicLR": lambda o: schedulers.CyclicLR(o, 0.001, 0.02, 4, cycle_momentum=False),
    "SequentialLR": lambda o: schedulers.SequentialLR(
        o, [schedulers.LinearLR(o, 0.2, total_iters=3), schedulers.ExponentialLR(o, 0.9)], milestones=[3]
    ),
    "ChainedScheduler": lambda o: schedulers.ChainedScheduler(
        [schedulers.LinearLR(o, 0.2, total_iters=3), schedulers.ExponentialLR(o, 0.9)]
    ),
    "ReduceLROnPlateau": lambda o: schedulers.ReduceLROnPlateau(o, patience=1),
}


class Trouble(Exception):
    """What goes wrong in a step."""


class Net(nn.Module):
    """A small network of the asked kind; in a probe, after ``TROUBLE`` passes, it fails as asked."""

    is_probed = False

    def __init__(self, kind: str, trouble: str) -> None:
        super().__init__()
        self.kind, self.trouble, self.count = kind, trouble, 0
        width = 8
        first = nn.LazyLinear(width) if kind == "lazy" else nn.Linear(4, width)
        middle = {"BatchNorm": nn.BatchNorm1d(width), "dropout": nn.Dropout(0.3)}.get(kind, nn.Identity())
        self.layers = nn.Sequential(first, middle, nn.Tanh(), nn.Linear(width, width), nn.Linear(width, 1))
        if kind == "tied":
            self.extra = nn.Linear(width, width, bias=False)
            self.extra.weight = self.layers[3].weight
        if kind == "frozen":
            self.layers[0].requires_grad_(False)
        if kind == "buffer and counter":
            self.register_buffer("seen", torch.zeros(()), persistent=False)
        if kind == "EMA":
            self.average = torch.optim.swa_utils.AveragedModel(self.layers, use_buffers=True).requires_grad_(False)

    def forward(self, x):
        self.count += 1
        if self.kind == "EMA" and self.training:
            self.average.update_parameters(self.layers)
        if self.kind == "buffer and counter":
            self.seen += x.mean().detach()
        y = self.layers(x)
        if self.kind == "tied":
            y = y + self.extra(self.layers[:3](x)).mean(1, keepdim=True)
        return y

    def loss(self, batch):
        loss = F.mse_loss(self(batch[0]), batch[1])
        if Net.is_probed and self.count > TROUBLE:
            if self.trouble == "NaN":
                return loss * torch.nan
            if self.trouble == "exception":
                raise Trouble("as asked")
            if self.trouble == "Ctrl-C":
                raise KeyboardInterrupt
        return loss


class Points(Dataset):
    """Points of a smooth function."""

    def __init__(self, size):
        generator = torch.Generator().manual_seed(9)
        self.x = torch.randn(size, 4, generator=generator)
        self.y = self.x.sin().sum(1, keepdim=True)

    def __len__(self):
        return len(self.x)

    def __getitem__(self, index):
        return self.x[index], self.y[index]


class Stream(IterableDataset):
    """The same points, one after the other, starting where the last pass was left."""

    def __init__(self):
        self.points, self.start = Points(48), 0

    def __iter__(self):
        for index in range(48):
            yield self.points[(self.start + index) % 48]
        self.start += 7


def loader_of(kind):
    if kind == "iterable":
        return DataLoader(Stream(), BATCH)
    points = Points(16 if kind == "short" else 48)
    if kind == "sampler":
        return DataLoader(points, BATCH, sampler=RandomSampler(points, generator=torch.Generator().manual_seed(4)))
    workers = {"num_workers": 1, "persistent_workers": True} if kind == "workers" else {}
    return DataLoader(points, BATCH, shuffle=True, **workers)


def plain(value):
    """Everything in a value, as things that compare bit for bit."""
    if isinstance(value, nn.parameter.UninitializedParameter):
        return "lazy"
    if isinstance(value, torch.Tensor):
        return str(value.dtype), tuple(value.shape), value.detach().cpu().contiguous().numpy().tobytes()
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items() if not callable(each)}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    return value


def remains(net, optimizers, drivers, losses):
    """Everything that training has left."""
    numpy = np.random.get_state()
    return plain(
        {
            "weights": [*net.named_parameters(), *net.named_buffers()],
            "gradients": [one.grad for one in net.parameters()],
            "flags": [(one.training, sorted(vars(one))) for one in net.modules()],
            "counter": net.count,
            "optimizers": [one.state_dict() for one in optimizers],
            "schedulers": [one.state_dict() for one in drivers],
            "numbers": [torch.get_rng_state(), random.getstate(), numpy[1].tolist(), numpy[2]],
            "losses": losses,
        }
    )

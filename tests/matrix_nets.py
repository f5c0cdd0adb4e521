"""What a cell of the matrix trains: a network, an optimizer, a schedule, data; and what remains of it afterwards."""

from __future__ import annotations

import random
import sys
from collections import Counter, deque
from inspect import getclosurevars
from types import SimpleNamespace

import numpy as np
import torch
from torch import nn
from torch.optim import lr_scheduler as schedulers
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader, Dataset, IterableDataset, RandomSampler, default_collate

BATCH, TROUBLE = 8, 15
BACKEND = "eager"
"""What ``torch.compile`` compiles with: its frames, guards and caches are what a probe meets, not its kernels."""

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


STATES = (
    *("model", "closure", "global", "class attribute", "slots"),
    *("dataset", "collate function", "sampler", "callback"),
)
"""Where training keeps state besides weights: a tensor, a NumPy generator, a deque, a counter and a number."""

STEPS = ("eager", "compiled model", "compiled submodule", "compiled loss", "checkpointing")


class Trouble(Exception):
    """What goes wrong in a step."""


class Shared:
    """Keeps state in class attributes."""


class Slots:
    """Keeps state in slots."""

    __slots__ = ("dice", "number", "recent", "tally", "total")


def fill(place):
    """Put new state into the attributes of anything: an object, a class, a function, a module."""
    place.total, place.dice = torch.zeros(2), np.random.default_rng(5)
    place.recent, place.tally, place.number = deque(maxlen=3), Counter(), 0.0
    return place


def turned(total, dice, recent, tally, number):
    """Move everything in place but for the number; return the next number."""
    total.add_(0.01)
    recent.append(dice.normal())
    tally[len(recent)] += 1
    return 0.5 * number + 0.03 * (recent[0] + float(total[0]) + tally[3] % 3)


def move(place):
    """Move the state that an object or a class keeps; return its number."""
    place.number = turned(place.total, place.dice, place.recent, place.tally, place.number)
    return place.number


def move_global():
    """Move the state among this module's names; return its number."""
    global number
    number = turned(total, dice, recent, tally, number)  # noqa: F821
    return number


def closed_over():
    """Return a function that moves what it closes over."""
    kept = fill(SimpleNamespace())
    total, dice, recent, tally, number = kept.total, kept.dice, kept.recent, kept.tally, kept.number

    def move_closed_over():
        nonlocal number
        number = turned(total, dice, recent, tally, number)
        return number

    return move_closed_over


def place_of(state, net, loader, callback):
    """Return where a cell keeps its state, filled anew; of the closure, the function."""
    if state == "closure":
        return closed_over()
    places = {"model": net, "global": sys.modules[__name__], "class attribute": Shared, "slots": Slots()}
    data = {"dataset": loader.dataset, "collate function": loader.collate_fn, "sampler": loader.sampler}
    return fill({**places, **data, "callback": callback}[state])


def mover_of(state, place):
    """Return what a step calls to move its state; nothing moves where the state is another's."""
    if state == "closure":
        return place
    if state == "global":
        return move_global
    return (lambda: move(place)) if state in ("model", "class attribute", "slots") else float


def seen_in(state, place):
    """Return the state of a place."""
    place = SimpleNamespace(**getclosurevars(place).nonlocals) if state == "closure" else place
    return [place.total, place.dice.bit_generator.state, [*place.recent], place.tally, place.number]


class Net(nn.Module):
    """A small network of the asked kind, part of which is compiled or checkpointed if the step is to be so."""

    def __init__(self, kind, step):
        super().__init__()
        self.kind, self.step, self.count, self.shift = kind, step, 0, 0.0
        width = 8
        first = nn.LazyLinear(width) if kind == "lazy" else nn.Linear(4, width)
        middle = {"BatchNorm": nn.BatchNorm1d(width), "dropout": nn.Dropout(0.3)}.get(kind, nn.Identity())
        block = nn.Sequential(middle, nn.Tanh(), nn.Linear(width, width))
        self.layers = nn.Sequential(first, block, nn.Linear(width, 1))
        if kind == "tied":
            self.extra = nn.Linear(width, width, bias=False)
            self.extra.weight = block[2].weight
        if kind == "frozen":
            first.requires_grad_(False)
        if kind == "buffer and counter":
            self.register_buffer("seen", torch.zeros(()), persistent=False)
        if kind == "EMA":
            self.average = torch.optim.swa_utils.AveragedModel(self.layers, use_buffers=True).requires_grad_(False)
        if step == "compiled submodule":
            self.layers[1] = torch.compile(block, backend=BACKEND)

    def forward(self, x):
        if self.kind == "buffer and counter":
            self.seen += x.mean().detach()
        y = checkpoint(self.layers, x, use_reentrant=False) if self.step == "checkpointing" else self.layers(x)
        if self.kind == "tied":
            y = y + self.extra(self.layers[0](x)).mean(1, keepdim=True)
        return y


def squared(y, target):
    """The mean squared error."""
    return ((y - target) ** 2).mean()


class Loss:
    """The loss of a batch, moving what moves with each; in a probe, after ``TROUBLE`` batches, it fails as asked.

    What moves is kept out of compiled steps, as torch advises: traced, a deque outgrows its length (torch 2.13).
    """

    is_probed = False

    def __init__(self, cell, net, mover):
        self.net, self.mover, self.trouble, self.losses = net, mover, cell.exit, []
        self.criterion = torch.compile(squared, backend=BACKEND) if cell.step == "compiled loss" else squared

    def __call__(self, model, batch):
        factor = self.before()
        loss = self.criterion(model(batch[0]), batch[1]) * factor
        return self.after(loss)

    @torch.compiler.disable
    def before(self):
        self.net.count += 1
        if self.net.kind == "EMA":
            self.net.average.update_parameters(self.net.layers)
        return 1 + self.mover() + self.net.shift

    @torch.compiler.disable
    def after(self, loss):
        self.losses.append(loss.item())
        if Loss.is_probed and self.net.count > TROUBLE:
            if self.trouble == "NaN":
                return loss * torch.nan
            if self.trouble == "exception":
                raise Trouble("as asked")
            if self.trouble == "Ctrl-C":
                raise KeyboardInterrupt
        return loss


class Points(Dataset):
    """Points of a smooth function; read with state, where it keeps any."""

    def __init__(self, size):
        generator = torch.Generator().manual_seed(9)
        self.x = torch.randn(size, 4, generator=generator)
        self.y = self.x.sin().sum(1, keepdim=True)

    def __len__(self):
        return len(self.x)

    def __getitem__(self, index):
        return self.x[index] + (move(self) if hasattr(self, "dice") else 0), self.y[index]


class Stream(IterableDataset):
    """The same points, one after the other, starting where the last pass was left."""

    def __init__(self):
        self.points, self.start = Points(48), 0

    def __iter__(self):
        for index in range(48):
            x, y = self.points[(self.start + index) % 48]
            yield x + (move(self) if hasattr(self, "dice") else 0), y
        self.start += 7


class Turning(RandomSampler):
    """A sampler that begins each pass at another place, as its state says."""

    def __iter__(self):
        order = [*super().__iter__()]
        start = int(1000 * abs(move(self))) % len(order)
        yield from order[start:] + order[:start]


def loader_of(cell):
    """What a cell trains on, with room for its state."""

    def collate(rows):
        x, y = default_collate(rows)
        return x + move(collate), y

    dataset = Stream() if cell.data == "iterable" else Points(16 if cell.data == "short" else 48)
    generator = torch.Generator().manual_seed(4) if cell.data == "sampler" else None
    kind = Turning if cell.state == "sampler" else RandomSampler
    is_drawn = cell.state == "sampler" or cell.data == "sampler"
    order = {"sampler": kind(dataset, generator=generator)} if is_drawn else {"shuffle": cell.data != "iterable"}
    workers = {"num_workers": 1, "persistent_workers": True} if cell.data == "workers" else {}
    collate_fn = collate if cell.state == "collate function" else None
    return DataLoader(dataset, BATCH, collate_fn=collate_fn, **order, **workers)


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


def remains(net, optimizers, drivers, losses, state):
    """Everything that training has left; ``state`` is what ``seen_in`` returns."""
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
            "state": state,
        }
    )

"""The matrix: every loop with every optimizer, model, training, data and exit; what follows must not have moved.

A cell trains twice, once with a probe before the first step and once without, and compares everything that is left,
bit for bit: weights, buffers, optimizer and scheduler state, Python attributes, random number generators, batch order
and the losses of every step.
"""

from __future__ import annotations

import random
import warnings
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from itertools import combinations, product

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.optim import lr_scheduler as schedulers
from torch.utils.data import DataLoader, Dataset, IterableDataset, RandomSampler

from lrfind.errors import BadInputError
from lrfind.lightning.loop import LightningLoop
from lrfind.pytorch import PyTorchLoop
from lrfind.records import Probe
from lrfind.schedules import ramp

BATCH, STEPS, TROUBLE = 8, 24, 15

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

TRAININGS = ("plain", "accumulation", "clipping", "bf16", *SCHEDULERS)
MODELS = ("plain", "BatchNorm", "dropout", "buffer and counter", "tied", "frozen", "lazy", "EMA")
DATA = ("shuffle", "workers", "sampler", "iterable", "short")
EXITS = ("done", "diverged", "NaN", "exception", "Ctrl-C")
LOOPS = ("pytorch", "pytorch snapshot", "lightning", "lightning snapshot", "pytorch_lightning")


@dataclass(frozen=True, slots=True)
class Cell:
    """One way to train, and one way for a probe to end."""

    optimizer: str
    model: str
    training: str
    data: str
    exit: str

    def __str__(self) -> str:
        return "-".join((self.optimizer, self.model, self.training, self.data, self.exit)).replace(" ", "_")


FACTORS = (tuple(OPTIMIZERS), MODELS, TRAININGS, DATA, EXITS)


def cells(ways: int) -> list[Cell]:
    """Cells in which every combination of values of so many factors occurs, but for what torch cannot train.

    Each row begins with a combination that no row has yet, and takes of every other factor the value that brings
    the most new combinations.
    """
    open_ = dict.fromkeys(combinations_of(ways))
    rows = []
    while open_:
        row = dict(next(iter(open_)))
        for factor, values in enumerate(FACTORS):
            if factor not in row:
                fitting = [value for value in values if is_trainable({**row, factor: value})]
                shift = len(rows) % len(fitting)
                turned = fitting[shift:] + fitting[:shift]
                row[factor] = max(turned, key=lambda value: _gain({**row, factor: value}, factor, ways, open_))
        for covered in combinations(sorted(row.items()), ways):
            open_.pop(covered, None)
        rows.append(Cell(*(row[factor] for factor in range(len(FACTORS)))))
    return rows


def combinations_of(ways: int):
    """Every combination of values of so many factors, as pairs of a factor's number and a value."""
    for factors in combinations(range(len(FACTORS)), ways):
        for values in product(*(FACTORS[factor] for factor in factors)):
            chosen = tuple(zip(factors, values, strict=True))
            if is_trainable(dict(chosen)):
                yield chosen


def is_trainable(row: dict[int, str]) -> bool:
    """Adagrad cannot be constructed with lazy parameters: it makes its state at once."""
    return not (row.get(0) == "Adagrad" and row.get(1) == "lazy")


def _gain(row, factor, ways, open_):
    others = [item for item in sorted(row.items()) if item[0] != factor]
    mine = (factor, row[factor])
    return sum(tuple(sorted((*rest, mine))) in open_ for rest in combinations(others, ways - 1))


def refusal(loop, cell):
    """Say why a loop refuses a cell; empty where it does not."""
    if "snapshot" in loop and cell.model == "lazy":
        return "lazy parameters cannot be put back in place"
    return ""


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


def probe_of(exit):
    return Probe(ramp(1e-2, 1e8, STEPS) if exit == "diverged" else ramp(1e-8, 1e-5, STEPS), seed=3)


def expect(exit, run):
    """Run a probe and check that it ends as it should."""
    raised = {"exception": Trouble, "Ctrl-C": KeyboardInterrupt}.get(exit)
    Net.is_probed = True
    try:
        if raised:
            with pytest.raises(raised):
                run()
            return
        stop = run().stop
    finally:
        Net.is_probed = False
    assert stop in {"done": ("done",), "diverged": ("diverged", "non-finite"), "NaN": ("non-finite",)}[exit]


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


def seed_everything():
    torch.manual_seed(11)
    random.seed(11)
    np.random.seed(11)


def train_pytorch(cell, isolation):
    """Train as plain PyTorch users do; with an isolation, after a probe."""
    seed_everything()
    net, loader = Net(cell.model, cell.exit), loader_of(cell.data)
    optimizers = OPTIMIZERS[cell.optimizer]([one for one in net.parameters() if one.requires_grad])
    drivers = [SCHEDULERS[cell.training](one) for one in optimizers] if cell.training in SCHEDULERS else []
    losses, count, every = [], 0, 2 if cell.training == "accumulation" else 1

    def step(model, steppers, batch):
        nonlocal count
        count += 1

        def closure():
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=cell.training == "bf16"):
                loss = model.loss(batch)
            if cell.optimizer == "LBFGS":
                for one in steppers:
                    one.zero_grad()
            (loss / every).backward()
            if cell.training == "clipping":
                nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            return loss

        loss = None if cell.optimizer == "LBFGS" else closure()
        if count % every == 0:
            loss = steppers[0].step(closure) if cell.optimizer == "LBFGS" else loss
            for one in steppers if cell.optimizer != "LBFGS" else ():
                one.step()
                one.zero_grad()
            for one in drivers:
                one.step(*([loss.detach()] if isinstance(one, schedulers.ReduceLROnPlateau) else []))
        elif loss is None:
            loss = closure()
        losses.append(loss.item())
        return loss

    if isolation:
        loop = PyTorchLoop(net, optimizers, loader, step=step, isolation=isolation)
        expect(cell.exit, lambda: loop.run(probe_of(cell.exit)))
    for _ in range(2):
        for batch in loader:
            step(net, optimizers, batch)
    return remains(net, optimizers, drivers, losses)


def module_of(pl, cell):
    """The same network as a module that is trained by Lightning; two optimizers are stepped by hand."""

    class Module(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.net, self.losses, self.calls = Net(cell.model, cell.exit), [], 0
            self.automatic_optimization = cell.optimizer != "two"

        def training_step(self, batch, batch_idx):
            loss = self.net.loss(batch)
            self.losses.append(loss.item())
            if not self.automatic_optimization:
                self.by_hand(loss)
            return loss

        def by_hand(self, loss):
            every = 2 if cell.training == "accumulation" else 1
            self.calls += 1
            self.manual_backward(loss / every)
            if cell.training == "clipping":
                nn.utils.clip_grad_norm_(self.parameters(), 0.5)
            if self.calls % every == 0:
                for one in self.optimizers():
                    one.step()
                    one.zero_grad()
                for one in self.lr_schedulers() or ():
                    one.step(*([loss.detach()] if isinstance(one, schedulers.ReduceLROnPlateau) else []))

        def configure_optimizers(self):
            optimizers = OPTIMIZERS[cell.optimizer]([one for one in self.parameters() if one.requires_grad])
            if cell.training not in SCHEDULERS:
                return optimizers
            drivers = [SCHEDULERS[cell.training](one) for one in optimizers]
            is_plateau = cell.training == "ReduceLROnPlateau"
            extra = {"monitor": "loss", "strict": False, "reduce_on_plateau": True} if is_plateau else {}
            return optimizers, [{"scheduler": one, "interval": "step", **extra} for one in drivers]

        def on_train_batch_start(self, batch, batch_idx):
            self.log("loss", float(self.losses[-1]) if self.losses else 1.0)

    return Module()


def train_lightning(cell, isolation, package):
    """Train with a Trainer; with an isolation, a probe runs when ``fit`` starts."""
    pl = import_module({"lightning": "lightning.pytorch"}.get(package, package))

    class ProbeFirst(pl.Callback):
        def on_fit_start(self, trainer, pl_module):
            loop = LightningLoop(trainer, pl_module, loader, isolation=isolation, is_fitting=True)
            expect(cell.exit, lambda: loop.run(probe_of(cell.exit)))

    seed_everything()
    module, loader = module_of(pl, cell), loader_of(cell.data)
    by_hand = cell.optimizer == "two"
    trainer = pl.Trainer(
        max_epochs=2,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        precision="bf16-mixed" if cell.training == "bf16" else "32-true",
        accumulate_grad_batches=2 if cell.training == "accumulation" and not by_hand else 1,
        gradient_clip_val=0.5 if cell.training == "clipping" and not by_hand else None,
        callbacks=[ProbeFirst()] if isolation else [],
    )
    trainer.fit(module, loader)
    drivers = [config.scheduler for config in trainer.lr_scheduler_configs]
    return {**remains(module.net, trainer.optimizers, drivers, module.losses), "steps": trainer.global_step}


def train(loop, cell, *, probe):
    """Train a cell in a loop."""
    package, _, isolation = loop.partition(" ")
    isolation = (isolation or "copy") if probe else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if package == "pytorch":
            return train_pytorch(cell, isolation)
        return train_lightning(cell, isolation, package)


@lru_cache(maxsize=4096)
def _without(package, cell):
    return train(package, cell, probe=False)


def outcome(loop, cell):
    """Train a cell with and without a probe; say how it came out.

    Returns:
        ``"bit-exact"``, ``"refused"`` where the loop says in a sentence that it cannot, or what moved.
    """
    try:
        with_probe = train(loop, cell, probe=True)
    except BadInputError as error:
        if (sentence := refusal(loop, cell)) and sentence in str(error):
            return "refused"
        raise
    without = _without(loop.partition(" ")[0], cell)
    moved = [name for name, value in without.items() if with_probe[name] != value]
    return f"moved: {', '.join(moved)}" if moved else "bit-exact"


def expected(loop, cell):
    """How a cell should come out."""
    return "refused" if refusal(loop, cell) else "bit-exact"

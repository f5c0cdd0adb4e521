"""What a task is: a model, an optimizer, data, a horizon, and the schedules it is trained under."""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, TensorDataset

Tensor = torch.Tensor

SGD = partial(torch.optim.SGD, foreach=True)
MOMENTUM = partial(torch.optim.SGD, momentum=0.9, foreach=True)
ADAM = partial(torch.optim.Adam, fused=True)
ADAMW = partial(torch.optim.AdamW, fused=True)
FIRST_STAGE = 1_000
"""Seeds of the batches of first stages are counted from here."""

SHORT = 8
"""The runs of the truth that bracket the best rate take the horizon divided by this."""

RMSPROP = partial(torch.optim.RMSprop, foreach=True)


@dataclass(frozen=True, slots=True)
class Data:
    """Inputs and targets, to train on and held out."""

    inputs: Tensor
    targets: Tensor
    held_inputs: Tensor
    held_targets: Tensor


@dataclass(frozen=True, slots=True)
class Stage:
    """What comes before a second stage: so many steps at a constant rate, whose optimizer goes on."""

    steps: int
    lr: float


@dataclass(frozen=True, slots=True)
class Task:
    """One line of the benchmark; to add one, write its record in a file of ``benchmarks/tasks``.

    Attributes:
        name: What the tables call it.
        family: Tasks of one family are left out together when constants are calibrated.
        data: Returns the data; called once per process.
        model: Returns a new model; it draws its weights from torch's global generator.
        optimizer: A ``partial`` that, given the parameters (and ``lr``), returns the optimizer, or several in a list.
        batch_size: Examples per step.
        schedules: Names of ``benchmarks.schedules.SHAPES``.
        loss: The criterion, mean over a batch.
        horizon: Optimizer steps of a training.
        unseen: Whether the task is kept out of every calibration and scored apart.
        late: Whether it was added after the method was frozen, and is scored apart from the other unseen ones.
        wider: Whether it is of the kinds that the benchmark was widened by, and is scored apart from the first ones.
        clip: The norm that gradients are clipped to; None for none.
        skips: Whether a batch whose loss is not finite is skipped, without a step.
        stage: For a second stage, what came before.
        seeds: How many seeds the truth has.
    """

    name: str
    family: str
    data: Callable[[], Data]
    model: Callable[[], nn.Module]
    optimizer: Callable[..., Any]
    batch_size: int
    schedules: tuple[str, ...]
    loss: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy
    horizon: int = 2000
    unseen: bool = False
    late: bool = False
    wider: bool = False
    clip: float | None = None
    skips: bool = False
    stage: Stage | None = None
    seeds: int = 3

    @property
    def group(self) -> str:
        """With which tasks it is scored: ``"seen"``, ``"unseen"``, ``"late"``, ``"wider"`` or ``"kept"``."""
        if self.wider:
            return "kept" if self.unseen else "wider"
        return "late" if self.late else "unseen" if self.unseen else "seen"

    def loader(self, seed: int) -> DataLoader[Any]:
        """Return shuffled batches; each is indexed at once."""
        data = self.data()
        examples = TensorDataset(data.inputs, data.targets)
        order = RandomSampler(examples, generator=torch.Generator().manual_seed(seed))
        return DataLoader(examples, batch_size=None, sampler=BatchSampler(order, self.batch_size, drop_last=True))

    def start(self, seed: int) -> nn.Module:
        """Return the model that the training of this seed begins with."""
        self.data()
        torch.manual_seed(seed)
        return self.model()

    def begin(self, seed: int, lr: float) -> tuple[nn.Module, list[torch.optim.Optimizer]]:
        """Return the model and the optimizers, set to a rate, that the training of this seed begins with."""
        if self.stage is not None:
            model, optimizers = copy.deepcopy(first_stage(self, seed))
        else:
            model = self.start(seed)
            made = self.optimizer(model.parameters(), lr=lr)
            optimizers = made if isinstance(made, list) else [made]
        set_mode(optimizers, "train")
        for group in (group for one in optimizers for group in one.param_groups):
            group["lr"] = lr
        return model, optimizers

    def step(self, model: nn.Module, optimizers: Sequence[torch.optim.Optimizer], batch: Any) -> float:
        """Take one optimizer step, or skip the batch; return the loss before it."""
        inputs, targets = batch
        for one in optimizers:
            one.zero_grad()
        loss = self.loss(model(inputs), targets)
        if self.skips and not math.isfinite(loss.item()):
            return math.nan
        loss.backward()
        if self.clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), self.clip)
        for one in optimizers:
            one.step()
        return float(loss.item())

    @property
    def kind(self) -> str:
        """The optimizer's kind: ``"sgd"``, or ``"adaptive"`` where steps are divided by the gradient's size."""
        return "sgd" if self.optimizer.func in (torch.optim.SGD, torch.optim.ASGD) else "adaptive"  # type: ignore[attr-defined]

    @property
    def optimizer_class(self) -> str:
        """The name of the optimizer's class, as a record has it; of several, the first one's."""
        made = self.optimizer([nn.Parameter(torch.zeros(2, 2))], lr=1e-3)
        return type(made[0] if isinstance(made, list) else made).__name__

    @property
    def is_several(self) -> bool:
        """Whether it steps more than one optimizer."""
        return isinstance(self.optimizer([nn.Parameter(torch.zeros(2, 2))], lr=1e-3), list)

    @property
    def optimizer_name(self) -> str:
        """What the tables call the optimizer."""
        return "SGD with momentum" if self.kind == "sgd" and self.has_momentum else self.optimizer_class

    @property
    def has_momentum(self) -> bool:
        """Whether the optimizer averages gradients over steps."""
        made = self.optimizer([nn.Parameter(torch.zeros(2, 2))], lr=1e-3)
        options = (made[0] if isinstance(made, list) else made).defaults
        return bool(options.get("momentum") or options.get("betas"))

    @property
    def habit(self) -> float:
        """The rate people type without thinking: 1e-2 for SGD, 1e-3 for the others; or the default of the class."""
        if not self.wider:
            return 1e-2 if self.kind == "sgd" else 1e-3
        made = self.optimizer([nn.Parameter(torch.zeros(2, 2))], lr=1e-3)
        kind = type(made[0] if isinstance(made, list) else made)
        return 1e-2 if kind is torch.optim.SGD else float(inspect.signature(kind).parameters["lr"].default)


def set_mode(optimizers: Sequence[torch.optim.Optimizer], mode: str) -> None:
    """Tell optimizers that ask for it (schedule-free ones) that training goes on, ``"train"``, or not, ``"eval"``."""
    for one in optimizers:
        getattr(one, mode, lambda: None)()


@lru_cache(maxsize=8)
def first_stage(task: Task, seed: int) -> tuple[nn.Module, list[torch.optim.Optimizer]]:
    """Return the model and the optimizers that the first stage of a task ends with; copy them before training."""
    if task.stage is None:
        raise ValueError(f"{task.name} has no first stage.")
    model, optimizers = replace(task, stage=None).begin(seed, task.stage.lr)
    batches: list[Any] = []
    for step in range(task.stage.steps):
        batches = batches or list(task.loader(FIRST_STAGE + seed + step))
        task.step(model, optimizers, batches.pop())
    return model, optimizers

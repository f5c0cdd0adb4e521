"""What a task is: a model, an optimizer, data, a horizon, and the schedules it is trained under."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
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
RMSPROP = partial(torch.optim.RMSprop, foreach=True)


@dataclass(frozen=True, slots=True)
class Data:
    """Inputs and targets, to train on and held out."""

    inputs: Tensor
    targets: Tensor
    held_inputs: Tensor
    held_targets: Tensor


@dataclass(frozen=True, slots=True)
class Task:
    """One line of the benchmark; to add one, write its record in a file of ``benchmarks/tasks``.

    Attributes:
        name: What the tables call it.
        family: Tasks of one family are left out together when constants are calibrated.
        data: Returns the data; called once per process.
        model: Returns a new model; it draws its weights from torch's global generator.
        optimizer: Given the parameters (and ``lr``), returns the optimizer.
        batch_size: Examples per step.
        schedules: Names of ``benchmarks.schedules.SHAPES``.
        loss: The criterion, mean over a batch.
        horizon: Optimizer steps of a training.
        unseen: Whether the task is kept out of every calibration and scored apart.
        late: Whether it was added after the method was frozen, and is scored apart from the other unseen ones.
    """

    name: str
    family: str
    data: Callable[[], Data]
    model: Callable[[], nn.Module]
    optimizer: Callable[..., torch.optim.Optimizer]
    batch_size: int
    schedules: tuple[str, str]
    loss: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy
    horizon: int = 2000
    unseen: bool = False
    late: bool = False

    @property
    def group(self) -> str:
        """With which tasks it is scored: ``"seen"``, ``"unseen"`` or ``"late"``."""
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

    @property
    def kind(self) -> str:
        """The optimizer's kind: ``"sgd"``, or ``"adaptive"`` where steps are divided by the gradient's size."""
        return "sgd" if self.optimizer.func is torch.optim.SGD else "adaptive"  # type: ignore[attr-defined]

    @property
    def optimizer_class(self) -> str:
        """The name of the optimizer's class, as a record has it."""
        return str(self.optimizer.func.__name__)  # type: ignore[attr-defined]

    @property
    def optimizer_name(self) -> str:
        """What the tables call the optimizer."""
        return "SGD with momentum" if self.kind == "sgd" and self.has_momentum else self.optimizer_class

    @property
    def has_momentum(self) -> bool:
        """Whether the optimizer averages gradients over steps."""
        options = self.optimizer([nn.Parameter(torch.zeros(1))]).defaults
        return bool(options.get("momentum") or options.get("betas"))

    @property
    def habit(self) -> float:
        """The rate people type without thinking: 1e-2 for SGD, 1e-3 for the others."""
        return 1e-2 if self.kind == "sgd" else 1e-3

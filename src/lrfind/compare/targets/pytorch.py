"""The target for plain PyTorch: a function that builds model, optimizer and data."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import torch
from torch import nn

from lrfind.compare.comparison import Arm, Run
from lrfind.compare.targets.protocol import TRAIN_LOSS, RunRecorder, Survey, Told
from lrfind.compare.targets.specs import Builder, build, builder_name, identity_of, setting_of, to_callable
from lrfind.errors import BadInputError
from lrfind.isolation import seed_all
from lrfind.optim import Optimizers
from lrfind.pytorch import PyTorchLoop, find
from lrfind.records import Finding
from lrfind.steps import LossFn, Step, to_loss

Metrics = Callable[[nn.Module, Any], Mapping[str, Any]]
"""``metrics(model, batch)`` returns means over the batch, by name."""


@dataclass(frozen=True, slots=True, eq=False)
class Training:
    """The parts of one training, as a factory returns them.

    Attributes:
        model: The model.
        optimizer: Its optimizer, or several. Only the ratios between the rates of their param groups matter.
        loader: The training batches.
        loss_fn: As for ``lrfind.find``.
        step: Instead of ``loss_fn``, as for ``lrfind.find``.
        accumulate: As for ``lrfind.find``.
        validation: The validation batches; without them, runs are judged by their training loss.
        metrics: ``metrics(model, batch)`` returns further metrics by name, as means over the batch.
        test: The test batches, evaluated once after training; nothing is chosen by them.
    """

    model: nn.Module
    optimizer: Optimizers
    loader: Iterable[Any]
    loss_fn: LossFn | None = None
    step: Step | None = None
    accumulate: int = 1
    validation: Iterable[Any] | None = None
    metrics: Metrics | None = None
    test: Iterable[Any] | None = None


def to_training(made: Any, what: str) -> Training:
    """Return a ``Training`` from a factory's result: one already, a dict of its fields or a tuple of the first four."""
    if isinstance(made, tuple) and len(made) == 4:
        made = Training(*made)
    if isinstance(made, Mapping) and {"model", "optimizer", "loader"} <= set(made):
        try:
            made = Training(**made)
        except TypeError as error:
            raise BadInputError(f"{what}: {error}.") from error
    if isinstance(made, Training):
        return made
    size = f" of {len(made)}" if isinstance(made, (tuple, list)) else ""
    names = f" of {', '.join(map(str, made))}" if isinstance(made, Mapping) else ""
    raise BadInputError(
        f"{what} must return (model, optimizer, loader, loss_fn), a dict with these names or a "
        f"lrfind.compare.Training, got a {type(made).__name__}{size}{names}."
    )


@dataclass(frozen=True)
class PyTorchTarget:
    """A plain PyTorch training.

    Args:
        factory: A function that returns a ``Training``, or its name as ``"package.module:name"``. It is called for
            every run, after all random generators have been seeded.
        arguments: Its keyword arguments.
        called: The name of the factory in error messages.

    Example:
        ``PyTorchTarget("mine.training:make", {"width": 64})``
    """

    factory: Builder
    arguments: Mapping[str, Any] = field(default_factory=dict)
    called: str = field(default="factory", compare=False)

    def __post_init__(self) -> None:
        to_callable(self.factory, self.called)

    @property
    def title(self) -> str:
        """The name of the factory."""
        return builder_name(self.factory)

    @property
    def setting(self) -> str:
        """The arguments."""
        return setting_of(self.arguments)

    def identity(self) -> Mapping[str, Any]:
        """See ``lrfind.compare.Target``."""
        factory = to_callable(self.factory, self.called)
        return {"factory": identity_of(factory), "arguments": identity_of(self.arguments)}

    def survey(self) -> Survey:
        """See ``lrfind.compare.Target``."""
        it = self._build(0)
        length = _loop(it).steps_per_epoch  # which checks the parts
        metrics = _evaluated(it, "val", None if it.validation is None else islice(it.validation, 1))
        lacking = "no validation data" if it.validation is None else "no metrics= to measure on the validation data"
        notes = () if metrics else (f"There is {lacking}: runs are judged by their training loss.",)
        return Survey(length or None, (TRAIN_LOSS, *metrics), notes)

    def find(
        self, schedule: str | None = None, seed: int = 0, total_steps: int | None = None, **options: Any
    ) -> Finding:
        """See ``lrfind.compare.Target``; schedule and length are optional, as for ``lrfind.find``."""
        it = self._build(seed)
        options |= {"schedule": schedule, "seed": seed, "total_steps": total_steps}
        return find(it.model, it.optimizer, it.loader, it.loss_fn, step=it.step, accumulate=it.accumulate, **options)

    def train(self, arm: Arm, seed: int, steps: int, told: Told) -> Run:
        """See ``lrfind.compare.Target``."""
        it = self._build(seed)

        def evaluate() -> None:
            recorder.add_row(_evaluated(it, "val", it.validation))
            it.model.train()

        it.model.train()
        with RunRecorder(arm, seed, steps, evaluate, told).start(it.optimizer) as recorder:
            _loop(it).train(recorder, it.loader)
        return recorder.run(_evaluated(it, "test", it.test))

    def _build(self, seed: int) -> Training:
        seed_all(seed)
        training = to_training(build(self.factory, self.arguments, self.called), self.called)
        seed_all(seed, training.loader, training.validation, training.test)
        return training


def _loop(it: Training) -> PyTorchLoop:
    return PyTorchLoop(it.model, it.optimizer, it.loader, it.loss_fn, step=it.step, accumulate=it.accumulate)


@torch.no_grad()
def _evaluated(training: Training, part: str, batches: Iterable[Any] | None) -> dict[str, float]:
    """Return means over all examples, as ``part_name``; empty without batches."""
    loss_of = None if training.loss_fn is None else to_loss(training.loss_fn)
    totals: dict[str, float] = {}
    examples = 0
    training.model.eval()
    for batch in () if batches is None else batches:
        measured = {} if loss_of is None else {"loss": loss_of(training.model, batch)}
        if training.metrics is not None:
            measured |= training.metrics(training.model, batch)
        size = _size(batch)
        examples += size
        for name, value in measured.items():
            totals[name] = totals.get(name, 0.0) + float(value) * size
    return {f"{part}_{name}": total / examples for name, total in totals.items()}


def _size(batch: Any) -> int:
    if isinstance(batch, torch.Tensor):
        return len(batch) if batch.ndim else 1
    parts = batch.values() if isinstance(batch, Mapping) else batch if isinstance(batch, (list, tuple)) else ()
    return next((_size(part) for part in parts), 1)

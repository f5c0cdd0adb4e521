"""Plain PyTorch, and every loop built on it (Fabric, Accelerate): probe a model, an optimizer and a loader."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import wraps
from itertools import chain, islice
from numbers import Integral
from typing import Any, TypeVar, cast

from torch import nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader, Dataset
from typing_extensions import ParamSpec, Unpack

from lrfind.errors import BadInputError
from lrfind.isolation import Kept, end_workers, fresh, generators_kept, length_of, loaders_in
from lrfind.loop import LoopInPlace, OnStep
from lrfind.optim import Optimizers, as_list, check_hooks, living_schedulers, outermost, to_schedule
from lrfind.options import SearchOptions, with_options
from lrfind.ranks import Ranks
from lrfind.recorder import Recorder
from lrfind.records import Finding, Probe, Record
from lrfind.schedules import AsConstant
from lrfind.search import find_with
from lrfind.steps import LossFn, Step, to_number, to_step

P = ParamSpec("P")
R = TypeVar("R")

_ORDER = ("model", "optimizer", "loader", "loss_fn")
_LIGHTNINGS = "lrfind.lightning.find(trainer, model), or Trainer(callbacks=[lrfind.lightning.LRFinder()])"
_TRAINERS = {
    "lightning": _LIGHTNINGS,
    "pytorch_lightning": _LIGHTNINGS,
    "transformers": "lrfind.huggingface.find(trainer), or Trainer(..., callbacks=[lrfind.huggingface.LRFinder()])",
}


def _with_trainers_named(function: Callable[P, R]) -> Callable[P, R]:
    """Return a function that says what was meant where it is given a framework's trainer."""

    @wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        for kind in {one for value in (*args, *kwargs.values()) for one in type(value).__mro__}:
            room, _, _ = kind.__module__.partition(".")
            if kind.__name__ == "Trainer" and room in _TRAINERS:
                raise BadInputError(f"a Trainer of {room} has a search of its own: {_TRAINERS[room]}.")
        return function(*args, **kwargs)

    return checked


@_with_trainers_named
@with_options
def find(
    model: nn.Module,
    optimizer: Optimizers,
    loader: Iterable[Any],
    loss_fn: LossFn | None = None,
    *,
    step: Step | None = None,
    accumulate: int = 1,
    **options: Unpack[SearchOptions],
) -> Finding:
    """Find a learning rate and a range for a model, and leave everything as it was.

    Args:
        model: The model, in the state that training will start from.
        optimizer: The optimizer that will train it; its own rate does not matter, ratios between its param
            groups do. Or a list of optimizers: all move together, ratios kept, and ``lr`` is the first one's.
        loader: Batches; anything that can be iterated again. Begun anew where it is shorter than the probe.
        loss_fn: ``loss_fn(model, batch) -> loss``, or a criterion (an ``nn.Module`` such as
            ``nn.CrossEntropyLoss()`` or a function of ``torch.nn.functional``) for batches of two,
            inputs and targets.
        step: Instead of ``loss_fn``, the whole body of the training loop for one batch,
            ``step(model, optimizer, batch) -> loss``: backward, clipping, scaler, ``optimizer.step()``, EMA, whatever
            training does. What it reaches besides (a scaler, a scheduler, a teacher, a counter) is put back too.
        accumulate: With ``loss_fn``, how many batches an optimizer step takes the mean gradient of.
        **options: As every search takes them, see ``lrfind.SearchOptions``; ``schedule`` is by default the scheduler
            that drives the optimizer, if there is one.

    Returns:
        The finding; ``finding.apply(optimizer)`` sets the rate.

    Raises:
        BadInputError: If an argument cannot be used; the message says what to change.
        ProbeError: If the losses cannot be read (never finite, never falling).
        RankError: If another process of a training on several failed; the message says with what.

    Example:
        >>> import torch
        >>> _ = torch.manual_seed(0)
        >>> x = torch.randn(256, 4)
        >>> batches = list(zip(x.split(32), (x @ torch.ones(4, 1)).split(32)))
        >>> model = nn.Linear(4, 1)
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> finding = find(model, optimizer, batches, nn.MSELoss(), progress=False)
        >>> finding.base_lr <= finding.lr <= finding.max_lr
        True
    """
    with generators_kept():  # first of all: whatever is imported or called from here on may draw from them
        loop = PyTorchLoop(model, optimizer, loader, loss_fn, step=step, accumulate=accumulate)
        if "schedule" not in options and isinstance(options.get("strategy", "auto"), str):
            options |= _schedule_of(loop.drivers)
        return find_with(loop, **options)


def _drivers(optimizer: Optimizers) -> tuple[Any, ...]:
    """Return the living schedulers that drive an optimizer, the first of several."""
    lead = as_list(optimizer)[0]
    is_driven = any("initial_lr" in group for group in lead.param_groups)
    return outermost(living_schedulers(lead)) if is_driven else ()


def _schedule_of(drivers: Sequence[Any]) -> SearchOptions:
    """Return what drives an optimizer as the option of a search; nothing where nothing does."""
    if not drivers:
        return {}
    name = type(drivers[0].optimizer).__name__
    several = AsConstant("The schedule", f"{len(drivers)} schedulers drive the {name}")
    return {"schedule": to_schedule(drivers[0]) if len(drivers) == 1 else several}


class PyTorchLoop(LoopInPlace):
    """Probes a model in a plain training loop.

    Args:
        model: As ``find`` takes it.
        optimizer: As ``find`` takes it.
        loader: As ``find`` takes it.
        loss_fn: As ``find`` takes it.
        step: As ``find`` takes it.
        accumulate: As ``find`` takes it.

    Raises:
        BadInputError: If an argument cannot be used.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizers,
        loader: Iterable[Any],
        loss_fn: LossFn | None = None,
        *,
        step: Step | None = None,
        accumulate: int = 1,
    ) -> None:
        _check(model, optimizer, loader, loss_fn)
        if (loss_fn is None) == (step is None):
            raise BadInputError("give either loss_fn or step: one of them says how to train on a batch.")
        if not isinstance(accumulate, (int, Integral)) or accumulate < 1 or (step is not None and accumulate != 1):
            raise BadInputError(f"accumulate must be 1 or more batches, and is for loss_fn only, got {accumulate=}.")
        if step is None:
            _check_function("loss_fn", loss_fn, "a function or a criterion")
        else:
            _check_function("step", step, "a function")
        fresh(loader)  # which checks it
        self._model, self._optimizer, self._loader, self._accumulate = model, optimizer, loader, accumulate
        self._loss_fn, self._step, self.drivers = loss_fn, step, _drivers(optimizer)
        self._twins: list[Any] = []
        self._ranks = Ranks.of(model)

    @property
    def steps_per_epoch(self) -> float:
        """Optimizer steps in one pass over the data, if each batch, or group of them, is one; 0 if not known."""
        return length_of(self._loader) / self._accumulate

    def _begin(self, stack: ExitStack) -> Kept:
        stack.enter_context(self._ranks.together())
        twin = fresh(self._loader)
        stack.callback(end_workers, twin)
        self._twins = [twin]  # a list, in which an iterator gives way to a copy for each probe
        state = self._model, self._optimizer, self._loss_fn, self._step
        return Kept(state, data=(self._loader, self._twins), skip=loaders_in(twin))

    def _run(self, probe: Probe, on_step: OnStep) -> Record:
        with Recorder(probe, self._optimizer, on_step, self._ranks, self.drivers) as recorder:
            self.train(recorder, self._twins[0])
        return recorder.record()

    def train(self, recorder: Recorder, loader: Iterable[Any]) -> None:
        """Train until a recorder says to stop, on a loader that is begun anew where it ends; nothing is put back."""
        model, optimizer = self._model, self._optimizer
        if self._loss_fn is not None:
            step = to_step(optimizer, self._loss_fn, self._accumulate)
            if not model.training:
                model.train()
        else:
            step = to_number(cast(Step, self._step))
        batches = _cycled(loader, recorder, self._accumulate)
        for batch in batches if self._accumulate == 1 else _grouped(batches, self._accumulate):
            stop = recorder.observe(step(model, optimizer, batch))
            if recorder.batches == 1 and self._step is None:
                _check_reached(optimizer)
            if stop:
                return


def _cycled(loader: Iterable[Any], recorder: Recorder, accumulate: int) -> Iterator[Any]:
    """Return batches for ever; the recorder counts how often the loader was begun."""

    def passes() -> Iterator[Iterable[Any]]:
        while True:
            recorder.begin_pass(length_of(loader) / accumulate)
            batches = iter(loader)
            first = list(islice(batches, 1))
            if not first:
                raise BadInputError("the loader gave no batch; check its dataset, batch_size and drop_last.")
            yield first
            del first
            yield batches

    return chain.from_iterable(passes())  # which costs less per batch than a generator of batches


def _grouped(batches: Iterator[Any], size: int) -> Iterator[list[Any]]:
    while True:
        yield [next(batches) for _ in range(size)]


def _check(model: nn.Module, optimizer: Optimizers, loader: Any, loss_fn: Any) -> None:
    """Find out before any work whether these can be what they are given as.

    Raises:
        BadInputError: If not; where some are given in each other's place, the message says so.
    """
    kinds = [_kind(one) for one in (model, optimizer, loader, loss_fn)]
    mixed = [kind for kind, name in zip(kinds, _ORDER, strict=True) if kind not in ("", name)]
    if len(mixed) > 1 and len(set(mixed)) == len(mixed):
        given = ", ".join(kind or "..." for kind in kinds)
        raise BadInputError(f"find takes ({', '.join(_ORDER)}) in this order, and was given ({given}).")
    if not isinstance(model, nn.Module):
        raise BadInputError(f"model must be a torch.nn.Module, got {_described(model)}.")
    if not as_list(optimizer):
        raise BadInputError("optimizer is an empty list; give the optimizer, or several.")
    for one in as_list(optimizer):
        if not hasattr(one, "param_groups"):
            raise BadInputError(f"optimizer must be a torch optimizer, or several, got {_described(one)}.")
        check_hooks(one)
    if kinds[2] == "dataset":
        raise BadInputError(
            f"loader must give batches, and {type(loader).__name__} gives samples; wrap it: "
            f"DataLoader(dataset, batch_size=64, shuffle=True)."
        )
    _check_parameters(model, as_list(optimizer))


def _kind(value: Any) -> str:
    """Return which of the arguments of ``find`` something looks like; empty where it cannot be told."""
    if isinstance(value, nn.Module):
        return "model" if next(value.parameters(), None) is not None else "loss_fn"
    if hasattr(value, "param_groups"):
        return "optimizer"
    if isinstance(value, DataLoader):
        return "loader"
    is_dataset = isinstance(value, Dataset) and not hasattr(value, "__iter__")
    return "dataset" if is_dataset else "loss_fn" if inspect.isfunction(value) else ""


def _check_parameters(model: nn.Module, optimizers: Sequence[Optimizer]) -> None:
    parameters = {id(parameter) for parameter in model.parameters()}
    if not parameters:
        raise BadInputError(f"{type(model).__name__} has no parameters, so there is nothing to train.")
    for one in optimizers:
        if not any(id(parameter) in parameters for group in one.param_groups for parameter in group["params"]):
            raise BadInputError(
                f"{type(one).__name__} holds no parameter of {type(model).__name__}; "
                f"construct it with model.parameters()."
            )


def _check_function(name: str, given: Any, kinds: str) -> None:
    if isinstance(given, type) or not callable(given):
        raise BadInputError(f"{name} must be {kinds}, got {_described(given)}.")


def _described(value: Any) -> str:
    """What was given instead, in a few words."""
    if isinstance(value, type):
        return f"the class {value.__name__}; make one: {value.__name__}()"
    return f"{' '.join(repr(value).split()):.60}"


def _check_reached(optimizer: Optimizers) -> None:
    lead = as_list(optimizer)[0]
    if not lead.state and all(one.grad is None for group in lead.param_groups for one in group["params"]):
        raise BadInputError(
            f"the loss gives no parameter of {type(lead).__name__} a gradient; "
            f"compute it with the model that loss_fn is given, not with another one."
        )

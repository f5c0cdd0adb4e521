"""Plain PyTorch, and every loop built on it (Fabric, Accelerate): probe a model, an optimizer and a loader."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import chain, islice
from numbers import Integral
from typing import Any, cast

from torch import nn
from typing_extensions import Unpack

from lrfind.errors import BadInputError
from lrfind.isolation import Kept, end_workers, fresh, generators_kept, length_of, loaders_in
from lrfind.loop import LoopInPlace, OnStep, Recorder
from lrfind.optim import Optimizers, as_list
from lrfind.ranks import Ranks
from lrfind.records import Finding, Probe, Record
from lrfind.search import SearchOptions, find_with
from lrfind.steps import LossFn, Step, to_number, to_step


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
        **options: ``strategy``, ``schedule``, ``min_lr``, ``max_lr``, ``steps``, ``ramp``, ``method``, ``horizon``,
            ``epochs``, ``budget``, ``seed``, ``progress``, ``resume``; see ``lrfind.search.SearchOptions``.

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
        return find_with(loop, **options)


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
        if (loss_fn is None) == (step is None):
            raise BadInputError("give either loss_fn or step: one of them says how to train on a batch.")
        if not isinstance(accumulate, (int, Integral)) or accumulate < 1 or (step is not None and accumulate != 1):
            raise BadInputError(f"accumulate must be 1 or more batches, and is for loss_fn only, got {accumulate=}.")
        _check(model, optimizer)
        if step is None:
            _check_function("loss_fn", loss_fn, "a function or a criterion")
        else:
            _check_function("step", step, "a function")
        fresh(loader)  # which checks it
        self._model, self._optimizer, self._loader, self._accumulate = model, optimizer, loader, accumulate
        self._loss_fn, self._step = loss_fn, step
        self._twins: list[Any] = []
        self._ranks = Ranks.of(model)

    @property
    def per_epoch(self) -> float:
        """Optimizer steps in one pass over the data, if each batch, or group of them, is one; 0 if not known."""
        return length_of(self._loader) / self._accumulate

    def _begin(self, stack: ExitStack) -> Kept:
        stack.enter_context(self._ranks.together())
        twin = fresh(self._loader)
        stack.callback(end_workers, twin)
        self._twins = [twin]  # a list, in which an iterator gives way to a copy for each probe
        state = self._model, self._optimizer, self._loss_fn, self._step
        return Kept(state, data=(self._loader, self._twins), apart=loaders_in(twin))

    def _run(self, probe: Probe, on_step: OnStep) -> Record:
        model, optimizer = self._model, self._optimizer
        if self._loss_fn is not None:
            step = to_step(optimizer, self._loss_fn, self._accumulate)
            if not model.training:
                model.train()
        else:
            step = to_number(cast(Step, self._step))
        with Recorder(probe, optimizer, on_step, self._ranks) as recorder:
            batches = _cycled(self._twins[0], recorder, self._accumulate)
            for batch in batches if self._accumulate == 1 else _grouped(batches, self._accumulate):
                stop = recorder.observe(step(model, optimizer, batch))
                if recorder.batches == 1 and self._step is None:
                    _check_reached(optimizer)
                if stop:
                    break
        return recorder.record()


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


def _check(model: nn.Module, optimizer: Optimizers) -> None:
    if not isinstance(model, nn.Module):
        raise BadInputError(f"model must be a torch.nn.Module, got {_described(model)}.")
    if not as_list(optimizer):
        raise BadInputError("optimizer is an empty list; give the optimizer, or several.")
    for one in as_list(optimizer):
        if not hasattr(one, "param_groups"):
            raise BadInputError(f"optimizer must be a torch optimizer, or several, got {_described(one)}.")
    parameters = {id(parameter) for parameter in model.parameters()}
    if not parameters:
        raise BadInputError(f"{type(model).__name__} has no parameters, so there is nothing to train.")
    for one in as_list(optimizer):
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
    return f"the class {value.__name__}; make one: {value.__name__}()" if isinstance(value, type) else f"{value!r:.60}"


def _check_reached(optimizer: Optimizers) -> None:
    lead = as_list(optimizer)[0]
    if not lead.state and all(one.grad is None for group in lead.param_groups for one in group["params"]):
        raise BadInputError(
            f"the loss gives no parameter of {type(lead).__name__} a gradient; "
            f"compute it with the model that loss_fn is given, not with another one."
        )

"""Plain PyTorch, and every loop built on it (Fabric, Accelerate): probe a model, an optimizer and a loader."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from numbers import Integral
from typing import Any

import torch
from torch import nn
from typing_extensions import Unpack

from lrfind.errors import BadInputError
from lrfind.isolation import (
    Isolation,
    check_isolation,
    check_loader,
    copies_of,
    fresh,
    length_of,
    preserved,
    seed_all,
    untouched,
)
from lrfind.loop import OnStep, Recorder, ignore
from lrfind.optim import Optimizers, as_list
from lrfind.records import Finding, Probe, Record
from lrfind.search import SearchOptions, find_with
from lrfind.steps import LossFn, Step, to_number, to_step

_REMEDY = "compute the loss with the model that loss_fn (or step) is given, not with another one"


def find(
    model: nn.Module,
    optimizer: Optimizers,
    loader: Iterable[Any],
    loss_fn: LossFn | None = None,
    *,
    step: Step | None = None,
    accumulate: int = 1,
    isolation: Isolation = "auto",
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
            training does. What it closes over (a scaler, a scheduler, another optimizer, the model itself) is
            copied with the model, and it sees the copies.
        accumulate: With ``loss_fn``, how many batches an optimizer step takes the mean gradient of.
        isolation: ``"copy"`` probes deep copies, ``"snapshot"`` the originals, put back from copies in host memory;
            ``"auto"`` copies where there is room and the model can be copied.
        **options: ``strategy``, ``schedule``, ``min_lr``, ``max_lr``, ``steps``, ``ramp``, ``method``, ``horizon``,
            ``epochs``, ``budget``, ``seed``, ``progress``, ``resume``; see ``lrfind.search.SearchOptions``.

    Returns:
        The finding; ``finding.apply(optimizer)`` sets the rate.

    Raises:
        BadInputError: If an argument cannot be used; the message says what to change.
        ProbeError: If the losses cannot be read (never finite, never falling).

    Example:
        >>> _ = torch.manual_seed(0)
        >>> x = torch.randn(256, 4)
        >>> batches = list(zip(x.split(32), (x @ torch.ones(4, 1)).split(32)))
        >>> model = nn.Linear(4, 1)
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> finding = find(model, optimizer, batches, nn.MSELoss(), progress=False)
        >>> finding.base_lr <= finding.lr <= finding.max_lr
        True
    """
    loop = PyTorchLoop(model, optimizer, loader, loss_fn, step=step, accumulate=accumulate, isolation=isolation)
    return find_with(loop, **options)


class PyTorchLoop:
    """Runs probes from the state that a model and its optimizer are in; the arguments are those of ``find``."""

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizers,
        loader: Iterable[Any],
        loss_fn: LossFn | None = None,
        *,
        step: Step | None = None,
        accumulate: int = 1,
        isolation: Isolation = "auto",
    ) -> None:
        if (loss_fn is None) == (step is None):
            raise BadInputError("give either loss_fn or step: one of them says how to train on a batch.")
        if not isinstance(accumulate, (int, Integral)) or accumulate < 1 or (step is not None and accumulate != 1):
            raise BadInputError(f"accumulate must be 1 or more batches, and is for loss_fn only, got {accumulate=}.")
        check_isolation(isolation)
        _check(model, optimizer)
        if step is None:
            _check_function("loss_fn", loss_fn, "a function or a criterion")
        else:
            _check_function("step", step, "a function")
        check_loader(loader)
        self._parts = (model, optimizer, step or loss_fn)
        self._loader, self._accumulate, self._is_ours = loader, accumulate, step is None
        self._isolation: Isolation = isolation
        self._is_checked = False

    @property
    def per_epoch(self) -> float:
        """Optimizer steps in one pass over the data, if each batch, or group of them, is one; 0 if not known."""
        return length_of(self._loader) / self._accumulate

    def run(self, probe: Probe, on_step: OnStep = ignore) -> Record:
        """Run one probe; see ``lrfind.loop.Loop``."""
        loader = fresh(self._loader)
        copies = copies_of(self._parts, self._isolation)
        state = self._parts if copies is None else ()
        with torch.enable_grad(), preserved(self._loader, loader, state=state):
            seed_all(probe.seed, loader)
            check = untouched(*self._parts[:2], _REMEDY) if copies and not self._is_checked else None
            self._is_checked = True
            return self._run(probe, copies or self._parts, loader, on_step, check)

    def _run(
        self,
        probe: Probe,
        parts: tuple[nn.Module, Optimizers, Any],
        loader: Iterable[Any],
        on_step: OnStep,
        check: Callable[[], None] | None,
    ) -> Record:
        model, optimizer, step = parts
        if self._is_ours:
            step = to_step(optimizer, step, self._accumulate)
            if not model.training:
                model.train()
        else:
            step = to_number(step)
        with Recorder(probe, optimizer, on_step) as recorder:
            batches = _cycled(loader, recorder, self._accumulate)
            for batch in batches if self._accumulate == 1 else _grouped(batches, self._accumulate):
                stop = recorder.observe(step(model, optimizer, batch))
                if recorder.batches == 1:
                    self._check_first(optimizer, check)
                if stop:
                    break
        return recorder.record()

    def _check_first(self, optimizer: Optimizers, check: Callable[[], None] | None) -> None:
        """Check what a first step can show."""
        if check is not None:
            check()
        if self._is_ours:
            _check_reached(optimizer)


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

"""Plain PyTorch, and loops built on it (Fabric, Accelerate): probe a model, an optimizer and a loader."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import KW_ONLY, dataclass
from functools import wraps
from itertools import islice
from numbers import Integral
from typing import Any, cast

from torch import nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader
from typing_extensions import Unpack

from lrfind.errors import BadInputError
from lrfind.isolation import Kept, end_workers, fresh, generators_kept, length_of, loaders_in
from lrfind.loop import Loop, OnStep, Recorder
from lrfind.optim import Optimizers, Scheduled, as_list, check_optimizer, living_schedulers, outermost, to_schedule
from lrfind.options import F, SearchOptions, with_options
from lrfind.ranks import Ranks
from lrfind.records import Finding, Probe, Record
from lrfind.schedules import AsConstant
from lrfind.search import find_with
from lrfind.steps import LossFn, Step, no_batches, to_number, to_step

_ORDER = ("model", "optimizer", "loader", "loss_fn")
_LIGHTNING = "lrfind.lightning.find(trainer, model), or Trainer(callbacks=[lrfind.lightning.LRFinder()])"
_TRAINERS = {
    "lightning": _LIGHTNING,
    "pytorch_lightning": _LIGHTNING,
    "transformers": "lrfind.huggingface.find(trainer), or Trainer(..., callbacks=[lrfind.huggingface.LRFinder()])",
}


def _without_trainers(function: F) -> F:
    """Make a function refuse a framework's trainer, and name the right ``find``."""

    @wraps(function)
    def checked(*args: Any, **kwargs: Any) -> Any:
        for kind in {kind for value in (*args, *kwargs.values()) for kind in type(value).__mro__}:
            package = kind.__module__.partition(".")[0]
            if kind.__name__ == "Trainer" and package in _TRAINERS:
                raise BadInputError(f"a Trainer of {package} has a search of its own: {_TRAINERS[package]}.")
        return function(*args, **kwargs)

    return cast(F, checked)


@with_options
@_without_trainers
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
        loader: Batches; anything that can be iterated again. Iterated again if it is shorter than the probe.
        loss_fn: ``loss_fn(model, batch) -> loss``, or a criterion (an ``nn.Module`` such as
            ``nn.CrossEntropyLoss()`` or a function of ``torch.nn.functional``) for batches of inputs and targets.
        step: Instead of ``loss_fn``, the whole body of the training loop for one batch,
            ``step(model, optimizer, batch) -> loss``: backward, clipping, scaler, ``optimizer.step()``, EMA, whatever
            training does. What else it uses (a scaler, a scheduler, a teacher, a counter) is put back too.
        accumulate: With ``loss_fn``, over how many batches the gradient of a step is averaged.
        **options: Those of every search, see ``lrfind.SearchOptions``; ``schedule`` is by default the scheduler
            that drives the optimizer, if there is one.

    Returns:
        The finding; ``finding.apply(optimizer)`` sets the rate.

    Raises:
        BadInputError: If an argument cannot be used; the message says what to change.
        ProbeError: If the losses cannot be read (never finite, never falling).
        RankError: If another process of a distributed training failed; the message says with what.

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
    with generators_kept():  # first of all: imports and calls may draw from them
        loop = PyTorchLoop(model, optimizer, loader, loss_fn, step=step, accumulate=accumulate)
        return find_with(loop, **options)


@dataclass(eq=False)
class PyTorchLoop(Loop):
    """Probes a model in a plain training loop; takes what ``find`` takes, and refuses what it refuses."""

    model: nn.Module
    optimizer: Optimizers
    loader: Iterable[Any]
    loss_fn: LossFn | None = None
    _: KW_ONLY
    step: Step | None = None
    accumulate: int = 1

    def __post_init__(self) -> None:
        if (fault := next(_faults(self), None)) is not None:
            raise BadInputError(fault)
        fresh(self.loader)  # checks it
        lead = as_list(self.optimizer)[0]
        is_driven = any("initial_lr" in group for group in lead.param_groups)
        self.drivers: Sequence[Any] = outermost(living_schedulers(lead)) if is_driven else ()
        self._twins: list[Any] = []
        self.ranks = Ranks.of(self.model)

    @property
    def steps_per_epoch(self) -> float:
        """Optimizer steps in one pass over the data, if each (accumulated) batch is one; 0 if unknown."""
        return length_of(self.loader) / self.accumulate

    def schedule(self) -> Scheduled | AsConstant | None:
        """Return the schedule that drives the optimizer; None if there is none."""
        if len(self.drivers) > 1:
            name = type(as_list(self.optimizer)[0]).__name__
            return AsConstant("The schedule", f"{len(self.drivers)} schedulers drive the {name}")
        return to_schedule(self.drivers[0]) if self.drivers else None

    def _begin(self, stack: ExitStack) -> Kept:
        twin = fresh(self.loader)
        stack.callback(end_workers, twin)
        self._twins = [twin]  # a list, so that each probe can replace an iterator by a copy
        state = self.model, self.optimizer, self.loss_fn, self.step
        return Kept(state, data=(self.loader, self._twins), skip=loaders_in(twin))

    def _run(self, probe: Probe, on_step: OnStep | None) -> Record:
        with Recorder(probe, on_step, self.ranks).start(self.optimizer, self.drivers) as recorder:
            self.train(recorder, self._twins[0])
        return recorder.record()

    def train(self, recorder: Recorder, loader: Iterable[Any]) -> None:
        """Train until a recorder says to stop, on a loader that is iterated again at its end; nothing is put back."""
        model, optimizer = self.model, self.optimizer
        step = self.step
        if step is None:
            step = to_step(optimizer, cast(LossFn, self.loss_fn), self.accumulate)
            if not model.training:
                model.train()
        batches = _cycled(loader, recorder, self.accumulate)
        if self.accumulate > 1:
            singles = batches
            batches = iter(lambda: list(islice(singles, self.accumulate)), [])
        for batch in batches:
            stop = recorder.observe(to_number(step(model, optimizer, batch)))
            if recorder.batches == 1 and self.step is None:
                _check_reached(as_list(optimizer)[0])
            if stop:
                return


def _cycled(loader: Iterable[Any], recorder: Recorder, accumulate: int) -> Iterator[Any]:
    """Yield batches without end; the recorder counts the passes."""
    is_empty = False
    while not is_empty:
        recorder.begin_pass(length_of(loader) / accumulate)
        is_empty = True
        for batch in loader:
            is_empty = False
            yield batch
    raise BadInputError(
        f"the loader cannot be iterated again after its {recorder.batches} batches, and a search takes more; pass a "
        f"DataLoader or a list of batches, or lower steps."
        if recorder.batches
        else "the loader gave no batch; check its dataset, batch_size and drop_last."
    )


def _faults(loop: PyTorchLoop) -> Iterator[str]:
    """Yield what is wrong with the arguments of ``find``; swapped arguments come first."""
    model: Any = loop.model
    optimizers, kinds = as_list(loop.optimizer), [_kind(getattr(loop, name)) for name in _ORDER]
    mixed = [kind for kind, name in zip(kinds, _ORDER, strict=True) if kind not in ("", name)]
    if len(mixed) > 1 and len(set(mixed)) == len(mixed):
        described = ", ".join(kind or "..." for kind in kinds)
        yield f"find takes ({', '.join(_ORDER)}) in this order, and was given ({described})."
    if not isinstance(model, nn.Module):
        yield f"model must be a torch.nn.Module, got {_described(model)}."
    if not optimizers:
        yield "optimizer is an empty list; give the optimizer, or several."
    for each in optimizers:
        if not hasattr(each, "param_groups"):
            yield f"optimizer must be a torch optimizer, or several, got {_described(each)}."
        check_optimizer(each)
    if kinds[2] == "dataset":
        yield f"loader {no_batches(loop.loader)}"
    parameters, name = set(map(id, model.parameters())), type(model).__name__
    if not parameters:
        yield f"{name} has no parameters, so there is nothing to train."
    for each in optimizers:
        if parameters.isdisjoint(map(id, _parameters_of(each))):
            yield f"{type(each).__name__} holds no parameter of {name}; construct it with model.parameters()."
        if loop.step is None and getattr(each, "defaults", {}).get("maximize"):
            yield f"{type(each).__name__} maximizes, and a search reads a falling loss; negate loss_fn instead."
    yield from _faults_of_step(loop.loss_fn, loop.step, loop.accumulate)


def _faults_of_step(loss_fn: Any, step: Any, accumulate: Any) -> Iterator[str]:
    if (loss_fn is None) == (step is None):
        yield "give either loss_fn or step: one of them says how to train on a batch."
    if not isinstance(accumulate, Integral) or accumulate < 1 or (step is not None and accumulate != 1):
        yield f"accumulate must be 1 or more batches, and is for loss_fn only, got {accumulate=}."
    function, kinds, call = loss_fn, "loss_fn must be a function or a criterion", "loss_fn(model, batch)"
    if step is not None:
        function, kinds, call = step, "step must be a function", "step(model, optimizer, batch)"
    if isinstance(function, type) or not callable(function):
        yield f"{kinds}, got {_described(function)}."
    try:
        inspect.signature(function).bind(*range(call.count(",") + 1))
    except TypeError:
        yield f"{call} is how it is called, and this one takes other arguments."
    except ValueError:
        pass  # it does not say what it takes


def _kind(value: Any) -> str:
    """Return which argument of ``find`` a value looks like; empty if unknown."""
    if isinstance(value, nn.Module):
        return "model" if next(value.parameters(), None) is not None else "loss_fn"
    if hasattr(value, "param_groups"):
        return "optimizer"
    if isinstance(value, DataLoader):
        return "loader"
    return "dataset" if no_batches(value) else "loss_fn" if inspect.isfunction(value) else ""


def _described(value: Any) -> str:
    if isinstance(value, type):
        needs = "model.parameters()" if issubclass(value, Optimizer) else ""
        return f"the class {value.__name__}; make one: {value.__name__}({needs})"
    return f"{' '.join(repr(value).split()):.60}"


def _check_reached(optimizer: Optimizer) -> None:
    if not optimizer.state and all(parameter.grad is None for parameter in _parameters_of(optimizer)):
        raise BadInputError(
            f"the loss gives no parameter of {type(optimizer).__name__} a gradient; "
            f"compute it with the model that loss_fn is given, not with another one."
        )


def _parameters_of(optimizer: Optimizer) -> Iterator[nn.Parameter]:
    return (parameter for group in optimizer.param_groups for parameter in group["params"])

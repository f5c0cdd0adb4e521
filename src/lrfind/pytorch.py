"""Plain PyTorch: probe a model, an optimizer, a loader and a loss function."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from time import perf_counter
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from typing_extensions import Unpack

from lrfind.curves import DivergenceWatch
from lrfind.errors import BadInputError
from lrfind.isolation import clone, fresh, preserved, seed_all
from lrfind.loop import OnStep
from lrfind.optim import rates_of, read_rate, set_rate
from lrfind.records import Finding, Probe, Record, Stop
from lrfind.search import SearchOptions, find_with

LossFn = Callable[[nn.Module, Any], torch.Tensor] | nn.Module


def find(
    model: nn.Module,
    optimizer: Optimizer,
    loader: Iterable[Any],
    loss_fn: LossFn | Callable[..., torch.Tensor],
    **options: Unpack[SearchOptions],
) -> Finding:
    """Find a learning rate and a range for a model, and leave everything as it was.

    Args:
        model: The model, in the state that training will start from.
        optimizer: The optimizer that will train it; its own rate does not matter, ratios between its param
            groups do.
        loader: Batches; anything that can be iterated again. Begun anew where it is shorter than the probe.
        loss_fn: ``loss_fn(model, batch) -> loss``, or a criterion (an ``nn.Module`` such as
            ``nn.CrossEntropyLoss()`` or a function of ``torch.nn.functional``) for batches of two,
            inputs and targets.
        **options: ``strategy``, ``schedule``, ``min_lr``, ``max_lr``, ``steps``, ``ramp``, ``method``, ``seed``,
            ``progress``; see ``lrfind.search.SearchOptions``.

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
    return find_with(PyTorchLoop(model, optimizer, loader, loss_fn), **options)


class PyTorchLoop:
    """Runs probes on deep copies of the model and the optimizer, from the state they are in."""

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        loader: Iterable[Any],
        loss_fn: LossFn | Callable[..., torch.Tensor],
    ) -> None:
        _check(model, optimizer, loader)
        self._parts = (model, optimizer, _to_step_loss(loss_fn))
        self._loader = loader

    def run(self, probe: Probe, on_step: OnStep = lambda lr, loss: None) -> Record:
        """Run one probe; see ``lrfind.loop.Loop``."""
        loader = fresh(self._loader)
        with preserved(loader), torch.enable_grad():
            seed_all(probe.seed, loader)
            return _run(probe, *clone(self._parts), loader, on_step)


def _run(
    probe: Probe,
    model: nn.Module,
    optimizer: Optimizer,
    loss_fn: Callable[[nn.Module, Any], torch.Tensor],
    loader: Iterable[Any],
    on_step: OnStep,
) -> Record:
    if not model.training:
        model.train()
    start = perf_counter()
    ratios = rates_of(optimizer).ratios
    watch, stop = DivergenceWatch(), None
    lrs: list[float] = []
    losses: list[float] = []
    passes = 0
    for (batch, begun), lr in zip(islice(_cycle(loader), len(probe.lrs)), probe.lrs, strict=True):
        passes = begun
        set_rate(optimizer, lr, ratios)
        optimizer.zero_grad()
        loss = checked_loss(loss_fn(model, batch))
        torch.autograd.backward(loss)
        if not lrs:
            _check_reached(optimizer)
        lrs.append(read_rate(optimizer, ratios))
        optimizer.step()
        losses.append(loss.item())
        on_step(lrs[-1], losses[-1])
        if stop := watch.observe(losses[-1]):
            break
    ended: Stop = stop or "done"
    return Record(probe, tuple(lrs), tuple(losses), ended, passes, perf_counter() - start)


def _cycle(loader: Iterable[Any]) -> Iterator[tuple[Any, int]]:
    """Yield batches for ever, each with the number of times the loader was begun."""
    passes = 0
    while True:
        passes += 1
        is_empty = True
        for batch in loader:
            is_empty = False
            yield batch, passes
        if is_empty:
            raise BadInputError("the loader gave no batch; check its dataset, batch_size and drop_last.")


def checked_loss(loss: Any) -> torch.Tensor:
    """Return the loss if one can step on it.

    Raises:
        BadInputError: If it is no tensor, not a scalar, or has no gradient.
    """
    if not isinstance(loss, torch.Tensor):
        raise BadInputError(f"loss_fn must return a tensor, got {type(loss).__name__}; return the loss itself.")
    if loss.numel() != 1:
        raise BadInputError(f"the loss must be a scalar, got shape {tuple(loss.shape)}; take its mean.")
    if not loss.requires_grad:
        raise BadInputError(
            "the loss has no gradient; compute it from the model's outputs without detach() or no_grad(), "
            "and leave at least one parameter with requires_grad=True."
        )
    return loss


def _check(model: nn.Module, optimizer: Optimizer, loader: Iterable[Any]) -> None:
    parameters = {id(parameter) for parameter in model.parameters()}
    if not parameters:
        raise BadInputError(f"{type(model).__name__} has no parameters, so there is nothing to train.")
    if not any(id(parameter) in parameters for group in optimizer.param_groups for parameter in group["params"]):
        raise BadInputError(
            f"{type(optimizer).__name__} holds no parameter of {type(model).__name__}; "
            f"construct it with model.parameters()."
        )
    if isinstance(optimizer, torch.optim.LBFGS):
        raise BadInputError(
            "LBFGS steps with a closure, which a search cannot give it yet; search with another optimizer."
        )
    if any(isinstance(parameter, nn.parameter.UninitializedParameter) for parameter in model.parameters()):
        raise BadInputError(f"{type(model).__name__} has lazy parameters; pass one batch through it before the search.")
    if not isinstance(loader, Iterable):
        raise BadInputError(f"the loader must be iterable, got {type(loader).__name__}.")
    if isinstance(loader, Iterator):
        raise BadInputError(
            f"the loader is a one-shot iterator ({type(loader).__name__}) and a search would use it up; "
            f"pass the DataLoader or a list of batches."
        )


def _check_reached(optimizer: Optimizer) -> None:
    if all(parameter.grad is None for group in optimizer.param_groups for parameter in group["params"]):
        raise BadInputError(
            f"the loss gives no parameter of {type(optimizer).__name__} a gradient; "
            f"compute it with the model that loss_fn is given, not with another one."
        )


def _to_step_loss(loss_fn: Any) -> Callable[[nn.Module, Any], torch.Tensor]:
    is_criterion = isinstance(loss_fn, nn.Module) or getattr(loss_fn, "__module__", "") == "torch.nn.functional"
    return _Criterion(loss_fn) if is_criterion else loss_fn


class _Criterion:
    """``loss_fn(model, batch)`` for a criterion on outputs and targets."""

    def __init__(self, criterion: Callable[..., torch.Tensor]) -> None:
        self._criterion = criterion

    def __call__(self, model: nn.Module, batch: Any) -> torch.Tensor:
        if not (isinstance(batch, (list, tuple)) and len(batch) == 2):
            raise BadInputError(
                f"a criterion needs batches of (inputs, targets), got {type(batch).__name__}; "
                f"pass loss_fn=lambda model, batch: ... instead."
            )
        device = next(model.parameters()).device
        inputs, targets = (part.to(device, non_blocking=True) for part in batch)
        return self._criterion(model(inputs), targets)

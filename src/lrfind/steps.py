"""The step of a plain PyTorch training: made of a loss function, or the user's own."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import nn
from torch.optim import Optimizer

from lrfind.errors import BadInputError
from lrfind.optim import Optimizers, as_list

LossFn = Callable[[nn.Module, Any], torch.Tensor] | nn.Module | Callable[..., torch.Tensor]

Step = Callable[[nn.Module, Any, Any], Any]
"""The body of a training loop, for one batch: ``step(model, optimizer, batch)`` returns the loss."""

Gradients = Callable[[nn.Module, Any], torch.Tensor]


def to_step(optimizers: Optimizers, loss_fn: LossFn, accumulate: int = 1) -> Step:
    """Return the training step that ``find`` makes of a loss function, for trainings that are to be the same.

    Args:
        optimizers: One or several; one that needs a closure is given one.
        loss_fn: As ``find`` takes it.
        accumulate: How many batches the step takes the mean gradient of; above 1 it takes them as a list.

    Returns:
        The step, which returns the loss as a number.
    """
    each, gradients = as_list(optimizers), _to_gradients(to_loss(loss_fn), accumulate)

    def step(model: nn.Module, _: Any, batch: Any) -> float:
        for one in each:
            one.zero_grad()
        loss = gradients(model, batch)
        for one in each:
            one.step()
        return loss.item()

    def step_with_closure(model: nn.Module, _: Any, batch: Any) -> float:
        def closure() -> torch.Tensor:
            for one in each:
                one.zero_grad()
            return gradients(model, batch)

        losses = [one.step(closure) for one in each]  # type: ignore[arg-type]
        return cast(torch.Tensor, losses[0]).item()

    return step_with_closure if any(map(needs_closure, each)) else step


def to_loss(loss_fn: LossFn) -> Callable[[nn.Module, Any], torch.Tensor]:
    """Return ``loss_fn(model, batch)``, also for a criterion on outputs and targets."""
    if not (isinstance(loss_fn, nn.Module) or getattr(loss_fn, "__module__", "") == "torch.nn.functional"):
        return loss_fn
    device: torch.device | None = None
    moves = False

    def loss_of(model: nn.Module, batch: Any) -> torch.Tensor:
        nonlocal device, moves
        if device is None:
            device = _device_for(model, batch)
            moves = device.type != "cpu"  # where data is anyway
        inputs, targets = batch
        if moves:
            inputs, targets = inputs.to(device, non_blocking=True), targets.to(device, non_blocking=True)
        return loss_fn(model(inputs), targets)

    return loss_of


def _device_for(model: nn.Module, batch: Any) -> torch.device:
    """Return where a criterion's batches are to go.

    Raises:
        BadInputError: If they are not made for a criterion.
    """
    if not (isinstance(batch, (list, tuple)) and len(batch) == 2):
        raise BadInputError(
            f"a criterion needs batches of (inputs, targets), got {type(batch).__name__}; "
            f"pass loss_fn=lambda model, batch: ... instead."
        )
    return next(model.parameters()).device


def _to_gradients(loss_fn: Callable[[nn.Module, Any], torch.Tensor], accumulate: int) -> Gradients:
    """Return what adds to the gradients those of one batch, or the mean of several, and returns the loss."""

    def of_one(model: nn.Module, batch: Any) -> torch.Tensor:
        try:
            loss = loss_fn(model, batch)
        except (TypeError, AttributeError):
            _check_takes_model(loss_fn, model, batch)
            raise
        try:
            loss.backward()  # type: ignore[no-untyped-call]
        except Exception:
            checked_loss(loss)  # which says what is wrong with it, if that was the loss
            raise
        return loss

    def of_several(model: nn.Module, batches: Sequence[Any]) -> torch.Tensor:
        losses = []
        for batch in batches:
            loss = checked_loss(loss_fn(model, batch))
            torch.autograd.backward(loss / len(batches))
            losses.append(loss.detach())
        return torch.stack(losses).mean()

    return of_one if accumulate == 1 else of_several


def _check_takes_model(loss_fn: Callable[..., Any], model: nn.Module, batch: Any) -> None:
    """Find out whether a loss function that failed takes outputs and targets instead of a model and a batch.

    Raises:
        BadInputError: If it does.
    """
    try:
        inputs, targets = batch
        with torch.no_grad():
            loss = loss_fn(model(inputs), targets)
    except Exception:  # noqa: BLE001, the error that called for this says more
        return
    if isinstance(loss, torch.Tensor) and loss.numel() == 1:
        raise BadInputError(
            "loss_fn is called as loss_fn(model, batch), and this one takes outputs and targets; "
            "pass loss_fn=lambda model, batch: your_loss(model(batch[0]), batch[1])."
        )


def needs_closure(optimizer: Optimizer) -> bool:
    """Say whether an optimizer's ``step`` cannot do without a closure, as LBFGS's."""
    parameters = list(inspect.signature(type(optimizer).step).parameters.values())[1:2]
    return bool(parameters) and parameters[0].default is inspect.Parameter.empty and parameters[0].name == "closure"


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


def to_number(step: Step) -> Step:
    """Return a step whose loss is a number."""

    def numbered(model: nn.Module, optimizer: Any, batch: Any) -> float:
        loss = step(model, optimizer, batch)
        if isinstance(loss, (int, float)):
            return float(loss)
        if isinstance(loss, torch.Tensor) and loss.numel() == 1:
            return loss.item()
        got = f"shape {tuple(loss.shape)}" if isinstance(loss, torch.Tensor) else type(loss).__name__
        raise BadInputError(f"step must return the loss of its batch, a number or a tensor of one, got {got}.")

    return numbered

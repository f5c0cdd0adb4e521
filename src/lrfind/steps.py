"""The step of a plain PyTorch training, made from a loss function."""

import inspect
from collections.abc import Callable
from numbers import Real
from typing import Any, cast

import torch
from torch import nn
from torch.optim import Optimizer
from torch.utils.data import Dataset

from lrfind.errors import BadInputError
from lrfind.optim import Optimizers, as_list

LossFn = Callable[[nn.Module, Any], torch.Tensor] | nn.Module | Callable[..., torch.Tensor]

Step = Callable[[nn.Module, Any, Any], Any]
"""The body of a training loop, for one batch: ``step(model, optimizer, batch)`` returns the loss."""


def to_step(optimizers: Optimizers, loss_fn: LossFn, accumulate: int = 1) -> Step:
    """Return the step that ``find`` makes from a loss function; it takes a list of batches if it accumulates.

    An optimizer that needs a closure gets one.
    """
    stepped, loss_of = as_list(optimizers), to_loss(loss_fn)
    takes_closure = any(map(needs_closure, stepped))

    def gradients(model: nn.Module, batch: Any) -> torch.Tensor:
        for optimizer in stepped:
            optimizer.zero_grad()
        if accumulate == 1:
            return _backward(loss_of, model, batch)
        losses = [_backward(loss_of, model, part, accumulate).detach() for part in batch]
        return torch.stack(losses).mean()

    def step(model: nn.Module, _: Any, batch: Any) -> Any:
        if takes_closure:
            losses = [cast(Any, optimizer).step(lambda: gradients(model, batch)) for optimizer in stepped]
            return losses[0]
        loss = gradients(model, batch)
        for optimizer in stepped:
            optimizer.step()
        return loss

    return step


def to_loss(loss_fn: LossFn) -> Callable[[nn.Module, Any], torch.Tensor]:
    """Return ``loss_fn(model, batch)``, also for a criterion on outputs and targets."""
    if not (isinstance(loss_fn, nn.Module) or getattr(loss_fn, "__module__", "") == "torch.nn.functional"):
        return loss_fn
    device: torch.device | None = None

    def loss_of(model: nn.Module, batch: Any) -> torch.Tensor:
        nonlocal device
        if device is None:
            _check_pair(batch)
            device = next(model.parameters()).device
        inputs, targets = batch
        if device.type != "cpu":  # data is there already
            inputs, targets = inputs.to(device, non_blocking=True), targets.to(device, non_blocking=True)
        return loss_fn(model(inputs), targets)

    return loss_of


def _check_pair(batch: Any) -> None:
    if not (isinstance(batch, (list, tuple)) and len(batch) == 2):
        raise BadInputError(
            f"a criterion needs batches of (inputs, targets), got {type(batch).__name__}; "
            f"pass loss_fn=lambda model, batch: ... instead."
        )


def _backward(
    loss_of: Callable[[nn.Module, Any], torch.Tensor], model: nn.Module, batch: Any, parts: int = 1
) -> torch.Tensor:
    """Add the gradients of one of the parts of a step; return its loss."""
    try:
        loss = loss_of(model, batch)
    except (TypeError, AttributeError):
        _check_takes_model(loss_of, model, batch)
        raise
    try:
        (loss if parts == 1 else loss / parts).backward()  # type: ignore[no-untyped-call]
    except Exception:
        _check_loss(loss)  # says what is wrong, if it is the loss
        raise
    return loss


def _check_takes_model(loss_fn: Callable[..., Any], model: nn.Module, batch: Any) -> None:
    """Raise an error if a loss function that failed takes outputs and targets, not a model and a batch."""
    try:
        inputs, targets = batch
        with torch.no_grad():
            loss = loss_fn(model(inputs), targets)
    except Exception:  # noqa: BLE001, the first error says more
        return
    if isinstance(loss, torch.Tensor) and loss.numel() == 1:
        raise BadInputError(
            "loss_fn is called as loss_fn(model, batch), and this one takes outputs and targets; "
            "pass loss_fn=lambda model, batch: your_loss(model(batch[0]), batch[1])."
        )


def _check_loss(loss: Any) -> None:
    if not isinstance(loss, torch.Tensor):
        raise BadInputError(f"loss_fn must return a tensor, got {type(loss).__name__}; return the loss itself.")
    if loss.numel() != 1:
        raise BadInputError(f"the loss must be a scalar, got shape {tuple(loss.shape)}; take its mean.")
    if not loss.requires_grad:
        raise BadInputError(
            "the loss has no gradient; compute it from the model's outputs without detach() or no_grad(), "
            "and leave at least one parameter with requires_grad=True."
        )


def needs_closure(optimizer: Optimizer) -> bool:
    """Say whether an optimizer's ``step`` cannot do without a closure, as LBFGS's."""
    parameters = list(inspect.signature(type(optimizer).step).parameters.values())[1:2]
    return bool(parameters) and parameters[0].default is inspect.Parameter.empty and parameters[0].name == "closure"


def to_number(loss: Any) -> float:
    """Return the loss of a step as a number; ``BadInputError`` if it is none."""
    if isinstance(loss, torch.Tensor) and loss.numel() == 1:
        return loss.item()
    if isinstance(loss, Real) or getattr(loss, "shape", None) == ():  # a number, of NumPy too
        return float(loss)
    got = f"shape {tuple(loss.shape)}" if isinstance(loss, torch.Tensor) else type(loss).__name__
    raise BadInputError(f"step must return the loss of its batch, a number or a tensor of one, got {got}.")


def no_batches(data: Any) -> str:
    """Say what to do with a dataset that was given for a loader; nothing where it is none."""
    if not isinstance(data, Dataset) or hasattr(data, "__iter__"):
        return ""
    name = type(data).__name__
    return f"must give batches, and {name} gives samples; wrap it: DataLoader(dataset, batch_size=64, shuffle=True)."

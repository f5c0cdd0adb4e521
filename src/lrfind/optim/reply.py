"""How an optimizer replies to its rate: another one of its class and options is stepped on made-up gradients."""

from __future__ import annotations

import inspect
import math
import warnings
from functools import lru_cache
from typing import Any

import torch
from torch.optim import Optimizer
from torch.optim.optimizer import _global_optimizer_post_hooks, _global_optimizer_pre_hooks

from lrfind.replies import Reply

DOUBLINGS = 9
"""Steps that are made, as a power of 2: enough to see which way a gain goes, in some 50 ms."""

SIDE = 16
"""The made-up parameter is a matrix of this many rows and columns: Muon and Adafactor treat matrices as such."""

SIZE = 0.1
"""The root mean square of its numbers, as of usual weights: Adafactor's steps are measured against it."""

SHARE = 1.0
"""Of each gradient, so much is the same at every step, per unit of what is drawn anew."""

RATE, HUGE, LOUD = 1e-3, 1e3, 1024.0
"""The rate, one beyond every cap, and what gradients are multiplied by to see whether it matters."""

HIGHEST_CAP = 1.0
"""A cap above this, at the end, bounds no rate that anybody uses (ASGD's)."""

_PLAIN = {"weight_decay": 0.0, "fused": None, "capturable": False, "foreach": None, "differentiable": False}
"""Options that say how a step is computed, or move numbers whatever the gradient is."""


def reply_of(optimizer: Optimizer) -> Reply | None:
    """Return how an optimizer replies to its rate; None where it could not be told.

    The optimizer itself is not touched, nor is any generator of random numbers.

    Args:
        optimizer: Any; one whose class is not made of parameters and its ``defaults`` cannot be told.
    """
    kind = type(optimizer)
    is_heard = bool(_global_optimizer_pre_hooks or _global_optimizer_post_hooks)  # these steps are not training's
    if is_heard or kind.__module__.startswith("torch.distributed"):  # making one would talk to the other processes
        return None
    options = {name: _PLAIN.get(name, value) for name, value in optimizer.defaults.items() if name != "lr"}
    try:
        taken = inspect.signature(kind).parameters
        given = tuple(sorted((name, value) for name, value in options.items() if name in taken))
        known = _measured(kind, given)
    except Exception:  # noqa: BLE001, an optimizer of somebody's making may raise anything
        return None
    return None if known is None else Reply(*known, age=_age(optimizer))


@lru_cache(maxsize=32)
def _measured(kind: type[Optimizer], options: tuple[tuple[str, Any], ...]) -> tuple[Any, ...] | None:
    """Return gains, caps, whether steps are free of the loss's scale, and whether they follow the rate."""
    source = torch.Generator().manual_seed(0)
    start = SIZE * torch.randn(SIDE, SIDE, generator=source)
    trend = SHARE * torch.randn(SIDE, SIDE, generator=source).sign()
    numbers = [torch.nn.Parameter(start.clone()) for _ in range(3)]
    groups = [{"params": [one], "lr": lr} for one, lr in zip(numbers, (RATE, RATE, HUGE), strict=True)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = kind(groups, lr=RATE, **dict(options))  # type: ignore[call-arg]

    def moved() -> list[float]:
        gradient = trend + torch.randn(SIDE, SIDE, generator=source)
        for one, scale in zip(numbers, (1.0, LOUD, 1.0), strict=True):
            one.grad = gradient * scale
        made.step()
        with torch.no_grad():
            far = [float((one - start).square().mean().sqrt()) for one in numbers]
            for one in numbers:
                one.copy_(start)
        return far

    with torch.enable_grad():
        steps = [moved() for _ in range(2**DOUBLINGS)]
        made.param_groups[0]["lr"] = 8 * RATE
        raised = [moved()[0] for _ in range(3)][-1]
    usual = [_around(steps, 2**power, 0) for power in range(DOUBLINGS + 1)]
    loud, huge = [[_around(steps, 2**power, of) for power in range(DOUBLINGS + 1)] for of in (1, 2)]
    if not all(math.isfinite(one) and one > 0 for one in (*usual, *loud, *huge, raised)):
        return None
    caps = [RATE * far / near for far, near in zip(huge, usual, strict=True)]
    if caps[-1] > HIGHEST_CAP:
        caps = [math.inf] * len(caps)
    gains = tuple(float(f"{one / RATE:.3g}") for one in usual)
    is_free = loud[-1] < LOUD**0.5 * usual[-1]
    return gains, tuple(float(f"{one:.3g}") for one in caps), is_free, raised > 3 * usual[-1]


def _around(steps: list[list[float]], step: int, of: int) -> float:
    """The mean step of one parameter over the steps nearest to one, by a quarter to either side."""
    low, high = step - step // 4, min(step + step // 4, len(steps))
    return sum(one[of] for one in steps[low - 1 : high]) / (high - low + 1)


def _age(optimizer: Optimizer) -> int:
    """How many steps it has taken, as far as its state says so."""
    counts = [state["step"] for state in optimizer.state.values() if isinstance(state, dict) and "step" in state]
    return max((int(one) for one in counts[:1]), default=0)

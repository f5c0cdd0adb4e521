"""Measure how an optimizer replies to its rate: another one of its class and options steps on made-up gradients."""

import inspect
import math
import warnings
from dataclasses import replace
from functools import lru_cache
from typing import Any

import torch
from torch.optim import Optimizer
from torch.optim.optimizer import _global_optimizer_post_hooks, _global_optimizer_pre_hooks

from lrfind.optim.rates import write
from lrfind.replies import Reply

DOUBLINGS = 9
"""The number of steps, as a power of 2: enough to see the trend of a gain, in some 50 ms."""

SIDE = 16
"""The made-up parameter is a square matrix with this side: Muon and Adafactor treat matrices specially."""

SIZE = 0.1
"""The root mean square of its elements, as of usual weights: Adafactor's steps are relative to it."""

SHARE = 1.0
"""The constant part of each gradient, relative to the random part."""

RATE, HUGE, LOUD = 1e-3, 1e3, 1024.0
"""The rate, one beyond every cap, and the factor for gradients that shows whether their scale matters."""

HIGHEST_CAP = 1.0
"""A final cap above this bounds no rate in use (ASGD's)."""

_PLAIN = {"weight_decay": 0.0, "fused": None, "capturable": False, "foreach": None, "differentiable": False}
"""Options replaced: those that only say how a step is computed, or that move weights without a gradient."""


def reply_of(optimizer: Optimizer) -> Reply | None:
    """Return how an optimizer replies to its rate; None if unknown, for example if its class takes other arguments.

    The optimizer itself is not touched; the global generators are, if its class draws from them.
    """
    kind: Any = type(optimizer)
    is_heard = bool(_global_optimizer_pre_hooks or _global_optimizer_post_hooks)  # must not see these steps
    if is_heard or kind.__module__.startswith("torch.distributed"):  # its constructor would talk to other processes
        return None
    options = {name: _PLAIN.get(name, value) for name, value in optimizer.defaults.items() if name != "lr"}
    try:
        taken = inspect.signature(kind).parameters
        given = sorted((name, value) for name, value in options.items() if name in taken)
        known: Reply | None = _measured(kind, tuple((k, tuple(v) if isinstance(v, list) else v) for k, v in given))
    except Exception:  # noqa: BLE001, a custom optimizer may raise anything
        return None
    steps = [state["step"] for state in optimizer.state.values() if isinstance(state, dict) and "step" in state]
    return known and replace(known, age=int(steps[0]) if steps else 0)


@lru_cache(maxsize=32)
def _measured(kind: Any, options: tuple[tuple[str, Any], ...]) -> Reply | None:
    steps, raised = _stepped(kind, dict(options))
    at = [2**power for power in range(DOUBLINGS + 1)]
    # the mean over the steps around each, a quarter of it to either side
    usual, loud, huge = torch.stack([steps[each - each // 4 - 1 : each + each // 4].mean(0) for each in at]).T.tolist()
    if not all(math.isfinite(each) and each > 0 for each in (*usual, *loud, *huge, raised)):
        return None
    caps = [RATE * far / near for far, near in zip(huge, usual, strict=True)]
    return Reply(
        gains=tuple(float(f"{each / RATE:.3g}") for each in usual),
        caps=tuple(float(f"{each:.3g}") if caps[-1] <= HIGHEST_CAP else math.inf for each in caps),
        is_scale_free=loud[-1] < LOUD**0.5 * usual[-1],
        follows=raised > 3 * usual[-1],
    )


def _stepped(kind: Any, options: dict[str, Any]) -> tuple[torch.Tensor, float]:
    """Return how far three parameters move at each step: as usual, with scaled gradients, at a huge rate.

    Also return how far the first one moves at the end, after its rate is raised eightfold.
    """
    source = torch.Generator().manual_seed(0)

    def drawn() -> torch.Tensor:
        return torch.randn(SIDE, SIDE, generator=source, device="cpu", dtype=torch.float32)

    start, trend = SIZE * drawn(), SHARE * drawn().sign()
    numbers: list[torch.Tensor] = [torch.nn.Parameter(start.clone()) for _ in range(3)]
    groups = [{"params": [each], "lr": lr} for each, lr in zip(numbers, (RATE, RATE, HUGE), strict=True)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = kind(groups, lr=RATE, **options)

    def moved() -> torch.Tensor:
        gradient = trend + drawn()
        for number, scale in zip(numbers, (1.0, LOUD, 1.0), strict=True):
            number.grad = gradient * scale
        made.step()
        with torch.no_grad():
            far = (torch.stack(numbers) - start).square().mean((1, 2)).sqrt()
            torch._foreach_copy_(numbers, [start] * 3)
        return far

    with torch.enable_grad():
        steps = torch.stack([moved() for _ in range(2**DOUBLINGS)]).double()
        write(made.param_groups[0], 8 * RATE)
        return steps, [float(moved()[0]) for _ in range(3)][-1]

"""What a scheduler makes of the rates, seen on a copy of it that drives a dummy."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import torch

from lrfind.errors import BadInputError
from lrfind.isolation import Kept
from lrfind.optim.rates import RATES, held_by
from lrfind.optim.schedulers import flatten, optimizer_of, step_call, unwrapped, with_inner

ENOUGH = 1_000
"""By so many steps a scheduler that does not say how long it goes has shown what it does."""

REMEDY = (
    "search with schedule= as a function of the fraction of training done, and set the rates yourself: apply without "
    "it and call remove() on the watch"
)


def is_known(scheduler: Any) -> bool:
    """Say whether a scheduler, and all that it holds, come from torch or transformers."""
    return all(type(one).__module__.split(".")[0] in ("torch", "transformers") for one in with_inner([scheduler]))


def on_dummy(scheduler: Any, factor: float = 1.0) -> Any:
    """Return a copy of a scheduler on an optimizer of one number per group, at the rates of its own times a factor.

    Raises:
        BadInputError: If it cannot be copied, or stepped.
    """
    name, seen, optimizer = type(scheduler).__name__, optimizer_of(scheduler), unwrapped(optimizer_of(scheduler))
    dummy = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    dummy.defaults, dummy.param_groups = dict(optimizer.defaults), []
    memo: dict[int, Any] = {id(optimizer): dummy, id(optimizer.param_groups): dummy.param_groups}
    if not hasattr(seen, "written"):  # a view that scales comes along
        memo[id(seen)] = dummy
    for group in optimizer.param_groups:
        kept = copy.deepcopy({name: value for name, value in group.items() if name != "params"})
        kept |= {name: kept[name] * factor for name in RATES if name in kept and factor != 1}
        memo[id(group)] = {"params": [torch.zeros(1)], **kept}
        dummy.param_groups.append(memo[id(group)])
    try:
        twin = copy.deepcopy(scheduler, memo)
    except Exception as error:
        raise BadInputError(f"{name} cannot be copied to see what it does ({error}); {REMEDY}.") from error
    if step_call(twin) is None:
        raise BadInputError(f"how {name} is to be stepped cannot be told from its arguments; {REMEDY}.")
    return twin


def trajectory(twin: Any, steps: int) -> list[list[float]]:
    """Return the rates of the groups at each step of a copy; fewer where it ends earlier.

    The copy, random numbers, and what its functions reach (a counter that a lambda keeps, say) are put back.

    Args:
        twin: What ``on_dummy`` returned.
        steps: How many.

    Raises:
        BadInputError: If it cannot be stepped.
    """
    call, groups, rates = step_call(twin), unwrapped(optimizer_of(twin)).param_groups, list[list[float]]()
    with warnings.catch_warnings(), Kept((twin,)) as kept, kept.probe(0):
        warnings.simplefilter("ignore")
        for done in range(steps):
            try:
                if call and (call.is_ahead or done):
                    call.make(done if call.is_ahead else done - 1)
            except Exception as error:
                if len(rates) > 1:  # a table is at its end, OneCycleLR, CyclicLR's powers of two
                    break
                name = type(twin).__name__
                raise BadInputError(f"{name} cannot be stepped to see what it does ({error}); {REMEDY}.") from error
            rates.append(held_by(groups))
    return rates


def counts(schedulers: Any) -> bool:
    """Say whether functions of schedulers give other numbers when they are asked again, as those that count do."""
    functions = [each for one in with_inner(flatten(schedulers)) for each in getattr(one, "lr_lambdas", ())]
    try:
        with Kept(functions) as kept, kept.probe(0):
            return any(len({float(each(0)) for _ in range(ENOUGH)}) > 1 for each in functions)
    except Exception:  # noqa: BLE001, a table that is at its end, say
        return True

"""What a scheduler makes of the rates, seen on a copy of it that drives a dummy."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
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
    name, optimizer = type(scheduler).__name__, unwrapped(optimizer_of(scheduler))
    dummy = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    kept = [{name: value for name, value in group.items() if name != "params"} for group in optimizer.param_groups]
    dummy.param_groups = [{"params": [torch.zeros(1)], **copy.deepcopy(group)} for group in kept]
    dummy.defaults = dict(optimizer.defaults)
    for group in dummy.param_groups if factor != 1 else ():
        group.update({name: group[name] * factor for name in RATES if name in group})
    groups = zip(optimizer.param_groups, dummy.param_groups, strict=True)
    memo: dict[int, Any] = {id(old): new for old, new in groups}
    memo |= {id(optimizer): dummy, id(optimizer.param_groups): dummy.param_groups}
    if not hasattr(held := optimizer_of(scheduler), "written"):  # a view that scales comes along
        memo[id(held)] = dummy
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
    try:
        with warnings.catch_warnings(), Kept((twin,)) as kept, kept.probe(0):
            warnings.simplefilter("ignore")
            return list(_stepped(twin, steps))
    except Exception as error:
        name = type(twin).__name__
        raise BadInputError(f"{name} cannot be stepped to see what it does ({error}); {REMEDY}.") from error


def counts(schedulers: Any) -> bool:
    """Say whether functions of schedulers give other numbers when they are asked again, as those that count do."""
    functions = [each for one in with_inner(flatten(schedulers)) for each in getattr(one, "lr_lambdas", ())]
    try:
        with Kept(functions) as kept, kept.probe(0):
            return any(len({float(each(0)) for _ in range(ENOUGH)}) > 1 for each in functions)
    except Exception:  # noqa: BLE001, a table that is at its end, say
        return True


def _stepped(twin: Any, steps: int) -> Iterator[list[float]]:
    call, groups = step_call(twin), unwrapped(optimizer_of(twin)).param_groups
    for done in range(steps):
        try:
            if call and (call.is_ahead or done):
                call.make(done if call.is_ahead else done - 1)
        except (ValueError, ArithmeticError):  # OneCycleLR beyond its end, CyclicLR's powers of two
            return
        yield held_by(groups)

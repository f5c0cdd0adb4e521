"""Who may have changed a rate, for error messages."""

from __future__ import annotations

import dis
import gc
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import CodeType
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from lrfind.optim.rates import differing
from lrfind.optim.schedulers import with_inner
from lrfind.optim.views import is_view


def _has_set(scheduler: Any, index: int, rate: float) -> bool:
    latest = getattr(scheduler, "_last_lr", None)
    return latest is None or float(latest[index]) == rate


def handling_groups(holders: Iterable[Any], framework: str) -> list[str]:
    """Name the methods of callbacks, modules and trainers that set something in param groups.

    Classes in modules that match the pattern ``framework`` are the framework's own, and left out.
    """
    names = []
    for kind in map(type, holders):
        kinds = [each for each in reversed(kind.__mro__) if not re.search(framework, each.__module__)]
        methods = {name: value for each in kinds for name, value in vars(each).items()}
        codes = {name: getattr(method, "__code__", None) for name, method in methods.items()}
        names += [f"{kind.__name__}.{name}" for name, code in codes.items() if code and _sets_in_groups(code)]
    return names


def _sets_in_groups(code: CodeType) -> bool:
    sets = "update" in code.co_names or any(each.opname == "STORE_SUBSCR" for each in dis.get_instructions(code))
    return "param_groups" in code.co_names and sets


def living_schedulers(optimizer: Optimizer) -> list[Any]:
    """Return the living schedulers that drive an optimizer; slow, for error messages."""
    kinds = ((each, type(each)) for each in gc.get_objects())
    named = [each for each, kind in kinds if issubclass(kind, LRScheduler) or "schedule" in kind.__name__.lower()]
    held: Iterator[tuple[Any, Any]] = ((each, getattr(each, "__dict__", {}).get("optimizer")) for each in named)
    return [each for each, other in held if (other.real if is_view(other) else other) is optimizer]


def complaint(
    optimizer: Optimizer,
    held: Sequence[float],
    wanted: Sequence[float],
    drivers: Sequence[Any],
    suspects: Callable[[], Sequence[str]],
) -> str:
    """Return what to say of rates that are not those wanted; ``suspects`` may name what no scheduler has changed."""
    index = differing(held, wanted) or 0
    rate, known = held[index], list(map(id, with_inner(drivers)))
    others = [each for each in living_schedulers(optimizer) if id(each) not in known and _has_set(each, index, rate)]
    names = [type(each).__name__ for each in others] or suspects()
    culprit = f"{' or '.join(names)} may have changed it" if names else "your own code, maybe, changed it"
    source = "as applied"
    remedy = (
        "if a scheduler drives it, pass it: finding.apply(optimizer, scheduler); if your own code sets it, "
        "search with schedule= as a function, and call remove() on the watch or use LRFinder(apply=False)"
    )
    if drivers:
        source = f"as set by {', '.join(type(each).__name__ for each in drivers)}"
        remedy = "set the rate through the scheduler only, or call remove() on the watch"
    elif others:
        remedy = "pass the scheduler: finding.apply(optimizer, scheduler)"
    return (
        f"param group {index} of {type(optimizer).__name__} has lr={rate}, "
        f"not {wanted[index]} {source}: {culprit}; {remedy}."
    )

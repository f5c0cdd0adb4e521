"""What a scheduler is, from any library: which optimizer it drives, how it is stepped, and how long it runs."""

import gc
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, Literal, NamedTuple, cast

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from lrfind.errors import BadInputError

_WRAPPING = ("lightning.", "lightning_fabric.", "pytorch_lightning.", "accelerate.")
"""Libraries whose optimizer wrappers share the attributes of the wrapped optimizer."""

_METRICS = ("metric", "loss", "score", "accuracy")
_LENGTHS = ("total_steps", "T_max", "num_training_steps", "max_steps", "max_iters")
_PHASES = ("num_warmup_steps", "num_stable_steps", "num_decay_steps")
"""Of transformers' warmup-stable-decay schedule."""


class StepCall(NamedTuple):
    """How a scheduler is stepped."""

    make: Callable[[int], object]  # takes the number of earlier steps
    needs_metric: bool = False  # so that its effect cannot be known beforehand
    is_ahead: bool = False  # called before each step, also the first
    unit: Literal["step", "epoch"] | None = None  # what it counts, if its arguments say so


def unwrapped(optimizer: Any) -> Optimizer:
    """Return the optimizer that steps, without wrappers: Accelerate's, Lightning's, apex's LARC."""
    held: Any = None
    if _calls_hooks(optimizer) and not type(optimizer).__module__.startswith(_WRAPPING):
        return cast(Optimizer, optimizer)
    if hasattr(optimizer, "optimizer"):
        held = optimizer.optimizer
    elif (groups := getattr(optimizer, "param_groups", None)) is not None:
        each = getattr(optimizer, "__dict__", {}).values()
        held = next((item for item in each if getattr(item, "param_groups", None) is groups), None)
    return cast(Optimizer, optimizer) if held is None else unwrapped(held)


def _calls_hooks(optimizer: Any) -> bool:
    is_hooked = getattr(getattr(type(optimizer), "step", None), "hooked", False)  # by the constructor of Optimizer
    return is_hooked and "_optimizer_step_pre_hooks" in vars(optimizer)


def check_optimizer(optimizer: Any) -> None:
    """Check that an optimizer has a rate, and calls torch's step hooks, which set and watch it."""
    if not _calls_hooks(optimizer):
        raise BadInputError(
            f"{type(optimizer).__name__} calls no step hooks of torch's, within which a rate is set and watched; pass "
            f"the torch optimizer that it steps, or a list of them."
        )
    if any(group["lr"] is None for group in optimizer.param_groups):
        raise BadInputError(
            f"{type(optimizer).__name__} has lr=None and chooses its rate itself, so that there is none to set; "
            f"construct it with a positive lr (transformers' Adafactor with relative_step=False)."
        )


def flatten(scheduler: Any) -> Iterator[Any]:
    """Yield the schedulers in None, one scheduler or nested containers of them, without Accelerate's wrapper."""
    if isinstance(scheduler, Mapping):  # Lightning's configuration of a scheduler
        scheduler = scheduler.get("scheduler", list(scheduler.values()))
    if isinstance(scheduler, Iterable) and not isinstance(scheduler, str):
        for each in scheduler:
            yield from flatten(each)
    elif scheduler is not None:
        yield without_wrapper(scheduler)


def without_wrapper(scheduler: Any) -> Any:
    """Return the scheduler inside Accelerate's wrapper."""
    is_wrapped = not hasattr(scheduler, "optimizer") and hasattr(scheduler, "scheduler")
    return without_wrapper(scheduler.scheduler) if is_wrapped else scheduler


def steps_per_call(scheduler: Any) -> int:
    """Return how often Accelerate's wrapper steps a scheduler per step: once for every process."""
    optimizers = getattr(scheduler, "optimizers", None) or [None]
    if without_wrapper(scheduler) is scheduler or getattr(scheduler, "split_batches", True):
        return 1
    return int(getattr(getattr(optimizers[0], "accelerator_state", None), "num_processes", 1))


def outermost(scheduler: Any) -> tuple[Any, ...]:
    """Return the schedulers in nested containers, each once, without those that another one holds."""
    each = {id(item): item for item in flatten(scheduler)}
    held = {id(item) for holder in each.values() for item in with_inner(inner_of(holder))}
    return tuple(item for key, item in each.items() if key not in held)


def with_inner(schedulers: Iterable[Any]) -> list[Any]:
    """Return schedulers and those that they hold, inner ones first, each once."""
    found: dict[int, Any] = {}
    for item in schedulers:
        found |= {id(each): each for each in (*with_inner(inner_of(item)), item)}
    return list(found.values())


def inner_of(scheduler: Any) -> list[Any]:
    """Return the schedulers that one holds in attributes named like schedulers."""
    held = [value for name, value in getattr(scheduler, "__dict__", {}).items() if "schedul" in name]
    each = [item for value in held for item in (value if isinstance(value, (list, tuple)) else [value])]
    return list({id(item): item for item in map(without_wrapper, filter(is_scheduler, each))}.values())


def is_scheduler(value: Any) -> bool:
    """Say whether an object can be stepped and holds the optimizer whose rates it changes."""
    value = without_wrapper(value)
    acts = hasattr(value, "step") or callable(value)
    return acts and hasattr(value, "optimizer") and not hasattr(value, "param_groups")


def is_known(scheduler: Any) -> bool:
    """Say whether a scheduler and all that it holds come from torch or transformers."""
    return all(type(each).__module__.split(".")[0] in ("torch", "transformers") for each in with_inner([scheduler]))


def optimizer_of(scheduler: Any) -> Any:
    """Return what a scheduler is built on; ignite's for param groups holds one per group."""
    held = scheduler.optimizer
    return held[0] if isinstance(held, list) else held


def driven_by(scheduler: Any) -> Optimizer:
    """Return the optimizer whose rates a scheduler changes, without wrappers."""
    return unwrapped(optimizer_of(scheduler))


def driving(optimizers: Iterable[Optimizer], scheduler: Any) -> tuple[Any, ...]:
    """Return the schedulers that are built on one of these optimizers."""
    each, known = list(optimizers), (item for item in flatten(scheduler) if is_scheduler(item))
    return tuple(item for item in known if any(driven_by(item) is optimizer for optimizer in each))


def living_schedulers(optimizer: Optimizer) -> list[Any]:
    """Return the living schedulers that drive an optimizer; slow, for error messages."""
    kinds = ((each, type(each)) for each in gc.get_objects())
    named = [each for each, kind in kinds if issubclass(kind, LRScheduler) or "schedule" in kind.__name__.lower()]
    return [each for each in named if unwrapped(getattr(each, "__dict__", {}).get("optimizer")) is optimizer]


def step_call(scheduler: Any) -> StepCall | None:
    """Return how a scheduler is stepped; None if unknown."""
    step = getattr(scheduler, "step", None)
    if hasattr(scheduler, "step_update") and not getattr(scheduler, "t_in_epochs", False):  # as timm's
        step = scheduler.step_update
    if step is None:  # ignite's handlers, called with the engine
        waiting = (call for each in inner_of(scheduler) if (call := step_call(each)) and call.needs_metric)
        given = _required(scheduler)
        if (call := next(waiting, None)) is not None or given is None or len(given) > 1:
            return call
        return StepCall(lambda done: scheduler(*(None for _ in given)), is_ahead=True)
    names = _required(step)
    if names is None or len(names) > 1:
        return None
    if not names:
        return StepCall(lambda done: step())
    if any(word in names[0] for word in _METRICS):
        return StepCall(lambda done: step(1.0), needs_metric=True)
    return StepCall(lambda done: step(done + 1), unit="epoch" if "epoch" in names[0] else "step")


def needs_metric(scheduler: Any) -> bool:
    """Say whether a scheduler's step takes a metric."""
    call = step_call(scheduler)
    return call is not None and call.needs_metric


def _required(function: Any) -> list[str] | None:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [each.name for each in parameters if each.default is inspect.Parameter.empty and each.kind in kinds]


def known_length(scheduler: Any) -> int | None:
    """Return after how many of its own steps a scheduler ends; None if unknown."""
    found = [getattr(scheduler, name, None) for name in _LENGTHS]
    if type(scheduler).__name__ == "PolynomialLR":
        found.append(scheduler.total_iters)
    if hasattr(scheduler, "get_cycle_length"):  # timm's
        found.append(scheduler.get_cycle_length())
    for each in getattr(scheduler, "lr_lambdas", ()):
        given = each.keywords if isinstance(each, partial) else {}
        phases = [given[name] for name in _PHASES if name in given]
        found.append(given.get("num_training_steps", sum(phases) if len(phases) == len(_PHASES) else None))
    inner = inner_of(scheduler)
    if inner and (begun := getattr(scheduler, "_milestones", None) or [getattr(scheduler, "total_epoch", 0)])[-1]:
        found += [begun[-1] + last for last in map(known_length, inner[-1:]) if last]  # a sequence, or after a warmup
    else:
        found += map(known_length, inner)
    numbers = (each for each in found if isinstance(each, (int, float)) and not isinstance(each, bool))
    return max((int(each) for each in numbers if each > 0), default=None)

"""The loop: the adapter that runs one probe inside a training loop and puts everything back."""

from __future__ import annotations

import logging
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from numbers import Real
from typing import Any

import torch
from typing_extensions import Self

from lrfind.errors import BadInputError
from lrfind.isolation import Kept
from lrfind.ranks import Ranks
from lrfind.records import Probe, Record

OnStep = Callable[[float, float], None]
"""Called with the rate and the loss of each step of a probe, to show progress."""


class Loop(ABC):
    """Runs probes in a framework's training loop, and puts everything back after each probe.

    A loop is entered (``with loop:``) for a search: what training can move is noted once. A probe outside of that is a
    search of its own. The probes of a round are independent: each begins at the same starting point, so that they may
    run in any order, side by side or on several machines.
    """

    kept: Kept
    ranks = Ranks()
    """The processes that train together; by default this one."""
    _depth = 0
    _open: ExitStack

    @property
    def steps_per_epoch(self) -> float:
        """Optimizer steps in one pass over the data; 0 if unknown."""
        return 0.0

    def schedule(self) -> Any:
        """Return the schedule of training; None if there is none."""
        return None

    def left(self) -> tuple[float, float]:
        """Return the optimizer steps and the epochs that training has left; 0 or less if unknown."""
        return 0, 0

    def planned(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return options with the training's schedule and length, unless given or the strategy is an object."""
        plan: dict[str, Any] = {}
        if isinstance(options.get("strategy", "auto"), str):
            if "schedule" not in options and (known := self.schedule()) is not None:
                plan["schedule"] = known
            _check_length(options.get("total_steps"), options.get("epochs"), self.steps_per_epoch)
            if options.keys().isdisjoint(("total_steps", "epochs")):
                lengths = zip(("total_steps", "epochs"), self.left(), strict=True)
                plan |= {name: left for name, left in lengths if left > 0}
        return {**plan, **options}

    @abstractmethod
    def _begin(self, stack: ExitStack) -> Kept:
        """Begin a search: put clean-up on the stack; return what is put back."""

    @abstractmethod
    def _run(self, probe: Probe, on_step: OnStep | None) -> Record:
        """Run one probe."""

    def __enter__(self) -> Self:
        if self._depth == 0:
            with ExitStack() as stack:
                stack.enter_context(self.ranks.together())
                self.kept = stack.enter_context(self._begin(stack))
                self._open = stack.pop_all()
        self._depth += 1
        return self

    def __exit__(self, *error: Any) -> None:
        self._depth -= 1
        if self._depth == 0:
            self._open.__exit__(*error)

    def run(self, probe: Probe, on_step: OnStep | None = None) -> Record:
        """Run one probe from the starting point and put everything back, on every exit."""
        with self, torch.inference_mode(False), torch.enable_grad(), self.kept.probe(probe.seed):
            return self._run(probe, on_step)


def _check_length(steps: Any, epochs: Any, steps_per_epoch: float) -> None:
    """Check that a length in steps and one in epochs, if both are given, are one, up to partial batches."""
    are_numbers = isinstance(steps, Real) and isinstance(epochs, Real)  # else they are refused later
    if are_numbers and steps_per_epoch and abs(steps - epochs * steps_per_epoch) > epochs:
        raise BadInputError(
            f"total_steps={steps} and epochs={epochs} are two lengths of training: a pass over the data has "
            f"{steps_per_epoch:g} steps; give one of them."
        )


@contextmanager
def quiet(*names: str) -> Iterator[None]:
    """Silence warnings and the named loggers, below errors."""
    with ExitStack() as stack, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in map(logging.getLogger, names):
            stack.callback(logger.setLevel, logger.level)
            logger.setLevel(logging.ERROR)
        yield

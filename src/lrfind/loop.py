"""The loop: the adapter that runs one probe inside a training loop and puts everything back."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any, Protocol

import torch
from typing_extensions import Self

from lrfind.curves import GAPS, PATIENCE, DivergenceWatch
from lrfind.errors import BadInputError, ProbeError
from lrfind.optim import Group, Optimizers, as_list, groups_of, rates_of, read_rate, reply_of, set_rate
from lrfind.records import Probe, Record, Stop

OnStep = Callable[[float, float], None]
"""Told the rate and the loss of each step of a probe, for showing progress."""


def ignore(lr: float, loss: float) -> None:
    """Do nothing: the ``OnStep`` of a probe that nobody follows."""


IDLE = 1_000
"""After this many batches without an optimizer step, training is taken to make none."""


class Loop(Protocol):
    """What the search needs of a framework.

    The probes of a round are independent: each begins at the same starting point and knows nothing of the others, so
    that they may run in any order, side by side or on several machines.
    """

    def run(self, probe: Probe, on_step: OnStep) -> Record:
        """Run one probe from the starting point and put everything back, on every exit."""
        ...


class Recorder:
    """Gives each optimizer step of a probe its rate, and keeps the rate read back and the loss, within ``with``.

    The rate is set and read back by hooks on the optimizers, inside ``step()``: whatever else sets it during the
    probe (a scheduler, say), the rate that the probe asks for is the rate that is used.

    Args:
        probe: The rates to use.
        optimizers: What is stepped; of several, the first one counts the steps and the others move with it.
        on_step: Told the rate and the loss of each step.

    Attributes:
        stop: Why the probe has ended; None while it goes on.
        batches: How many were observed.
    """

    def __init__(self, probe: Probe, optimizers: Optimizers, on_step: OnStep = ignore) -> None:
        self.stop: Stop | None = None
        self.batches, self._passes, self._length, self._bad = 0, 0, 0.0, 0
        self._probe, self._wanted, self._rate = probe, probe.lrs, probe.lrs[0]
        self._on_step = None if on_step is ignore else on_step  # at every step, also a call of nothing costs
        self._optimizers = as_list(optimizers)
        rates = rates_of(self._optimizers)
        self._ratios, self._used = rates.ratios, rates.lr
        self._lead = self._optimizers[0]
        self._is_fresh, self._reply = not self._lead.state, reply_of(self._lead)
        self._lrs: list[float] = []
        self._losses: list[float] = []
        self._open: list[float] = []
        self._groups: list[Group] = []
        self._is_usual = self._ratios == (1.0,)
        self._only: Group | None = None
        self._read: float | None = None
        self._watch = DivergenceWatch()
        self._start = perf_counter()
        self._hooks: list[Any] = []

    def begin_pass(self, length: float = 0.0) -> None:
        """Count that the data is begun.

        Args:
            length: How often this pass will call ``observe``, if it runs to its end; 0 or infinite if not known.
        """
        self._passes += 1
        self._length = length if math.isfinite(length) else 0.0

    def observe(self, loss: float) -> Stop | None:
        """Take the loss of one batch; where the optimizer has stepped on it, close the step.

        A gradient scaler skips the step of a loss that is not finite. Such losses end a probe also where no step is
        closed, and do not count for the step that is.

        Args:
            loss: Of this batch. A step takes the mean over its batches.

        Returns:
            Why the probe has ended, or None to go on.

        Raises:
            BadInputError: If there are many batches and no step.
        """
        self.batches += 1
        self._bad = 0 if math.isfinite(loss) else self._bad + 1
        if self._read is None or self.stop:
            self._wait(loss)
            return self.stop
        rate, self._read = self._read, None
        if self._open:
            loss, self._open = _mean([*self._open, loss]), []
        self._lrs.append(rate)
        self._losses.append(loss)
        if self._on_step is not None:
            self._on_step(rate, loss)
        stop, step = self._watch.observe(loss, is_sound=not math.isfinite(loss) and self._is_sound()), len(self._lrs)
        if step < len(self._wanted):
            self._rate = self._wanted[step]
        else:
            stop = stop or "done"
        self.stop = stop
        return stop

    @property
    def steps(self) -> int:
        """How many steps have been recorded."""
        return len(self._lrs)

    def __enter__(self) -> Recorder:
        """Begin to set rates."""
        self._hooks = [one.register_step_pre_hook(self._before) for one in self._optimizers]
        self._hooks.append(self._lead.register_step_post_hook(self._after))
        return self

    def __exit__(self, *_: object) -> None:
        """Stop setting rates."""
        for hook in self._hooks:
            hook.remove()

    def record(self) -> Record:
        """Return what was recorded.

        Raises:
            BadInputError: If no step was taken.
            ProbeError: If none was, for losses that were not finite.
        """
        if not self._lrs and self.stop:
            raise ProbeError(
                f"the optimizer took no step and {self._bad} losses in a row were not finite; check the data, the loss "
                f"and the precision for what becomes NaN or infinite."
            )
        if not self._lrs:
            raise BadInputError("no optimizer step was taken: the data gave no batch, or nothing stepped on one.")
        return Record(
            self._probe,
            tuple(self._lrs),
            tuple(self._losses),
            self.stop or "done",
            self._passes,
            perf_counter() - self._start,
            self._ratios,
            type(self._lead).__name__,
            self._is_fresh,
            self._length * len(self._lrs) / self.batches,
            self._reply,
            self._used,
        )

    def _wait(self, loss: float) -> None:
        """Keep the loss of a batch on which no step was taken."""
        self._open.append(loss)
        if self._read is None and self._bad >= PATIENCE and (self._bad >= GAPS or not self._is_sound()):
            self.stop = self.stop or "non-finite"
        if len(self._open) > IDLE:
            raise BadInputError(
                f"{type(self._lead).__name__} was not stepped in {IDLE} batches; step the optimizer that is "
                f"searched, or name another one."
            )

    def _is_sound(self) -> bool:
        """Say whether every parameter is finite: a loss that is not is then one that training skips."""
        parameters = (one for group in groups_of(self._optimizers) for one in group["params"])
        return all(bool(torch.isfinite(one.detach()).all()) for one in parameters)

    def _before(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        """Set the rate of every group, those included that were added a moment ago."""
        groups = self._lead.param_groups
        if self._is_usual and len(groups) == 1 and type(groups[0]["lr"]) is float:  # one group, the usual case
            self._only = groups[0]
            self._only["lr"] = self._rate
            return
        self._only = None
        self._set_all()

    def _set_all(self) -> None:
        each = self._optimizers
        self._groups = each[0].param_groups if len(each) == 1 else [group for one in each for group in one.param_groups]
        if len(self._groups) != len(self._ratios):
            raise BadInputError(
                f"the optimizers had {len(self._ratios)} param groups when the search began and have "
                f"{len(self._groups)} now, so the ratios of their rates are unknown; add the groups before it."
            )
        set_rate(self._groups, self._rate, self._ratios)

    def _after(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        only = self._only
        self._read = float(only["lr"]) if only is not None else read_rate(self._groups, self._ratios)


class Driver:
    """Drives a recorder from inside a framework's own trainer, within ``with``; its callback adds the hooks.

    Args:
        probe: The rates to use.
        on_step: Told the rate and the loss of each step.
    """

    nothing_ran = "the trainer did not begin to train; check its data."

    def __init__(self, probe: Probe, on_step: OnStep) -> None:
        self.probe = probe
        self._on_step = on_step
        self._recorder: Recorder | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Stop setting rates."""
        if self._recorder is not None:
            self._recorder.__exit__()

    def start(self, optimizers: Optimizers) -> None:
        """Begin to set rates, now that the trainer has its optimizers."""
        self._recorder = Recorder(self.probe, optimizers, self._on_step).__enter__()

    @property
    def recorder(self) -> Recorder:
        """The recorder.

        Raises:
            BadInputError: If training never began.
        """
        if self._recorder is None:
            raise BadInputError(self.nothing_ran)
        return self._recorder


def _mean(losses: list[float]) -> float:
    """The mean of those that are finite; NaN if none is."""
    finite = [loss for loss in losses if math.isfinite(loss)]
    return sum(finite) / len(finite) if finite else math.nan


@contextmanager
def quiet(*names: str) -> Iterator[None]:
    """Keep what the named loggers advise, and warnings, out of output that is not the user's own training."""
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)

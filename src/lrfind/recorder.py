"""Recorder: gives each step of a probe its rate, keeps what was read back; Driver: one in a framework's trainer."""

from __future__ import annotations

import math
from contextlib import nullcontext
from time import perf_counter
from typing import Any

import torch
from typing_extensions import Self

from lrfind.curves import GAPS, PATIENCE, DivergenceWatch
from lrfind.errors import BadInputError, ProbeError
from lrfind.isolation import generators_kept
from lrfind.loop import OnStep, ignore
from lrfind.optim import Optimizers, Stepping, groups_of, reply_of
from lrfind.ranks import Ranks, local
from lrfind.records import Probe, Record, Stop

IDLE = 1_000
"""After this many batches without an optimizer step, training is taken to make none."""


class Recorder:
    """Gives each optimizer step of a probe its rate, and keeps the rate read back and the loss, within ``with``.

    The rate is set and read back by hooks on the optimizers, inside ``step()``: whatever else sets it during the
    probe (a scheduler, say), the rate that the probe asks for is the rate that is used.

    Args:
        probe: The rates to use.
        optimizers: What is stepped; of several, the first one counts the steps and the others move with it.
        on_step: Told the rate and the loss of each step.
        ranks: The processes that train together; each judges the mean of their losses, so that all stop together.
        scheduler: What drives their rates in training, as far as it is known.

    Attributes:
        stop: Why the probe has ended; None while it goes on.
        batches: How many were observed.
    """

    is_probe = True
    """Whether losses that diverge, or are not finite, end it, and the reply of the optimizer is measured."""

    def __init__(
        self,
        probe: Probe,
        optimizers: Optimizers,
        on_step: OnStep = ignore,
        ranks: Any = None,
        scheduler: Any = None,
    ) -> None:
        self._ranks: Ranks = ranks or Ranks()
        self._is_alone = self._ranks.is_alone
        self.stop: Stop | None = None
        self.batches, self._passes, self._length, self._bad = 0, 0, 0.0, 0
        self._probe, self._following = probe, iter(probe.lrs[1:])
        self._on_step = None if on_step is ignore else on_step  # at every step, also a call of nothing costs
        self._stepping = Stepping(optimizers, probe.lrs[0], scheduler=scheduler)
        self._lead = self._stepping.optimizers[0]
        self._is_fresh = not self._lead.state
        is_torchs = type(self._lead).__module__.startswith("torch.optim.")  # whose optimizers draw no random numbers
        with nullcontext() if is_torchs else generators_kept():  # the steps that show the reply may
            self._reply = reply_of(self._lead) if self.is_probe else None
        self._lrs: list[float] = []
        self._losses: list[float] = []
        self._open: list[float] = []
        self._watch = DivergenceWatch()
        self._start = perf_counter()

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
            loss: Of this batch, on this rank. A step takes the mean over its batches.

        Returns:
            Why the probe has ended, or None to go on.

        Raises:
            BadInputError: If there are many batches and no step.
        """
        if not self._is_alone:
            loss = self._ranks.loss(loss)
        self.batches += 1
        is_finite = math.isfinite(loss)
        self._bad = 0 if is_finite else self._bad + 1
        stepping = self._stepping
        rate = stepping.read
        if rate is None or self.stop:
            self._wait(loss)
            return self.stop
        stepping.read = None
        if self._open:
            loss, self._open = _mean([*self._open, loss]), []
            is_finite = math.isfinite(loss)
        self._lrs.append(rate)
        self._losses.append(loss)
        if self._on_step is not None:
            self._on_step(rate, loss)
        stop: Stop | None = None
        if self.is_probe:
            stop = self._watch.observe(loss, is_sound=not is_finite and self._is_sound())
        if (following := next(self._following, None)) is None:
            stop = stop or "done"
        else:
            stepping.rate = following
        self.stop = stop
        return stop

    @property
    def steps(self) -> int:
        """How many steps have been recorded."""
        return len(self._lrs)

    def __enter__(self) -> Self:
        """Begin to set rates."""
        self._stepping.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop setting rates."""
        self._stepping.__exit__()

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
        record = Record(
            self._probe,
            tuple(self._lrs),
            tuple(self._losses),
            self.stop or "done",
            self._passes,
            perf_counter() - self._start,
            self._stepping.ratios,
            type(self._lead).__name__,
            self._is_fresh,
            self._length * len(self._lrs) / self.batches,
            self._reply,
            self._stepping.lr,
        )
        return self._ranks.record(record)

    def _wait(self, loss: float) -> None:
        """Keep the loss of a batch on which no step was taken."""
        self._open.append(loss)
        is_bad = self.is_probe and self._bad >= PATIENCE
        if self._stepping.read is None and is_bad and (self._bad >= GAPS or not self._is_sound()):
            self.stop = self.stop or "non-finite"
        if len(self._open) > IDLE:
            inner = next((name for name, one in vars(self._lead).items() if hasattr(one, "param_groups")), "")
            other = f"pass its {inner}, which may be what is stepped" if inner else "step this one, or name the other"
            raise BadInputError(
                f"{type(self._lead).__name__} was not stepped in {IDLE} batches: its gradients may never be finite, or "
                f"another optimizer is stepped; {other}."
            )

    def _is_sound(self) -> bool:
        """Say whether every parameter is finite, on all ranks: a loss that is not is then one that training skips."""
        parameters = (one for group in groups_of(self._stepping.optimizers) for one in group["params"])
        return self._ranks.all_true(all(bool(torch.isfinite(local(one)).all()) for one in parameters))


class Driver:
    """Drives a recorder from inside a framework's own trainer, within ``with``; its callback adds the hooks.

    Args:
        probe: The rates to use.
        on_step: Told the rate and the loss of each step.
        ranks: The processes that train together.
    """

    scheduler: Any = None
    """What drives the rates in training, as far as it is known."""

    nothing_ran = "the trainer did not begin to train; check its data."

    def __init__(self, probe: Probe, on_step: OnStep, ranks: Ranks) -> None:
        self.probe = probe
        self._on_step, self._ranks = on_step, ranks
        self._recorder: Recorder | None = None

    def __enter__(self) -> Self:
        """Return itself; rates are set from ``start`` on."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop setting rates."""
        if self._recorder is not None:
            self._recorder.__exit__()

    def start(self, optimizers: Optimizers) -> None:
        """Begin to set rates, now that the trainer has its optimizers."""
        self._recorder = self._recorder_for(optimizers).__enter__()

    def _recorder_for(self, optimizers: Optimizers) -> Recorder:
        return Recorder(self.probe, optimizers, self._on_step, self._ranks, self.scheduler)

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

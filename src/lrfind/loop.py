"""The loop: the adapter that runs one probe inside a training loop and puts everything back; its recorder."""

import logging
import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from contextvars import copy_context
from numbers import Real
from time import perf_counter
from typing import Any

import torch
from typing_extensions import Self

from lrfind.curves import GAPS, PATIENCE, DivergenceWatch
from lrfind.errors import BadInputError, ProbeError
from lrfind.isolation import Kept, generators_kept
from lrfind.optim import Optimizers, Stepping, as_list, groups_of, rates_of, reply_of
from lrfind.ranks import Ranks, local
from lrfind.records import Probe, Record, Stop
from lrfind.steps import needs_closure

OnStep = Callable[[float, float], None]
"""Called with the rate and the loss of each step of a probe, to show progress."""

IDLE = 1_000
"""After this many batches without an optimizer step, an error is raised."""


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
            check_length(options.get("total_steps"), options.get("epochs"), self.steps_per_epoch)
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
            return copy_context().run(self._run, probe, on_step)  # a context variable cannot be unset again


def check_length(steps: Any, epochs: Any, steps_per_epoch: float) -> None:
    """Check that a length in steps and one in epochs, if both are given, agree, but for partial batches."""
    are_numbers = isinstance(steps, Real) and isinstance(epochs, Real)  # else they are refused later
    if are_numbers and steps_per_epoch and abs(steps - epochs * steps_per_epoch) > max(epochs, 1):
        raise BadInputError(
            f"total_steps={steps} and epochs={epochs} are two lengths of training: a pass over the data has "
            f"{steps_per_epoch:g} steps; give one of them."
        )


class Recorder:
    """Gives each optimizer step of a probe its rate, and keeps the rate read back and the loss.

    The rate is set inside ``step()``, from ``start`` until the end of ``with``, so that it overrides any other (a
    scheduler's, say). All ranks judge the mean of their losses, and so stop together. In a framework's own trainer, a
    callback is a recorder.

    Attributes:
        stop: Why the probe has ended; None while it goes on.
        batches: How many were observed.
    """

    is_probe = True
    """Whether to stop at diverging or non-finite losses, and to measure the optimizer's reply."""

    nothing_ran = "no optimizer step was taken: the data gave no batch, or nothing stepped on one."
    """The message if training never began."""

    _is_started = False
    _stepping: Stepping

    def __init__(self, probe: Probe, on_step: OnStep | None = None, ranks: Ranks | None = None) -> None:
        self.probe, self._on_step, self._ranks = probe, on_step, ranks or Ranks()
        self.stop: Stop | None = None
        self.batches, self._passes, self._length, self._bad = 0, 0, 0.0, 0
        self._following = iter(probe.lrs[1:])
        self._lrs: list[float] = []
        self._losses: list[float] = []
        self._open: list[float] = []
        self._watch = DivergenceWatch()
        self._averaging: list[Any] = []

    def start(self, optimizers: Optimizers, scheduler: Any = None, named: Sequence[float] = ()) -> Self:
        """Begin to set rates; the first optimizer counts the steps, and the others move with it.

        ``scheduler`` drives their rates in training, if known; ``named`` are the rates that training names, which count
        only for a fresh start.
        """
        self._lead = as_list(optimizers)[0]
        self._is_fresh = not self._lead.state
        rates = rates_of(optimizers, scheduler, named=named if self._is_fresh else ())  # a checkpoint may have another
        self._stepping = Stepping(optimizers, rates, self.probe.lrs[0])
        is_torchs = type(self._lead).__module__.startswith("torch.optim.")  # torch's optimizers draw no random numbers
        with nullcontext() if is_torchs else generators_kept():  # the steps of reply_of may
            self._reply = reply_of(self._lead) if self.is_probe else None
        self._begun, self._is_started = perf_counter(), True
        self._stepping.__enter__()
        if self._ranks.size > 1:
            judging = filter(needs_closure, self._stepping.optimizers)
            self._averaging = [each.register_step_pre_hook(self._average) for each in judging]
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_started:
            self._stepping.__exit__()
        for hook in self._averaging:
            hook.remove()

    def begin_pass(self, length: float = 0.0) -> None:
        """Count a pass over the data of ``length`` calls of ``observe``; 0 or infinite if unknown."""
        self._passes += 1
        self._length = length if math.isfinite(length) else 0.0

    def observe(self, loss: float) -> Stop | None:
        """Take the loss of one batch on this rank; return why the probe has ended, or None to go on.

        If the optimizer has stepped on the batch, the step is closed; its loss is the mean over its batches. A gradient
        scaler skips the step of a non-finite loss: such losses can end a probe without a step, and do not count for a
        step that is taken. Many batches without a step raise a ``BadInputError``.
        """
        stepping = self._stepping
        loss, rate = self._ranks.step(loss, stepping.read)
        self.batches += 1
        is_finite = math.isfinite(loss)
        self._bad = 0 if is_finite else self._bad + 1
        if rate is None or self.stop:
            self._wait(loss, is_stepped=rate is not None)
            return self.stop
        stepping.read = None
        if self._open:
            finite = [each for each in (*self._open, loss) if math.isfinite(each)]
            loss, self._open = sum(finite) / len(finite) if finite else math.nan, []
            is_finite = math.isfinite(loss)
        self._lrs.append(rate)
        self._losses.append(loss)
        if self._on_step is not None:
            self._on_step(rate, loss)
        stop = self._watch.observe(loss, is_sound=not is_finite and self._is_sound()) if self.is_probe else None
        if (following := next(self._following, None)) is None:
            stop = stop or "done"
        else:
            stepping.rate = following
        is_late = self._ranks.is_late and len(self._lrs) < len(self.probe.lrs) + IDLE
        self.stop = None if is_late else stop
        return self.stop

    @property
    def steps(self) -> int:
        """The number of recorded steps."""
        return len(self._lrs)

    def record(self) -> Record:
        """Return the record; raise an error if no step was taken, a ``ProbeError`` if because of non-finite losses."""
        if not self._lrs and self.stop:
            raise ProbeError(
                f"the optimizer took no step and {self._bad} losses in a row were not finite; check the data, the loss "
                f"and the precision for what becomes NaN or infinite."
            )
        if not self._lrs:
            raise BadInputError(Recorder.nothing_ran if self._is_started else self.nothing_ran)
        seconds, ratios, name = perf_counter() - self._begun, self._stepping.ratios, type(self._lead).__name__
        ran = tuple(self._lrs), tuple(self._losses), self.stop or "done", self._passes, seconds
        steps_per_epoch = self._length * len(self._lrs) / self.batches
        return Record(self.probe, *ran, ratios, name, self._is_fresh, steps_per_epoch, self._reply, self._stepping.lr)

    def _average(self, optimizer: Any, args: Any, kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """Let an optimizer that judges losses by itself, as LBFGS, judge their mean: so all ranks take as many."""
        closure = args[1] if len(args) > 1 else kwargs["closure"]
        return (optimizer, lambda: torch.as_tensor(self._ranks.mean(float(closure())))), {}

    def _wait(self, loss: float, *, is_stepped: bool) -> None:
        """Keep the loss of a batch on which no step was taken."""
        self._open.append(loss)
        is_bad = self.is_probe and self._bad >= PATIENCE and not self._ranks.is_late
        if not is_stepped and is_bad and (self._bad >= GAPS or not self._is_sound()):
            self.stop = self.stop or "non-finite"
        if len(self._open) > IDLE:
            inner = next((name for name, each in vars(self._lead).items() if hasattr(each, "param_groups")), "")
            other = f"pass its {inner}, which may be what is stepped" if inner else "step this one, or name the other"
            raise BadInputError(
                f"{type(self._lead).__name__} was not stepped in {IDLE} batches: step() may be missing, its gradients "
                f"may never be finite, or another optimizer is stepped; {other}."
            )

    def _is_sound(self) -> bool:
        """Say whether every parameter is finite on all ranks: training then skips a non-finite loss."""
        parameters = (part for group in groups_of(self._stepping.optimizers) for part in group["params"])
        return self._ranks.mean(all(bool(torch.isfinite(local(part)).all()) for part in parameters)) == 1.0


@contextmanager
def quiet(*names: str) -> Iterator[None]:
    """Silence warnings and the named loggers, below errors."""
    with ExitStack() as stack, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in map(logging.getLogger, names):
            stack.callback(logger.setLevel, logger.level)
            logger.setLevel(logging.ERROR)
        yield

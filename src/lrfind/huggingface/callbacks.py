"""The callbacks: ``LRFinder`` finds, applies and verifies; ``VerifyLR`` verifies a rate set by hand."""

import copy
import math
import sys
import warnings
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

from lrfind.errors import BadInputError, RateNotAppliedError
from lrfind.finder import Finder, Training, Verifier, handling_groups
from lrfind.huggingface.inner import transformers
from lrfind.huggingface.loop import HuggingFaceLoop
from lrfind.isolation import generators_kept
from lrfind.loggers import Metrics
from lrfind.optim import held_by, rates_of, unwrapped
from lrfind.options import with_meanings
from lrfind.records import Finding

_KEY = "lrfind"
"""The key of the finding in the state that the Trainer saves with its checkpoints."""


class VerifyLR(Verifier, transformers().TrainerCallback):  # type: ignore[misc]
    """Verifies that training really uses a learning rate, from before the first step to after the last.

    Args:
        lr: The rate that the optimizer must start with, such as a finding's ``lr``; under a schedule, its peak. If
            ``train`` resumes from a checkpoint, the rate in the checkpoint; any param group may have it if the callback
            was added by ``add_callback`` to a Trainer with your own optimizer.

    Raises:
        RateNotAppliedError: At the start of ``train`` if the optimizer has another rate; at a step, if something
            other than the Trainer's own scheduler changed it.
    """

    def on_init_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Note the ratios of an optimizer that the Trainer is given, before a checkpoint is loaded into it."""
        self._ratios = _ratios_of(_trainer_of(self).optimizer, args.learning_rate)

    @property
    def state_key(self) -> str:
        """Refuse Lightning's Trainer, which reads this first; Hugging Face's never does."""
        ours = type(self).__name__
        raise BadInputError(f"this {ours} is Hugging Face's; a Lightning Trainer takes lrfind.lightning.{ours}.")

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Begin; a checkpoint to resume from is loaded by now."""
        trainer, is_resumed = _trainer_of(self), state.global_step > 0
        self.load_state_dict((state.stateful_callbacks.get(_KEY) or {}) if is_resumed else {})
        has_moved = unwrapped(trainer.optimizer).state or getattr(trainer.lr_scheduler, "last_epoch", 1) > 0
        if is_resumed and not has_moved:
            is_resumed = False
            warnings.warn(
                "The checkpoint that training resumes from has only the model (save_only_model=True): the optimizer "
                "and the schedule begin anew.",
                stacklevel=2,
            )
        if is_resumed and not self._ratios:
            self._ratios = _ratios_as_built(trainer)
        self._begin(trainer, is_resumed=is_resumed)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Check that the optimizer that was watched is the one that trained."""
        self._end(_trainer_of(self))

    def _training(self, trainer: Any) -> Training:
        suspects = partial(handling_groups, [*trainer.callback_handler.callbacks, trainer], r"^transformers\.")
        steps, named = trainer.state.global_step, (trainer.args.learning_rate,)
        return Training(trainer.optimizer, (trainer.lr_scheduler,), steps, suspects, named)

    def _refusal(self, trainer: Any, used: float) -> RateNotAppliedError:
        return RateNotAppliedError(
            f"the optimizer starts with lr={used}, not with lr={self.lr}; set learning_rate={self.lr} in the "
            f"TrainingArguments before the Trainer makes its optimizer, set it in the optimizer where you pass one "
            f"of your own, or use LRFinder(), which applies it."
        )


@with_meanings
class LRFinder(Finder, VerifyLR):
    """Finds a learning rate when ``train`` starts, applies it, and verifies it to the end of training.

    The search trains the model in an inner Trainer and puts everything back; training is bit for bit what it would be
    without the callback at the same rate. The rate replaces ``args.learning_rate`` under the scheduler: it is the peak
    of the schedule, after the warmup. If ``train`` resumes from a checkpoint of a run that had the callback, its
    finding is used and nothing is searched; from another checkpoint, the search starts from its weights and optimizer
    state. The tools in ``report_to`` get the rate, its interval and the loss at each rate; TensorBoard also gets the
    picture.

    Args:
        apply: Whether to train with the found rate; else it is only found, and kept in the checkpoints' state.
        every: Search again at the start of every ``every``-th epoch, from the current state of training; if that curve
            cannot be read, the rate is kept, with a warning.
        **options: Those of every search, see ``lrfind.SearchOptions``; ``schedule``, ``total_steps`` and ``epochs``
            are by default the Trainer's own; a schedule that cannot be read counts as constant, with a note.

    Attributes:
        finding: The latest finding, once ``train`` has started; ``findings`` has all of them, in order.
        applied: The watch over the optimizer: the least and the greatest rate read back so far.
    """

    _passes: float = 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Begin; a checkpoint to resume from is loaded by now."""
        self._passes = state.epoch or 0  # counted here: the Trainer's own count is wrong for data without a length
        super().on_train_begin(args, state, control, **kwargs)

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Search again, every ``every`` epochs."""
        self._find_again(_trainer_of(self), self._passes)
        self._passes = math.floor(self._passes) + 1

    def _loop(self, trainer: Any) -> HuggingFaceLoop:
        return HuggingFaceLoop(trainer, is_training=True)

    def _loggers(self, trainer: Any) -> Sequence[Metrics]:
        each = trainer.callback_handler.callbacks
        return [_report(trainer, item) for item in each if "transformers.integrations" in type(item).__module__]

    def _write(self, trainer: Any, finding: Finding, *, is_fresh: bool) -> Finding:
        trainer.args.learning_rate = finding.lr
        return finding

    def _take(self, trainer: Any, finding: Finding, *, is_fresh: bool) -> None:
        super()._take(trainer, finding, is_fresh=is_fresh)
        trainer.state.stateful_callbacks[_KEY] = self.state_dict()


def _trainer_of(callback: Any) -> Any:
    """Return the Trainer that is calling a callback; transformers does not pass it."""
    frame = sys._getframe()
    base = transformers().Trainer
    while frame := frame.f_back:  # type: ignore[assignment]
        each = frame.f_locals.get("self") if frame.f_code.co_varnames[:1] == ("self",) else None
        if isinstance(each, base) and callback in each.callback_handler.callbacks:
            return each
    raise BadInputError(
        f"{type(callback).__name__} must be called by a Trainer that has it: pass it as "
        f"Trainer(..., callbacks=[...]), and let the Trainer call it."
    )


def _report(trainer: Any, callback: Any) -> Metrics:

    def log_metrics(metrics: dict[str, float], step: int) -> None:
        state = copy.copy(trainer.state)
        state.global_step = step
        callback.on_log(trainer.args, state, trainer.control, logs=dict(metrics), model=trainer.model)

    return cast(Metrics, SimpleNamespace(log_metrics=log_metrics, experiment=getattr(callback, "tb_writer", None)))


def _ratios_of(optimizer: Any, named: float) -> tuple[float, ...]:
    with suppress(BadInputError):
        return rates_of(optimizer, named=(named,)).ratios if optimizer is not None else ()
    return ()


def _ratios_as_built(trainer: Any) -> tuple[float, ...]:
    """Return the ratios of the param groups that a Trainer makes; none if all groups have one rate."""
    if len(set(held_by(unwrapped(trainer.optimizer).param_groups))) == 1:
        return ()
    twin = copy.copy(trainer)
    twin.optimizer = None
    if chosen := getattr(trainer, "optimizer_cls_and_kwargs", None):
        twin.optimizer_cls_and_kwargs = (chosen[0], dict(chosen[1]))
    with suppress(Exception), generators_kept():  # the user's own method may fail
        twin.create_optimizer()
    return _ratios_of(twin.optimizer, trainer.args.learning_rate)

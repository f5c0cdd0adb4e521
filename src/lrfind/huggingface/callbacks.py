"""The callbacks: ``LRFinder`` finds, applies and verifies; ``VerifyLR`` verifies a rate set by hand."""

from __future__ import annotations

import math
import warnings
from functools import partial
from typing import Any, cast

from typing_extensions import Unpack

from lrfind.errors import BadInputError, ProbeError, RateNotAppliedError
from lrfind.huggingface.framework import callback_base, trainer_of
from lrfind.huggingface.loop import HuggingFaceLoop, with_plan
from lrfind.isolation import generators_kept
from lrfind.optim import AppliedRate, Verifier, apply_rate, handling_groups, rates_of
from lrfind.progress import announce
from lrfind.records import Finding
from lrfind.search import SearchOptions, find_with, to_strategy

_KEY = "lrfind"
"""Where the finding is kept in the state that the Trainer saves with its checkpoints."""


class VerifyLR(Verifier, callback_base()):  # type: ignore[misc]
    """Verifies that training really uses a learning rate, from before the first step to after the last.

    Args:
        lr: The rate that the optimizer must start with, under a schedule its peak; a finding's ``lr``, say.

    Attributes:
        applied: The watch over the optimizer: the least and the greatest rate read back so far.

    Raises:
        RateNotAppliedError: At the start of ``train`` if the optimizer has another rate; at a step, if something
            but the Trainer's own scheduler changed it.
    """

    def __init__(self, lr: float) -> None:
        self.lr: float | None = lr

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Compare the rate with what the optimizer was built with, and start watching."""
        used = rates_of(kwargs["optimizer"], kwargs.get("lr_scheduler")).lr
        if self.lr is not None and not math.isclose(used, self.lr, rel_tol=1e-12):
            raise RateNotAppliedError(
                f"the optimizer starts with lr={used}, not with lr={self.lr}; set learning_rate={self.lr} in the "
                f"TrainingArguments before the Trainer makes its optimizer, set it in the optimizer where you pass one "
                f"of your own, or use LRFinder(), which applies it."
            )
        self.watch(**kwargs)

    def watch(self, *, optimizer: Any, lr_scheduler: Any, **_: Any) -> None:
        """Watch an optimizer and its scheduler from now on."""
        self.unwatch()
        self.applied = AppliedRate(optimizer, (lr_scheduler,), suspects=partial(_suspects, trainer_of(self), self))

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Check that the optimizer that was watched is the one that trained."""
        self.unwatch()
        if self.applied is not None and not self.applied.steps and state.global_step > 0:
            raise RateNotAppliedError(
                "the optimizer that trained is not the one that the Trainer had when training began, so its rate was "
                "never verified; do not replace trainer.optimizer during training."
            )


class LRFinder(VerifyLR):
    """Finds a learning rate when ``train`` starts, applies it, and verifies it to the end of training.

    The search trains the model in a Trainer of its own and puts everything back; training itself is bit for bit what
    it would be without the callback at the same rate. The rate takes the place of ``args.learning_rate`` under the
    scheduler: it is the peak of the schedule, after the warmup. Where ``train`` resumes from a checkpoint, the resume
    happens: of a run that had the callback, its finding is used and nothing is searched; of another, the search starts
    from the weights and the optimizer state of the checkpoint.

    Args:
        apply: Whether to train with the found rate; else it is only found, and nothing at all is changed.
        every: Search again at the start of every so many epochs, from the state that training is in; where that
            curve cannot be read, the rate is kept, with a warning.
        **options: See ``lrfind.search.SearchOptions``; ``schedule``, ``horizon`` and ``epochs`` are
            by default the Trainer's own; a schedule that cannot be read counts as constant, and that is said.

    Attributes:
        finding: The latest finding, once ``train`` has started.
        findings: All of them, in order.
        applied: The watch over the optimizer: the least and the greatest rate read back so far.

    Raises:
        BadInputError: If an option is unknown or out of its range.
        RateNotAppliedError: As ``VerifyLR``.
    """

    def __init__(
        self,
        *,
        apply: bool = True,
        every: int | None = None,
        **options: Unpack[SearchOptions],
    ) -> None:
        to_strategy(**options)
        if every is not None and every < 1:
            raise BadInputError(f"every must be a number of epochs, at least 1, got {every=}.")
        if every is not None and options.get("resume") is not None:
            raise BadInputError("resume= is for the one search at the start; leave it out where every= asks for more.")
        self.lr = None
        self.findings: list[Finding] = []
        self._apply, self._every, self._options = apply, every, dict(options)

    @property
    def finding(self) -> Finding | None:
        """The latest finding."""
        return self.findings[-1] if self.findings else None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Find and apply; or take the finding of the run that is resumed, whose checkpoint is in place."""
        kept = state.stateful_callbacks.get(_KEY) if state.global_step > 0 else None
        self.findings = [Finding.from_dict(each) for each in kept["findings"]] if kept else []
        if self._apply and self.findings:
            self._use(self.findings[-1], args, state, **kwargs)
        elif not self.findings:
            self._find(args, state, **kwargs)

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Find again, every so many epochs."""
        epoch = state.epoch or 0
        if self._every and epoch > 0 and epoch % self._every == 0:
            try:
                self._find(args, state, **kwargs)
            except ProbeError as error:
                warnings.warn(f"At epoch {epoch:.0f} the rate is kept as it is: {error}", stacklevel=2)

    def _find(self, args: Any, state: Any, **kwargs: Any) -> None:
        trainer = trainer_of(self)
        with generators_kept():  # first of all
            loop = HuggingFaceLoop(trainer, is_training=True)
            finding = find_with(loop, **cast(SearchOptions, with_plan(self._options, trainer)))
        self.findings.append(finding)
        if self._apply:
            self._use(self.findings[-1], args, state, **kwargs)
        else:
            self._announce()

    def _announce(self) -> None:
        announce(self.findings[-1], is_applied=self._apply, shown=bool(self._options.get("progress", True)))

    def _use(self, finding: Finding, args: Any, state: Any, **kwargs: Any) -> None:
        """Put the rate where training reads it, say so in what the Trainer saves, and watch it."""
        if rates_of(kwargs["optimizer"], kwargs["lr_scheduler"]).lr != finding.lr:
            apply_rate(kwargs["optimizer"], finding.lr, kwargs["lr_scheduler"]).remove()
        args.learning_rate = finding.lr
        state.stateful_callbacks[_KEY] = {"findings": [each.to_dict() for each in self.findings]}
        self.watch(**kwargs)
        self._announce()


def _suspects(trainer: Any, watcher: Any) -> list[str]:
    """Name the callbacks, and the Trainer's methods, that are the user's and handle param groups."""
    holders = [*(one for one in trainer.callback_handler.callbacks if one is not watcher), trainer]
    return handling_groups(holders, lambda module: module.startswith("transformers."))

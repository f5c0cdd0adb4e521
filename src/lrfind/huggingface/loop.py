"""Runs probes in an inner Trainer: nothing of the outer training is touched."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import torch

from lrfind.huggingface.framework import TALKERS, callback_base, check_trainer, shared_states, transformers
from lrfind.huggingface.inner import Parts, end_workers, inner_trainer, parts_of
from lrfind.isolation import Kept, length_of, seed_all
from lrfind.loop import Driver, LoopInPlace, OnStep, quiet
from lrfind.errors import BadInputError
from lrfind.optim import Scheduled, to_schedule
from lrfind.records import Probe, Record
from lrfind.schedules import AsConstant

_SHAPES = {"linear": "linear", "cosine": "cosine", "constant": "constant", "constant_with_warmup": "constant"}
"""The schedules of transformers that have a shape of ours; a warmup only delays them."""


class HuggingFaceLoop(LoopInPlace):
    """Probes a model inside the training that a Trainer would give it.

    Args:
        trainer: The Trainer that will train, or is training; it is only read.
        is_training: Whether the Trainer is within ``train``.

    Raises:
        BadInputError: If the Trainer, or an argument, cannot be used.
    """

    def __init__(self, trainer: Any, *, is_training: bool = False) -> None:
        check_trainer(trainer)
        if not any(True for _ in trainer.model.parameters()):
            raise BadInputError(f"{type(trainer.model).__name__} has no parameters, so there is nothing to train.")
        self._trainer, self._is_training = trainer, is_training
        self._parts: Parts

    def _begin(self, stack: ExitStack) -> Kept:
        stack.enter_context(quiet(*TALKERS))
        trainer = self._trainer
        self._parts = parts_of(trainer, is_training=self._is_training)
        return Kept((trainer, self._parts, *shared_states()), data=(trainer.train_dataset, trainer.eval_dataset))

    def _run(self, probe: Probe, on_step: OnStep) -> Record:
        steps, is_training = len(probe.lrs), self._is_training
        inner = inner_trainer(self._trainer, self._parts, steps=steps, seed=probe.seed, is_training=is_training)
        with ExitStack() as stack:
            stack.callback(end_workers, inner)
            driver = stack.enter_context(_Driver(probe, on_step))
            inner.callback_handler.callbacks = [driver]
            inner.training_step = driver.watched(inner.training_step)
            transformers().Trainer.train(inner)
        return driver.recorder.record()


class _Driver(Driver, callback_base()):  # type: ignore[misc]
    """Drives a probe's recorder from inside the inner Trainer."""

    nothing_ran = "the Trainer did not begin to train; check its train_dataset and its subclass."

    def __init__(self, probe: Probe, on_step: OnStep) -> None:
        super().__init__(probe, on_step)
        self._losses: list[torch.Tensor] = []

    def watched(self, training_step: Callable[..., Any]) -> Callable[..., Any]:
        """Return a training step that also keeps its loss, which the Trainer has scaled to its share of a step."""

        def step(*args: Any, **kwargs: Any) -> Any:
            loss = training_step(*args, **kwargs)
            self._losses.append(loss.detach())
            return loss

        return step

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        seed_all(self.probe.seed)
        self.start(kwargs["optimizer"])

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.recorder.begin_pass(length_of(kwargs["train_dataloader"]) / args.gradient_accumulation_steps)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        losses, self._losses = self._losses, []
        if self.recorder.observe(float(sum(losses))):
            control.should_training_stop = True


def with_plan(options: dict[str, Any], trainer: Any) -> dict[str, Any]:
    """Return the options of a search with what a Trainer will do, where the user does not say: schedule and length."""
    if not isinstance(options.get("strategy", "auto"), str):
        return options
    args, plan = trainer.args, {"schedule": _schedule_of(trainer)}
    if not {"horizon", "epochs"} & set(options):
        plan |= {"horizon": args.max_steps} if args.max_steps > 0 else {"epochs": args.num_train_epochs}
    return {**plan, **options}


def _schedule_of(trainer: Any) -> str | Scheduled | AsConstant:
    """Return the schedule that a Trainer will use: the name of one of its own, where it has a shape of ours."""
    is_default = type(trainer).create_scheduler is transformers().Trainer.create_scheduler
    is_own = trainer.lr_scheduler is None or trainer._created_lr_scheduler
    kind = trainer.args.lr_scheduler_type
    name = str(getattr(kind, "value", kind))
    if is_default and is_own:
        return _SHAPES.get(name) or AsConstant(f"The schedule {name!r}", f"only {', '.join(_SHAPES)} are known")
    if is_default:
        return to_schedule(trainer.lr_scheduler)
    return AsConstant("The Trainer's schedule", "its create_scheduler is not that of transformers")

"""Runs probes in an inner Trainer with the outer one's model, optimizer and data, and puts everything back."""

from __future__ import annotations

import copy
import math
import sys
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from torch.utils.data import DataLoader
from typing_extensions import Unpack

from lrfind.errors import BadInputError
from lrfind.huggingface.inner import base_of, inner_trainer, parts_of, restart, transformers
from lrfind.isolation import Kept, end_workers, generators_kept, length_of, seed_all
from lrfind.loop import Loop, OnStep, Recorder, quiet
from lrfind.optim import Scheduled, to_schedule
from lrfind.options import SearchOptions, with_options
from lrfind.ranks import Ranks
from lrfind.records import Finding, Probe, Record
from lrfind.schedules import AsConstant, Shape
from lrfind.search import find_with

_LOGGERS = ("transformers.trainer", "accelerate")

_SOME = 1_000
"""The number of steps used to test whether a scheduler can be read."""


@with_options
def find(trainer: Any, **options: Unpack[SearchOptions]) -> Finding:
    """Find a learning rate for a Trainer's training; nothing is applied and nothing moves.

    Args:
        trainer: The Trainer, or a subclass's; its model, data, optimizer, precision, accumulation, clipping, loss
            and ``training_step`` are used.
        **options: Those of every search, see ``lrfind.SearchOptions``; ``schedule``, ``total_steps`` and ``epochs``
            are by default the Trainer's own; a schedule that cannot be read counts as constant, with a note.

    Returns:
        The finding; train with ``learning_rate=finding.lr`` in the ``TrainingArguments``.

    Raises:
        BadInputError: If an argument cannot be used; the message says what to change.
        ProbeError: If the losses cannot be read.
    """
    with generators_kept():  # first of all
        return find_with(HuggingFaceLoop(trainer, is_training=getattr(trainer, "is_in_train", False)), **options)


class HuggingFaceLoop(Loop):
    """Probes a model as its Trainer would train it, before or within ``train``."""

    def __init__(self, trainer: Any, *, is_training: bool = False) -> None:
        _check_trainer(trainer)
        if not any(True for _ in trainer.model.parameters()):
            raise BadInputError(f"{type(trainer.model).__name__} has no parameters, so there is nothing to train.")
        self._trainer, self._is_training = trainer, is_training
        self._parts: Any = None
        self._loader: Any = None
        self.ranks = Ranks.all() if trainer.accelerator.num_processes > 1 else Ranks(may_join=True)

    @property
    def steps_per_epoch(self) -> float:
        """Optimizer steps in one pass over the data; 0 if unknown before training."""
        trainer, args = self._trainer, self._trainer.args
        if self._is_training:
            batches: float = length_of(trainer.callback_handler.train_dataloader)
        else:
            batches = math.ceil(length_of(trainer.train_dataset) / (args.train_batch_size * args.world_size))
        return float(math.ceil(batches / args.gradient_accumulation_steps))

    def left(self) -> tuple[float, float]:
        """See ``Loop``."""
        args, state = self._trainer.args, self._trainer.state
        steps, epochs = (state.global_step, state.epoch or 0) if self._is_training else (0, 0)
        return args.max_steps - steps, 0 if args.max_steps > 0 else args.num_train_epochs - epochs

    def schedule(self) -> str | Scheduled | Planned | AsConstant:
        """Return the schedule of the Trainer's scheduler, existing or planned."""
        trainer, kind = self._trainer, self._trainer.args.lr_scheduler_type
        name = str(getattr(kind, "value", kind))
        if trainer.lr_scheduler is None:
            return "constant" if name == "constant" and _makes_its_own(trainer) else Planned(trainer, name)
        schedule = to_schedule(trainer.lr_scheduler)
        if isinstance(schedule, Scheduled) and trainer._created_lr_scheduler and _makes_its_own(trainer):
            schedule.__name__ = name
        return schedule

    def _begin(self, stack: ExitStack) -> Kept:
        stack.enter_context(quiet(*_LOGGERS))
        trainer = self._trainer
        if trainer.model_init is not None and not self._is_training:  # model_init may move what it reaches
            stack.enter_context(Kept((trainer, _sharded())))
        self._parts = parts_of(trainer, is_training=self._is_training)
        self._loader = None
        stack.callback(lambda: end_workers(base_of(self._loader)))
        return Kept((trainer, self._parts, _sharded()))

    def _run(self, probe: Probe, on_step: OnStep | None) -> Record:
        how: Any = {"steps": len(probe.lrs), "seed": probe.seed, "is_training": self._is_training}
        inner = inner_trainer(self._trainer, *self._parts, **how)
        inner.get_train_dataloader = partial(self._loader_of, inner.get_train_dataloader, probe.seed)
        with _ProbeCallback(probe, on_step, self.ranks) as recorder:
            recorder.scheduler = self._trainer.lr_scheduler
            inner.callback_handler.callbacks = [recorder]
            inner.training_step = partial(recorder.watched, inner.training_step)
            transformers().Trainer.train(inner)
        return recorder.record()

    def _loader_of(self, make: Callable[[], Any], seed: int) -> Any:
        """Return the loader of a probe: the first one, restarted, if it has workers; else a new one."""
        if self._loader is not None and base_of(self._loader).num_workers:
            restart(self._loader, seed)
            return self._loader
        self._loader = make()
        base = base_of(self._loader)
        if isinstance(base, DataLoader):
            object.__setattr__(base, "persistent_workers", base.num_workers > 0)
        return self._loader


def _check_trainer(trainer: Any) -> None:
    if not isinstance(trainer, transformers().Trainer):
        raise BadInputError(f"trainer must be a transformers Trainer, got {type(trainer).__name__}.")
    flags = {"is_deepspeed_enabled": "DeepSpeed", "is_fsdp_xla_enabled": "FSDP on TPUs"}
    splitting = ("is_model_parallel", "is_distributed_loading_by_transformers")
    flags |= dict.fromkeys(splitting, "splitting the model over devices")
    means = next((means for flag, means in flags.items() if getattr(trainer, flag, False)), "")
    kind = trainer.accelerator.distributed_type.name
    if not means and trainer.args.n_gpu > 1:
        means = f"DataParallel over {trainer.args.n_gpu} devices"
    elif not means and kind not in ("NO", "FSDP") and not kind.startswith("MULTI_"):  # one process, FSDP, DDP
        means = f"{kind} over {trainer.accelerator.num_processes} processes"
    if means:
        raise BadInputError(
            f"this Trainer spreads training by {means}, which a search does not put back; search under torchrun with "
            f"DDP or FSDP, or on one device (CUDA_VISIBLE_DEVICES=0, no launcher), then train with "
            f"learning_rate=finding.lr."
        )


def _sharded() -> Any:
    """Return where FSDP keeps which modules are sharded; None if not in use."""
    state = sys.modules.get("torch.distributed._composable_state")
    return getattr(getattr(state, "_module_state_mapping", None), "data", None)


class _ProbeCallback(Recorder, transformers().TrainerCallback):  # type: ignore[misc]
    """Records a probe from inside the inner Trainer."""

    scheduler: Any = None
    nothing_ran = "the Trainer did not begin to train; check its train_dataset and its subclass."

    def watched(self, training_step: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Make a training step, and keep its loss, which the Trainer has scaled to its share of a step."""
        loss = training_step(*args, **kwargs)
        self._parts.append(loss.detach())
        return loss

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._parts: list[torch.Tensor] = []
        seed_all(self.probe.seed)
        self.start(kwargs["optimizer"], self.scheduler, (args.learning_rate,))

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.begin_pass(length_of(kwargs["train_dataloader"]) / args.gradient_accumulation_steps)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Take the loss of a step: the sum over its batches, each scaled to its share."""
        parts, self._parts = self._parts, []
        if self.observe(float(sum(parts))):
            control.should_training_stop = True


def _makes_its_own(trainer: Any) -> bool:
    return type(trainer).create_scheduler is transformers().Trainer.create_scheduler


class Planned:
    """The schedule that a Trainer will make once it knows its number of steps."""

    def __init__(self, trainer: Any, name: str) -> None:
        self.__name__, self._trainer = name, trainer

    @property
    def note(self) -> str:
        """What a person should know about how it was read."""
        return self._made(_SOME).note

    def over(self, steps: int, epochs: float | None = None) -> Shape:
        """Return the shape over this many optimizer steps."""
        return self._made(steps).over(steps, epochs)

    def _made(self, steps: int) -> Scheduled | AsConstant:
        twin, dummy = copy.copy(self._trainer), torch.optim.SGD([torch.zeros(1)], lr=self._trainer.args.learning_rate)
        twin.lr_scheduler, twin.optimizer = None, dummy
        with ExitStack() as stack:
            if not _makes_its_own(self._trainer):  # the user's own method may count calls
                stack.enter_context(stack.enter_context(Kept((self._trainer,))).probe(0))
            try:
                schedule = to_schedule(twin.create_scheduler(steps, dummy))
            except Exception as error:  # noqa: BLE001, whatever the user's own method needs
                return AsConstant(self.__name__, f"making it before training ends in: {error}")
        if isinstance(schedule, Scheduled):
            schedule.__name__ = self.__name__
        return schedule

"""``find``: the same search as the callback does, as a call of its own."""

from __future__ import annotations

from typing import Any

from typing_extensions import Unpack

from lrfind.huggingface.loop import HuggingFaceLoop, with_plan
from lrfind.isolation import generators_kept
from lrfind.options import SearchOptions, with_options
from lrfind.records import Finding
from lrfind.search import find_with


@with_options
def find(trainer: Any, **options: Unpack[SearchOptions]) -> Finding:
    """Find a learning rate for the training that a Trainer would give its model; nothing is applied, nothing moves.

    Args:
        trainer: The Trainer, or a subclass's; its model, data, optimizer, precision, accumulation, clipping, loss
            and ``training_step`` are used.
        **options: Those of every search, see ``lrfind.SearchOptions``; ``schedule``, ``total_steps`` and ``epochs``
            are by default the Trainer's own; a schedule that cannot be read counts as constant, and that is said.

    Returns:
        The finding; train with ``learning_rate=finding.lr`` in the ``TrainingArguments``.

    Raises:
        BadInputError: If an argument cannot be used; the message says what to change.
        ProbeError: If the losses cannot be read.
    """
    with generators_kept():  # first of all
        loop = HuggingFaceLoop(trainer, is_training=bool(getattr(trainer, "is_in_train", False)))
        return find_with(loop, **with_plan(options, trainer))

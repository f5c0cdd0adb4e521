"""What is asked of transformers and accelerate: their classes, one device, and their singletons."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from lrfind.errors import BadInputError, MissingExtraError

TALKERS = ("transformers.trainer", "accelerate")
"""The loggers that tell of a training."""


def transformers() -> Any:
    """Return the transformers package.

    Raises:
        MissingExtraError: If it, or accelerate, which its Trainer stands on, is not installed.
    """
    for library in ("transformers", "accelerate"):
        if find_spec(library) is None:
            raise MissingExtraError(library, "huggingface")
    return import_module("transformers")


def callback_base() -> type[Any]:
    """Return the class that every callback of a Trainer derives from.

    Raises:
        MissingExtraError: If transformers or accelerate is not installed.
    """
    base: type[Any] = transformers().TrainerCallback
    return base


def check_trainer(trainer: Any) -> None:
    """Check that a Trainer can be searched.

    Raises:
        BadInputError: If it is none, or if it spreads training in a way that is not known to be put back.
    """
    if not isinstance(trainer, transformers().Trainer):
        raise BadInputError(f"trainer must be a transformers Trainer, got {type(trainer).__name__}.")
    if means := _spread(trainer):
        raise BadInputError(
            f"this Trainer spreads training by {means}, which a search does not put back; search under torchrun with "
            f"DDP or FSDP, or on one device (CUDA_VISIBLE_DEVICES=0, no launcher), then train with "
            f"learning_rate=finding.lr."
        )


def trainer_of(callback: Any) -> Any:
    """Return the Trainer that is calling a callback: transformers tells its callbacks everything but that.

    Raises:
        BadInputError: If no Trainer that has this callback is calling.
    """
    frame = sys._getframe()
    base = transformers().Trainer
    while frame := frame.f_back:  # type: ignore[assignment]
        one = frame.f_locals.get("self") if frame.f_code.co_varnames[:1] == ("self",) else None
        if isinstance(one, base) and callback in one.callback_handler.callbacks:
            return one
    raise BadInputError(
        f"{type(callback).__name__} must be called by a Trainer that has it: pass it as "
        f"Trainer(..., callbacks=[...]), and let the Trainer call it."
    )


def sharded() -> Any:
    """Return where FSDP remembers which modules of the process are in shards; None where it is not in use."""
    state = sys.modules.get("torch.distributed._composable_state")
    return getattr(getattr(state, "_module_state_mapping", None), "data", None)


def _spread(trainer: Any) -> str:
    """Name the means by which training runs on several devices; empty where it does not."""
    if getattr(trainer, "is_deepspeed_enabled", False):
        return "DeepSpeed"
    if getattr(trainer, "is_fsdp_xla_enabled", False):
        return "FSDP on TPUs"
    if getattr(trainer, "is_model_parallel", False) or getattr(
        trainer, "is_distributed_loading_by_transformers", False
    ):
        return "splitting the model over devices"
    if trainer.args.n_gpu > 1:
        return f"DataParallel over {trainer.args.n_gpu} devices"
    kind = trainer.accelerator.distributed_type.name
    is_known = kind in ("NO", "FSDP") or kind.startswith("MULTI_")  # alone, in shards, or the whole model in DDP
    return "" if is_known else f"{kind} over {trainer.accelerator.num_processes} processes"

"""What is asked of transformers and accelerate: their classes, one device, and their singletons."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from lrfind.errors import BadInputError, MissingExtraError

LOGGER_NAMES = ("transformers.trainer", "accelerate")
"""The loggers that tell of a training."""


def transformers() -> Any:
    """Return the transformers package; its Trainer stands on accelerate."""
    for library in ("transformers", "accelerate"):
        if find_spec(library) is None:
            raise MissingExtraError(library, "huggingface")
    return import_module("transformers")


def check_trainer(trainer: Any) -> None:
    """Check that this is a Trainer, and that it spreads training in no way that is not known to be put back."""
    if not isinstance(trainer, transformers().Trainer):
        raise BadInputError(f"trainer must be a transformers Trainer, got {type(trainer).__name__}.")
    flags = {
        "is_deepspeed_enabled": "DeepSpeed",
        "is_fsdp_xla_enabled": "FSDP on TPUs",
        "is_model_parallel": "splitting the model over devices",
        "is_distributed_loading_by_transformers": "splitting the model over devices",
    }
    means = next((means for flag, means in flags.items() if getattr(trainer, flag, False)), "")
    kind = trainer.accelerator.distributed_type.name
    if not means and trainer.args.n_gpu > 1:
        means = f"DataParallel over {trainer.args.n_gpu} devices"
    elif not means and kind not in ("NO", "FSDP") and not kind.startswith("MULTI_"):  # alone, in shards, DDP
        means = f"{kind} over {trainer.accelerator.num_processes} processes"
    if means:
        raise BadInputError(
            f"this Trainer spreads training by {means}, which a search does not put back; search under torchrun with "
            f"DDP or FSDP, or on one device (CUDA_VISIBLE_DEVICES=0, no launcher), then train with "
            f"learning_rate=finding.lr."
        )


def trainer_of(callback: Any) -> Any:
    """Return the Trainer that is calling a callback: transformers tells its callbacks everything but that."""
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


def sharded() -> Any:
    """Return where FSDP remembers which modules of the process are in shards; None where it is not in use."""
    state = sys.modules.get("torch.distributed._composable_state")
    return getattr(getattr(state, "_module_state_mapping", None), "data", None)

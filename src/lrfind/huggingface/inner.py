"""The inner Trainer that a probe trains in: the user's own code, without callbacks, loggers and checkpoints."""

import copy
from collections.abc import Callable
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from types import MethodType, SimpleNamespace
from typing import Any

from torch import nn
from torch.optim import Optimizer

from lrfind.errors import MissingExtraError
from lrfind.isolation import seed_all
from lrfind.optim import held_by, unwrapped

_SILENT: dict[str, Any] = {
    **dict.fromkeys(("save_strategy", "eval_strategy", "logging_strategy"), "no"),
    **dict.fromkeys(("eval_on_start", "load_best_model_at_end", "push_to_hub", "auto_find_batch_size"), False),
    "report_to": [],
    "disable_tqdm": True,
    "resume_from_checkpoint": None,
    "debug": [],
}
_ONCE = {"activation_checkpointing": False, "gradient_checkpointing": False, "use_liger_kernel": False}
"""Changes that ``train`` makes to a model before its loop, and must not repeat in training."""

_SPARE = 2
"""The inner Trainer may take this many times the probe's steps, since a gradient scaler may skip some."""


def transformers() -> Any:
    """Return the transformers package; its Trainer needs accelerate."""
    for library in ("transformers", "accelerate"):
        if find_spec(library) is None:
            raise MissingExtraError(library, "huggingface")
    return import_module("transformers")


def parts_of(trainer: Any, *, is_training: bool) -> tuple[nn.Module, Optimizer | None]:
    """Return the model and the optimizer (None if the Trainer will make it) that training starts from."""
    model, optimizer = trainer.model, trainer.optimizer
    if trainer.model_init is not None and not is_training:
        transformers().set_seed(trainer.args.seed)
        model, optimizer = trainer.call_model_init(), None
        if trainer.place_model_on_device:
            trainer._move_model_to_device(model, trainer.args.device)
    return model, optimizer if optimizer is None or is_training else unwrapped(optimizer)


def inner_trainer(
    outer: Any, model: nn.Module, optimizer: Optimizer | None, *, steps: int, seed: int, is_training: bool
) -> Any:
    """Return a Trainer that trains the parts as the outer one would, without any output."""
    inner, package = copy.copy(outer), transformers()
    for name, value in vars(outer).items():
        if isinstance(value, MethodType) and value.__self__ is outer:  # a method set on the instance
            setattr(inner, name, MethodType(value.__func__, inner))
    inner.args = copy.copy(outer.args)
    silent = {**_SILENT, **(_ONCE if is_training else {}), "max_steps": _SPARE * steps, "seed": seed, "data_seed": seed}
    for name in filter(partial(hasattr, inner.args), silent):
        setattr(inner.args, name, silent[name])
    inner.accelerator = _accelerator(outer.accelerator, seed, is_training=is_training)
    inner.model, inner.optimizer, inner.model_init = model, optimizer, None
    inner.model_wrapped = outer.model_wrapped if is_training else model  # DDP or FSDP may have wrapped it
    inner.lr_scheduler, inner._created_lr_scheduler = SimpleNamespace(step=_nothing), False  # the probe sets the rate
    inner.lr_scheduler.get_last_lr = lambda: held_by(inner.optimizer.param_groups)
    inner.callback_handler = copy.copy(outer.callback_handler)
    inner.callback_handler.callbacks, inner.callback_handler.train_dataloader = [], None
    inner.state, inner.control = package.TrainerState(), package.TrainerControl()
    inner._memory_tracker = import_module("transformers.trainer_utils").TrainerMemoryTracker(skip_memory_metrics=True)
    inner.log, inner.push_in_progress, inner.hp_search_backend = _nothing, None, None
    if optimizer is not None:  # a subclass's method might make another
        inner.create_optimizer, inner.create_optimizer_and_scheduler = (lambda *_, **__: optimizer), _nothing
    if is_training:
        inner.neftune_noise_alpha = None
    return inner


def base_of(loader: Any) -> Any:
    """Return the loader that has the workers, inside Accelerate's."""
    return getattr(loader, "base_dataloader", loader)


def restart(loader: Any, seed: int) -> None:
    """Reset a used loader as if made anew with a seed; its workers stay."""
    base = base_of(loader)
    samplers = (base.sampler, base.batch_sampler, getattr(base.batch_sampler, "sampler", None))
    for holder in (loader, *samplers):
        for name, value in {"iteration": 0, "epoch": 0, "initial_seed": seed}.items():
            if name in getattr(holder, "__dict__", {}):
                setattr(holder, name, value)
    seed_all(seed, base.generator, *samplers)


def _accelerator(outer: Any, seed: int, *, is_training: bool) -> Any:
    """Return a copy of the outer accelerator that, in training, does not prepare model and optimizer again.

    FSDP2 would mix up weights of which this process has no shard.
    """
    twin = copy.copy(outer)
    twin.dataloader_config = copy.copy(outer.dataloader_config)
    twin.dataloader_config.data_seed = seed
    if is_training:
        twin.prepare = partial(_prepared, twin, twin.prepare)
    return twin


def _prepared(accelerator: Any, prepare: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Only register a model and an optimizer, for gradient clipping; prepare anything else."""
    if not all(isinstance(each, (nn.Module, Optimizer)) for each in args):
        return prepare(*args, **kwargs)
    for each in args:
        (accelerator._models if isinstance(each, nn.Module) else accelerator._optimizers).append(each)
    return args if len(args) > 1 else args[0]


def _nothing(*_: Any, **__: Any) -> None:
    pass

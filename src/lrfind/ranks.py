"""Ranks: what the processes of one training must agree on; on one process nothing is done.

Every rank judges the same losses and reads the same records, so that each of them stops, proposes and answers alike.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from lrfind.records import Record

Agree = Callable[[float], float]
"""Given the loss of this rank, returns that of all."""


def is_parallel(model: nn.Module) -> bool:
    """Say whether a model is trained by several processes together, by its type or that of its weights.

    A model of one process among several, as where rank 0 searches alone, is not.
    """
    if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
        return False
    from torch.distributed.fsdp import FullyShardedDataParallel
    from torch.distributed.tensor import DTensor
    from torch.nn.parallel import DistributedDataParallel

    wrappers = (DistributedDataParallel, FullyShardedDataParallel)
    return any(isinstance(one, wrappers) for one in model.modules()) or any(
        isinstance(one, DTensor) for one in model.parameters()
    )


def agreement(model: nn.Module) -> Agree:
    """Return what makes of the loss of each rank the mean over all; NaN where one is."""
    if not is_parallel(model):
        return float
    device = next(model.parameters()).device if dist.get_backend() == "nccl" else torch.device("cpu")
    size = dist.get_world_size()

    def agree(loss: float) -> float:
        total = torch.tensor(loss, dtype=torch.float64, device=device)
        dist.all_reduce(total)
        return total.item() / size

    return agree


def agreed(record: Record, model: nn.Module) -> Record:
    """Return a record as every rank is to read it: with rank 0's count of the data, which may be longer elsewhere."""
    if not is_parallel(model):
        return record
    about: list[Any] = [(record.passes, record.epoch, record.seconds)]
    dist.broadcast_object_list(about)
    passes, epoch, seconds = about[0]
    return replace(record, passes=passes, epoch=epoch, seconds=seconds)

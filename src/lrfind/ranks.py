"""Ranks: what the processes of one training must agree on; on one process nothing is done.

Every rank judges the same losses and reads the same records, so that each of them stops, proposes and answers alike.
Where one fails, all do.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import nn

from lrfind.errors import RankError
from lrfind.records import Record

T = TypeVar("T")

POLL = 0.2
"""Seconds between two looks for what another rank has said."""
PATIENCE = 5.0
"""A rank that fails waits at most so many seconds until all others have heard of it."""
STUCK = 10.0
"""A rank that has heard of it, and after so many seconds still waits for the one that failed, says so."""


class RestartProbeError(Exception):
    """A step has used a collective, of which nothing was known before: all ranks train together, and begin anew."""


class Ranks:
    """The processes that train a model together; without a process group only this one."""

    def __init__(self, group: Any = None) -> None:
        self._group = group
        self.size = 1 if group is None else dist.get_world_size(group)
        self._collectives = _collectives() if group is None and is_distributed() else None
        self._failure: _Failure | None = None

    @property
    def is_alone(self) -> bool:
        """Whether this is one process, and stays it: there is nobody else to talk to."""
        return self.size == 1 and self._collectives is None

    @classmethod
    def of(cls, model: nn.Module) -> Ranks:
        """Return the processes that train a model, by its type or that of its weights.

        Where neither says so, as where rank 0 searches alone, that is this one, until its step talks to the others.
        """
        return cls(_group_of(model) if is_distributed() else None)

    @classmethod
    def all(cls) -> Ranks:
        """Return all processes that were started together."""
        return cls(dist.group.WORLD if is_distributed() else None)

    def loss(self, loss: float) -> float:
        """Return the mean of what each rank gives; NaN where one is.

        Raises:
            RestartProbeError: If the step has talked to the other processes, for the first time.
        """
        if self.size > 1:
            is_nccl = dist.get_backend(self._group) == "nccl"
            device = torch.device("cuda", torch.cuda.current_device()) if is_nccl else torch.device("cpu")
            total = torch.tensor(loss, dtype=torch.float64, device=device)
            dist.all_reduce(total, group=self._group)
            return total.item() / self.size
        if self._collectives is not None and self._collectives != _collectives():
            self._collectives, self._group, self.size = None, dist.group.WORLD, dist.get_world_size()
            self._failure = _Failure(self._group)
            raise RestartProbeError
        return loss

    def all_true(self, is_true: bool) -> bool:
        """Say whether something is true on every rank."""
        return self.loss(float(is_true)) == 1.0

    def record(self, record: Record) -> Record:
        """Return a record as every rank is to read it: with the first one's count of the data, which may be longer."""
        if self.size == 1:
            return record
        told = [record.epochs, record.steps_per_epoch, record.seconds]
        dist.broadcast_object_list(told, src=dist.get_global_rank(self._group, 0), group=self._group)
        return replace(record, epochs=int(told[0]), steps_per_epoch=told[1], seconds=told[2])

    @contextmanager
    def together(self) -> Iterator[None]:
        """Let every rank raise where one does: ``RankError`` where that broke off what this one waited for."""
        if self.size > 1:
            self._failure = _Failure(self._group)
        try:
            yield
        except BaseException as error:
            here = f"{type(error).__name__}: {error}"
            first = self._failure.say(here) if self._failure else None
            broken_off = getattr(dist, "DistError", dist.DistBackendError)  # that a rank is missed in a collective
            if first and (type(error) is RuntimeError or isinstance(error, broken_off)) and not first.endswith(here):
                raise RankError(f"{first}; here everything is put back.") from error
            raise
        finally:
            if self._failure is not None:
                self._failure.end()


class _Failure(threading.Thread):
    """The first failure of a rank, told to the others by the store of their process group.

    It is listened for beside the search: later, the process that has failed may be gone, and the store with it.
    """

    def __init__(self, group: Any) -> None:
        super().__init__(name="lrfind-ranks", daemon=True)
        self._size, self._rank = dist.get_world_size(group), dist.get_rank()
        store = dist.distributed_c10d._get_default_store()
        self._store = store.clone() if hasattr(store, "clone") else store
        name = f"lrfind/{group.group_name}"
        count = self._store.add(f"{name}/searches/{self._rank}", 1)  # all ranks count alike
        self._key = f"{name}/search/{count}"
        self._first: str | None = None
        self._ended = threading.Event()
        self.start()

    def run(self) -> None:
        """Listen, until something is heard or the search ends."""
        while not (self._ended.wait(POLL) or self._listen()):
            pass
        if self._first is not None and not self._ended.wait(STUCK):
            said = f"lrfind: {self._first}. Rank {self._rank} waits for it and goes on when that process ends."
            print(said, file=sys.stderr, flush=True)

    def say(self, error: str) -> str | None:
        """Say that this rank has failed; return what the first one said, None where that is this one."""
        self.end()
        with suppress(RuntimeError):  # the store is gone with the rank that kept it
            if not self._listen() and self._store.add(f"{self._key}/failed", 1) == 1:
                self._store.set(self._key, f"rank {self._rank} failed with {error}")
                self._wait(lambda: self._store.add(f"{self._key}/heard", 0) >= self._size - 1)
                return None
        self._wait(self._listen)
        return self._first

    def end(self) -> None:
        """Stop listening."""
        self._ended.set()
        self.join()

    def _listen(self) -> bool:
        """Look for what the first rank that failed has said; return whether it is known."""
        with suppress(RuntimeError):
            if self._first is None and self._store.check([self._key]):
                self._first = self._store.get(self._key).decode()
                self._store.add(f"{self._key}/heard", 1)
        return self._first is not None

    def _wait(self, is_done: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE
        while not is_done() and time.monotonic() < end:
            time.sleep(POLL / 10)


def is_distributed() -> bool:
    """Say whether this process is one of several that were started together."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def is_first() -> bool:
    """Say whether this is the only process of the training, or the first."""
    return not is_distributed() or dist.get_rank() == 0


def told_by_first(work: Callable[[], T]) -> T:
    """Return what the first process works out, in every process; or raise what it raises."""
    if not is_distributed():
        return work()
    told: list[Any] = [None, None]
    if is_first():
        try:
            told[0] = work()
        except Exception as error:  # noqa: BLE001, the other processes wait to be told whatever it is
            told[1] = error
    dist.broadcast_object_list(told, src=0)
    if told[1] is not None:
        raise told[1]
    return cast(T, told[0])


def _collectives() -> int:
    """Return how many collectives this process has used of the group of all; 0 where the backend does not count."""
    try:
        return int(dist.group.WORLD._get_sequence_number_for_group())  # type: ignore[union-attr]
    except RuntimeError:
        return 0


def local(tensor: torch.Tensor) -> torch.Tensor:
    """Return this rank's part of a tensor, which may be spread over ranks."""
    part = tensor.detach()
    return part.to_local() if hasattr(part, "to_local") else part


def _group_of(model: nn.Module) -> Any:
    """Return the process group that trains a model; of several the one of all processes, None where there is none."""
    from torch.distributed.fsdp import FullyShardedDataParallel
    from torch.distributed.tensor import DTensor
    from torch.nn.parallel import DistributedDataParallel

    groups = [
        None if hasattr(module, "_inter_node_pg") else module.process_group
        for module in model.modules()
        if isinstance(module, (DistributedDataParallel, FullyShardedDataParallel))
    ]
    meshes = {parameter.device_mesh for parameter in model.parameters() if isinstance(parameter, DTensor)}
    groups += [mesh.get_group() if mesh.ndim == 1 else None for mesh in meshes]
    if not groups:
        return None
    ranks = {None if group is None else tuple(dist.get_process_group_ranks(group)) for group in groups}
    return groups[0] if len(ranks) == 1 and groups[0] is not None else dist.group.WORLD

"""Ranks: what the processes of one training must agree on; on one process nothing is done.

Every rank judges the same losses, so that all stop alike; what comes next, and the finding, the first one tells the
others. Where one fails, all do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import nn

from lrfind.errors import BadInputError, ProbeError, RankError
from lrfind.rank_store import Alone, Failure

T = TypeVar("T")


class RestartSearchError(Exception):
    """A step has used a collective, of which nothing was known before: its ranks train together, and begin anew."""


class Ranks:
    """The processes that train a model together.

    Args:
        group: Their process group; None where there is only this process.
        may_join: Whether it may turn out, by what a step does, that there are others.

    Attributes:
        size: How many they are.
        is_late: Whether another rank waits, in a step that this one has not come to, for them to communicate.
    """

    def __init__(self, group: Any = None, *, may_join: bool = False) -> None:
        self._group, self._may_join = group, may_join and group is None and is_distributed()
        self.size = 1 if group is None else dist.get_world_size(group)
        self.is_late = False
        self._failure: Failure | None = None
        self._alone: Alone | None = None
        self._model: nn.Module | None = None

    @property
    def is_first(self) -> bool:
        """Whether this is the first of them: it proposes, and keeps what has run."""
        return self.size == 1 or dist.get_rank(self._group) == 0

    @classmethod
    def of(cls, model: nn.Module) -> Ranks:
        """Return the processes that train a model, by its type or that of its weights.

        Where neither says so, as where rank 0 searches alone, that is this one, until its step talks to the others.
        """
        ranks = cls(_group_of(model) if is_distributed() else None, may_join=True)
        ranks._model = model
        return ranks

    @classmethod
    def all(cls) -> Ranks:
        """Return all processes that were started together."""
        return cls(dist.group.WORLD if is_distributed() else None)

    def step(self, loss: float, rate: float | None) -> tuple[float, float | None]:
        """Return the mean of the losses of a batch, NaN where one is, and the rate of its step, if a rank made one.

        Raises:
            RestartSearchError: If the step has talked to other processes: averages gradients by itself, say.
            BadInputError: If one of these does not search.
        """
        if self.size == 1 and not self._may_join:
            return loss, rate
        if self._may_join and self._alone is not None and (group := self._alone.joined()) is not None:
            if missing := self._alone.missing(group):
                raise BadInputError(
                    f"a step of the search communicates with rank {missing[0]}, which does not search, or has searched "
                    f"alone before this rank began; call find on all ranks, and put dist.barrier() before it."
                )
            self._failure = Failure(group)
            self._group, self.size, self._may_join, self.is_late = group, dist.get_world_size(group), False, False
            raise RestartSearchError
        given = self._gathered(loss, math.nan if rate is None else rate)
        rates = [rate for _, rate in given if not math.isnan(rate)]  # where one skips a step, the others' counts
        return sum(loss for loss, _ in given) / self.size, rates[0] if rates else None

    def mean(self, number: float) -> float:
        """Return the mean of what each rank gives; NaN where one is."""
        return sum(number for (number,) in self._gathered(number)) / self.size

    def told(self, work: Callable[[], T]) -> T:
        """Return what the first rank works out, on every rank; or raise what it raises."""
        if self.size == 1:
            return work()
        told: list[Any] = [None, None]
        if self.is_first:
            try:
                told[0] = work()
            except Exception as error:  # noqa: BLE001, the other processes wait to be told whatever it is
                told[1] = error
        dist.broadcast_object_list(told, src=dist.get_global_rank(self._group, 0), group=self._group)
        if told[1] is not None:
            raise told[1]
        return cast(T, told[0])

    def agree(self, about: Mapping[str, str], search: Callable[[], T]) -> T:
        """Run a search; anew where only in it, or in that of another rank, it turns out that ranks train together.

        Args:
            about: What is searched for, by name; on every rank the same.
            search: The search.

        Raises:
            BadInputError: If ranks search for different things; the message says what differs.
        """
        while True:
            self._check_alike(about)
            with suppress(RestartSearchError):
                try:
                    found = search()
                except ProbeError:
                    self._await_others()
                    raise
                self._await_others()
                return found

    def _await_others(self) -> None:
        """Begin anew where another rank, whose search goes on, waits for this one to communicate."""
        was_late = self.is_late
        self.is_late = self._may_join and self._alone is not None and self._alone.is_awaited()
        if was_late or self.is_late:
            raise RestartSearchError

    def _check_alike(self, about: Mapping[str, str]) -> None:
        if self.size == 1:
            return
        given: list[Any] = [None] * self.size
        dist.all_gather_object(given, dict(about), group=self._group)
        ranks = dist.get_process_group_ranks(self._group)
        for rank, other in zip(ranks, given, strict=True):
            for name in {**given[0], **other}:
                first, differs = (each.get(name, "not there") for each in (given[0], other))
                if first != differs:
                    raise BadInputError(
                        f"the ranks search for different things: {name} is {first} on rank {ranks[0]} and {differs} on "
                        f"rank {rank}; call find on each of them with the same options and scheduler."
                    )

    def _gathered(self, *numbers: float) -> list[list[float]]:
        """Return what each rank gives."""
        if self.size == 1:
            return [list(numbers)]
        is_nccl = dist.get_backend(self._group) == "nccl"
        device = torch.device("cuda", torch.cuda.current_device()) if is_nccl else torch.device("cpu")
        given = torch.tensor(numbers, dtype=torch.float64, device=device)
        found = [torch.empty_like(given) for _ in range(self.size)]
        dist.all_gather(found, given, group=self._group)
        return torch.stack(found).tolist()

    @contextmanager
    def together(self) -> Iterator[None]:
        """Let every rank raise where one does: ``RankError`` where that broke off what this one waited for."""
        if self.size > 1:
            self._failure = Failure(self._group)
        if self._may_join:
            self._alone = Alone()
        try:
            yield
        except BaseException as error:
            _reset_reducers(self._model)
            here = f"{type(error).__name__}: {error}"
            first = self._failure.say(here) if self._failure else None
            broken_off = getattr(dist, "DistError", dist.DistBackendError)  # that a rank is missed in a collective
            if first and (type(error) is RuntimeError or isinstance(error, broken_off)) and not first.endswith(here):
                raise RankError(f"{first}; here everything is put back.") from error
            raise
        finally:
            for listener in filter(None, (self._failure, self._alone)):
                listener.end()


def is_distributed() -> bool:
    """Say whether this process is one of several that were started together."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def local(tensor: torch.Tensor) -> torch.Tensor:
    """Return this rank's part of a tensor, which may be spread over ranks."""
    part = tensor.detach()
    return part.to_local() if hasattr(part, "to_local") else part


def _reset_reducers(model: nn.Module | None) -> None:
    """Let DDP, of which a backward pass was broken off, begin another one."""
    for module in model.modules() if model is not None else ():
        if isinstance(module, nn.parallel.DistributedDataParallel):
            replica = cast(Any, module)
            try:
                replica._check_reducer_finalized()
            except RuntimeError:
                replica._update_process_group(replica.process_group)


def _group_of(model: nn.Module) -> Any:
    """Return the process group that trains a model; of several the one of all processes, None where there is none."""
    from torch.distributed.fsdp import FullyShardedDataParallel
    from torch.distributed.tensor import DTensor

    groups = [
        None if hasattr(module, "_inter_node_pg") else module.process_group
        for module in model.modules()
        if isinstance(module, (nn.parallel.DistributedDataParallel, FullyShardedDataParallel))
    ]
    meshes = {parameter.device_mesh for parameter in model.parameters() if isinstance(parameter, DTensor)}
    groups += [mesh.get_group() if mesh.ndim == 1 else None for mesh in meshes]
    if not groups:
        return None
    ranks = {None if group is None else tuple(dist.get_process_group_ranks(group)) for group in groups}
    return groups[0] if len(ranks) == 1 and groups[0] is not None else dist.group.WORLD

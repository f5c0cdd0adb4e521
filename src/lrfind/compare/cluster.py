"""Runs on a cluster, or on this machine, through Ray."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from lrfind.compare.processes import TRIES
from lrfind.compare.running import Event, OnEvent, Todo, attempt
from lrfind.compare.runs import Arm, Failure, Run
from lrfind.compare.targets.variants import Variants
from lrfind.errors import BadInputError, LRFindError, from_extra


def check_ray() -> Any:
    """Return Ray."""
    with from_extra("ray"):
        import ray
    return ray


def in_ray(target: Variants, todo: Todo, steps: int, on_event: OnEvent, *, address: str) -> Iterator[Run | Failure]:
    """Train as Ray tasks of one CPU each; a run whose worker dies is begun once more."""
    ray = check_ray()
    is_ours = not ray.is_initialized()
    if is_ours:
        _connect(ray, address)
    try:
        packed = ray.put(_packed(ray, target))
        train = ray.remote(num_cpus=1, max_retries=TRIES - 1)(_train)
        waiting = {train.remote(packed, arm, seed, steps, sys.path): (arm, seed) for arm, seed in todo}
        for arm, seed in todo:
            on_event(Event("started", arm.name, seed, 0, steps))
        while waiting:
            ((reference, *_), _) = ray.wait(list(waiting))
            arm, seed = waiting.pop(reference)
            try:
                yield ray.get(reference)
            except ray.exceptions.RayError as error:
                yield Failure(arm.name, seed, f"its worker died, {TRIES} times: {str(error).splitlines()[0]}")
    finally:
        if is_ours:
            ray.shutdown()


def _connect(ray: Any, address: str) -> None:
    try:
        ray.init(address=address, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise LRFindError(f"there is no Ray at {address!r} ({error}); start one, or use 'local'.") from error


def _packed(ray: Any, target: Variants) -> bytes:
    try:
        packed: bytes = ray.cloudpickle.dumps(target)
    except (TypeError, AttributeError, ValueError) as error:
        raise BadInputError(f"what is trained cannot be sent to Ray's workers ({error}).") from error
    return packed


def _train(packed: bytes, arm: Arm, seed: int, steps: int, path: list[str]) -> Run | Failure:
    """Train on a worker, which finds modules where the caller does."""
    from ray import cloudpickle

    sys.path.extend(folder for folder in path if folder not in sys.path)
    return attempt(cloudpickle.loads(packed), arm, seed, steps, lambda event: None)

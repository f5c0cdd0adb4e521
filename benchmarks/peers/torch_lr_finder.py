"""torch-lr-finder's ``LRFinder``, as it ships."""

from __future__ import annotations

import contextlib
import io

from benchmarks.peer import Peer, Suggestion
from benchmarks.task import Task


def suggest(task: Task, schedule: str, seed: int) -> Suggestion:
    """Drive ``range_test`` with its defaults: 100 steps up to 10, from 1e-7 as its README does."""
    import matplotlib.pyplot as plt
    from torch_lr_finder import LRFinder

    model, (optimizer,) = task.begin(seed, 1e-7)
    finder = LRFinder(model, optimizer, task.loss)
    figure, ax = plt.subplots()
    try:
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            finder.range_test(task.loader(seed))
            answer = finder.plot(ax=ax)
    finally:
        plt.close(figure)
    return Suggestion(float(answer[1]) if isinstance(answer, tuple) else None, len(finder.history["lr"]))


PEERS = (Peer("torch-lr-finder", suggest, packages=("torch-lr-finder",)),)

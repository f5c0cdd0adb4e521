"""pytorch-ignite's ``FastaiLRFinder``, as it ships."""

from __future__ import annotations

import logging
import warnings

from benchmarks.peer import Peer, Suggestion
from benchmarks.task import Task


def suggest(task: Task, schedule: str, seed: int) -> Suggestion:
    """Attach the finder as its documentation does: one pass over the data, from 1e-6 up to 10."""
    from ignite.engine import create_supervised_trainer
    from ignite.handlers import FastaiLRFinder

    logging.getLogger("ignite").setLevel(logging.ERROR)
    model = task.start(seed)
    optimizer = task.optimizer(model.parameters(), lr=1e-6)
    trainer, finder = create_supervised_trainer(model, optimizer, task.loss), FastaiLRFinder()
    parts = {"model": model, "optimizer": optimizer}
    with warnings.catch_warnings(), finder.attach(trainer, to_save=parts) as searching:
        warnings.simplefilter("ignore")
        searching.run(task.loader(seed))
    results = finder.get_results()
    return Suggestion(float(finder.lr_suggestion()), len(results["lr"]))


PEERS = (Peer("ignite", suggest, packages=("pytorch-ignite",)),)

"""The rate people type without thinking."""

from benchmarks.peer import Peer, Suggestion
from benchmarks.task import Task


def suggest(task: Task, schedule: str, seed: int) -> Suggestion:
    """Return 1e-2 for SGD, 1e-3 for the others."""
    return Suggestion(task.habit, 0)


PEERS = (Peer("the habit", suggest, is_sweep=False, seeds=1),)

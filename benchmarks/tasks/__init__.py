"""The tasks: every record in ``TASKS`` of a module of this package. A new file is found by itself."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from pkgutil import iter_modules

from benchmarks.task import Task


def collected() -> dict[str, Task]:
    """Return the records of every file in this folder, by name."""
    names = sorted(module.name for module in iter_modules(__path__))
    return {task.name: task for name in names for task in import_module(f"{__name__}.{name}").TASKS}


TASKS = collected()


def task_of(name: str) -> Task:
    """Return a task by its name, or, by ``"name@steps"``, the same one with a training of so many steps.

    Example:
        >>> task_of("linear-sgd@8000").horizon
        8000
    """
    known, _, steps = name.partition("@")
    return replace(TASKS[known], name=name, horizon=int(steps)) if steps else TASKS[known]

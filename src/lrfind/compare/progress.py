"""Bars in a terminal: one over all runs, one for each that is training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from lrfind.compare.running import Event, OnEvent

_ENDS = ("finished", "failed", "kept", "died")


@contextmanager
def progress_shown(*, shown: bool, runs: int) -> Iterator[OnEvent]:
    """Show bars on a terminal's error stream, where Rich is installed; yield what is to be told of events."""
    if not shown or find_spec("rich") is None:
        yield lambda event: None
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.fields[run]}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    with Progress(*columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal) as bar:
        whole = bar.add_task("runs", run="comparing", total=runs)
        tasks: dict[tuple[str, int], TaskID] = {}

        def tell(event: Event) -> None:
            if event.kind in ("searching", "found"):
                bar.update(whole, description=escape(f"{event.kind} a rate for {event.arm} {event.words}"))
                return
            key = (event.arm, event.seed)
            if event.kind == "started":
                tasks[key] = bar.add_task("", run=escape(f"{event.arm}, seed {event.seed}"), total=event.total)
            elif event.kind == "step" and key in tasks:
                bar.update(tasks[key], completed=event.done, description=escape(event.words))
            elif event.kind in _ENDS:
                if key in tasks:
                    bar.remove_task(tasks.pop(key))
                bar.update(whole, advance=0 if event.kind == "died" else 1, description="runs")

        yield tell

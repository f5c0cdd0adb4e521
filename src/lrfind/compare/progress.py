"""What a person sees of a comparison: bars in a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from time import perf_counter

from lrfind.compare.running import Event, OnEvent

_ENDS = ("finished", "failed", "kept", "died")

_EVERY = 15.0
"""Seconds between two lines about runs that go on."""


@contextmanager
def progress_shown(*, shown: bool, runs: int, also: OnEvent | None = None) -> Iterator[OnEvent]:
    """Show events on the error stream; yield what is to be told of them, which passes them on to ``also``."""
    with ExitStack() as stack:
        tellers = [] if also is None else [also]
        if shown:
            tellers.insert(0, stack.enter_context(_bars(runs)) if _is_terminal() else _lines(runs))

        def tell(event: Event) -> None:
            for each in tellers:
                each(event)

        yield tell


def _is_terminal() -> bool:
    """Say whether bars can be drawn: in a terminal, where Rich is installed."""
    return find_spec("rich") is not None and sys.stderr.isatty()


@contextmanager
def _bars(runs: int) -> Iterator[OnEvent]:
    """A bar over all runs, and one for each that is training."""
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.fields[run]}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as bar:
        whole = bar.add_task("runs", run="comparing", total=runs)
        tasks: dict[tuple[str, int], TaskID] = {}

        def tell(event: Event) -> None:
            key = (event.arm, event.seed)
            if event.kind in ("searching", "found"):
                bar.update(whole, description=escape(f"{event.kind} a rate for {event.arm} {event.words}"))
            elif event.kind == "started":
                tasks[key] = bar.add_task("", run=escape(f"{event.arm}, seed {event.seed}"), total=event.total)
            elif event.kind == "step" and key in tasks:
                bar.update(tasks[key], completed=event.done, description=escape(event.words))
            elif event.kind in _ENDS:
                if key in tasks:
                    bar.remove_task(tasks.pop(key))
                bar.update(whole, advance=0 if event.kind == "died" else 1, description="runs")

        yield tell


def _lines(runs: int) -> OnEvent:
    """A line for what is searched and found, as each run ends, and now and then between."""
    ended, begun = 0, perf_counter()
    said = begun

    def tell(event: Event) -> None:
        nonlocal ended, said
        now = perf_counter()
        if event.kind == "started" or (event.kind == "step" and now - said < _EVERY):
            return
        said, of = now, ""
        words = f": {event.words}" if event.words else ""
        if event.kind in ("searching", "found"):
            line = f"{event.kind} a rate for {event.arm} {event.words}".rstrip()
        elif event.kind == "step":
            line = f"{event.arm}, seed {event.seed}: {event.done} of {event.total} steps, {event.words}"
        else:
            ended += event.kind != "died"
            left = (now - begun) / max(ended, 1) * (runs - ended)
            of = f" ({ended} of {runs}, about {left:.0f} s left)" if event.kind != "died" else ""
            line = f"{event.kind}: {event.arm}, seed {event.seed}{of}{words}"
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()

    return tell

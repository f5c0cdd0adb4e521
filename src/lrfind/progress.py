"""What a person sees of a search: a bar while it goes on, a line where its rate is used."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from time import perf_counter
from typing import TYPE_CHECKING

from lrfind.records import Finding, Probe, Record
from lrfind.resume import is_first
from lrfind.strategies import Strategy
from lrfind.words import announcement

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_REDRAWN = 0.1
"""Seconds between two changes of the bar: drawing at every step would cost more than small steps do."""


class Display:
    """Follows a search, and keeps one line of a bar up to date.

    Args:
        bar: Where to draw; may be disabled, or None.
        strategy: What is searched by; asked for the best so far, if it can tell.

    Attributes:
        line: What it says now.
    """

    def __init__(self, bar: Progress | None, strategy: Strategy) -> None:
        self._bar, self._strategy = bar, strategy
        self._task: TaskID | None = None if bar is None else bar.add_task("", total=None)
        self._probes: list[Probe] = []
        self._done, self._steps, self._drawn = 0, 0, 0.0
        self._best = self.line = ""

    @property
    def is_seen(self) -> bool:
        """Whether anybody sees the line."""
        return self._bar is not None and not self._bar.disable

    def on_round(self, probes: Sequence[Probe]) -> None:
        """Take the probes of one more round."""
        self._probes = [*self._probes[: self._done], *probes]
        self._begin()

    def on_step(self, lr: float, loss: float) -> None:
        """Take one more step of a probe."""
        self._steps += 1
        if self.is_seen and perf_counter() - self._drawn > _REDRAWN:
            self._drawn = perf_counter()
            self._draw(f"lr {lr:.1e}  loss {loss:<7.3g}")

    def on_record(self, records: Sequence[Record]) -> None:
        """Take the records up to the probe that has just ended."""
        self._done = len(records)
        if self.is_seen and hasattr(self._strategy, "so_far"):
            best = self._strategy.so_far(records)
            self._best = "" if best is None else f"so far {best:.1e}"
        self._begin()

    def _begin(self) -> None:
        self._steps = 0
        self._draw("")

    def _draw(self, now: str) -> None:
        count = len(self._probes)
        probe = self._probes[min(self._done, count - 1)]
        kind = "range test" if probe.lrs[0] < probe.lrs[-1] else "probe"
        which = f"{kind} {min(self._done + 1, count)}" + (f" of {count}" if count > 1 else "")
        self.line = "  |  ".join(words for words in (f"{which}  {now}".strip(), self._best) if words)
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, total=len(probe.lrs), completed=self._steps, description=self.line)


def announce(finding: Finding, *, is_applied: bool, shown: bool) -> None:
    """Say on the error stream what a callback found, once for all processes of a training."""
    if shown and is_first():
        print(announcement(finding, is_applied=is_applied), file=sys.stderr, flush=True)


@contextmanager
def display(strategy: Strategy, *, shown: bool) -> Iterator[Display]:
    """Show a bar on a terminal's error stream while a search goes on; elsewhere, and without Rich, show nothing."""
    if find_spec("rich") is None:
        yield Display(None, strategy)
        return
    from rich.console import Console  # here, since it would make up half of the time that importing lrfind takes
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (TextColumn("lrfind"), BarColumn(10), TextColumn("{task.description}"))
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not (shown and console.is_terminal)) as bar:
        yield Display(bar, strategy)

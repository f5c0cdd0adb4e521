"""What a person sees during a search: a bar in a terminal or a notebook, or a line now and then in a log."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from html import escape
from importlib import import_module
from importlib.util import find_spec
from time import perf_counter
from typing import Any

from lrfind.ranks import Ranks
from lrfind.records import Finding, Probe, Record
from lrfind.strategies import Strategy
from lrfind.words import costs, how_sure

EVERY = {"terminal": 0.1, "notebook": 0.3, "log": 5.0}
"""Seconds between two updates: showing every step would cost more than small steps do."""

Show = Callable[[str, int, int], None]
"""Shows a line, with the steps done and their total."""


class Display:
    """Shows the progress of a search and, if the strategy can tell it, the best rate so far.

    ``every`` is the number of seconds between two lines, ``wait`` that from the first round to the first one.
    """

    def __init__(self, show: Show, strategy: Strategy, every: float = 0.0, wait: float = 0.0) -> None:
        self._show, self._every, self._wait, self._next = show, every, wait, 0.0
        self._so_far: Callable[[Sequence[Record]], float | None] = getattr(strategy, "so_far", lambda records: None)
        self._probes: list[Probe] = []
        self._done = self._steps = self._steps_before = 0
        self._begun = 0.0  # the end of the first step, which takes longer than others
        self._best = self.line = ""

    def on_round(self, probes: Sequence[Probe]) -> None:
        """Take the probes of one more round."""
        self._probes = [*self._probes[: self._done], *probes]
        self._next = self._next or perf_counter() + self._wait
        self._say("" if self._begun else "waiting for the first batch")

    def on_step(self, lr: float, loss: float) -> None:
        """Take one more step of a probe."""
        self._steps += 1
        self._begun = self._begun or perf_counter()
        if perf_counter() >= self._next:
            self._say(f"lr {lr:.1e}  loss {loss:<7.3g}")

    def on_record(self, records: Sequence[Record]) -> None:
        """Take the records up to the probe that has just ended."""
        self._done, self._steps_before, self._steps = len(records), self._steps_before + self._steps, 0
        best = self._so_far(records)
        self._best = "" if best is None else f"so far {best:.1e}"
        self._say("")

    def _say(self, now: str) -> None:
        count = len(self._probes)
        probe = self._probes[min(self._done, count - 1)]
        kind = "range test" if probe.lrs[0] < probe.lrs[-1] else "probe"
        which = f"{kind} {min(self._done + 1, count)}" + (f" of {count}" if count > 1 else "")
        self.line = "  |  ".join(filter(None, (f"{which}  {now}".strip(), self._left(), self._best)))
        if perf_counter() >= self._next:
            self._next = perf_counter() + self._every
            self._show(self.line, self._steps, len(probe.lrs))

    def _left(self) -> str:
        """Return how long the known probes may take at most."""
        done = self._steps_before + self._steps - 1
        if not self._steps or not done:
            return ""
        left = sum(len(probe.lrs) for probe in self._probes[self._done :]) - self._steps
        seconds = (perf_counter() - self._begun) / done * left
        return f"{seconds:.0f} s left" if seconds < 120 else f"{seconds / 60:.0f} min left"


def announce(finding: Finding, *, is_applied: bool, shown: bool) -> None:
    """Print on stderr what a callback found and whether training uses it, once for all processes of a training."""
    if shown and Ranks.all().is_first:
        sure = " (unsure: print the finding)" if how_sure(finding)[0] == "unsure" else ""
        uses = "uses" if is_applied else "does not use"
        words = f"lrfind: lr {finding.lr:.3g}{sure} found in {costs(finding)}; training {uses} it."
        print(words, file=sys.stderr, flush=True)


@contextmanager
def display(strategy: Strategy) -> Iterator[Display]:
    """Show the progress of a search in the terminal, notebook or log it runs in."""
    where, bar = place()
    with bar as show:
        yield Display(show, strategy, EVERY[where], EVERY[where] if where == "log" else 0.0)


def place() -> tuple[str, AbstractContextManager[Show]]:
    """Return where a search runs, and how to show lines there."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if getattr(shell, "kernel", None) is not None:  # Jupyter, VS Code, Colab; IPython in a terminal has none
        return "notebook", _cell()
    if find_spec("rich") is not None:
        from rich.console import Console  # here: it would double the import time of lrfind

        console = Console(stderr=True)
        if console.is_terminal:
            return "terminal", _bar(console)
    return "log", nullcontext(_print_line)


@contextmanager
def _bar(console: Any) -> Iterator[Show]:
    """Show a bar on stderr, removed at the end."""
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (TextColumn("lrfind"), BarColumn(10), TextColumn("{task.description}", markup=False))
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda line, done, total: bar.update(task, description=line, completed=done, total=total)


@contextmanager
def _cell() -> Iterator[Show]:
    """Show a bar in a notebook cell, removed at the end; display ids need no extension."""
    ipython: Any = import_module("IPython.display")
    handle = ipython.display(ipython.HTML(""), display_id=True)

    def show(line: str, done: int, total: int) -> None:
        bar = f'<progress value="{done}" max="{total}"></progress>'
        handle.update(ipython.HTML(f"<code>lrfind</code> {bar} <code>{escape(line)}</code>"))

    try:
        yield show
    finally:
        handle.update(ipython.HTML(""))


def _print_line(line: str, done: int, total: int) -> None:
    print(f"lrfind: {line}  ({done} of {total} steps)", file=sys.stderr, flush=True)

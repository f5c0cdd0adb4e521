"""The driver: strategy and loop, round by round, until there is a finding."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from time import perf_counter
from typing import Literal

from torch.optim.lr_scheduler import LRScheduler
from typing_extensions import TypedDict, Unpack

from lrfind.errors import BadInputError
from lrfind.loop import Loop, OnStep
from lrfind.optim import Scheduled
from lrfind.records import Cost, Finding, Probe, Record
from lrfind.schedules import Ramp, Shape, Stretched
from lrfind.strategies import Strategy
from lrfind.strategies.range_test import RangeTest
from lrfind.strategies.replicated import Replicated

_REDRAWN = 0.1
"""Seconds between two changes of the progress bar: drawing at every step would cost more than small steps do."""


class RangeOptions(TypedDict, total=False):
    """What tunes the range test; ``lrfind.strategies.range_test.RangeTest`` says what each means."""

    min_lr: float
    max_lr: float
    steps: int
    ramp: Ramp
    method: str
    schedule: str | Shape | Stretched | LRScheduler
    horizon: int | None
    epochs: float | None
    seed: int


class SearchOptions(RangeOptions, total=False):
    """The keyword arguments of every ``find``.

    Attributes:
        strategy: ``"auto"`` (a range test, and shorter ones beside it: ``lrfind.strategies.replicated``), ``"range"``
            (one range test) or an object with ``propose``.
        budget: What ``"auto"`` may cost: a share of the horizon if below 1, else steps.
        progress: Whether to show a bar in a terminal.
    """

    strategy: Literal["auto", "range"] | Strategy
    budget: float
    progress: bool


def find_with(loop: Loop, **options: Unpack[SearchOptions]) -> Finding:
    """Search with a loop under the given options.

    Raises:
        BadInputError: If an option is unknown or out of its range.
        ProbeError: If the losses cannot be read.
    """
    progress = options.pop("progress", True)
    strategy = to_strategy(**options)
    with progress_bar(shown=progress) as (on_round, on_step):
        return search(strategy, loop, on_round=on_round, on_step=on_step)


def to_strategy(**options: Unpack[SearchOptions]) -> Strategy:
    """Return the strategy that the options ask for.

    Raises:
        BadInputError: If an option is unknown, out of its range, or given beside a strategy that is an object.
    """
    strategy = options.pop("strategy", "auto")
    options.pop("progress", None)
    if hasattr(options.get("schedule"), "get_last_lr"):
        options["schedule"] = Scheduled(options["schedule"])
    known = {*RangeOptions.__annotations__, "budget"}
    if unknown := sorted(set(options) - known):
        raise BadInputError(
            f"unknown option {unknown[0]!r}; there are {', '.join(sorted({*known, 'strategy', 'progress'}))}."
        )
    if strategy == "auto":
        budget = {"budget": options.pop("budget")} if "budget" in options else {}
        return Replicated(RangeTest(**options), **budget)  # type: ignore[misc, arg-type]
    if strategy == "range":
        if "budget" in options:
            raise BadInputError('budget is for strategy="auto"; give strategy="range" its steps instead.')
        return RangeTest(**options)  # type: ignore[misc, arg-type]
    if isinstance(strategy, str):
        raise BadInputError(f'strategy must be "auto", "range" or an object with propose, got {strategy!r}.')
    if options:
        raise BadInputError(f"give {', '.join(sorted(options))} to the strategy {type(strategy).__name__} itself.")
    return strategy


def search(
    strategy: Strategy,
    loop: Loop,
    *,
    records: Sequence[Record] = (),
    on_round: Callable[[Sequence[Probe]], None] = lambda probes: None,
    on_step: OnStep = lambda lr, loss: None,
) -> Finding:
    """Run the rounds that a strategy proposes until it answers.

    Args:
        strategy: What to probe, and what the records mean.
        loop: Where to probe.
        records: What a search that was cut short already has; these probes are not run again.
        on_round: Told the probes of each round before it runs.
        on_step: Told the rate and the loss of each step.
    """
    done = list(records)
    start = perf_counter()
    while not isinstance(answer := strategy.propose(done), Finding):
        on_round(answer)
        done += [loop.run(probe, on_step) for probe in answer]
    seconds = perf_counter() - start + sum(record.seconds for record in records)
    return replace(answer, cost=Cost(sum(len(record.lrs) for record in done), seconds))


@contextmanager
def progress_bar(*, shown: bool) -> Iterator[tuple[Callable[[Sequence[Probe]], None], OnStep]]:
    """Show a bar over the steps of each round on a terminal's error stream; yield ``on_round`` and ``on_step``."""
    from rich.console import Console  # here, since it would make up half of the time that importing lrfind takes
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("finding a learning rate"),
        BarColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not (shown and console.is_terminal)) as bar:
        task = bar.add_task("", total=None)
        done, drawn = 0, perf_counter()

        def on_round(probes: Sequence[Probe]) -> None:
            nonlocal done
            done = 0
            bar.reset(task, total=sum(len(probe.lrs) for probe in probes))

        def on_step(lr: float, loss: float) -> None:
            nonlocal done, drawn
            done += 1
            if not bar.disable and perf_counter() - drawn > _REDRAWN:
                drawn = perf_counter()
                bar.update(task, completed=done, description=f"lr {lr:.2e}  loss {loss:.4g}")

        yield on_round, on_step

"""The driver: strategy and loop, round by round, until there is a finding; what has run is kept in a file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any, ClassVar

from lrfind.codec import Plain, write_json
from lrfind.errors import BadInputError, ProbeError
from lrfind.loop import Loop
from lrfind.options import to_strategy
from lrfind.progress import Display, display
from lrfind.ranks import Ranks, is_first
from lrfind.records import Cost, Finding, Probe, Record
from lrfind.schedules import name_of
from lrfind.strategies import Strategy
from lrfind.strategies.notes import with_advice
from lrfind.strategies.range_test import LENGTHS

Keep = Callable[[Sequence[Record]], None]

_REMEDY = "delete the file to search anew, or give resume= another one."


@dataclass(frozen=True, slots=True)
class Search(Plain):
    """What a search has run so far, in the order that it ran."""

    schema: ClassVar[str] = "lrfind/search/1"

    records: tuple[Record, ...]


def find_with(
    loop: Loop, *, progress: bool = True, resume: str | os.PathLike[str] | None = None, **options: Any
) -> Finding:
    """Search with a loop under the options of ``lrfind.SearchOptions``; schedule and length are by default the loop's.

    Raises:
        BadInputError: If an option is unknown or out of its range.
        ProbeError: If the losses cannot be read.
    """
    ranks = loop.ranks
    with loop:
        strategy = to_strategy(steps_per_epoch=loop.steps_per_epoch, **loop.planned(options))
        is_shown = progress and is_first()
        with _kept(resume, ranks) as (known, keep), display(strategy) if is_shown else nullcontext() as shown:

            def run() -> Finding:
                records = ranks.told(lambda: known)
                return search(strategy, loop, records=records, keep=keep, shown=shown, told=ranks.told)

            return ranks.agree(dict(_described("strategy", strategy)), run)


@contextmanager
def _kept(path: str | os.PathLike[str] | None, ranks: Ranks) -> Iterator[tuple[Sequence[Record], Keep]]:
    """Yield the records that an earlier search left in a file, and what to call with the records at each new one.

    The file is replaced whole at each record, and removed where the search comes to an end: with a finding, or because
    the losses cannot be read. Of ranks that train together the first one reads and writes, and tells the others.
    """
    if path is None:
        yield (), lambda records: None
        return
    if not isinstance(path, (str, os.PathLike)):
        raise BadInputError(f"resume must be the path of a file, got {path!r}.")
    file = Path(path)

    def keep(records: Sequence[Record]) -> None:
        if ranks.is_first:
            write_json(file, Search(tuple(records)).to_dict())

    def remove() -> None:
        if ranks.is_first:
            file.unlink(missing_ok=True)

    def begin() -> Sequence[Record]:
        if os.path.exists(file):  # that of Path raises where a name is too long
            return Search.load(file).records
        keep(())  # whether it can be written is found out before any work
        return ()

    try:
        yield ranks.told(begin), keep
    except ProbeError:
        remove()
        raise
    remove()


def _described(name: str, value: Any) -> Iterator[tuple[str, str]]:
    """Yield what a strategy searches for, by name; how long training is, the first rank knows."""
    if name == "schedule":
        yield name, name_of(value)
    elif isinstance(value, (str, int, float)):
        yield name, repr(value)
    else:
        yield name, type(value).__name__
        for each in fields(value) if is_dataclass(value) else ():
            if each.name not in (*LENGTHS, "steps_per_epoch"):
                yield from _described(each.name, getattr(value, each.name))


def search(
    strategy: Strategy,
    loop: Loop,
    *,
    records: Sequence[Record] = (),
    keep: Keep = lambda records: None,
    shown: Display | None = None,
    told: Callable[[Callable[[], Any]], Any] = lambda propose: propose(),
) -> Finding:
    """Run the rounds that a strategy proposes until it answers.

    What a search that was cut short already has, in the order that it ran, is not run again; ``keep`` is called with
    all records so far, at each new one. ``told`` asks the strategy, or the rank that does.

    Raises:
        BadInputError: If the records are of another search.
        ProbeError: If the losses cannot be read; it has the records.
    """
    done: list[Record] = []
    start = perf_counter()
    try:
        while not isinstance(answer := told(lambda: strategy.propose(done)), Finding):
            if shown:
                shown.on_round(answer)
            for probe in answer:
                if len(done) < len(records):
                    done.append(_checked_probe(records, len(done), probe))
                else:
                    done.append(_run(loop, probe, shown))
                    _check_alike(records, done[-1])
                if len(done) >= len(records):  # what an earlier search left is whole until there is more
                    keep(done)
                    if shown:
                        shown.on_record(done)
    except ProbeError as error:
        error.records = tuple(done)
        raise
    seconds = perf_counter() - start + sum(record.seconds for record in records)
    return with_advice(replace(answer, cost=Cost(sum(len(record.lrs) for record in done), seconds)))


def _run(loop: Loop, probe: Probe, shown: Display | None) -> Record:
    """Run a probe; the loop says how long a pass over the data is where the record does not."""
    record = loop.run(probe, shown.on_step if shown else None)
    return record if record.steps_per_epoch else replace(record, steps_per_epoch=loop.steps_per_epoch)


def _checked_probe(records: Sequence[Record], index: int, probe: Probe) -> Record:
    """Return the record of a probe that has run already, and not in another search."""
    known = records[index]
    if known.probe != probe:
        was, now = (
            f"lr={each.lrs[0]:.3g}..{each.lrs[-1]:.3g} in {len(each.lrs)} steps with seed {each.seed}"
            for each in (known.probe, probe)
        )
        raise BadInputError(
            f"the records are of another search: their probe {index + 1} is {was}, and this one's is {now}; {_REMEDY}"
        )
    return known


def _check_alike(records: Sequence[Record], new: Record) -> None:
    """Check that a new record is of the same training, and not of another model, as those that were left."""
    for name in ("optimizer", "ratios", "is_fresh") if records else ():
        was, now = getattr(records[0], name), getattr(new, name)
        if was != now:
            raise BadInputError(
                f"the records are of another training: there {name} was {was!r}, and it is {now!r}; {_REMEDY}"
            )

"""The driver: strategy and loop, round by round, until there is a finding; what has run is kept in a file."""

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
from lrfind.options import NAMES, to_strategy, with_names
from lrfind.progress import Display, display
from lrfind.ranks import Ranks
from lrfind.records import Cost, Finding, Probe, Record
from lrfind.schedules import name_of
from lrfind.strategies import Strategy
from lrfind.strategies.notes import with_advice
from lrfind.strategies.range_test import LENGTHS

Keep = Callable[[Sequence[Record]], None]


@dataclass(frozen=True, slots=True)
class Search(Plain):
    """What a search has run so far, in the order that it ran."""

    schema: ClassVar[str] = "lrfind/search/1"

    records: tuple[Record, ...]


def find_with(
    loop: Loop, *, progress: bool = True, resume: str | os.PathLike[str] | None = None, **options: Any
) -> Finding:
    """Search with a loop as ``lrfind.find`` does; schedule and length are by default the loop's."""
    ranks, options = loop.ranks, with_names(options, NAMES)
    with loop:
        strategy = to_strategy(steps_per_epoch=loop.steps_per_epoch, **loop.planned(options))
        showing = display(strategy) if progress and Ranks.all().is_first else nullcontext()
        with _kept(resume, ranks) as (known, keep), showing as shown:

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

    def keep(records: Sequence[Record]) -> None:
        if ranks.is_first:
            write_json(path, Search(tuple(records)).to_dict())

    def remove() -> None:
        if ranks.is_first:
            Path(path).unlink(missing_ok=True)

    if not isinstance(path, (str, os.PathLike)):
        raise BadInputError(f"resume must be the path of a file, got {path!r}.")

    def begin() -> Sequence[Record]:
        if os.path.exists(path):  # that of Path raises where a name is too long
            return Search.load(path).records
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
                record = records[len(done)] if len(done) < len(records) else _run(loop, probe, shown)
                _check_alike(records, record, probe)
                done.append(record)
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


def _check_alike(records: Sequence[Record], record: Record, probe: Probe) -> None:
    """Check that a record is of a probe, and of the same training as those that an earlier search left."""
    first = records[0] if records else record
    named = ((name, getattr(first, name), getattr(record, name)) for name in ("optimizer", "ratios", "is_fresh"))
    for name, was, now in (("probe", record.probe, probe), *named):
        if was != now:
            raise BadInputError(
                f"the records are of another search: there {name} was {_said(was)}, and it is {_said(now)}; delete the "
                f"file to search anew, or give resume= another one."
            )


def _said(value: Any) -> str:
    if not isinstance(value, Probe):
        return repr(value)
    return f"lr={value.lrs[0]:.3g}..{value.lrs[-1]:.3g} in {len(value.lrs)} steps with seed {value.seed}"

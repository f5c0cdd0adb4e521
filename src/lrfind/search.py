"""The driver: strategy and loop, round by round, until there is a finding."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from time import perf_counter
from typing import Any

from lrfind.errors import BadInputError, ProbeError
from lrfind.loop import Loop, OnStep
from lrfind.options import to_strategy, unstepped, with_names
from lrfind.progress import display
from lrfind.ranks import is_first
from lrfind.records import Cost, Finding, Probe, Record
from lrfind.resume import kept
from lrfind.schedules import SCHEDULES
from lrfind.strategies import Strategy
from lrfind.strategies.range_test import RangeTest
from lrfind.strategies.reading import read_all
from lrfind.suggest import METHODS

AROUND = 4
"""Where training is short, rates so many times lower and higher are to be tried."""


def find_with(
    loop: Loop, *, progress: bool = True, resume: str | os.PathLike[str] | None = None, **options: Any
) -> Finding:
    """Search with a loop under the options of ``lrfind.SearchOptions``.

    Raises:
        BadInputError: If an option is unknown or out of its range.
        ProbeError: If the losses cannot be read.
    """
    strategy = to_strategy(steps_per_epoch=loop.steps_per_epoch, **options)
    with kept(resume) as (records, keep), display(strategy, shown=progress and is_first()) as shown, loop:

        def on_record(records: Sequence[Record]) -> None:
            keep(records)
            shown.on_record(records)

        on_step = shown.on_step if shown.is_seen else None
        return search(strategy, loop, records=records, on_round=shown.on_round, on_step=on_step, on_record=on_record)


def search(
    strategy: Strategy,
    loop: Loop,
    *,
    records: Sequence[Record] = (),
    on_round: Callable[[Sequence[Probe]], None] = lambda probes: None,
    on_step: OnStep | None = None,
    on_record: Callable[[Sequence[Record]], None] = lambda records: None,
) -> Finding:
    """Run the rounds that a strategy proposes until it answers.

    Args:
        strategy: What to probe, and what the records mean.
        loop: Where to probe.
        records: What a search that was cut short already has, in the order that it ran; these are not run again.
        on_round: Told the probes of each round before it runs.
        on_step: Told the rate and the loss of each step.
        on_record: Told all records so far, at each new one.

    Raises:
        BadInputError: If the records are of another search.
        ProbeError: If the losses cannot be read; it has the records.
    """
    done: list[Record] = []
    start = perf_counter()
    try:
        while not isinstance(answer := strategy.propose(done), Finding):
            on_round(answer)
            for probe in answer:
                known = _known(records, len(done), probe)
                done.append(known or _run(loop, probe, on_step))
                if known is None and records:
                    _check_alike(done)
                if len(done) >= len(records):  # what an earlier search left is whole until there is more
                    on_record(done)
    except ProbeError as error:
        error.records = tuple(done)
        raise
    seconds = perf_counter() - start + sum(record.seconds for record in records)
    return _checked(replace(answer, cost=Cost(sum(len(record.lrs) for record in done), seconds)))


def _run(loop: Loop, probe: Probe, on_step: OnStep | None) -> Record:
    """Run a probe; a record that does not say how long a pass over the data is has it of the loop."""
    record = loop.run(probe, on_step)
    return record if record.steps_per_epoch else replace(record, steps_per_epoch=loop.steps_per_epoch)


def reread(finding: Finding, **training: Any) -> Finding:
    """Return what a finding's records say about another training; see ``lrfind.Finding.at``."""
    given = with_names(training, ("schedule", "total_steps", "epochs"), stacklevel=4)
    given = {name: value for name, value in given.items() if value is not None}
    if not given:
        return finding
    if finding.method not in METHODS or not finding.records:
        raise BadInputError(
            f"a finding of the method {finding.method!r} and {len(finding.records)} records cannot be read for another "
            f"training; search again."
        )
    length: dict[str, Any] = {name: given.get(name) for name in ("total_steps", "epochs")}
    if not {"total_steps", "epochs"} & given.keys():
        length = {"total_steps": finding.total_steps, "epochs": finding.epochs}
    if "schedule" not in given and finding.final_fraction is None and finding.schedule not in SCHEDULES:
        raise BadInputError(
            f"the finding does not hold the shape of its schedule {finding.schedule!r}; pass schedule=."
        )
    test = RangeTest(method=finding.method, schedule=unstepped(given.get("schedule", "constant")), **length)
    if "schedule" in given:
        found = test.find(finding.records)
    else:
        found = read_all(finding.records, finding.method, replace(finding.length, **length))
    notes = (*found.notes, *_about(finding, is_inherited="schedule" not in given))
    if finding.is_calibrated and found.length.halvings > finding.length.halvings:
        notes = (*notes, "A search told of so short a training would take a second, slower range test: search again.")
    return _checked(replace(found, cost=finding.cost, notes=notes))


def _about(finding: Finding, *, is_inherited: bool) -> list[str]:
    """What a person should know about a finding's being read again."""
    if not finding.is_calibrated:
        return [
            f"The {finding.method} reading knows nothing of the schedule and the length of training: lr is the same."
        ]
    if is_inherited and finding.schedule not in SCHEDULES:
        return [f"The shape of {finding.schedule} is taken to be the same over the other length."]
    return []


def rates_to_try(finding: Finding) -> list[str]:
    """Return the rates to train in full at where training is too short for a finder to be sure; else none."""
    steps, cost = finding.length.steps, finding.cost.steps
    if not steps or not (finding.length.is_short or cost > steps / 2):
        return []
    return [f"{finding.lr * factor:.2g}" for factor in (1 / AROUND, 1, AROUND)]


def _checked(finding: Finding) -> Finding:
    """Return a finding that says so, and what to do instead, where training is short beside its search."""
    lrs = rates_to_try(finding)
    if not lrs:
        return finding
    said = (
        f"Training takes {finding.length.steps:,.0f} steps and the search took {finding.cost.steps}: that is too short "
        f"for a finder to be sure. Train in full at {lrs[0]}, {lrs[1]} and {lrs[2]} and keep the best."
    )
    return replace(finding, notes=(*finding.notes, said))


def _known(records: Sequence[Record], index: int, probe: Probe) -> Record | None:
    """Return the record of a probe that has run already."""
    if index >= len(records):
        return None
    if records[index].probe != probe:
        raise BadInputError(
            f"the records are of another search: their probe {index + 1} is {_words(records[index].probe)}, and this "
            f"search's is {_words(probe)}; delete the file to search anew, or give resume= another one."
        )
    return records[index]


def _check_alike(records: Sequence[Record]) -> None:
    """Check that a new record is of the same training as those before it.

    Raises:
        BadInputError: If it is not: the records before it were left by the search of another model.
    """
    first, new = records[0], records[-1]
    for name in ("optimizer", "ratios", "is_fresh"):
        if getattr(first, name) != getattr(new, name):
            raise BadInputError(
                f"the records are of another training: there {name} was {getattr(first, name)!r}, and it is "
                f"{getattr(new, name)!r}; delete the file to search anew, or give resume= another one."
            )


def _words(probe: Probe) -> str:
    return f"lr={probe.lrs[0]:.3g}..{probe.lrs[-1]:.3g} in {len(probe.lrs)} steps with seed {probe.seed}"

"""``compare``: find, train every arm with every seed, judge."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lrfind.compare.arms import ARMS, CYCLES, check_cycles, check_schedules, needs, to_arms
from lrfind.compare.cluster import check_ray, in_ray
from lrfind.compare.comparison import Comparison
from lrfind.compare.environment import environment, versions
from lrfind.compare.processes import check_portable, in_processes
from lrfind.compare.progress import progress_shown
from lrfind.compare.running import Event, OnEvent, Todo, in_turn
from lrfind.compare.runs import Arm, Failure, Run
from lrfind.compare.statistics import Mode, check_mode, judge
from lrfind.compare.store import Store, strayed
from lrfind.compare.targets.identity import identity_of
from lrfind.compare.targets.protocol import TRAIN_LOSS, Survey, Target
from lrfind.errors import BadInputError
from lrfind.records import Finding

EPOCHS = 5.0


class CutShort(KeyboardInterrupt):
    """Ctrl-C while arms were training.

    Attributes:
        comparison: Of the runs that were finished.
    """

    def __init__(self, comparison: Comparison) -> None:
        super().__init__("interrupted")
        self.comparison = comparison


def compare(
    target: Target,
    *,
    lrs: Sequence[float] = (),
    schedules: Sequence[str] = ARMS,
    seeds: int | Sequence[int] = 3,
    epochs: float | None = None,
    steps: int | None = None,
    cycles: int = CYCLES,
    metric: str = "val_loss",
    mode: Mode = "min",
    jobs: int = 1,
    ray: str | None = None,
    out: str | Path | None = None,
    progress: bool = True,
    on_event: OnEvent | None = None,
    **search: Any,
) -> Comparison:
    """Find a rate and a range, train with rates given by hand, the found one and under schedules, and say what wins.

    Smith's protocol: every arm trains for the same number of steps, from the same start and on the same batches for
    each seed, and is judged at the end of training, where every cycle is at its end.

    Args:
        target: What is trained: a ``LightningTarget``, a ``PyTorchTarget`` or one of your own.
        lrs: Rates given by hand, constant over training; may be none.
        schedules: What the found rates are trained under; ``"constant"`` is the found fixed rate. Names of
            ``lrfind.schedules.SCHEDULES``, and ``"triangular"``, ``"triangular2"``, ``"exp_range"``, ``"restarts"``.
        seeds: How many, or which.
        epochs: How long each run trains, in passes over the data; 5 where ``steps`` is not given.
        steps: Instead, in optimizer steps.
        cycles: How many cycles a cyclical schedule goes through.
        metric: What is compared.
        mode: Whether its least or its greatest value is best.
        jobs: In how many processes to train at once.
        ray: Instead, train through Ray: ``"local"``, ``"auto"`` or a cluster's address.
        out: Where finished runs are kept, so that a comparison that was cut short goes on where it was, and more rates,
            schedules and seeds can be added.
        progress: Whether to show bars in a terminal.
        on_event: Told what happens, as it happens.
        **search: Options of the search; see ``lrfind.SearchOptions``.

    Raises:
        BadInputError: If an argument cannot be used; the message says what to change.
        ProbeError: If the losses of the search cannot be read.
        CutShort: At Ctrl-C; it holds the comparison of the finished runs.
    """
    check_schedules(lrs, schedules, cycles)
    check_mode(mode)
    if taken := sorted({"schedule", "horizon"} & set(search)):
        raise BadInputError(f"{taken[0]} of the search is what is compared; say it with schedules=, steps= or epochs=.")
    which = _seeds(seeds)
    _check_place(target, jobs, ray)
    identity = {} if out is None else target.identity()  # before anything has run, which may change what it holds
    survey = target.survey()
    steps = _steps(steps, epochs, survey)
    check_cycles(schedules, cycles, steps)
    metric = _metric(metric, survey)
    plan = {
        "target": identity,
        "data": {"epoch_steps": survey.epoch_steps, "metrics": list(survey.metrics)},
        "cycles": cycles,
        "steps": steps,
        "search": {} if out is None else identity_of(search),
        "versions": versions(),
    }
    store = Store(None if out is None else Path(out), plan)
    with progress_shown(shown=progress, runs=len(which) * (len(lrs) + len(schedules))) as show:
        tell = _both(show, on_event)
        search = {"seed": which[0], **search, "progress": False}
        findings: dict[str, Finding] = {}
        for name in needs(schedules):
            findings[name] = _finding(target, name, steps, store, tell, search)
        arms = to_arms(findings, lrs=lrs, schedules=schedules, cycles=cycles)
        what = _What(target, survey, steps, metric, mode, arms, which, findings)
        failures: list[Failure] = []
        try:
            for outcome in _outcomes(what, store, tell, jobs, ray):
                _take(outcome, what, store, failures, tell)
        except KeyboardInterrupt:
            raise CutShort(_conclude(what, store, failures, is_whole=False)) from None
    return _conclude(what, store, failures, is_whole=True)


@dataclass(frozen=True, slots=True)
class _What:
    """Everything that is settled before the first run."""

    target: Target
    survey: Survey
    steps: int
    metric: str
    mode: Mode
    arms: tuple[Arm, ...]
    seeds: tuple[int, ...]
    findings: Mapping[str, Finding]


def _finding(
    target: Target,
    schedule: str,
    steps: int,
    store: Store,
    tell: OnEvent,
    options: Mapping[str, Any],
) -> Finding:
    """Return what is known of a schedule, read it off an earlier search, or search."""
    found = store.finding(schedule)
    if found is None:
        tell(Event("searching", schedule, int(options["seed"])))
        found = None if store.earlier is None else _read_again(store.earlier, schedule)
        if found is None:
            asked = dict(options)
            found = target.find(schedule, asked.pop("seed"), steps, **asked)
        store.keep_finding(schedule, found)
    tell(Event("found", schedule, int(options["seed"]), words=f"lr {found.lr:.3g}"))
    return found


def _read_again(finding: Finding, schedule: str) -> Finding | None:
    """Answer for another schedule from the same records; None where they are of a strategy that cannot."""
    try:
        return finding.at(schedule=schedule)
    except BadInputError:
        return None


def _outcomes(what: _What, store: Store, tell: OnEvent, jobs: int, ray: str | None) -> Iterator[Run | Failure]:
    """Train what is not finished, all arms with the first seed, then with the next."""
    todo: list[tuple[Arm, int]] = []
    for seed in what.seeds:
        for arm in what.arms:
            if store.run(arm, seed) is None:
                todo.append((arm, seed))
            else:
                tell(Event("kept", arm.name, seed, what.steps, what.steps))
    return _trained(what, todo, tell, jobs, ray)


def _trained(what: _What, todo: Todo, tell: OnEvent, jobs: int, ray: str | None) -> Iterator[Run | Failure]:
    if not todo:
        return iter(())
    if ray is not None:
        return in_ray(what.target, todo, what.steps, tell, ray)
    if jobs > 1:
        return in_processes(what.target, todo, what.steps, tell, jobs)
    return in_turn(what.target, todo, what.steps, tell)


def _take(outcome: Run | Failure, what: _What, store: Store, failures: list[Failure], tell: OnEvent) -> None:
    steps = what.steps
    if isinstance(outcome, Run) and (error := _fault(outcome, what)):
        outcome = Failure(outcome.arm, outcome.seed, error)
    if isinstance(outcome, Failure):
        failures.append(outcome)
        tell(Event("failed", outcome.arm, outcome.seed, total=steps, words=outcome.error))
    else:
        store.keep_run(outcome)
        tell(Event("finished", outcome.arm, outcome.seed, outcome.steps, steps))


def _fault(run: Run, what: _What) -> str:
    """Say why a run cannot stand for its arm; nothing where it can."""
    if run.steps != what.steps:
        return (
            f"it trained {run.steps} of {what.steps} steps, and arms are compared after equally many; leave out what "
            f"ends a training early (EarlyStopping, max_time, fast_dev_run)"
        )
    return strayed(run, next(arm for arm in what.arms if arm.name == run.arm))


def _conclude(what: _What, store: Store, failures: Iterable[Failure], *, is_whole: bool) -> Comparison:
    pairs = [(arm, seed) for arm in what.arms for seed in what.seeds]
    runs = tuple(run for arm, seed in pairs if (run := store.run(arm, seed)) is not None)
    failures = tuple(failures)
    verdict, summaries = judge(what.arms, runs, what.metric, what.mode, failures)
    ranks = {(arm.name, seed): rank for rank, (arm, seed) in enumerate(pairs)}
    lacking = len(pairs) - len(runs)
    cut = (
        () if is_whole else (f"Cut short by Ctrl-C: {lacking} of {len(pairs)} runs did not finish and are not shown.",)
    )
    return Comparison(
        title=what.target.title,
        setting=_setting(what, runs),
        metric=what.metric,
        mode=what.mode,
        arms=what.arms,
        runs=runs,
        verdict=verdict,
        finding=what.findings.get("constant", next(iter(what.findings.values()), None)),
        failures=tuple(sorted(failures, key=lambda one: ranks[one.arm, one.seed])),
        summaries=summaries,
        environment=environment(),
        notes=(*cut, *what.survey.notes, *_search_notes(what.findings)),
    )


def _setting(what: _What, runs: Sequence[Run]) -> str:
    given = f"{what.target.setting}; " if what.target.setting else ""
    length = what.survey.epoch_steps
    epochs = runs[0].last.epoch if runs else what.steps / length if length else math.nan
    passes = f" ({epochs:.3g} epochs)" if math.isfinite(epochs) else ""
    return f"Each run: {given}{what.steps} optimizer steps{passes}; the same start and the same batches for every arm."


def _search_notes(findings: Mapping[str, Finding]) -> tuple[str, ...]:
    """Say where the rates come from that the comparison's finding does not hold itself."""
    notes = []
    first = next(iter(findings.values()), None)
    for name, finding in findings.items():
        if first is not None and finding is not first:
            own = f"took a search of {finding.cost.steps} steps of its own"
            origin = "was read off the same search" if finding.records == first.records else own
            notes.append(f"The rate for {name}, {finding.lr:.3g}, {origin}.")
    return tuple(notes)


def _seeds(seeds: int | Sequence[int]) -> tuple[int, ...]:
    which = tuple(range(seeds)) if isinstance(seeds, int) else tuple(seeds)
    if not which or len(set(which)) < len(which) or any(seed < 0 for seed in which):
        raise BadInputError(f"seeds must be a number from 1 up, or different numbers from 0 up, got {seeds!r}.")
    return which


def _check_place(target: Target, jobs: int, ray: str | None) -> None:
    if jobs < 1 or (jobs > 1 and ray is not None):
        raise BadInputError(f"jobs must be at least 1, and is not for Ray, got {jobs=} and {ray=}.")
    if ray is not None:
        check_ray()
    elif jobs > 1:
        check_portable(target)


def _steps(steps: int | None, epochs: float | None, survey: Survey) -> int:
    """Return how many optimizer steps a run takes."""
    if steps is not None and epochs is not None:
        raise BadInputError(f"give epochs or steps, not both, got {epochs=} and {steps=}.")
    if steps is None:
        if survey.epoch_steps is None:
            raise BadInputError("the data does not say how long it is, so give steps= instead of epochs.")
        steps = round((EPOCHS if epochs is None else epochs) * survey.epoch_steps)
    if steps < 1:
        raise BadInputError(f"a run must take at least 1 optimizer step, got {steps} from {epochs=}.")
    return steps


def _metric(metric: str, survey: Survey) -> str:
    """Return the metric to judge by: the training loss where nothing else is evaluated."""
    if metric in survey.metrics:
        return metric
    if survey.metrics == (TRAIN_LOSS,) and metric == "val_loss":
        return TRAIN_LOSS
    raise BadInputError(f"metric {metric!r} is not evaluated; there are {', '.join(sorted(survey.metrics))}.")


def _both(first: OnEvent, second: OnEvent | None) -> Callable[[Event], None]:
    def tell(event: Event) -> None:
        first(event)
        if second is not None:
            second(event)

    return tell

"""``compare``: find, train every arm with every seed, judge."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lrfind.compare.arms import ARMS, CYCLES, check_cycles, check_schedules, needs, to_arms
from lrfind.compare.cluster import check_ray, in_ray
from lrfind.compare.comparison import Comparison
from lrfind.compare.conclusion import Plan, conclude, fault_of
from lrfind.compare.environment import versions
from lrfind.compare.processes import check_portable, in_processes
from lrfind.compare.progress import progress_shown
from lrfind.compare.running import Event, OnEvent, Todo, in_turn
from lrfind.compare.runs import Arm, Failure, Run
from lrfind.compare.statistics import Mode, check_mode
from lrfind.compare.store import Store
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
    if taken := sorted({"schedule", "total_steps", "horizon"} & set(search)):
        raise BadInputError(f"{taken[0]} of the search is what is compared; say it with schedules=, steps= or epochs=.")
    which = _seeds(seeds)
    _check_place(target, jobs, ray)
    identity = {} if out is None else target.identity()  # before anything has run, which may change what it holds
    survey = target.survey()
    steps = _steps(steps, epochs, survey)
    check_cycles(schedules, cycles, steps)
    metric = _metric(metric, survey)
    about = {
        "target": identity,
        "data": {"epoch_steps": survey.epoch_steps, "metrics": list(survey.metrics)},
        "cycles": cycles,
        "steps": steps,
        "search": {} if out is None else identity_of(search),
        "versions": versions(),
    }
    store = Store(None if out is None else Path(out), about)
    with progress_shown(shown=progress, runs=len(which) * (len(lrs) + len(schedules))) as show:
        tell = _both(show, on_event)
        search = {"seed": which[0], **search, "progress": False}
        findings = {name: _finding(target, name, steps, store, tell, search) for name in needs(schedules)}
        arms = to_arms(findings, lrs=lrs, schedules=schedules, cycles=cycles)
        plan = Plan(target, survey, steps, metric, mode, arms, which, findings)
        return _run(plan, store, tell, jobs, ray)


def _run(plan: Plan, store: Store, tell: OnEvent, jobs: int, ray: str | None) -> Comparison:
    """Train what is not finished; judge."""
    failures: list[Failure] = []
    try:
        for outcome in _outcomes(plan, store, tell, jobs, ray):
            _take(outcome, plan, store, failures, tell)
    except KeyboardInterrupt:
        raise CutShort(conclude(plan, store, failures, is_whole=False)) from None
    return conclude(plan, store, failures, is_whole=True)


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
    tell(Event("found", schedule, int(options["seed"]), words=f"lr {found.lr:.3g}", finding=found))
    return found


def _read_again(finding: Finding, schedule: str) -> Finding | None:
    """Answer for another schedule from the same records; None where they are of a strategy that cannot."""
    try:
        return finding.at(schedule=schedule)
    except BadInputError:
        return None


def _outcomes(plan: Plan, store: Store, tell: OnEvent, jobs: int, ray: str | None) -> Iterator[Run | Failure]:
    """Train what is not finished, all arms with the first seed, then with the next."""
    todo: list[tuple[Arm, int]] = []
    for seed in plan.seeds:
        for arm in plan.arms:
            if store.run(arm, seed) is None:
                todo.append((arm, seed))
            else:
                tell(Event("kept", arm.name, seed, plan.steps, plan.steps))
    return _trained(plan, todo, tell, jobs, ray)


def _trained(plan: Plan, todo: Todo, tell: OnEvent, jobs: int, ray: str | None) -> Iterator[Run | Failure]:
    if not todo:
        return iter(())
    if ray is not None:
        return in_ray(plan.target, todo, plan.steps, tell, ray)
    if jobs > 1:
        return in_processes(plan.target, todo, plan.steps, tell, jobs)
    return in_turn(plan.target, todo, plan.steps, tell)


def _take(outcome: Run | Failure, plan: Plan, store: Store, failures: list[Failure], tell: OnEvent) -> None:
    steps = plan.steps
    if isinstance(outcome, Run) and (error := fault_of(outcome, plan)):
        outcome = Failure(outcome.arm, outcome.seed, error)
    if isinstance(outcome, Failure):
        failures.append(outcome)
        tell(Event("failed", outcome.arm, outcome.seed, total=steps, words=outcome.error))
    else:
        store.keep_run(outcome)
        tell(Event("finished", outcome.arm, outcome.seed, outcome.steps, steps))


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

"""``compare``: find, train every arm with every seed, judge."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from lrfind.compare.arms import ARMS, CYCLES, check_cycles, check_schedules, needs, to_arms
from lrfind.compare.cluster import check_ray, in_ray
from lrfind.compare.comparison import Comparison
from lrfind.compare.conclusion import Plan, conclude, fault_of, versions
from lrfind.compare.processes import check_portable, in_processes
from lrfind.compare.progress import progress_shown
from lrfind.compare.running import Event, OnEvent, Todo, in_turn
from lrfind.compare.runs import Arm, Failure, Run
from lrfind.compare.statistics import Mode, check_mode
from lrfind.compare.store import Store
from lrfind.compare.targets.identity import identity_of
from lrfind.compare.targets.protocol import TRAIN_LOSS, Survey, Target
from lrfind.compare.targets.variants import Variants
from lrfind.errors import BadInputError
from lrfind.records import Finding

EPOCHS = 5.0

Train = Callable[[Todo, int, OnEvent], Iterator[Run | Failure]]
"""Trains arms with seeds, each for so many steps, and tells what happens."""


class CutShort(KeyboardInterrupt):
    """Ctrl-C while arms were training.

    Attributes:
        comparison: Of the runs that were finished.
    """

    def __init__(self, comparison: Comparison) -> None:
        super().__init__("interrupted")
        self.comparison = comparison


def compare(
    target: Target | Mapping[str, Target],
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
        target: What is trained: a ``LightningTarget``, a ``PyTorchTarget`` or one of your own. Or several by name, to
            compare another argument than the rate: each is trained at its own found rates.
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
            schedules, seeds and targets can be added.
        progress: Whether to show bars in a terminal, or print a line as each run ends elsewhere.
        on_event: Told what happens, as it happens.
        **search: Options of the search; see ``lrfind.SearchOptions``.

    Raises:
        BadInputError: If an argument cannot be used; the message says what to change.
        ProbeError: If the losses of the search cannot be read.
        CutShort: At Ctrl-C; it holds the comparison of the finished runs.
    """
    targets = Variants(target if isinstance(target, Mapping) else {"": target})
    check_schedules(lrs, schedules, cycles, variants=len(targets.targets))
    check_mode(mode)
    if taken := sorted({"schedule", "total_steps", "horizon"} & set(search)):
        raise BadInputError(f"{taken[0]} of the search is what is compared; say it with schedules=, steps= or epochs=.")
    which = _seeds(seeds)
    train = _place(targets, jobs, ray)
    about: dict[str, Any] = {"cycles": cycles, "versions": versions()}
    identities = {}
    if out is not None:  # before anything has run, which may change what it holds
        about["search"], identities = identity_of(search), targets.identities()
    survey = targets.survey()
    steps = _steps(steps, epochs, survey)
    check_cycles(schedules, cycles, steps)
    metric = _metric(metric, survey)
    about |= {"steps": steps, "data": {"epoch_steps": survey.epoch_steps, "metrics": list(survey.metrics)}}
    store = Store(None if out is None else Path(out), {"plan": about, **identities})
    runs = len(which) * len(targets.targets) * (len(lrs) + len(schedules))
    with progress_shown(shown=progress, runs=runs, also=on_event) as tell:
        options = {"seed": which[0], **search, "total_steps": steps, "progress": False}
        arms, findings = _arms(targets, options, store, tell, lrs=lrs, schedules=schedules, cycles=cycles)
        return _run(Plan(targets, survey, steps, metric, mode, arms, which, findings), store, train, tell)


def _arms(
    targets: Variants, options: dict[str, Any], store: Store, tell: OnEvent, *, schedules: Sequence[str], **given: Any
) -> tuple[tuple[Arm, ...], dict[str, Finding]]:
    """Search what is not known, and return the arms of every target, and the findings by schedule and target."""
    arms: list[Arm] = []
    findings: dict[str, Finding] = {}
    for variant, target in targets.targets.items():
        found = _findings(target, variant, needs(schedules), options, store, tell)
        arms += to_arms(found, schedules=schedules, variant=variant, **given)
        findings |= {f"{schedule} {variant}".rstrip(): finding for schedule, finding in found.items()}
    return tuple(arms), findings


def _findings(
    target: Target, variant: str, schedules: Sequence[str], options: dict[str, Any], store: Store, tell: OnEvent
) -> dict[str, Finding]:
    """Return what is known of each schedule, read it off an earlier search, or search."""
    findings = {}
    for schedule in schedules:
        name, kept = f"{schedule} {variant}".rstrip(), store.findings(variant)
        found = kept.get(schedule)
        if found is None:
            tell(Event("searching", name, options["seed"]))
            found = _read_again(kept.values(), schedule) or target.find(schedule, **options)
            store.keep_finding(name, found)
        findings[schedule] = found
        tell(Event("found", name, options["seed"], words=f"lr {found.lr:.3g}", finding=found))
    return findings


def _read_again(findings: Iterable[Finding], schedule: str) -> Finding | None:
    """Answer for another schedule from the same records; None where they are of a strategy that cannot."""
    for finding in findings:
        with suppress(BadInputError):
            return finding.at(schedule=schedule)
    return None


def _run(plan: Plan, store: Store, train: Train, tell: OnEvent) -> Comparison:
    """Train what is not finished, all arms with the first seed, then with the next; judge."""
    todo: list[tuple[Arm, int]] = []
    failures: list[Failure] = []
    try:
        for seed in plan.seeds:
            for arm in plan.arms:
                if store.run(arm, seed) is None:
                    todo.append((arm, seed))
                else:
                    tell(Event("kept", arm.name, seed, plan.steps, plan.steps))
        for outcome in train(todo, plan.steps, tell) if todo else ():
            if isinstance(outcome, Run) and (error := fault_of(outcome, plan)):
                outcome = Failure(outcome.arm, outcome.seed, error)
            if isinstance(outcome, Failure):
                failures.append(outcome)
                tell(Event("failed", outcome.arm, outcome.seed, total=plan.steps, words=outcome.error))
            else:
                store.keep_run(outcome)
                tell(Event("finished", outcome.arm, outcome.seed, outcome.steps, plan.steps))
    except KeyboardInterrupt:
        raise CutShort(conclude(plan, store, failures, is_whole=False)) from None
    return conclude(plan, store, failures, is_whole=True)


def _seeds(seeds: int | Sequence[int]) -> tuple[int, ...]:
    which = tuple(range(seeds)) if isinstance(seeds, int) else tuple(seeds)
    if not which or len(set(which)) < len(which) or any(seed < 0 for seed in which):
        raise BadInputError(f"seeds must be a number from 1 up, or different numbers from 0 up, got {seeds!r}.")
    return which


def _place(targets: Variants, jobs: int, ray: str | None) -> Train:
    """Return what trains: in turn here, in processes or through Ray; whether it can is found out before any work."""
    if jobs < 1 or (jobs > 1 and ray is not None):
        raise BadInputError(f"jobs must be at least 1, and is not for Ray, got {jobs=} and {ray=}.")
    if ray is not None:
        check_ray()
        return partial(in_ray, targets, address=ray)
    if jobs > 1:
        check_portable(targets)
        return partial(in_processes, targets, jobs=jobs)
    return partial(in_turn, targets)


def _steps(steps: int | None, epochs: float | None, survey: Survey) -> int:
    """Return how many optimizer steps a run takes."""
    if steps is not None and epochs is not None:
        raise BadInputError(f"give epochs or steps, not both, got {epochs=} and {steps=}.")
    if steps is None:
        if survey.epoch_steps is None:
            raise BadInputError("the steps of an epoch are not known, or not the same for all; give steps= instead.")
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

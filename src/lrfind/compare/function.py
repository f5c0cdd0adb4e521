"""``compare``: search, train every arm with every seed, judge."""

import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from itertools import combinations
from numbers import Real
from pathlib import Path
from typing import Any

from lrfind.codec import leaves
from lrfind.compare.arms import ARMS, CYCLES, RATE_NAMES, check_arms, check_cycles, mode_of, needs, to_arms, to_seeds
from lrfind.compare.comparison import Arm, Comparison, Failure, Mode, Run
from lrfind.compare.conclusion import Plan, Store, conclude, fault_of, survey_of, versions
from lrfind.compare.running import Event, OnEvent, Targets, Train, one_thread, progress_shown, to_train
from lrfind.compare.targets.protocol import TRAIN_LOSS, Survey, Target
from lrfind.compare.targets.specs import identity_of
from lrfind.errors import BadInputError
from lrfind.records import Finding


class CutShort(KeyboardInterrupt):
    """Ctrl-C during a comparison.

    Attributes:
        comparison: The comparison of the finished runs.
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
    mode: Mode | None = None,
    jobs: int = 1,
    ray: str | None = None,
    out: str | Path | None = None,
    progress: bool = True,
    on_event: OnEvent | None = None,
    **search: Any,
) -> Comparison:
    """Train with given rates, with found ones and under schedules, and say which arm wins.

    Every arm trains for the same number of steps, with one seed from the same weights on the same batches, and is
    judged at the end of training, where every schedule and every cycle ends (Smith's protocol).

    Args:
        target: A ``LightningTarget``, a ``PyTorchTarget`` or your own ``Target``. To compare another argument than the
            rate, a dict of several by name; each is trained at its own found rates.
        lrs: Given rates, constant over training.
        schedules: The schedules of the found rates; ``"constant"`` is the found fixed rate. Names of
            ``lrfind.schedules.SCHEDULES``, and ``"triangular"``, ``"triangular2"``, ``"exp_range"``, ``"restarts"``.
        seeds: Their number, counted from 0, or the seeds.
        epochs: The length of a run in passes over the data; 5 if ``steps`` is not given either.
        steps: Instead, the length of a run in optimizer steps.
        cycles: The number of cycles of a cyclical schedule.
        metric: The metric that decides.
        mode: Whether its minimum (``"min"``) or its maximum (``"max"``) is best. By default ``"max"`` if the metric's
            name says accuracy, F1, AUC or the like.
        jobs: The number of processes that train at once.
        ray: Instead, train through Ray: ``"local"``, ``"auto"`` or a cluster's address.
        out: The folder for finished runs. Another call with it continues, also with more rates, schedules, seeds or
            targets.
        progress: Whether to show a bar in a terminal or a notebook, and lines in a log.
        on_event: Called with each ``Event``.
        **search: Options of the search; see ``lrfind.SearchOptions``.

    Raises:
        BadInputError: If an argument cannot be used; the message says what to change.
        ProbeError: If the losses of the search cannot be read.
        CutShort: On Ctrl-C; it has the comparison of the finished runs.
    """
    targets = target if isinstance(target, Mapping) else {"": target}
    _check(targets, search)
    check_arms(lrs, schedules, cycles, variants=len(targets), mode=mode)
    which, train = to_seeds(seeds), to_train(targets, jobs, ray)
    plans = _plans(targets, search, is_kept=out is not None)  # before a run can change the target
    survey = survey_of(targets)
    steps = _steps(steps, epochs, survey)
    metric, mode = _metric(metric, mode, survey)
    check_cycles(schedules, cycles, steps)
    data = {"epoch_steps": survey.epoch_steps, "metrics": list(survey.metrics)}
    store = Store(out, {**plans, "plan": {**plans["plan"], "cycles": cycles, "steps": steps, "data": data}})
    arms: list[Arm] = []
    runs = len(which) * len(targets) * (len(lrs) + len(schedules))
    with progress_shown(shown=progress, runs=runs, arms=arms, also=on_event) as tell:
        options = {"seed": which[0], **search, "total_steps": steps, "progress": False}
        findings = {
            variant: {schedule: _find(each, schedule, variant, options, store, tell) for schedule in needs(schedules)}
            for variant, each in targets.items()
        }
        for variant, found in findings.items():
            arms += to_arms(found, lrs=lrs, schedules=schedules, cycles=cycles, variant=variant)
        return _run(Plan(targets, survey, steps, metric, mode, tuple(arms), which, findings), store, train, tell)


def _check(targets: Targets, search: Mapping[str, Any]) -> None:
    names = list(targets)
    if names != [""] and not (names and all(isinstance(name, str) and name.strip() == name != "" for name in names)):
        raise BadInputError(f"give the target, or a dict of several by name; a name is a text, got {names}.")
    for each in targets.values():
        if isinstance(each, type) or not hasattr(each, "survey"):
            raise BadInputError(f"target must be a LightningTarget, a PyTorchTarget or your own, got {each!r:.60}.")
    if taken := sorted({"schedule", "total_steps", "horizon"} & set(search)):
        raise BadInputError(f"{taken[0]} of the search is what is compared; say it with schedules=, steps= or epochs=.")


def _plans(targets: Targets, search: Mapping[str, Any], *, is_kept: bool) -> dict[str, dict[str, Any]]:
    """Return what all runs kept in a folder share, by the name of its file; refuse targets that train the same."""
    identities: dict[str, dict[str, Any]] = {}
    with nullcontext() if is_kept else suppress(BadInputError):  # without a folder, a target needs no identity
        if is_kept or len(targets) > 1:
            identities = {f"target {name}".rstrip(): dict(each.identity()) for name, each in targets.items()}
    for (name, first), (other, second) in combinations(identities.items(), 2):
        if first == second:
            raise BadInputError(
                f"{name} and {other} are the same training: a comparison sets the length, the validation and the "
                f"logging of a trainer itself."
            )
        if _without_rates(first) == _without_rates(second):
            raise BadInputError(
                f"{name} and {other} differ only in their learning rate, which each arm sets itself; give one of them, "
                f"and the rates as lrs= or --lrs."
            )
    return {"plan": {"versions": versions(), "search": identity_of(search)} if is_kept else {}, **identities}


def _without_rates(identity: dict[str, Any]) -> dict[str, Any]:
    return {place: value for place, value in leaves(identity) if place.rpartition(".")[2] not in RATE_NAMES}


def _find(target: Target, schedule: str, variant: str, options: dict[str, Any], store: Store, tell: OnEvent) -> Finding:
    """Return a kept finding, one read from an earlier search of the target, or that of a new search."""
    name = f"{schedule} {variant}".rstrip()
    found = store.findings.get(name)
    if found is None:
        tell(Event("searching", name, options["seed"]))
        for known, finding in store.findings.items():
            if found is None and known.partition(" ")[2] == variant:
                with suppress(BadInputError):  # its strategy cannot read its records again
                    found = finding.at(schedule=schedule)
        if found is None:
            with one_thread():
                found = target.find(schedule=schedule, **options)
        store.keep_finding(name, found)
    tell(Event("found", name, options["seed"], words=f"lr {found.lr:.3g}", finding=found))
    return found


def _run(plan: Plan, store: Store, train: Train, tell: OnEvent) -> Comparison:
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


def _steps(steps: int | None, epochs: float | None, survey: Survey) -> int:
    if steps is not None and epochs is not None:
        raise BadInputError(f"give epochs or steps, not both, got {epochs=} and {steps=}.")
    length: Any = steps if steps is not None else 5.0 if epochs is None else epochs
    unit = survey.epoch_steps if steps is None else 1.0
    if unit is None:
        raise BadInputError("the steps of an epoch are not known, or not the same for all; give steps= instead.")
    if not isinstance(length, Real) or not 0.5 < (whole := float(length) * unit) < math.inf:
        raise BadInputError(f"a run must take at least 1 optimizer step, got {epochs=} and {steps=}.")
    return round(whole)


def _metric(metric: str, mode: Mode | None, survey: Survey) -> tuple[str, Mode]:
    """Return the metric that decides, the training loss if nothing else is evaluated, and what is best of it."""
    if survey.metrics == (TRAIN_LOSS,) and metric == "val_loss":
        metric = TRAIN_LOSS
    if metric not in survey.metrics:
        raise BadInputError(f"metric {metric!r} is not evaluated; there are {', '.join(sorted(survey.metrics))}.")
    return metric, mode or mode_of(metric)

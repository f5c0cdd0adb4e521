"""What a comparison of these arms and seeds is, and what it comes to."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from lrfind.compare.comparison import Comparison
from lrfind.compare.environment import environment
from lrfind.compare.runs import Arm, Failure, Run
from lrfind.compare.statistics import Mode, judge
from lrfind.compare.store import Store, rate_mismatch
from lrfind.compare.targets.protocol import Survey, Target
from lrfind.records import Finding


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that is settled before the first run."""

    target: Target
    survey: Survey
    steps: int
    metric: str
    mode: Mode
    arms: tuple[Arm, ...]
    seeds: tuple[int, ...]
    findings: Mapping[str, Finding]


def fault_of(run: Run, plan: Plan) -> str:
    """Say why a run cannot stand for its arm; nothing where it can."""
    if run.steps != plan.steps:
        return (
            f"it trained {run.steps} of {plan.steps} steps, and arms are compared after equally many; leave out what "
            f"ends a training early (EarlyStopping, max_time, fast_dev_run)"
        )
    return rate_mismatch(run, next(arm for arm in plan.arms if arm.name == run.arm))


def conclude(plan: Plan, store: Store, failures: Iterable[Failure], *, is_whole: bool) -> Comparison:
    """Return the comparison of the runs that were finished; ``is_whole`` says whether Ctrl-C cut it short."""
    pairs = [(arm, seed) for arm in plan.arms for seed in plan.seeds]
    runs = tuple(run for arm, seed in pairs if (run := store.run(arm, seed)) is not None)
    failures = tuple(failures)
    verdict, summaries = judge(plan.arms, runs, plan.metric, plan.mode, failures)
    ranks = {(arm.name, seed): rank for rank, (arm, seed) in enumerate(pairs)}
    lacking = len(pairs) - len(runs)
    cut = f"Cut short by Ctrl-C: {lacking} of {len(pairs)} runs did not finish and are not shown."
    return Comparison(
        title=plan.target.title,
        setting=_setting(plan, runs),
        metric=plan.metric,
        mode=plan.mode,
        arms=plan.arms,
        runs=runs,
        verdict=verdict,
        finding=plan.findings.get("constant", next(iter(plan.findings.values()), None)),
        failures=tuple(sorted(failures, key=lambda failure: ranks[failure.arm, failure.seed])),
        summaries=summaries,
        environment=environment(),
        notes=(*(() if is_whole else (cut,)), *plan.survey.notes, *_search_notes(plan.findings)),
    )


def _setting(plan: Plan, runs: Sequence[Run]) -> str:
    given = f"{plan.target.setting}; " if plan.target.setting else ""
    length = plan.survey.epoch_steps
    epochs = runs[0].last.epoch if runs else plan.steps / length if length else math.nan
    passes = f" ({epochs:.3g} epochs)" if math.isfinite(epochs) else ""
    return f"Each run: {given}{plan.steps} optimizer steps{passes}; the same start and the same batches for every arm."


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

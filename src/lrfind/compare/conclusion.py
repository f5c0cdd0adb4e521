"""What a comparison of these arms and seeds is, and what it comes to."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

import torch

from lrfind.compare.comparison import Comparison
from lrfind.compare.runs import Arm, Failure, Run
from lrfind.compare.statistics import Mode, judge
from lrfind.compare.store import Store, rate_mismatch
from lrfind.compare.targets.protocol import Survey
from lrfind.compare.targets.variants import Variants
from lrfind.records import Finding


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that is settled before the first run."""

    targets: Variants
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
    order = [(arm.name, seed) for arm, seed in pairs]
    failures = tuple(sorted(failures, key=lambda failure: order.index((failure.arm, failure.seed))))
    verdict, summaries = judge(plan.arms, runs, plan.metric, plan.mode, failures)
    lacking = len(pairs) - len(runs)
    cut = f"Cut short by Ctrl-C: {lacking} of {len(pairs)} runs did not finish and are not shown."
    return Comparison(
        title=plan.targets.title,
        setting=_setting(plan, runs),
        metric=plan.metric,
        mode=plan.mode,
        arms=plan.arms,
        runs=runs,
        verdict=verdict,
        finding=next(iter(plan.findings.values()), None),
        failures=failures,
        summaries=summaries,
        environment=environment(),
        notes=(*(() if is_whole else (cut,)), *plan.survey.notes, *_search_notes(plan.findings)),
    )


def _setting(plan: Plan, runs: Iterable[Run]) -> str:
    given = f"{plan.targets.setting}; " if plan.targets.setting else ""
    length = plan.survey.epoch_steps
    trained = {run.last.epoch for run in runs} or {plan.steps / length if length else math.nan}
    epochs = trained.pop()
    passes = f" ({epochs:.3g} epochs)" if math.isfinite(epochs) and not trained else ""
    alike = "start and the same batches" if "" in plan.targets.targets else "seeds"
    return f"Each run: {given}{plan.steps} optimizer steps{passes}; the same {alike} for every arm."


def _search_notes(findings: Mapping[str, Finding]) -> list[str]:
    """Say where the rates come from that the comparison's finding does not hold itself."""
    notes, searched = [], list(findings.values())[:1]
    for name, finding in list(findings.items())[1:]:
        origin = "was read off the same search"
        if all(finding.records != known.records for known in searched):
            searched.append(finding)
            origin = f"took a search of {finding.cost.steps} steps of its own"
        notes.append(f"The rate for {name}, {finding.lr:.3g}, {origin}.")
    return notes


def versions() -> dict[str, str]:
    """Return the versions of what computes, as far as it is installed."""
    known = {}
    for package in ("lrfind", "torch", "numpy", "lightning", "pytorch_lightning"):
        with suppress(PackageNotFoundError):
            known[package] = version(package)
    return {**known, "Python": platform.python_version()}


def environment() -> dict[str, str]:
    """Return the versions of what computes, and the kind of machine."""
    capability = torch.backends.cpu.get_cpu_capability()
    machine = f"{platform.system()} {platform.machine()} ({capability}) with {os.cpu_count()} cores"
    return {**versions(), "on": machine}

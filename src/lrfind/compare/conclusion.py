"""The plan of a comparison, and the comparison that its runs make."""

import math
import os
import platform
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

import torch

from lrfind.compare.arms import RATE_NAMES
from lrfind.compare.comparison import Arm, Comparison, Failure, Mode, Run
from lrfind.compare.running import Targets
from lrfind.compare.store import Store, rate_mismatch
from lrfind.compare.targets.protocol import Survey
from lrfind.compare.verdict import judge
from lrfind.numbers import counted
from lrfind.records import Finding
from lrfind.words import certainty


@dataclass(frozen=True, slots=True)
class Plan:
    """What is decided before the first run; ``findings`` are by target and schedule."""

    targets: Targets
    survey: Survey
    steps: int
    metric: str
    mode: Mode
    arms: tuple[Arm, ...]
    seeds: tuple[int, ...]
    findings: Mapping[str, Mapping[str, Finding]]


def survey_of(targets: Targets) -> Survey:
    """Survey all targets; ``epoch_steps`` is None where they differ."""
    surveys = {name: target.survey() for name, target in targets.items()}
    lengths = {name: survey.epoch_steps for name, survey in surveys.items()}
    first, *others = surveys.values()
    metrics = tuple(name for name in first.metrics if all(name in other.metrics for other in others))
    notes = tuple(dict.fromkeys(note for survey in surveys.values() for note in survey.notes))
    if len(set(lengths.values())) == 1:
        return Survey(first.epoch_steps, metrics, notes)
    known = ", ".join(f"{counted(n, 'step') if n else 'unknown steps'} with {name}" for name, n in lengths.items())
    return Survey(None, metrics, (*notes, f"An epoch has {known}; all arms train for the same number of steps."))


def fault_of(run: Run, plan: Plan) -> str:
    """Say why a run does not count for its arm; empty if it does."""
    if run.steps != plan.steps:
        return (
            f"it stopped after {run.steps} of {plan.steps} steps; leave out whatever ends training early "
            f"(EarlyStopping, max_time, fast_dev_run)"
        )
    return rate_mismatch(run, next(arm for arm in plan.arms if arm.name == run.arm))


def conclude(plan: Plan, store: Store, failures: Iterable[Failure], *, is_whole: bool) -> Comparison:
    """Return the comparison of the finished runs; ``is_whole`` is False after Ctrl-C."""
    pairs = [(arm, seed) for arm in plan.arms for seed in plan.seeds]
    runs = tuple(run for arm, seed in pairs if (run := store.run(arm, seed)) is not None)
    order = [(arm.name, seed) for arm, seed in pairs]
    failures = tuple(sorted(failures, key=lambda failure: order.index((failure.arm, failure.seed))))
    named = [(variant, name, each) for variant, found in plan.findings.items() for name, each in found.items()]
    unsure = {variant for variant, _, each in named if certainty(each).startswith("unsure")}
    findings = {f"{name} {variant}".rstrip(): each for variant, name, each in named}
    verdict, summaries = judge(plan.arms, runs, plan.metric, plan.mode, failures, unsure=unsure)
    cut = f"Stopped by Ctrl-C: {len(pairs) - len(runs)} of {len(pairs)} runs did not finish and are not shown."
    machine = f"{platform.system()} {platform.machine()} ({torch.backends.cpu.get_cpu_capability()})"
    return Comparison(
        title=next(iter(plan.targets.values())).title,
        setting=_setting(plan, runs),
        metric=plan.metric,
        mode=plan.mode,
        arms=plan.arms,
        runs=runs,
        verdict=verdict,
        finding=next(iter(findings.values()), None),
        failures=failures,
        summaries=summaries,
        environment={**versions(), "on": f"{machine} with {os.cpu_count()} cores"},
        notes=(*(() if is_whole else (cut,)), *plan.survey.notes, *_search_notes(findings)),
    )


def _setting(plan: Plan, runs: Iterable[Run]) -> str:
    first, *others = (re.split(r", (?=\w+=)", target.setting) for target in plan.targets.values())
    first = [each for each in first if each and each.partition("=")[0] not in RATE_NAMES]
    given = ", ".join(each for each in first if all(each in other for other in others))
    length = plan.survey.epoch_steps
    trained = {run.last.epoch for run in runs} or {plan.steps / length if length else math.nan}
    epochs = trained.pop()
    passes = f" ({counted(float(f'{epochs:.3g}'), 'epoch')})" if math.isfinite(epochs) and not trained else ""
    alike = "start and the same batches" if "" in plan.targets else "seeds"
    return f"Each run: {given}{given and '; '}{plan.steps} optimizer steps{passes}; the same {alike} for every arm."


def _search_notes(findings: Mapping[str, Finding]) -> list[str]:
    """Say where the rates of all findings but the first come from, and how sure they are."""
    notes: list[str] = []
    searched: list[Finding] = []
    for name, finding in findings.items():
        rate = f"The rate for {name}, {finding.lr:.3g}, is"
        if any(finding.records == known.records for known in searched):
            notes.append(f"{rate} read off the same search.")
            continue
        if searched:
            notes.append(f"{rate} from a search of {finding.cost.steps} steps of its own.")
            notes += [f"{name}: {said}" for said in (certainty(finding), *finding.notes)]
        searched.append(finding)
    if len(searched) > 1:
        notes.insert(0, f"The search that is shown is the one for {next(iter(findings))}.")
    return notes


def versions() -> dict[str, str]:
    """Return the versions of Python and of the installed packages that runs depend on."""
    known = {}
    for package in ("lrfind", "torch", "numpy", "lightning", "pytorch_lightning"):
        with suppress(PackageNotFoundError):
            known[package] = version(package)
    return {**known, "Python": platform.python_version()}

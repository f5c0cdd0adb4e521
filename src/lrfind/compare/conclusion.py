"""What a comparison keeps and concludes: its finished runs, a JSON file each, its plan, and what its runs make."""

import json
import math
import os
import platform
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import torch

from lrfind.codec import leaves, read_json, write_json
from lrfind.compare.arms import RATE_NAMES, rates
from lrfind.compare.comparison import Arm, Comparison, Failure, Mode, Run
from lrfind.compare.running import Targets
from lrfind.compare.targets.protocol import Survey
from lrfind.compare.verdict import judge
from lrfind.errors import BadInputError
from lrfind.numbers import counted
from lrfind.optim import CLOSE, differing
from lrfind.records import Finding
from lrfind.words import certainty

SCHEMA = "lrfind/runs/2"


class Store:
    """The finished runs and findings of a comparison, in memory and, unless ``out`` is None, on disk.

    ``plans`` is plain data by the name of its file, which must be the same in every call for a folder. It holds no arms
    and seeds, and each target has a file of its own, so that more can be added.
    """

    def __init__(self, out: str | Path | None, plans: Mapping[str, Mapping[str, Any]]) -> None:
        self._folder = None if out is None else Path(out) / "runs"
        self._runs: dict[tuple[str, int], Run] = {}
        self.findings: dict[str, Finding] = {}  # by "schedule" or "schedule variant"
        if self._folder is not None:
            for name, plan in plans.items():
                _check_same(self._folder, name, json.loads(json.dumps({"schema": SCHEMA, **plan})))
            for path in sorted(self._folder.glob("run-*.json")):
                run = Run.load(path)
                self._runs[run.arm, run.seed] = run
            for path in sorted(self._folder.glob("finding-*.json")):
                self.findings[unquote(path.stem).removeprefix("finding-")] = Finding.load(path)

    def run(self, arm: Arm, seed: int) -> Run | None:
        """Return the finished run, or None, also if it had other rates than the arm now has."""
        run = self._runs.get((arm.name, seed))
        return None if run is None or rate_mismatch(run, arm) else run

    def keep_run(self, run: Run) -> None:
        """Keep a finished run."""
        self._runs[run.arm, run.seed] = run
        if self._folder is not None:
            write_json(self._folder / f"run-{quote(run.arm, safe='')}-seed-{run.seed}.json", run.to_dict())

    def keep_finding(self, name: str, finding: Finding) -> None:
        """Keep a finding."""
        self.findings[name] = finding
        if self._folder is not None:
            finding.save(self._folder / f"finding-{quote(name, safe='')}.json")


def _check_same(folder: Path, name: str, plan: dict[str, Any]) -> None:
    file = folder / f"{quote(name, safe='')}.json"
    if not file.exists():
        write_json(file, plan)
        return
    kept = read_json(file, "the plan of a comparison")
    if kept.get("schema") != SCHEMA:
        raise BadInputError(f"{folder.parent} was kept by another version of lrfind; choose another folder.")
    was, now = (dict(leaves(each, "" if name == "plan" else name)) for each in (kept, plan))
    for place in sorted({*was, *now}):
        if was.get(place) != now.get(place):
            raise BadInputError(
                f"{folder.parent} holds the runs of another comparison: its {place} is {_short(was.get(place))}, not "
                f"{_short(now.get(place))}; choose another folder, or delete {folder}."
            )


def rate_mismatch(run: Run, arm: Arm) -> str:
    """Say how the applied rates of a run differ from those of its arm; empty if they do not."""
    asked = rates(arm, run.steps)
    (low, high), (least, greatest) = run.lr_applied, (min(asked), max(asked))
    if differing([low, high], [least, greatest], CLOSE) is None:
        return ""
    return f"it trained at rates from {low:.6g} to {high:.6g}, and its arm has rates from {least:.6g} to {greatest:.6g}"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 120 else f"{text[:117]}..."


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

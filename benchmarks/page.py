"""The page docs/benchmark.md, its figures and results.json, from scores."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from benchmarks import figures, horizons, judging, sweeps, truth, widths
from benchmarks.collect import SUGGESTIONS
from benchmarks.measures import BAD, BAND, Score, difference, summary
from benchmarks.rule import Rule
from benchmarks.scoring import Stored, all_scores, calibrated_scores, designs, scores_at
from benchmarks.store import HERE, read_rows
from benchmarks.tables import (
    LENGTHS,
    OURS,
    SHIPPED,
    SWEEP,
    WIDER,
    bar_table,
    family_table,
    horizon_table,
    judge_table,
    lengths_table,
    list_of_tasks,
    lower_table,
    main_table,
    rule_table,
    summary_table,
    task_table,
)

DOCS = HERE.parent / "docs"
GROUPS = ("seen", "unseen", "late", "wider", "kept")
FIRST = GROUPS[:3]
"""What the rules are compared on."""

SCATTERS = (0.5, 1.0)
"""Octaves by which readings scatter that are compared with the grids themselves."""

README = HERE.parent / "README.md"
RESULTS = HERE / "results.json"


def results_of(stored: Stored, rule_name: str, rules: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Score everything; return what results.json holds, and the scores."""
    scores = all_scores(stored, rules[rule_name])
    results: dict[str, Any] = {"rule": rule_name, "groups": {}, "rules": {}, "tasks": {}}
    for group in GROUPS:
        kept = {name: [one for one in many if stored.tasks[one.task].group == group] for name, many in scores.items()}
        kept = {name: many for name, many in kept.items() if many}
        results["groups"][group] = {name: summary(many) for name, many in kept.items()}
        for name, many in kept.items():
            results["groups"][group][name]["difference"] = list(difference(many, kept[OURS]))
            results["groups"][group][name]["difference_to_one_sweep"] = list(difference(many, kept[SWEEP]))
    for name, rule in rules.items():
        known = [one for one in stored.sweeps if rule.later or stored.tasks[one.task].group in FIRST]
        for design, groups in designs(known).items():
            found, constants = calibrated_scores(rule, stored, groups=groups)
            regrets = {
                group: np.array([s.regret for s in found if stored.tasks[s.task].group == group]) for group in FIRST
            }
            results["rules"][f"{name}, {design}"] = {
                "constants": [round(float(one), 3) for one in constants],
                **{
                    f"{what}_{group}": float(f(values)) if len(values) else None
                    for group, values in regrets.items()
                    for what, f in (("mean", np.mean), ("bad", lambda v: (v > BAD).mean()), ("worst", np.max))
                },
            }
    results["families"] = families(stored, scores)
    results["floors"] = floors(stored)
    results["sgd"] = {group: sgd_share(stored, scores[OURS], group) for group in ("wider", "kept")}
    results["lengths"], results["horizons"] = lengths(stored, rules[rule_name])
    results["widths"] = widths.summaries(widths.ways(stored))
    results["judge"] = judging.scores(list(judging.pairs(stored)))
    for (task, schedule), truth_ in stored.truths.items():
        results["tasks"][f"{task}, {schedule}"] = {
            "best": 2.0**truth_.best,
            "band": list(truth_.band),
            "is_end": bool(truth_.best in truth_.ends),
            "regret": {
                name: float(
                    np.mean([one.regret for one in many if (one.task, one.schedule) == (task, schedule)] or [np.nan])
                )
                for name, many in scores.items()
            },
        }
    return _rounded(results), scores


def lengths(stored: Stored, rule: Rule) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return, by steps of a training, how the methods do, and how lrfind does on each task that was chosen for that."""
    chosen = {steps: horizons.truths(steps) for steps in horizons.CELLS}
    summaries: dict[str, Any] = {}
    rows: list[dict[str, Any]] = []
    for truths in filter(None, (stored.shorter, *chosen.values())):
        steps = next(iter(truths.values())).horizon
        found = scores_at(truths, rule, stored, peers=WIDER)
        summaries[str(steps)] = {name: summary(found[name]) for name in LENGTHS if name in found}
        for (task, schedule), known in chosen.get(steps, {}).items():
            mine = [one for one in found[SHIPPED] if (one.task, one.schedule) == (task, schedule)]
            regrets, octaves = [one.regret for one in mine], [math.log2(one.lr) for one in mine if one.lr]
            row = {"task": task, "schedule": schedule, "steps": steps, "best": 2.0**known.best}
            rows.append({**row, "found": 2.0 ** mean(octaves), "mean": mean(regrets), "worst": max(regrets)})
    return summaries, rows


def floors(stored: Stored) -> dict[str, Any]:
    """Return, for each group, what is lost by the best rate of another seed, and by readings that hit only so well."""
    found = {}
    for group in GROUPS:
        truths = [one for (task, _), one in stored.truths.items() if stored.tasks[task].group == group]
        if truths:
            found[group] = {
                "between_seeds": float(np.nanmean([one.between_seeds for one in truths])),
                **{f"{octaves:g}": float(np.mean([one.scattered(octaves) for one in truths])) for octaves in SCATTERS},
            }
    return found


def sgd_share(stored: Stored, scores: Sequence[Score], group: str) -> dict[str, float]:
    """Return which share of a group's picks are of plain SGD that begins to train, and their share of the regret."""
    known = [(stored.tasks[one.task], one.regret) for one in scores if stored.tasks[one.task].group == group]
    mine = [regret for task, regret in known if task.kind == "sgd" and task.stage is None]
    others = [regret for task, regret in known if not (task.kind == "sgd" and task.stage is None)]
    return {
        "picks": len(mine) / len(known),
        "regret": sum(mine) / (sum(mine) + sum(others)),
        "mean": float(np.mean(mine)),
        "mean_of_others": float(np.mean(others)),
    }


def families(stored: Stored, scores: Mapping[str, list[Score]]) -> dict[str, Any]:
    """Return, for each family that the benchmark was widened by, how the methods do on it."""
    found: dict[str, Any] = {}
    names = sorted({task.family for task in stored.tasks.values() if task.wider})
    for family in names:
        mine = {name: [one for one in many if stored.tasks[one.task].family == family] for name, many in scores.items()}
        found[family] = {
            name: {
                "mean": float(np.mean([one.regret for one in many])),
                "worst": max(one.regret for one in many),
                "bad": float(np.mean([one.regret > BAD for one in many])),
                "covers": float(np.mean([one.covers[0] for one in many if one.covers] or [np.nan])),
                "worse_than_start": sum(int(_is_worse_than_start(stored, one)) for one in many),
                "picks": len(many),
            }
            for name, many in mine.items()
            if many
        }
    return found


def _is_worse_than_start(stored: Stored, one: Score) -> bool:
    """Whether a pick ends clearly above where a training at next to no rate does."""
    return bool(one.regret > stored.truths[one.task, one.schedule].regrets[0] + BAND)


def write(stored: Stored, rule_name: str, rules: Mapping[str, Any]) -> None:
    """Write results.json, the figures and the page."""
    results, scores = results_of(stored, rule_name, rules)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    seen = results["groups"]["seen"]
    figures.regret_against_cost(seen, DOCS / "images" / "benchmark-cost.png")
    first = [one for one in stored.truths.values() if stored.tasks[one.task].group in FIRST]
    figures.suggestions(scores, first, DOCS / "images" / "benchmark-tasks.png")
    environment = Environment(
        loader=FileSystemLoader(HERE),
        undefined=StrictUndefined,
        autoescape=False,
        keep_trailing_newline=True,
    )
    page = environment.get_template("page.md.jinja").render(_values(results, stored))
    (DOCS / "benchmark.md").write_text(page, encoding="utf-8")
    README.write_text(with_summary(README.read_text(encoding="utf-8"), summary_table(seen)), encoding="utf-8")


def with_summary(readme: str, table: str) -> str:
    """Return the README with another table between the comments that mark its place."""
    return re.sub(
        r"(<!-- benchmark -->\n).*?(\n<!-- end -->)", lambda found: found[1] + table + found[2], readme, flags=re.S
    )


def _values(results: dict[str, Any], stored: Stored) -> dict[str, Any]:
    groups = results["groups"]
    names = {group: [task.name for task in stored.tasks.values() if task.group == group] for group in GROUPS}
    lengths = sorted({task.horizon for task in stored.tasks.values() if task.group in FIRST})
    rule = results["rules"][f"{results['rule']}, one sweep"]
    return {
        "horizon": " or ".join(f"{one:,}" for one in lengths),
        **names,
        "cells": sum(stored.tasks[task].group == "seen" for task, _ in stored.truths),
        "wider_lengths": _span({task.horizon for task in stored.tasks.values() if task.wider}),
        "family_table": family_table(results["families"]),
        "wider_summary": {group: groups[group] for group in ("wider", "kept")},
        "worse_than_start": sum(
            one[SHIPPED]["worse_than_start"] for one in results["families"].values() if SHIPPED in one
        ),
        "width_summary": results["widths"],
        "floors": results["floors"],
        "sgd": results["sgd"],
        "scatters": [f"{octaves:g}" for octaves in SCATTERS],
        "judge_table": judge_table(results["judge"]),
        "complete": _complete(stored),
        "grids": len(stored.truths),
        "bar_table": bar_table(groups["seen"]),
        "unsettled": _unsettled(groups["seen"], "difference"),
        "unsettled_sweeps": _unsettled(groups["seen"], "difference_to_one_sweep"),
        "truth_seeds": len(truth.SEEDS),
        "bad": BAD,
        "band": BAND,
        "ours": OURS,
        "rule": results["rule"],
        "steps": sweeps.RAMPS["lrfind"].steps,
        "constants": ", ".join(f"{one:.2f}" for one in rule["constants"]),
        "main_table": main_table(groups["seen"]),
        "unseen_table": main_table(groups["unseen"]),
        "late_table": main_table(groups["late"]),
        "list_of_tasks": list_of_tasks(stored.tasks),
        "task_table": task_table({name: one for name, one in results["tasks"].items() if _is_first(stored, name)}),
        "wider_task_table": task_table(
            {name: one for name, one in results["tasks"].items() if not _is_first(stored, name)}
        ),
        "lower_table": lower_table({task: one for task, one in results["tasks"].items() if _is_seen(stored, task)}),
        "lengths_table": lengths_table(results["lengths"]),
        "horizon_table": horizon_table(results["horizons"]),
        "longest_missing": len(horizons.CELLS[20_000]) - sum(row["steps"] == 20_000 for row in results["horizons"]),
        "rule_table": rule_table(results["rules"]),
        "truth_origin": _origin(truth.TABLE),
        "records_origin": _origin(SUGGESTIONS),
    }


def _span(lengths: set[int]) -> str:
    return f"{min(lengths):,} to {max(lengths):,}"


def _is_first(stored: Stored, cell: str) -> bool:
    """Whether a task and schedule, as results.json names them, is one that the benchmark began with."""
    return stored.tasks[cell.rsplit(", ", 1)[0]].group in FIRST


def _is_seen(stored: Stored, cell: str) -> bool:
    """Whether a task and schedule, as results.json names them, is one of those that the main table is about."""
    return stored.tasks[cell.rsplit(", ", 1)[0]].group == "seen"


def _unsettled(group: Mapping[str, Mapping[str, Any]], difference: str) -> list[str]:
    """The peers that are not worse past the interval of the difference."""
    return [name for name, one in group.items() if not name.startswith("lrfind") and one[difference][1] <= 0]


def _complete(stored: Stored) -> int:
    """How many grids of the truth lack nothing."""
    losses = truth.load()
    return sum(not truth.next_runs(stored.tasks[task], schedule, losses) for task, schedule in stored.truths)


def _origin(path: Path) -> str:
    origins = [row for row in read_rows(path) if "versions" in row]
    commits = list(dict.fromkeys(row["commit"] for row in origins))
    versions = [name for name in (origins[-1]["versions"] if origins else {}).items() if name[1] != "absent"]
    return ", ".join(f"{name} {number}" for name, number in versions) + f" (commit {', '.join(commits)})"


def _rounded(value: Any) -> Any:
    """Five significant digits: enough, and the same on every machine that reads the same rows."""
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.5g}") if np.isfinite(value) else None
    return value

"""The page docs/benchmark.md, its figures and results.json, from scores."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from benchmarks import figures, sweeps, truth
from benchmarks.collect import SUGGESTIONS
from benchmarks.measures import BAD, BAND, difference, summary
from benchmarks.scoring import Stored, all_scores, calibrated_scores
from benchmarks.store import HERE, read_rows
from benchmarks.task import Task

DOCS = HERE.parent / "docs"
RESULTS = HERE / "results.json"
OURS = "lrfind, one sweep"
SHIPPED = "lrfind as shipped, calibrated"
BAR = {"mean": 0.01, "bad": 0.02}
"""What a single sweep is to reach: issue 4."""

DETAILED = (OURS, SHIPPED, "Lightning", "torch-lr-finder", "ignite", "fastai valley", "fastai minimum", "the habit")


def results_of(stored: Stored, rule_name: str, rules: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Score everything; return what results.json holds, and the scores."""
    scores = all_scores(stored, rules[rule_name])
    results: dict[str, Any] = {"rule": rule_name, "groups": {}, "rules": {}, "tasks": {}}
    for group, is_unseen in (("seen", False), ("unseen", True)):
        kept = {
            name: [one for one in many if stored.tasks[one.task].unseen == is_unseen] for name, many in scores.items()
        }
        kept = {name: many for name, many in kept.items() if many}
        results["groups"][group] = {name: summary(many) for name, many in kept.items()}
        for name, many in kept.items():
            results["groups"][group][name]["difference"] = list(difference(many, kept[OURS]))
    for name, rule in rules.items():
        for together in (1, 4):
            found, constants = calibrated_scores(rule, stored, together=together)
            regrets = {
                flag: np.array([s.regret for s in found if stored.tasks[s.task].unseen == flag])
                for flag in (False, True)
            }
            results["rules"][f"{name}, median of 4" if together > 1 else name] = {
                "constants": [round(float(one), 3) for one in constants],
                **{
                    f"{what}_{'unseen' if flag else 'seen'}": float(f(values)) if len(values) else None
                    for flag, values in regrets.items()
                    for what, f in (("mean", np.mean), ("bad", lambda v: (v > BAD).mean()), ("worst", np.max))
                },
            }
    for (task, schedule), known in stored.truths.items():
        results["tasks"][f"{task}, {schedule}"] = {
            "best": 2.0**known.best,
            "band": list(known.band),
            "is_end": bool(known.best in known.ends),
            "regret": {
                name: float(
                    np.mean([one.regret for one in many if (one.task, one.schedule) == (task, schedule)] or [np.nan])
                )
                for name, many in scores.items()
            },
        }
    return _rounded(results), scores


def write(stored: Stored, rule_name: str, rules: Mapping[str, Any]) -> None:
    """Write results.json, the figures and the page."""
    results, scores = results_of(stored, rule_name, rules)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    seen = results["groups"]["seen"]
    figures.regret_against_cost(seen, DOCS / "images" / "benchmark-cost.png")
    figures.suggestions(scores, list(stored.truths.values()), DOCS / "images" / "benchmark-tasks.png")
    environment = Environment(
        loader=FileSystemLoader(HERE),
        undefined=StrictUndefined,
        autoescape=False,
        keep_trailing_newline=True,
    )
    page = environment.get_template("page.md.jinja").render(_values(results, stored))
    (DOCS / "benchmark.md").write_text(page, encoding="utf-8")


def _values(results: dict[str, Any], stored: Stored) -> dict[str, Any]:
    groups = results["groups"]
    names = {flag: [task.name for task in stored.tasks.values() if task.unseen == flag] for flag in (False, True)}
    horizons = sorted({task.horizon for task in stored.tasks.values()})
    shipped = groups["seen"][SHIPPED]
    rule = results["rules"][results["rule"]]
    return {
        "horizon": " or ".join(f"{one:,}" for one in horizons),
        "seen": names[False],
        "unseen": names[True],
        "cells": sum(not stored.tasks[task].unseen for task, _ in stored.truths),
        "complete": _complete(stored),
        "grids": len(stored.truths),
        "bar": BAR,
        "score": groups["seen"][OURS],
        "unsettled": [name for name, one in groups["seen"].items() if name != OURS and one["difference"][1] <= 0],
        "truth_seeds": len(truth.SEEDS),
        "bad": BAD,
        "band": BAND,
        "ours": OURS,
        "rule": results["rule"],
        "steps": sweeps.RAMPS["lrfind"].steps,
        "constants": ", ".join(f"{one:.2f}" for one in rule["constants"]),
        "covers_best": shipped["covers_best"],
        "covers_band": shipped["covers_band"],
        "main_table": _main_table(groups["seen"]),
        "unseen_table": _main_table(groups["unseen"]),
        "list_of_tasks": _list_of_tasks(stored.tasks),
        "task_table": _task_table(results["tasks"]),
        "rule_table": _rule_table(results["rules"]),
        "truth_origin": _origin(truth.TABLE),
        "records_origin": _origin(SUGGESTIONS),
    }


def _complete(stored: Stored) -> int:
    """How many grids of the truth lack nothing."""
    losses = truth.load()
    return sum(not truth.next_runs(stored.tasks[task], schedule, losses) for task, schedule in stored.truths)


def _main_table(group: Mapping[str, Mapping[str, Any]]) -> str:
    heads = (
        "method",
        "mean regret",
        "bad",
        "median",
        "90 %",
        "worst",
        "octaves off",
        "lost",
        "failed",
        "steps",
        "share",
        "seconds",
        "difference",
        "picks",
    )
    rows = []
    for name, one in sorted(group.items(), key=lambda item: item[1]["mean"]):
        low, high = one["mean_interval"]
        bad_low, bad_high = one["bad_interval"]
        more, more_low, more_high = one["difference"]
        rows.append(
            (
                f"**{name}**" if name == OURS else name,
                f"{one['mean']:.3f} ({low:.3f}..{high:.3f})",
                f"{one['bad']:.0%} ({bad_low:.0%}..{bad_high:.0%})",
                f"{one['median']:.3f}",
                f"{one['p90']:.3f}",
                f"{one['worst']:.2f}",
                "-" if one["octaves"] is None else f"{one['octaves']:.1f}",
                str(one["lost"]),
                str(one["failures"]),
                f"{one['steps']:.0f}",
                f"{one['share']:.1%}",
                f"{one['seconds']:.2f}",
                "-" if name == OURS else f"{more:+.3f} ({more_low:+.3f}..{more_high:+.3f})",
                str(one["picks"]),
            )
        )
    return _markdown(heads, rows) + "\n\n*Lost*: regret 0.99 or more. *Failed*: raised, diverged or suggested nothing."


def _task_table(tasks: Mapping[str, Mapping[str, Any]]) -> str:
    rows = []
    for name, one in tasks.items():
        low, high = one["band"]
        mark = " (end of the grid)" if one["is_end"] else ""
        regrets = [one["regret"].get(method) for method in DETAILED]
        shown = ["-" if value is None else f"{value:.3f}" for value in regrets]
        rows.append((name, f"{one['best']:.2g}{mark}", f"{low:.2g}..{high:.2g}", *shown))
    return _markdown(("task, schedule", "best", "good", *DETAILED), rows)


def _list_of_tasks(tasks: Mapping[str, Task]) -> str:
    rows = [
        (
            task.name,
            task.family + (" (unseen)" if task.unseen else ""),
            task.optimizer_name,
            str(task.batch_size),
            ", ".join(task.schedules),
        )
        for task in tasks.values()
    ]
    return _markdown(("task", "family", "optimizer", "batch", "schedules"), rows)


def _rule_table(rules: Mapping[str, Mapping[str, Any]]) -> str:
    rows = []
    for name, one in sorted(rules.items(), key=lambda item: item[1]["mean_seen"]):
        unseen = [one[f"{what}_unseen"] for what in ("mean", "bad", "worst")]
        rows.append(
            (
                name,
                f"{one['mean_seen']:.4f}",
                f"{one['bad_seen']:.1%}",
                f"{one['worst_seen']:.3f}",
                *("-" if value is None else f"{value:.3f}" for value in unseen),
                ", ".join(f"{value:.2f}" for value in one["constants"]),
            )
        )
    heads = ("rule", "mean", "bad", "worst", "unseen: mean", "bad", "worst", "constants fitted on all")
    return _markdown(heads, rows)


def _markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


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

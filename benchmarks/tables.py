"""The tables of the page and of the README, from results."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks.task import Task

OURS = "lrfind, 10 %"
SWEEP = "lrfind, one sweep"
SHIPPED = "lrfind as shipped"

PEERS = ("Lightning", "torch-lr-finder", "ignite", "fastai valley", "fastai minimum", "the habit")
DETAILED = (OURS, SWEEP, SHIPPED, *PEERS)
"""The methods whose regret on each task is shown."""

WIDER = ("Lightning", "torch-lr-finder", "fastai valley", "fastai minimum", "the habit")
"""The peers that stand beside it on the families that came later."""

RIVALS = ("Prodigy", "D-Adaptation", "DoG", "schedule-free", "the habit")
"""What trains without a search."""

CLOSE = 0.002
"""Regrets this close are not told apart."""

SUMMED = {
    OURS: "**lrfind**",
    SWEEP: "**lrfind, one range test**",
    "lrfind, 3 %": "lrfind, one range test of 60 steps",
    "fastai valley": "fastai's `valley`",
    "Optuna, 10 % of training": "Optuna (TPE, median pruner)",
    "top-k, 10 % of training": "eight short runs, the best two longer",
    "the habit": "common defaults: Adam 1e-3, SGD 1e-2",
    "torch-lr-finder": "torch-lr-finder",
    "ignite": "ignite",
    "Lightning": "Lightning's `Tuner.lr_find`",
    "Prodigy": "Prodigy, no rate",
    "D-Adaptation": "D-Adaptation, no rate",
    "DoG": "DoG, no rate",
    "schedule-free": "schedule-free, default rate",
}
"""The methods of the README's table, and what it calls them."""


BARS: tuple[tuple[str, str, float], ...] = (
    (SWEEP, "mean", 0.01),
    (SWEEP, "bad", 0.02),
    (SWEEP, "failures", 0),
    (OURS, "mean", 0.005),
    (OURS, "median", 0.002),
    (OURS, "worst", 0.03),
    (OURS, "failures", 0),
    ("lrfind, 3 %", "mean", 0.015),
    ("lrfind, 25 %", "mean", 0.002),
)
"""What was set before anything was measured: method, measure, at most."""


def bar_table(group: Mapping[str, Mapping[str, Any]]) -> str:
    """Return what was aimed at, and what came out."""
    rows = []
    for name, measure, most in BARS:
        value = group[name][measure]
        interval = group[name].get(f"{measure}_interval")
        spread = f" ({interval[0]:.4f}..{interval[1]:.4f})" if interval else ""
        rows.append((name, measure, f"{most:g}", f"{value:.4f}{spread}", "reached" if value <= most else "missed"))
    return markdown(("", "measure", "at most", "is", ""), rows)


def summary_table(group: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the README's table."""
    rows = []
    for name, one in sorted(group.items(), key=lambda item: item[1]["mean"]):
        if name in SUMMED:
            (low, high), cost = one["mean_interval"], f"{one['share']:.0%}"
            regret = f"{one['mean']:.3f} ({low:.3f}..{high:.3f})"
            rows.append((SUMMED[name], regret, f"{one['bad']:.0%}", str(one["failures"]), cost))
    return markdown(("", "mean regret", "worse than 5 %", "failed", "cost, of a training"), rows)


def main_table(group: Mapping[str, Mapping[str, Any]]) -> str:
    """Return every method with every measure, best first."""
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
    return markdown(heads, rows) + "\n\n*Lost*: regret 0.99 or more. *Failed*: raised, diverged or suggested nothing."


def lower_table(tasks: Mapping[str, Mapping[str, Any]]) -> str:
    """Return where a training without a search, as long as search and training together, ends lower than after one."""
    rows = []
    for name in RIVALS:
        regrets = {task: (one["regret"][OURS], one["regret"].get(name)) for task, one in tasks.items()}
        known = {task: (ours, theirs) for task, (ours, theirs) in regrets.items() if theirs is not None}
        lower = [
            f"{task} ({theirs:.3f}, {ours:.3f})" for task, (ours, theirs) in known.items() if theirs < ours - CLOSE
        ]
        rows.append((name, str(len(known)), str(len(lower)), "; ".join(lower) or "none"))
    return markdown(("method", "pairs", f"lower by more than {CLOSE}", "where (its regret, ours)"), rows)


def task_table(tasks: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the regret of some methods on each task."""
    rows = []
    for name, one in tasks.items():
        low, high = one["band"]
        mark = " (end of the grid)" if one["is_end"] else ""
        regrets = [one["regret"].get(method) for method in DETAILED]
        shown = ["-" if value is None else f"{value:.3f}" for value in regrets]
        rows.append((name, f"{one['best']:.2g}{mark}", f"{low:.2g}..{high:.2g}", *shown))
    return markdown(("task, schedule", "best", "good", *DETAILED), rows)


def list_of_tasks(tasks: Mapping[str, Task]) -> str:
    """Return what each task is."""
    rows = [
        (
            task.name,
            task.family + (f" ({task.group})" if task.unseen and not task.wider else ""),
            task.optimizer_name,
            str(task.batch_size),
            ", ".join(task.schedules),
        )
        for task in tasks.values()
    ]
    return markdown(("task", "family", "optimizer", "batch", "schedules"), rows)


def family_table(families: Mapping[str, Mapping[str, Any]]) -> str:
    """Return, for each family that came later, how lrfind as shipped does, and the mean regrets of others."""
    rows = []
    for family, methods in families.items():
        if SHIPPED not in methods:  # its truth is not there yet
            continue
        one = methods[SHIPPED]
        others = [methods.get(name) for name in (OURS, *WIDER)]
        rows.append(
            (
                family,
                f"{one['mean']:.3f}",
                f"{one['bad']:.0%}",
                f"{one['worst']:.2f}",
                f"{one['covers']:.0%}",
                str(one["worse_than_start"]),
                *("-" if other is None else f"{other['mean']:.3f}" for other in others),
                str(one["picks"]),
            )
        )
    heads = ("family", "mean regret", "bad", "worst", "interval holds best", "worse than no training")
    return markdown((*heads, "family left out", *WIDER, "picks"), rows)


def judge_table(groups: Mapping[str, Mapping[str, Any]]) -> str:
    """Return how often judgements that are sure are right, and how many rates that lose much get one."""
    rows = [
        (
            group,
            f"{one['pairs']:,}",
            f"{one['sure']:.0%}",
            "-" if one["right"] is None else f"{one['right']:.1%}",
            "-" if one["told"] is None else f"{one['told']:.0%}",
        )
        for group, one in groups.items()
    ]
    return markdown(("tasks", "pairs", "sure", "of these right", "sure of those that lose over 0.02"), rows)


LENGTHS = (SHIPPED, OURS, *WIDER)
"""The methods that are scored for trainings of other lengths."""


def lengths_table(lengths: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    """Return how methods do where training is shorter or longer than elsewhere."""
    rows = [
        (f"{int(steps):,}", name, f"{one['mean']:.3f}", f"{one['bad']:.0%}", f"{one['worst']:.2f}", str(one["picks"]))
        for steps, methods in lengths.items()
        for name, one in methods.items()
    ]
    return markdown(("steps", "method", "mean regret", "bad", "worst", "picks"), rows)


def horizon_table(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return the same of lrfind for each task and length."""
    shown = [
        (
            f"{row['task']}, {row['schedule']}",
            f"{row['steps']:,}",
            f"{row['best']:.2g}",
            f"{row['found']:.2g}",
            f"{row['mean']:.3f}",
            f"{row['worst']:.3f}",
        )
        for row in rows
    ]
    return markdown(("task, schedule", "steps", "best", "found", "mean regret", "worst"), shown)


def rule_table(rules: Mapping[str, Mapping[str, Any]]) -> str:
    """Return how each reading rule scores when calibrated without the family it is scored on."""
    rows = []
    for name, one in sorted(rules.items(), key=lambda item: item[1]["mean_seen"]):
        others = [one[f"{what}_{group}"] for group in ("unseen", "late") for what in ("mean", "worst")]
        rows.append(
            (
                name,
                f"{one['mean_seen']:.4f}",
                f"{one['bad_seen']:.1%}",
                f"{one['worst_seen']:.3f}",
                *("-" if value is None else f"{value:.3f}" for value in others),
                ", ".join(f"{value:.2f}" for value in one["constants"]),
            )
        )
    heads = ("rule", "mean", "bad", "worst", "unseen: mean", "worst", "late: mean", "worst", "constants fitted on all")
    return markdown(heads, rows)


def markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)

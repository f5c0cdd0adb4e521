"""Comparisons made up for the tests of what is shown: six arms over three seeds, one failure, one arm that diverges."""

import math
from dataclasses import replace

import numpy as np
from curves_with_answers import made_up

from lrfind.compare.arms import rates
from lrfind.compare.comparison import Arm, Comparison, Failure, Row, Run
from lrfind.compare.verdict import judge
from lrfind.records import Cost
from lrfind.strategies.range_test import RangeTest

STEPS, EVALUATIONS, EPOCH = 1200, 24, 240

HOSTILE = "</script><script>document.title='owned'</script><img src=x onerror=alert(1)> <b>& $\\frac$ %{x}"


def made_up_finding():
    """The reading of a made-up range test, repeated twice over the rates that matter."""
    records = [made_up(), *(made_up(steps=48, seed=seed, low=1e-4) for seed in (1, 2))]
    finding = RangeTest().propose(records[:1])
    notes = ("The interval is an octave either way.",)
    return replace(finding, records=tuple(records), cost=Cost(128 + 2 * 48, 6.21), notes=notes)


FINDING = made_up_finding()

ARMS = (
    Arm("1e-05", 1e-5),
    Arm("0.01", 1e-2),
    Arm("0.1", 0.1),
    Arm("found", FINDING.lr, origin="found"),
    Arm("linear", 2.4e-3, "linear", origin="found"),
    Arm("triangular", FINDING.max_lr, "triangular", FINDING.base_lr, 3, origin="found"),
)

END = {"1e-05": 0.95, "0.01": 0.345, "found": 0.312, "linear": 0.274, "triangular": 0.279}
"""The validation loss that each arm ends at; the one that is not here diverges."""


def made_up_run(arm, seed, *, end=None, steps=STEPS, evaluations=EVALUATIONS):
    """A run whose losses fall from 2.3 to where its arm ends, or blow up after a quarter."""
    end = END.get(arm.name, 0.3) if end is None else end
    random = np.random.default_rng([seed, *map(ord, arm.name)])
    offset = 0.004 * np.random.default_rng(seed).standard_normal()
    used = rates(arm, steps)
    rows = []
    for number in range(1, evaluations + 1):
        fraction = number / evaluations
        loss = end + (2.3 - end) * math.exp(-7 * fraction) + offset + 0.003 * random.standard_normal()
        if arm.name == "0.1":
            loss = 2.4 * 4 ** (number - 1) if fraction < 0.4 else math.nan
        right = 0.1 if math.isnan(loss) else max(0.1, 1 - 0.35 * loss)
        metrics = {"train_loss": loss * 0.9, "train_accuracy": right + 0.01, "val_loss": loss, "val_accuracy": right}
        step = round(steps * fraction)
        rows.append(Row(step, step / EPOCH, used[step - 1], metrics))
    tested = {"test_loss": rows[-1].metrics["val_loss"] + 0.01, "test_accuracy": rows[-1].metrics["val_accuracy"]}
    return Run(arm.name, seed, (min(used), max(used)), steps, 41.5 + seed, tuple(rows), tested)


def made_up_comparison(arms=ARMS, seeds=3, *, failed=("0.01", 2), finding=FINDING, **changes):
    """A comparison of arms over seeds, with one failed run unless told otherwise."""
    runs = tuple(made_up_run(arm, seed) for arm in arms for seed in range(seeds) if (arm.name, seed) != failed)
    verdict, summaries = judge(arms, runs, "val_loss", "min")
    comparison = Comparison(
        title="LeNet on Fashion-MNIST",
        setting="Each run: Adam, batches of 64, 5 epochs; runs of one seed share their initial weights and batches.",
        metric="val_loss",
        mode="min",
        arms=tuple(arms),
        runs=runs,
        verdict=verdict,
        finding=finding,
        failures=(Failure(*failed, "RuntimeError: CUDA out of memory"),) if failed else (),
        summaries=summaries,
        environment={
            "lrfind": "0.1.0",
            "torch": "2.13.0",
            "Python": "3.12.3",
            "on": "Linux x86_64 (AVX2) with 8 cores",
        },
        notes=("One run failed, twice.",) if failed else (),
    )
    return replace(comparison, **changes)

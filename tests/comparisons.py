"""Comparisons made up for the tests of what is shown: six arms over three seeds, one failure, one arm that diverges."""

import math
from dataclasses import replace

import numpy as np
from curves_with_answers import made_up

from lrfind.compare.comparison import Comparison, Interval, Pair, Verdict
from lrfind.compare.runs import Arm, Failure, Row, Run
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
    Arm("1e-5", 1e-5),
    Arm("1e-2", 1e-2),
    Arm("0.1", 0.1),
    Arm("found", FINDING.lr, origin="found"),
    Arm("found, triangular", FINDING.max_lr, "triangular", FINDING.base_lr, 3, origin="found"),
    Arm("found, linear", 2.4e-3, "linear", origin="found"),
)

END = {"1e-5": 0.95, "1e-2": 0.345, "found": 0.312, "found, triangular": 0.301, "found, linear": 0.274}
"""The validation loss that each arm ends at; the one that is not here diverges."""


def rate_at(arm, fraction):
    """The rate of an arm at a fraction of the training."""
    if arm.schedule == "linear":
        return arm.lr * (1 - fraction)
    if arm.schedule == "triangular":
        return arm.base_lr + (arm.lr - arm.base_lr) * (1 - abs(2 * (arm.cycles * fraction % 1) - 1))
    return arm.lr


def made_up_run(arm, seed, *, end=None, steps=STEPS, evaluations=EVALUATIONS):
    """A run whose losses fall from 2.3 to where its arm ends, or blow up after a quarter."""
    end = END.get(arm.name, 0.3) if end is None else end
    random = np.random.default_rng([seed, *map(ord, arm.name)])
    offset = 0.004 * np.random.default_rng(seed).standard_normal()
    rows = []
    for number in range(1, evaluations + 1):
        fraction = number / evaluations
        loss = end + (2.3 - end) * math.exp(-7 * fraction) + offset + 0.003 * random.standard_normal()
        if arm.name == "0.1":
            loss = 2.4 * 4 ** (number - 1) if fraction < 0.4 else math.nan
        right = 0.1 if math.isnan(loss) else max(0.1, 1 - 0.35 * loss)
        metrics = {"train_loss": loss * 0.9, "train_accuracy": right + 0.01, "val_loss": loss, "val_accuracy": right}
        step = round(steps * fraction)
        rows.append(Row(step, step / EPOCH, rate_at(arm, fraction - 1e-3), metrics))
    rates = [rate_at(arm, step / 999) for step in range(1000)]
    tested = {"test_loss": rows[-1].metrics["val_loss"] + 0.01, "test_accuracy": rows[-1].metrics["val_accuracy"]}
    return Run(arm.name, seed, (min(rates), max(rates)), steps, 41.5 + seed, tuple(rows), tested)


def summary(values):
    """The mean of a few values with its 95 % interval by Student's t for three of them."""
    mean = float(np.mean(values))
    half = float(4.303 * np.std(values, ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else 0.0
    return Interval(mean, mean - half, mean + half)


def made_up_comparison(arms=ARMS, seeds=3, *, failed=("1e-2", 2), finding=FINDING, **changes):
    """A comparison of arms over seeds, with one failed run unless told otherwise."""
    runs = tuple(made_up_run(arm, seed) for arm in arms for seed in range(seeds) if (arm.name, seed) != failed)
    comparison = Comparison(
        title="LeNet on Fashion-MNIST",
        setting="Each run: Adam, batches of 64, 5 epochs; runs of one seed share their initial weights and batches.",
        metric="val_loss",
        mode="min",
        arms=tuple(arms),
        runs=runs,
        verdict=Verdict("", None, None, ()),
        finding=finding,
        failures=(Failure("1e-2", 2, "RuntimeError: CUDA out of memory (twice)"),) if failed else (),
        environment={
            "lrfind": "0.1.0",
            "torch": "2.13.0",
            "Python": "3.12.3",
            "on": "Linux x86_64 (AVX2) with 8 cores",
        },
        notes=("1e-2: one run of three failed.",) if failed else (),
    )
    ends = {arm.name: [run.final("val_loss") for run in comparison.runs_of(arm.name)] for arm in arms}
    summaries = {name: summary(values) for name, values in ends.items() if values}
    return replace(replace(comparison, summaries=summaries, verdict=judged(summaries, ends)), **changes)


def judged(summaries, ends):
    """A plausible verdict: the least mean wins; what lies within 0.02 of it is too close to call."""
    order = sorted((name for name in ends if not math.isnan(summaries[name].mean)), key=lambda n: summaries[n].mean)
    if not order:
        return Verdict("No run ended with a finite val_loss.", None, None, ())
    best, *others = order
    if len(ends[best]) == 1:
        return Verdict(f"One seed: no verdict; lowest val_loss: {best}, {summaries[best].mean:.4f}.", None, best, ())
    pairs = []
    for other in others:
        difference = summaries[other].mean - summaries[best].mean
        is_settled = difference > 0.03
        half = 0.4 * difference if is_settled else 1.3 * difference
        interval = Interval(difference, difference - half, difference + half)
        pairs.append(Pair(best, other, interval, is_settled, len(ends[other]), None if is_settled else 9))
    close = [pair.second for pair in pairs if not pair.is_settled]
    sentence = (
        f"Too close to call: {best} has the lowest val_loss, {summaries[best].mean:.4f}, "
        f"but {' and '.join(close)} may be as good; about 6 more seeds would settle it."
        if close
        else f"{best} wins: val_loss {summaries[best].mean:.4f}, better than every other arm past its interval."
    )
    kinds = next((pair for pair in pairs if pair.second == "found"), None)
    return Verdict(sentence, None if close else best, best, tuple(pairs), kinds)

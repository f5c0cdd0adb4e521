"""The verdict is right: on equal arms, on unequal ones, on ones that diverged."""

import math
import re
from dataclasses import replace

import numpy as np
import pytest
from comparisons import ARMS, made_up_comparison

from lrfind.compare.comparison import Arm, Failure, Row, Run
from lrfind.compare.verdict import _greatest, closing, critical, judge, pair, summary
from lrfind.numbers import span


def runs_of(table, names, metric="val_loss"):
    """A run per seed (row) and arm (column)."""
    return [
        Run(name, seed, (0.1, 0.1), 10, 1.0, (Row(10, 1.0, 0.1, {metric: float(value)}),))
        for seed, row in enumerate(table)
        for name, value in zip(names, row, strict=True)
        if value is not None
    ]


def arms_named(names):
    return [Arm(name, 0.1, "constant" if index == 0 else "linear") for index, name in enumerate(names)]


def verdict_of(table, mode="min"):
    names = [f"arm {column}" for column in range(len(table[0]))]
    return judge(arms_named(names), runs_of(table, names), "val_loss", mode)[0]


@pytest.mark.parametrize("arms", [2, 3, 5, 8])
@pytest.mark.parametrize("seeds", [2, 3, 5, 10])
def test_equal_arms_are_too_close_to_call(arms, seeds):
    """In 95 % of trials with two arms, which is Student's own, in more with several: a winner must beat them all."""
    rng = np.random.default_rng(10 * arms + seeds)
    count, least = (100, 95) if arms > 2 else (1000, 950 - 2 * np.sqrt(1000 * 0.95 * 0.05))
    trials = [rng.normal(0.3, 0.02, (seeds, 1)) + rng.normal(0, 0.01, (seeds, arms)) for _ in range(count)]
    assert sum("Too close to call" in verdict_of(trial).sentence for trial in trials) >= least


@pytest.mark.parametrize("loose", [1.0, 3.0, 10.0])
@pytest.mark.parametrize("seeds", [2, 3, 5, 10])
@pytest.mark.parametrize("arms", [2, 3, 8])
def test_all_differences_are_inside_their_intervals_at_once(arms, seeds, loose):
    """95 % where one arm's seeds scatter up to three times as much as the others', and not much less beyond."""
    spreads = np.array([loose, *[1.0] * (arms - 1)])
    tables = np.random.default_rng(11).normal(0, 1, (4000, seeds, arms)) * spreads
    standard_error = np.sqrt(0.95 * 0.05 / 4000)
    least = 0.95 if loose <= 3 or arms == 2 else 0.87
    assert np.mean(_greatest(tables) <= critical(seeds, arms)) >= least - 3 * standard_error


def test_an_interval_of_a_verdict_is_what_the_simulations_are_of():
    rng = np.random.default_rng(1)
    table = rng.normal(0, 1, (4, 3))
    pairs = [pair("abc", table, "abc"[i], "abc"[j]) for i in range(3) for j in range(i)]
    ratios = [one.difference.mean / (one.difference.high - one.difference.mean) * critical(4, 3) for one in pairs]
    assert max(ratios) == pytest.approx(float(_greatest(table[None])[0]))


@pytest.mark.parametrize(
    ("arms", "seeds", "found"), [(2, 3, 0.6), (2, 5, 0.97), (5, 3, 0.3), (5, 5, 0.9), (8, 5, 0.85)]
)
def test_a_known_difference_is_found(arms, seeds, found):
    """One arm better by 0.04 where the seeds of a pair differ by 0.014."""
    rng = np.random.default_rng(7)
    wins = 0
    for _ in range(100):
        table = rng.normal(0.3, 0.05, (seeds, 1)) + rng.normal(0, 0.01, (seeds, arms))
        table[:, 1] -= 0.04
        verdict = verdict_of(table)
        assert verdict.winner in (None, "arm 1")
        wins += verdict.winner == "arm 1"
    assert wins / 100 >= found


def test_with_two_arms_the_interval_is_students():
    assert [critical(seeds, 2) for seeds in (2, 3, 4, 6, 11)] == pytest.approx(
        [12.706, 4.303, 3.182, 2.571, 2.228], rel=0.02
    )


def test_more_arms_ask_for_more_and_more_seeds_for_less():
    assert critical(5, 2) < critical(5, 3) < critical(5, 5) < critical(5, 8)
    assert critical(2, 5) > critical(3, 5) > critical(5, 5) > critical(10, 5)


def test_what_is_said_of_a_winner():
    verdict = verdict_of([[0.5, 0.30, 0.4], [0.51, 0.31, 0.41], [0.50, 0.31, 0.40]])
    assert (verdict.winner, verdict.best) == ("arm 1", "arm 1")
    assert str(verdict).startswith("arm 1 wins: it has a lower val_loss than all 2 other arms")
    assert [one.second for one in verdict.pairs] == ["arm 2", "arm 0"]
    assert all(one.is_settled and one.seeds_needed is None and one.difference.low > 0 for one in verdict.pairs)
    assert {verdict.kinds.first, verdict.kinds.second} == {"arm 0", "arm 1"}


def test_as_many_seeds_are_named_as_the_hardest_pair_needs():
    rng = np.random.default_rng(10)
    table = np.array([0.3, 0.32, 0.33]) + rng.normal(0, 1, (5, 3)) * np.array([0.001, 0.01, 0.03])
    verdict = verdict_of(table)
    needed = [one.seeds_needed for one in verdict.pairs if not one.is_settled]
    assert needed[0] < needed[1]  # the closest in the mean first, the hardest last
    assert f"About {max(needed)} seeds in all would settle it" in verdict.sentence


def test_too_close_says_how_many_seeds_would_settle_it():
    rng = np.random.default_rng(0)
    table = rng.normal(0, 0.01, (3, 2)) + np.array([0.3, 0.31])
    verdict = verdict_of(table)
    (one,) = verdict.pairs
    assert verdict.winner is None
    assert f"About {one.seeds_needed} seeds in all would settle it" in verdict.sentence
    spread = np.std(table[:, 1] - table[:, 0], ddof=1)
    assert critical(min(one.seeds_needed, 30), 2) * spread / math.sqrt(one.seeds_needed) < one.difference.mean
    assert critical(3, 2) * spread / math.sqrt(3) > one.difference.mean


def test_the_greatest_is_best_where_asked_for():
    verdict = verdict_of([[0.8, 0.9], [0.81, 0.91], [0.8, 0.905]], mode="max")
    assert verdict.winner == "arm 1"
    assert "higher" in verdict.sentence
    assert verdict.pairs[0].difference.mean > 0


def test_an_arm_that_diverged_has_lost():
    verdict = verdict_of([[0.3, math.nan, 0.4], [0.31, 0.2, 0.412], [0.3, 0.2, 0.401]])
    assert verdict.winner == "arm 0"
    assert [one.second for one in verdict.pairs] == ["arm 2"]
    assert "arm 1 lost: not every run ended with a finite val_loss" in verdict.sentence
    assert verdict_of([[math.inf, math.nan]]).best is None
    assert verdict_of([[0.3, math.nan], [0.31, math.nan]]).winner == "arm 0"
    alone = verdict_of([[0.3, math.nan]])
    assert alone.winner is None
    assert "only arm 0 ended with a finite val_loss, and one seed settles nothing" in alone.sentence


def test_one_seed_has_no_interval_and_the_arms_in_order():
    verdict = verdict_of([[0.4, 0.3, 2.3]])
    assert verdict.winner is None
    assert "one seed: no interval" in verdict.sentence.lower()
    assert "oo close" not in verdict.sentence
    assert re.findall(r"arm \d", verdict.sentence) == ["arm 1", "arm 0", "arm 2"]
    assert "0.1 behind" in verdict.sentence


@pytest.mark.parametrize("mode", ["min", "max"])
def test_what_to_take_from_a_comparison_is_the_best_arm_beside_the_best_guess(mode):
    whole = replace(made_up_comparison(ARMS, 1, failed=None), mode=mode)
    means = {arm.name: whole.summaries[arm.name].mean for arm in ARMS if arm.name in whole.summaries}
    best = whole.verdict.best
    said = closing(whole)
    assert f"lr {next(arm.lr for arm in ARMS if arm.name == best):.3g}" in said
    assert f"{means[best]:.4g}" in said
    guesses = [arm.name for arm in ARMS if arm.origin == "given" and arm.name in means]
    guesses = [name for name in guesses if math.isfinite(means[name])]
    guess = (min if mode == "min" else max)(guesses, key=means.get)
    assert f"{guess}, gives {means[guess]:.4g}" in said
    assert "try lower" in closing(replace(whole, verdict=replace(whole.verdict, best=None)))
    nothing = replace(whole.verdict, best=None, lost=())  # runs that failed say nothing of the rate
    assert "see what failed" in closing(replace(whole, verdict=nothing))


def test_a_cyclical_arm_is_to_be_trained_with_both_ends_of_its_range():
    whole = made_up_comparison(ARMS, 1, failed=None)
    said = closing(replace(whole, verdict=replace(whole.verdict, best="triangular")))
    assert f"Train with lr {span(ARMS[-1].base_lr, ARMS[-1].lr)}, schedule triangular: " in said


def test_an_arm_with_a_failed_run_is_named_and_takes_no_seed_from_the_others():
    table = [[0.3, 0.4, 0.35], [0.31, 0.41, None], [0.3, 0.405, 0.36]]
    names = ["a", "b", "c"]
    runs = runs_of(table, names)
    found = judge(arms_named(names), runs, "val_loss", "min", [Failure("c", 1, "")])[0]
    assert (found.winner, found.not_compared, found.seeds) == ("a", ("c",), 3)
    assert [one.second for one in found.pairs] == ["b"]
    assert found.sentence.endswith("c is not compared: not every run finished.")
    nothing = judge(arms_named([*names, "d"]), runs, "val_loss", "min", failures_of("c", "d"))[0]
    assert nothing.not_compared == ("c", "d")


@pytest.mark.parametrize(("unsure", "said"), [({"a"}, ()), ({"b"}, ("b",)), ({"a", "b"}, ("b",)), ((), ())])
def test_a_variant_is_not_settled_by_a_search_that_was_unsure(unsure, said):
    arms = [Arm(f"found {name}", 0.1, variant=name) for name in "ab"]
    runs = runs_of([[0.3, 0.4], [0.31, 0.41], [0.3, 0.405]], ["found a", "found b"])
    found = judge(arms, runs, "val_loss", "min", unsure=unsure)[0]
    assert (found.best, found.unsure) == ("found a", said)
    assert ("The search was unsure of the rates for b" in found.sentence) == bool(said)


@pytest.mark.parametrize(("best", "said"), [("1e-05", "far lower"), ("0.1", "far higher"), ("0.01", None)])
def test_a_guess_that_wins_at_the_end_of_the_rates_calls_for_more_of_them(best, said):
    arms = [*map(Arm, ("1e-05", "0.01", "0.1"), (1e-5, 0.01, 0.1)), Arm("linear", 1.0, "linear", origin="found")]
    names = [arm.name for arm in arms]
    runs = runs_of([[0.2 if name == best else 0.5 for name in names]], names)
    verdict, summaries = judge(arms, runs, "val_loss", "min")
    whole = replace(made_up_comparison(ARMS, 1, failed=None), arms=tuple(arms), verdict=verdict, summaries=summaries)
    assert re.findall("far (?:lower|higher)", closing(whole)) == ([said] if said else [])
    assert not said or f"lr {float(best):.3g} is the " in closing(whole)  # not the rate that was named last
    lost = closing(replace(whole, verdict=replace(verdict, best=best, lost=("linear",))))
    assert "The best found rate" not in lost


def failures_of(*names, seed=1):
    return [Failure(name, seed, "RuntimeError: no") for name in names]


def test_a_seed_that_failed_with_every_arm_is_left_out():
    names = ["a", "b", "c"]
    runs = runs_of([[0.3, 0.4, 0.5], [0.31, 0.41, 0.51], [0.3, 0.405, 0.505]], names)
    found = judge(arms_named(names), runs, "val_loss", "min", failures_of(*names, seed=3))[0]
    assert (found.winner, found.not_compared, found.seeds) == ("a", (), 3)
    one_by_one = [*failures_of("a", seed=3), *failures_of("b", seed=4), *failures_of("c", seed=5)]
    assert judge(arms_named(names), runs, "val_loss", "min", one_by_one)[0].sentence.startswith(
        "No winner: no arm finished all its runs. a, b and c are not compared"
    )


def test_one_seed_is_given_no_interval():
    assert "95 %" not in verdict_of([[0.3, 0.4, 0.5, 0.6]]).sentence


def test_arms_are_compared_on_the_seeds_that_all_have():
    verdict = verdict_of([[0.3, 0.4], [0.31, 0.41], [9.0, None]])
    assert verdict.best == "arm 0"
    assert verdict.pairs[0].seeds == 2
    alone = judge(arms_named("ab"), runs_of([[0.3]], "a"), "val_loss", "min")[0]
    assert (alone.best, alone.winner, alone.pairs) == ("a", None, ())


@pytest.mark.parametrize("table", [[[0.3, 0.4]], [[0.3, 0.4], [0.3, 0.4]]], ids=["one seed", "seeds without effect"])
def test_where_nothing_is_known_of_chance_nothing_is_settled(table):
    verdict = verdict_of(table)
    assert verdict.winner is None
    assert verdict.best == "arm 0"
    assert verdict.pairs[0].seeds_needed is None
    assert "seed" in verdict.sentence


def test_the_verdict_does_not_hang_on_the_order_of_arms_and_runs():
    rng = np.random.default_rng(3)
    table, names = rng.normal(0.3, 0.01, (4, 5)), list("abcde")
    runs, arms = runs_of(table, names), arms_named(names)
    assert judge(arms, runs, "val_loss", "min") == judge(arms, runs[::-1], "val_loss", "min")
    mirrored = judge(arms[::-1], runs, "val_loss", "min")[0]
    assert mirrored.best == judge(arms, runs, "val_loss", "min")[0].best


def test_the_means_have_intervals():
    one = summary([1.0, 2.0, 3.0])
    assert one.mean == 2.0
    assert one.high - 2.0 == pytest.approx(4.303 / math.sqrt(3), rel=0.02)
    assert summary([1.0]).low == 1.0
    assert math.isnan(summary([math.nan]).mean)


def test_a_guess_that_wins_is_set_beside_the_best_found_rate():
    whole = made_up_comparison(ARMS, 1, failed=None)
    found = [arm.name for arm in ARMS if arm.origin != "given" and math.isfinite(whole.summaries[arm.name].mean)]
    guess = next(arm.name for arm in ARMS if arm.origin == "given")
    said = closing(replace(whole, verdict=replace(whole.verdict, best=guess)))
    means = {name: whole.summaries[name].mean for name in found}
    nearest = min(means, key=means.get)
    assert f"The best found rate, {nearest}, gives {means[nearest]:.4g}." in said

import math
import re
from dataclasses import replace

import numpy as np
import pytest
from curves_with_answers import flat_then_diverging, loss_at, made_up

from lrfind.curves import to_curve
from lrfind.errors import BadInputError, ProbeError
from lrfind.records import Finding, Probe, Record
from lrfind.schedules import ramp
from lrfind.search import search
from lrfind.strategies.notes import with_advice
from lrfind.strategies.range_test import RangeTest
from lrfind.strategies.reading import Ramps, is_slower_than
from lrfind.strategies.replicated import CLOSER, Replicated
from lrfind.suggest.calibrated import SHORTER, Reading
from lrfind.suggest.closer import closer
from lrfind.suggest.edges import edge, onset


class MadeUp:
    """A loop whose losses are made up; a probe ends where the loss has risen."""

    steps_per_epoch = 0.0

    def __init__(self, *, noise=0.05, epoch=0.0, optimizer=""):
        self.noise, self.epoch, self.optimizer, self.runs = noise, epoch, optimizer, 0

    def run(self, probe, on_step):
        self.runs += 1
        lrs = tuple(lr for lr in probe.lrs if lr < 0.3)
        noise = self.noise * np.random.default_rng(probe.seed).standard_normal(len(lrs))
        losses = tuple(map(float, loss_at(np.array(lrs)) + noise))
        return Record(probe, lrs, losses, "diverged", optimizer=self.optimizer, steps_per_epoch=self.epoch)


def test_the_first_round_is_a_range_test_and_the_second_covers_what_matters():
    strategy = Replicated()
    (first,) = strategy.propose([])
    assert [first] == RangeTest().propose([])
    record = MadeUp().run(first, None)
    second = strategy.propose([record])
    curve = to_curve(record)
    assert [probe.seed for probe in second] == [1, 2]
    for probe in second:
        assert probe.lrs[0] == pytest.approx(onset(curve) / 8)
        assert probe.lrs[-1] == pytest.approx(edge(curve) * 8)
        density = (len(probe.lrs) - 1) / math.log2(probe.lrs[-1] / probe.lrs[0])
        assert density == pytest.approx(127 / math.log2(3e7) / 2, rel=0.05)


def test_the_answer_is_the_mean_of_the_readings_in_log_rate():
    finding = search(Replicated(), MadeUp())
    readings = [RangeTest().read(record) for record in finding.records]
    assert len(readings) == 3
    assert len(set(readings)) == 3
    assert math.log(finding.lr) == pytest.approx(np.mean(np.log(readings)))
    assert finding.base_lr <= finding.lr <= finding.max_lr
    assert finding.cost.steps == sum(len(record.lrs) for record in finding.records)


class Unmoved(MadeUp):
    """Plain SGD with gradients so small that no rate up to 30 changes the loss."""

    def run(self, probe, on_step):
        self.runs += 1
        lrs = tuple(lr for lr in probe.lrs if lr < 2e4)
        noise = self.noise * np.random.default_rng(probe.seed).standard_normal(len(lrs))
        losses = tuple(map(float, loss_at(np.array(lrs) / 3e5) + noise))
        stop = "done" if lrs == probe.lrs else "diverged"
        return Record(probe, lrs, losses, stop, optimizer="SGD", steps_per_epoch=self.epoch)


@pytest.mark.parametrize("strategy", [RangeTest(), Replicated(), Replicated(RangeTest(total_steps=1000))])
def test_plain_sgd_that_nothing_moves_up_to_the_default_max_lr_is_tried_at_higher_rates(strategy):
    loop, kept = Unmoved(), []
    finding = search(strategy, loop, keep=lambda records: kept.append(tuple(records)))
    assert loop.runs == 2
    resumed = search(strategy, loop, records=kept[0])
    assert (loop.runs, replace(resumed, cost=finding.cost)) == (3, finding)
    assert 10 < finding.lr < 1e4
    assert "No rate up to 30 moved the loss" in finding.notes[0]
    assert finding.cost.steps > 1.3 * len(finding.records[0].lrs)  # the first ramp is counted
    again = Finding.from_dict(finding.to_dict()).at(total_steps=5000)
    assert finding.interval[0] < again.lr < finding.interval[1]
    total_steps = 1000 if strategy == Replicated(RangeTest(total_steps=1000)) else 2000
    assert finding.cost.steps <= (0.3 if total_steps == 1000 else 0.1) * total_steps


@pytest.mark.parametrize(
    ("strategy", "changed"),
    [
        (RangeTest(max_lr=29.0), {}),  # the user's own
        (Replicated(RangeTest(total_steps=1000), 100), {}),  # beyond the budget
        (RangeTest(method="steepest"), {"optimizer": "Adam"}),  # has a usual rate
        (RangeTest(), {"losses": (1.0,) * 128}),  # nothing depends on the weights
    ],
)
def test_no_other_search_is(strategy, changed):
    (probe,) = strategy.propose([])
    record = Unmoved().run(probe, None)
    with pytest.raises(ProbeError, match="did not fall"):
        strategy.propose([replace(record, **changed)])


def test_it_varies_less_than_one_range_test():
    def spread(strategy):
        lrs = [search(strategy(RangeTest(seed=100 * seed)), MadeUp(noise=0.4)).lr for seed in range(12)]
        return np.std(np.log2(lrs))

    assert spread(Replicated) < spread(lambda test: test)


@pytest.mark.parametrize(
    ("known", "budget", "rounds"),
    [
        ({}, 0.1, [128, 3]),
        ({"total_steps": 2000}, 0.1, [128, 3]),
        ({"total_steps": 1300}, 0.1, [128, 3]),
        ({"total_steps": 700}, 0.1, [70, 3]),
        ({"total_steps": 1000}, 0.03, [48, 1]),
        ({"total_steps": 100}, 0.1, [48, 1]),
        ({"total_steps": 2000}, 0.5, [128, 3]),
        ({"total_steps": 100}, 300, [128, 4]),
        ({"total_steps": 100}, 200, [128, 3]),
        ({"epochs": 2}, 0.1, [128, 1]),
        ({"epochs": 20}, 0.1, [128, 3]),
        ({"epochs": 20, "total_steps": 700}, 0.1, [70, 3]),
    ],
)
def test_it_stays_within_its_budget(known, budget, rounds):
    finding = search(Replicated(RangeTest(**known), budget), MadeUp(epoch=100.0))
    assert [len(finding.records[0].probe.lrs), len(finding.records)] == rounds
    if total_steps := known.get("total_steps"):
        share = max(budget, min(3 * budget, 0.3)) if total_steps < 2000 else budget
        assert finding.cost.steps <= max(share * total_steps if budget < 1 else budget, 48)


@pytest.mark.parametrize("schedule", ["constant", "linear"])
@pytest.mark.parametrize(("total_steps", "weight"), [(500, 1.0), (1000, 1.0), (1414, 0.5), (1999, 0.0007)])
@pytest.mark.parametrize(("optimizer", "is_enough"), [("Adam", False), ("SGD", True)])
def test_a_short_training_gets_a_slower_ramp_that_counts_less_the_longer_it_is(
    schedule, total_steps, weight, optimizer, is_enough
):
    """That of plain SGD takes the others' weight where it falls clearly."""
    test = RangeTest(total_steps=total_steps, schedule=schedule)
    finding = search(Replicated(test), MadeUp(optimizer=optimizer))
    first, slower = finding.records[0], finding.records[-1]
    assert is_slower_than(first, slower)
    assert len(slower.probe.lrs) == CLOSER
    middle = RangeTest(total_steps=total_steps).read(first)
    assert slower.probe.lrs[0] < middle < slower.probe.lrs[-1]
    lrs = [test.read(record) for record in finding.records[:-1]]
    lrs.append(closer(to_curve(slower), test.training(first)))
    weights = [*[1.0 - weight * is_enough] * (len(lrs) - 1), weight]
    assert math.log(finding.lr) == pytest.approx(np.average(np.log(lrs), weights=weights), abs=0.002)


def test_the_rate_does_not_jump_where_trainings_are_no_longer_short():
    lrs = [search(Replicated(RangeTest(total_steps=steps)), MadeUp(noise=0.4)).lr for steps in (1990, 1999, 2000, 2010)]
    assert max(lrs) / min(lrs) < 1.02


@pytest.mark.parametrize(
    ("told", "asked", "octaves"), [(500, 2000, 1.2), (2000, 500, 2.5), (1999, 2000, 0.01), (2000, 1999, 0.01)]
)
def test_read_again_for_another_length_it_says_what_a_search_for_that_would(told, asked, octaves):
    """A search for a shorter training takes fewer steps and looks closer: with plain SGD, it may differ much."""
    for seed in range(0, 500, 100):
        found = search(Replicated(RangeTest(total_steps=told, seed=seed)), MadeUp()).at(total_steps=asked)
        direct = search(Replicated(RangeTest(total_steps=asked, seed=seed)), MadeUp())
        assert abs(math.log2(found.lr / direct.lr)) < octaves
        assert found.interval[0] < direct.lr < found.interval[1]


def test_shorter_trainings_get_higher_rates_by_little():
    whole = search(Replicated(RangeTest(total_steps=2000)), MadeUp())
    assert whole.at(total_steps=500).lr == pytest.approx(whole.lr * 2 ** (2 * SHORTER))


@pytest.mark.parametrize(
    ("known", "changed"),
    [
        ({"total_steps": 2000}, {}),
        ({}, {}),
        ({"total_steps": 500, "method": "minimum"}, {}),
        ({"total_steps": 500}, {"is_fresh": False, "used": 0.01}),
    ],
)
def test_no_other_training_does(known, changed):
    strategy = Replicated(RangeTest(**known))
    (probe,) = strategy.propose([])
    record = replace(MadeUp().run(probe, None), **changed)
    answer = strategy.propose([record])
    assert not any(len(one.lrs) == CLOSER for one in (answer if isinstance(answer, list) else []))


def test_a_slower_ramp_lost_in_noise_is_left_out_where_steps_follow_the_gradient():
    strategy = Replicated(RangeTest(total_steps=500))
    *others, slower = search(strategy, MadeUp()).records
    noise = tuple(1.0 + 0.1 * np.random.default_rng(0).standard_normal(len(slower.lrs)))
    found = strategy.propose([*others, replace(slower, losses=noise, stop="done", optimizer="SGD")])
    assert found.lr == pytest.approx(np.exp(np.mean([math.log(strategy.test.read(record)) for record in others])))
    assert any("could not be read" in note for note in found.notes)


@pytest.mark.parametrize(("noise", "is_alone"), [(0.02, True), (0.1, False)])
def test_what_noise_hides_is_read_off_a_slower_ramp_alone_where_that_shows_it(noise, is_alone):
    """Then the rate does not rest on where the loss rises, and no note says so."""
    test = RangeTest(total_steps=600)
    first = replace(flat_then_diverging(fall=0.5), optimizer="SGD")
    at = edge(to_curve(first))
    lrs = ramp(at / 2**5, at * 2**5, 60)
    losses = 2.3 - np.interp(np.log2(lrs), [math.log2(lrs[0]), math.log2(at)], [0.0, 10 * 0.02])
    losses += np.where(np.array(lrs) > at, 2.0 * (np.array(lrs) / at - 1), 0.0)
    losses += noise * np.random.default_rng(1).standard_normal(60)
    slower = replace(first, probe=Probe(lrs, 3), lrs=lrs, losses=tuple(map(float, losses)), stop="done")
    found = test.find([first, slower])
    if is_alone:
        assert found.lr == pytest.approx(closer(to_curve(slower), test.training(first)))
    assert any("no more than its noise" in note for note in found.notes) != is_alone


def test_how_much_a_short_search_leans_on_the_usual_rate_is_said_of_all_its_ramps():
    """The slower ramp of an adaptive optimizer leans on nothing."""
    test = RangeTest(total_steps=600)
    first = replace(flat_then_diverging(fall=3.0), optimizer="Adam")
    whole = test.find([first])
    lrs = ramp(1e-3, 1.0, 60)
    losses = made_up(noise=0.01, steps=60, low=1e-3).losses
    both = test.find([first, replace(first, probe=Probe(lrs, 3), lrs=lrs, losses=losses, stop="done")])
    shares = [re.search(r"leans by (\d+)%", " ".join(found.notes)) for found in (whole, both)]
    alone, with_slower = (int(share[1]) for share in shares)
    assert with_slower == pytest.approx(alone / 2, abs=1)


@pytest.mark.parametrize("fall", [0.3, 1.0, 1e-9])
def test_no_rate_is_all_but_usual_and_yet_sure_without_a_word_why(fall):
    """A rate that is read at all does not lean wholly on the usual one, and what that is worth is said."""
    found = RangeTest(total_steps=2000).find([replace(flat_then_diverging(fall=fall, diverges=1.0), optimizer="Adam")])
    said = str(found).replace("\n  ", " ")
    assert ("leans by 100%" in said) == ("\nunsure: it rests on" in said)
    assert "mostly close to the best" in said


def lost_in_noise(first, seed, highest, stop):
    """A ramp up to a rate, whose losses are noise."""
    lrs = ramp(1e-6, highest, 30)
    losses = tuple(2.3 + 0.1 * np.random.default_rng(seed).standard_normal(30))
    return replace(first, probe=Probe(lrs, seed), lrs=lrs, losses=losses, stop=stop)


@pytest.mark.parametrize(
    ("highest", "stop", "octaves"), [(4.0, "done", 2.0), (2.0**-6, "done", 0.0), (4.0, "non-finite", None)]
)
def test_a_ramp_of_plain_sgd_that_ends_without_an_edge_counts_as_if_its_end_were_one(highest, stop, octaves):
    """Its noise hides where rates are too high, but not that none of them was."""
    first = replace(flat_then_diverging(fall=0.5), optimizer="SGD")
    at = edge(to_curve(first))
    alone, test = RangeTest().read(first), RangeTest()
    if octaves is None:
        other = replace(lost_in_noise(first, 4, at * highest, stop), losses=(2.3,) * 30)
    else:
        other = lost_in_noise(first, 4, at * highest, stop)
    found = test.find([first, other])
    if octaves is None:
        assert found.lr == alone
    else:
        assert math.log2(found.lr / alone) == pytest.approx(octaves / 2)
        assert not any("could not be read" in note for note in found.notes)


def test_a_rate_is_sure_only_where_each_of_its_ramps_shows_something():
    first = replace(made_up(noise=0.001), optimizer="Adam")
    nothing = tuple(2.3 + 0.1 * np.random.default_rng(0).standard_normal(len(first.lrs)))
    silent = replace(first, losses=nothing)
    other = replace(silent, losses=nothing[::-1])
    for records, shown, word in (
        ([silent, other], 0.0, "unsure"),
        ([silent, first], 0.5, "fairly sure"),
        ([first, silent], 0.5, "fairly sure"),
        ([first, first], 1.0, "sure"),
    ):
        found = RangeTest(total_steps=2000).find(records)
        judged = found.judge(1e-9)
        assert (judged.shown, judged.is_read, judged.is_sure) == (shown, shown > 0, shown > 0)
        assert f"\n{word}: " in str(found)
        assert judged.to_dict()["is_read"] is judged.is_read


def test_after_a_first_ramp_that_never_rose_none_looks_closer():
    strategy = Replicated(RangeTest(total_steps=500))
    (probe,) = strategy.propose([])
    losses = tuple(3.0 - 2.0 / (1 + 1e-3 / lr) for lr in probe.lrs)
    record = Record(probe, probe.lrs, losses, "done", optimizer="Adam")
    answer = strategy.propose([record])
    assert not any(len(probe.lrs) == CLOSER for probe in (answer if isinstance(answer, list) else []))


@pytest.mark.parametrize("done", [1, 2, 3])
def test_a_killed_search_ends_with_the_same_finding(done):
    whole = search(Replicated(), MadeUp())
    loop = MadeUp()
    resumed = search(Replicated(), loop, records=whole.records[:done])
    assert replace(resumed, cost=whole.cost) == whole
    assert resumed.cost.steps == whole.cost.steps
    assert loop.runs == 3 - done


def test_the_same_records_give_the_same_finding_also_through_json():
    finding = search(Replicated(), MadeUp())
    again = Finding.from_dict(finding.to_dict())
    assert replace(Replicated().propose(again.records), cost=finding.cost) == finding


def test_a_ramp_that_cannot_be_read_is_left_out_and_said():
    finding = search(Replicated(), MadeUp())
    flat = replace(finding.records[1], losses=(1.0,) * len(finding.records[1].lrs))
    found = Replicated().propose([finding.records[0], flat, finding.records[2]])
    lrs = [RangeTest().read(finding.records[index]) for index in (0, 2)]
    assert found.lr == pytest.approx(math.sqrt(lrs[0] * lrs[1]))
    assert found.notes[-1] == "1 of 3 ramps could not be read."


def test_a_first_ramp_that_cannot_be_read_is_refused():
    record = replace(made_up(), losses=(1.0,) * 128)
    with pytest.raises(ProbeError, match="did not fall"):
        Replicated().propose([record])


@pytest.mark.parametrize("budget", [0, -0.1, math.inf, math.nan])
def test_a_budget_that_is_none_is_refused(budget):
    with pytest.raises(BadInputError, match="budget must be"):
        Replicated(budget=budget)


def test_a_search_may_cost_a_tenth_of_training_by_default():
    (probe,) = Replicated(RangeTest(total_steps=1000)).propose([])
    assert len(probe.lrs) == 100


@pytest.mark.parametrize("budget", [1, 1.0, 2.0, 47])
def test_a_budget_below_the_shortest_search_is_refused(budget):
    with pytest.raises(BadInputError, match="the shortest search has 48"):
        Replicated(budget=budget)
    Replicated(budget=48)
    Replicated(RangeTest(steps=30), budget=30)


def test_a_rate_that_rests_on_the_usual_one_alone_is_unsure():
    for leaning, is_read in ((0.99, True), (1.0, False)):
        assert Reading(1e-3, "prior", leaning).is_read == is_read
    found = RangeTest(total_steps=2000).find([replace(flat_then_diverging(diverges=1e9), optimizer="Adam")])
    assert "unsure: it rests on what is usual for Adam" in str(found)


@pytest.mark.parametrize("steps", [400, 2000])
def test_one_note_says_what_to_do_about_a_short_training(steps):
    first = replace(flat_then_diverging(fall=0.1), optimizer="Adam")
    said = str(with_advice(RangeTest(total_steps=steps).find([first])))
    assert ("take more steps" in said.replace("\n  ", " ")) == (steps == 2000)
    assert ("Train in full" in said.replace("\n  ", " ")) == (steps == 400)


@pytest.mark.parametrize("length", [{}, {"epochs": 50}, {"total_steps": 2000}])
def test_a_length_that_is_not_known_is_said_until_it_is(length):
    first = replace(made_up(noise=0.001), optimizer="Adam", steps_per_epoch=40.0)
    found = RangeTest(**length).find([first])
    assert any("is not known" in note for note in found.notes) == (not length)
    assert not any("is not known" in note for note in found.at(epochs=50).notes)


def test_what_a_rate_loses_is_said_beside_what_the_found_one_does():
    found = RangeTest(total_steps=2000).find([replace(made_up(noise=0.001), optimizer="Adam")])
    far, near = found.judge(found.lr / 16), found.judge(found.lr * 1.02)
    assert far.found_regret == near.found_regret == found.judge(found.lr).regret
    for judged in (far, near):
        assert f"{judged.regret:.1%}" in judged.sentence
        assert f"{judged.found_regret:.1%}" in judged.sentence
        assert ("of the benchmark's trainings" in judged.sentence) == (judged.certainty >= 0.5)
    assert far.certainty >= 0.5


def test_a_ramp_that_cannot_be_read_does_not_count_in_what_a_note_says_of_leaning():
    finding = search(Replicated(RangeTest(total_steps=500)), MadeUp(noise=2.0, optimizer="Adam"))
    first, slower = finding.records[0], finding.records[-1]
    assert is_slower_than(first, slower)
    unreadable = replace(slower, losses=(math.nan,) * len(slower.losses))
    leaning = [
        re.findall(r"leans by (\d+)%", " ".join(Ramps(records, "calibrated", finding.length).finding().notes))
        for records in ([first], [first, unreadable])
    ]
    assert leaning[0]
    assert leaning[0] == leaning[1]

import math
import re
from dataclasses import replace

import numpy as np
import pytest
from curves_with_answers import drifting, flat_then_diverging, made_up

from lrfind.curves import to_curve
from lrfind.errors import BadInputError, ProbeError
from lrfind.records import Finding, Probe, Record
from lrfind.replies import Reply
from lrfind.schedules import remaining, to_shape
from lrfind.strategies.range_test import UNKNOWN, RangeTest
from lrfind.suggest.calibrated import calibrated, prior_rate, prior_weight
from lrfind.suggest.ranges import WIDTHS, cyclical_range
from lrfind.suggest.training import Training


def test_it_proposes_one_ramp_and_then_answers():
    strategy = RangeTest(min_lr=1e-6, max_lr=1.0, steps=128, seed=5)
    (probe,) = strategy.propose([])
    assert (probe.lrs[0], probe.lrs[-1], len(probe.lrs), probe.seed) == (1e-6, 1.0, 128, 5)
    finding = strategy.propose([made_up()])
    assert isinstance(finding, Finding)
    assert (finding.base_lr, finding.max_lr) == cyclical_range(to_curve(made_up()))
    assert finding.base_lr < finding.lr < finding.max_lr < 0.05 / 4
    assert finding.interval[0] < finding.lr < finding.interval[1]
    assert (finding.method, finding.schedule, finding.cost.steps, finding.notes) == (
        "calibrated",
        "constant",
        128,
        (UNKNOWN,),
    )


def test_the_same_records_give_the_same_finding_also_through_json():
    finding = RangeTest().propose([made_up()])
    again = Finding.from_dict(finding.to_dict())
    assert RangeTest().propose(again.records) == finding


@pytest.mark.parametrize("method", ["steepest", "valley", "minimum", "slide"])
def test_every_reading_gives_a_finding_whose_range_holds_it(method):
    finding = RangeTest(method=method).propose([made_up()])
    assert finding.base_lr <= finding.lr <= finding.max_lr


def test_a_schedule_that_anneals_gets_a_higher_rate():
    steady, annealed, custom = (
        RangeTest(schedule=schedule).propose([made_up()]) for schedule in ("constant", "linear", lambda done: 1 - done)
    )
    assert steady.lr < annealed.lr == custom.lr
    assert (annealed.schedule, custom.schedule) == ("linear", "custom")


def test_losses_that_are_not_finite_are_noted():
    finding = RangeTest().propose([replace(made_up(), losses=(math.nan, *made_up().losses[1:]))])
    assert any("1 of 128 losses were not finite" in one for one in finding.notes)


def test_a_loss_still_falling_at_the_end_is_noted():
    whole = made_up()
    steps = sum(lr < 3e-3 for lr in whole.lrs)
    finding = RangeTest().propose([Record(whole.probe, whole.lrs[:steps], whole.losses[:steps], "done")])
    assert any("still falling at the highest rate" in note for note in finding.notes)


@pytest.mark.parametrize(
    ("known", "epoch", "passes"),
    [({"total_steps": 640}, 10.0, 64), ({"epochs": 64}, 0.0, 64), ({"total_steps": 6400, "epochs": 64}, 10.0, 64)],
)
def test_how_often_training_goes_over_the_data_is_known_from_its_length(known, epoch, passes):
    record = replace(made_up(), optimizer="Adam", steps_per_epoch=epoch)
    steps = passes * epoch or None
    expected = calibrated(to_curve(record), Training(steps, passes, final_fraction=remaining(to_shape("linear"))))
    assert RangeTest(schedule="linear", **known).propose([record]).lr == expected
    assert RangeTest(schedule="linear", total_steps=640).propose([replace(record, steps_per_epoch=0.0)]).lr != expected


@pytest.mark.parametrize("known", [{"total_steps": 0}, {"epochs": -1.0}, {"epochs": math.inf}])
def test_a_length_that_is_none_is_refused(known):
    with pytest.raises(BadInputError, match=f"{next(iter(known))} must be above 0"):
        RangeTest(**known)


def test_a_curve_that_shows_nothing_is_said_to_lean_on_what_is_usual():
    lrs = RangeTest().propose([])[0].lrs
    losses = 1.0 + 0.1 * np.random.default_rng(0).standard_normal(len(lrs))
    record = Record(Probe(lrs), lrs, tuple(losses), "done", optimizer="Adam")
    finding = RangeTest(schedule="linear").propose([record])
    assert finding.lr == pytest.approx(prior_rate(Training(final_fraction=0.1)))
    assert (finding.base_lr, finding.max_lr) == pytest.approx((finding.lr / 4, finding.lr * 4))
    assert any("on what is usual for Adam" in note for note in finding.notes)
    assert re.search(r"^unsure: .* usual for Adam, not on your training", str(finding), re.MULTILINE)
    assert not finding.judge(finding.lr * 2**10).is_sure
    with pytest.raises(ProbeError, match="did not fall"):
        RangeTest(method="steepest").propose([record])


def test_a_start_that_diverges_is_refused():
    lrs = made_up().lrs
    with pytest.raises(ProbeError, match="did not fall"):
        RangeTest().propose([Record(made_up().probe, lrs, tuple(1.0 + step for step in range(len(lrs))), "diverged")])


@pytest.mark.parametrize("shift", [0.01, 0.1, 0.3])
@pytest.mark.parametrize("decay", [0.9, 0.99, 0.999])
@pytest.mark.parametrize(("noise", "fall"), [(0.0, 2.0), (0.0, 0.35), (0.02, 0.35), (0.05, 0.35)])
def test_a_loss_that_drifts_before_the_rate_matters_is_read_as_if_it_did_not(decay, shift, noise, fall):
    """Also where it never falls below its start; the edge of a small fall that goes on drifting lies elsewhere."""
    for seed in range(5):
        steady = RangeTest().read(drifting(0.5, 0.0, noise=noise, seed=seed, fall=fall))
        drifts = RangeTest().read(drifting(decay, shift, noise=noise, seed=seed, fall=fall))
        assert abs(math.log2(drifts / steady)) < 1.5


@pytest.mark.parametrize(
    "options",
    [{"min_lr": 1.0, "max_lr": 0.1}, {"steps": 1}, {"method": "best"}, {"schedule": "sawtooth"}, {"ramp": "cubic"}],
)
def test_bad_options_are_refused_at_once(options):
    with pytest.raises(BadInputError):
        RangeTest(**options)


def test_what_leans_by_half_or_more_on_the_usual_rate_says_so():
    seen = set()
    for noise in np.linspace(0.38, 0.52, 40):
        record = replace(made_up(noise=noise), optimizer="Adam")
        leaning = prior_weight(to_curve(record))
        notes = " ".join(RangeTest().propose([record]).notes)
        assert ("on what is usual for Adam" in notes) is (leaning >= 0.5)
        seen.add(round(leaning, 1))
    assert {0.4, 0.6} <= seen


def test_a_flat_curve_that_diverges_gives_a_wide_interval_and_a_note():
    for seed in range(5):
        finding = RangeTest().propose([replace(flat_then_diverging(seed=seed, fall=0.5), optimizer="SGD")])
        assert finding.lr < 0.1
        assert any("rests on where it began to rise; the evidence is weak" in note for note in finding.notes)
        assert math.log2(finding.lr / finding.interval[0]) == pytest.approx(WIDTHS["weak"][0])
        assert math.log2(finding.interval[1] / finding.lr) == pytest.approx(WIDTHS["weak"][1])


@pytest.mark.parametrize(("length", "below"), [({"total_steps": 250}, 0.0), ({"epochs": 80}, 0.5)])
def test_the_interval_is_wider_below_for_trainings_longer_than_the_benchmarks(length, below):
    finding = RangeTest(**length).propose([replace(made_up(), steps_per_epoch=50.0, stop="diverged")])
    low, high = (math.log2(end / finding.lr) for end in finding.interval)
    assert (-low, high) == (pytest.approx(WIDTHS["edge"][0] + below), pytest.approx(WIDTHS["edge"][1]))


def test_every_kind_of_evidence_has_its_note():
    """What would help is said, and only that: nothing is gained by a higher max_lr where steps are capped."""
    adam, capped = Reply((1.0, 0.5), (math.inf,) * 2, True), Reply((0.1, 0.1), (1.0, 0.01), True)
    cases = {
        "caps its steps": replace(made_up(), optimizer="Mine", reply=capped),
        "do not follow its rate": replace(made_up(), optimizer="Mine", reply=replace(adam, follows=False), used=0.1),
        "the 0.1 that training has": replace(made_up(noise=1.0), optimizer="SGD", is_fresh=False, used=0.1),
        "were left out": replace(made_up(), losses=(*made_up().losses[:-9], *[math.nan] * 2, *made_up().losses[-7:])),
    }
    for words, record in cases.items():
        notes = " ".join(RangeTest().propose([record]).notes)
        assert words in notes
        assert "raise max_lr" not in notes


def test_a_finding_judges_rates_from_its_records():
    finding = RangeTest().propose([replace(made_up(), optimizer="SGD")])
    assert finding.judge(finding.lr).verdict == "as good"
    assert finding.judge(finding.lr * 2**8).verdict == finding.judge(finding.lr / 2**10).verdict == "worse"
    slid = RangeTest(method="valley").propose([replace(made_up(), optimizer="SGD")])
    assert slid.judge(finding.lr).found == slid.lr
    with pytest.raises(BadInputError, match="positive and finite"):
        finding.judge(0.0)
    with pytest.raises(BadInputError, match="search again"):
        replace(finding, records=()).judge(1.0)

"""The benchmark: its measures have known answers, its truth can be recomputed, nothing is tuned on what it scores."""

import importlib
import json
import math
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
from comparisons import made_up_comparison

pytest.importorskip("sklearn")

from benchmarks import calibrate, collect, experiment, judging, peers, rules, store, sweeps, tasks, truth
from benchmarks.__main__ import CHOSEN
from benchmarks.measures import Score, bootstrap, difference, score, summary, to_truth
from benchmarks.peer import Peer, Suggestion
from benchmarks.readings import READINGS, smoothed
from benchmarks.rule import Rule
from benchmarks.schedules import SHAPES
from benchmarks.scoring import Stored, all_scores, calibrated_scores, fitted, scores_at
from benchmarks.tasks import TASKS
from benchmarks.truth import SEEDS, Run
from lrfind.suggest.judging import TABLES

HORIZON = 80


def a_table(bowl, *, task="toy", schedule="constant", start=2.0, octaves=range(-4, 5)):
    """A table whose loss at each octave and seed is what ``bowl`` says."""
    losses = {Run(task, schedule, 0, 0.0, seed): start for seed in SEEDS}
    losses |= {Run(task, schedule, HORIZON, float(one), seed): bowl(one, seed) for one in octaves for seed in SEEDS}
    return losses


def a_truth(bowl=lambda octave, seed: 1 + abs(octave) / 8, **options):
    return to_truth(options.get("task", "toy"), "constant", HORIZON, a_table(bowl, **options))


@pytest.mark.parametrize(
    ("lr", "regret"),
    [
        (1.0, 0.0),
        (2.0, 0.125),
        (2.0**0.5, 0.0625),
        (2.0**-4, 0.5),
        (2.0**-9, 0.5),
        (2.0**4.5, 0.5),
        (2.0**5.5, 1.0),
        (math.nan, 1.0),
        (math.inf, 1.0),
        (None, 1.0),
    ],
)
def test_regret_is_interpolated_in_log_rate(lr, regret):
    assert a_truth().regret(lr) == pytest.approx(regret)


def test_the_best_rate_is_chosen_on_other_seeds_than_it_is_scored_on():
    # Seed 0 is lucky at octave 3; the other two choose octave 0 for it, and it drags them to neither.
    truth_ = a_truth(lambda octave, seed: 0.9 if (octave, seed) == (3, 0) else 1 + abs(octave) / 8)
    assert truth_.losses[0] == (1.0, 2.0)
    assert truth_.best == 0.0
    assert truth_.regret(8.0) == pytest.approx(np.mean([-0.1, 0.375, 0.375]))


def test_a_single_seed_chooses_the_best_rate_and_scores_it():
    losses = {run: loss for run, loss in a_table(lambda octave, seed: 1 + abs(octave) / 8).items() if run.seed == 0}
    truth_ = to_truth("toy", "constant", HORIZON, losses)
    assert truth_.best == 0.0
    assert truth_.regret(2.0) == pytest.approx(0.125)


def test_longer_trainings_are_scored_by_the_searches_for_the_usual_length():
    names = ("cancer-sgd", "digits-sgd", "linear-sgd")
    stored = Stored.load({name: TASKS[name] for name in names})
    truths = {("cancer-sgd", "constant"): replace(a_truth(task="cancer-sgd"), horizon=8_000)}
    found = scores_at(truths, rules.RULES[CHOSEN], stored, peers=("Lightning",))
    whole = all_scores(stored, rules.RULES[CHOSEN])["lrfind as shipped"]
    usual = [one for one in whole if (one.task, one.schedule) == ("cancer-sgd", "constant")]
    for name in ("lrfind as shipped", "lrfind, 10 %", "Lightning", "fastai valley"):
        assert {(one.task, one.schedule) for one in found[name]} == set(truths)
    mine = found["lrfind as shipped"]
    assert mine[0].share == pytest.approx(mine[0].cost / 8_000)
    longer = math.log2(np.mean([one.lr for one in mine]) / np.mean([one.lr for one in usual]))
    assert longer < 0.0  # it goes over the data more often


def test_the_grid_of_a_longer_training_begins_around_the_best_rate_of_the_usual_one():
    task = replace(tasks.task_of("cancer-sgd@8000"), seeds=1)
    losses = {Run("cancer-sgd", "constant", 2000, float(one), 0): 1 + abs(one + 4) / 8 for one in range(-9, 2)}
    runs = []
    while missing := truth.next_runs(task, "constant", losses):
        runs += missing
        for run in missing:
            losses[run] = 3.0 if run.steps == 0 else 1 + min(abs(run.octave + 5) / 8, 2)
    assert {run.steps for run in runs} == {0, 8000}
    assert [run.octave for run in runs[1:4]] == [-5.0, -4.0, -3.0]
    assert to_truth(task.name, "constant", 8000, losses).best == -5.0


def test_what_is_worse_than_untrained_or_diverges_has_regret_one():
    truth_ = a_truth(lambda octave, seed: math.inf if octave == 4 else 50.0 if octave == 3 else 1 + abs(octave) / 8)
    assert truth_.regret(8.0) == truth_.regret(16.0) == 1.0


def test_a_rate_that_loses_one_seed_is_not_the_best():
    # At octave 3 seed 1 is lost; the other two would choose it, and there is nothing to score for seed 1.
    truth_ = a_truth(lambda octave, seed: (5.0 if seed == 1 else 0.8) if octave == 3 else 1 + abs(octave) / 8)
    assert truth_.best == 0.0
    assert truth_.losses[1] == (1.0, 2.0)


def test_short_runs_say_what_is_beyond_the_full_ones():
    losses = a_table(lambda octave, seed: 1 + abs(octave) / 8)
    for octave, loss in ((-8, 1.9), (-6, 1.55), (0, 1.0)):
        losses[Run("toy", "constant", HORIZON // truth.SHORT, float(octave), 0)] = loss
    assert to_truth("toy", "constant", HORIZON, losses).regret(2.0**-8) == pytest.approx(0.9)


def test_the_band_holds_the_rates_within_a_hundredth():
    low, high = a_truth().band
    assert math.log2(low) == pytest.approx(-0.08, abs=0.01)
    assert math.log2(high) == pytest.approx(0.08, abs=0.01)


def test_a_loss_is_scored_on_the_same_scale():
    assert a_truth().regret_of_loss(1.25) == pytest.approx(0.25)
    assert a_truth().regret_of_loss(None) == 1.0


def test_no_rate_is_a_failure_of_regret_one():
    one = score("peer", a_truth(), 0, None, cost=8, seconds=1.0)
    assert (one.regret, one.failed, one.share) == (1.0, True, 0.1)


def test_what_the_best_rate_of_another_seed_loses():
    assert a_truth().between_seeds == 0.0
    # Seed 0 is best at octave 1, the others at 0; an octave off costs an eighth.
    moved = a_truth(lambda octave, seed: 1 + abs(octave - (seed == 0)) / 8)
    assert moved.between_seeds == pytest.approx((4 * 0.125 + 2 * 0.0) / 6)


def test_what_a_reading_loses_that_scatters_around_the_best_place():
    # On a slope of an eighth an octave, the mean of |x| of a normal of deviation s is s * sqrt(2 / pi).
    assert a_truth().scattered(1.0) == pytest.approx(math.sqrt(2 / math.pi) / 8, rel=0.02)
    cliff = a_truth(lambda octave, seed: 9.0 if octave > 0 else 1 + abs(octave) / 8)
    assert cliff.scattered(0.5) > a_truth().scattered(0.5)
    assert cliff.scattered(0.5) < 0.5  # it aims below the cliff


def test_coverage_of_an_interval():
    truth_ = a_truth()
    assert score("a", truth_, 0, 1.0, cost=1, seconds=0, interval=(0.5, 2.0)).covers == (True, True)
    assert score("a", truth_, 0, 2.0, cost=1, seconds=0, interval=(1.5, 2.0)).covers == (False, False)
    assert score("a", truth_, 0, 2.0, cost=1, seconds=0, interval=(1.01, 2.0)).covers == (False, True)


def some_scores(method, regrets):
    return [
        Score(method, task, "constant", seed, 1.0, regret, 0.0, 1, 0.0, 0.1, False)
        for task, many in regrets.items()
        for seed, regret in enumerate(many)
    ]


def test_the_interval_of_equal_regrets_is_a_point_and_that_of_unequal_ones_holds_the_mean():
    same = some_scores("a", {"x": [0.2] * 5, "y": [0.2] * 5})
    assert bootstrap(same, lambda values: values) == (pytest.approx(0.2), pytest.approx(0.2))
    low, high = summary(some_scores("a", {"x": [0.0, 0.1], "y": [0.3, 0.4], "z": [0.1, 0.1]}))["mean_interval"]
    assert low < 1 / 6 < high


def test_a_difference_pairs_tasks_and_seeds():
    ours = some_scores("a", {"x": [0.0, 0.5], "y": [0.2, 0.9]})
    theirs = some_scores("b", {"x": [0.1, 0.6], "y": [0.3, 1.0]})
    assert difference(theirs, ours) == (pytest.approx(0.1), pytest.approx(0.1), pytest.approx(0.1))


def test_the_plan_ends_with_the_best_rate_well_inside_the_grid():
    task = TASKS["linear-sgd"]
    losses = {}
    while runs := truth.next_runs(task, "constant", losses):
        for run in runs:
            assert run not in losses
            losses[run] = 2.0 if run.steps == 0 else 1 + min((run.octave + 6.5) ** 2 / 30, 1)
    found = to_truth(task.name, "constant", task.horizon, losses)
    assert found.best == -6.5
    assert found.ends[0] + 2.5 <= found.best <= found.ends[1] - 1.5
    assert {-7.5, -7.0, -6.5, -6.0, -5.5} <= set(found.octaves)
    assert found.regret(2.0**-24) == found.regret(2.0**8) == 1.0


def test_a_torn_last_line_is_cut_off_and_run_again(tmp_path):
    path = tmp_path / "truth.jsonl"
    for seed in range(2):
        store.append_row(path, {"task": "a", "schedule": "s", "steps": 1, "octave": 0.0, "seed": seed, "loss": None})
    path.write_text(path.read_text() + '{"task": "a", "sche')
    assert len(truth.load(path)) == 2
    store.append_row(path, {"task": "a", "schedule": "s", "steps": 1, "octave": 0.0, "seed": 2, "loss": 1.5})
    assert [math.isinf(loss) for loss in truth.load(path).values()] == [True, True, False]


def test_a_row_torn_in_the_middle_of_the_file_is_said(tmp_path):
    path = tmp_path / "truth.jsonl"
    path.write_text('{"a": 1}\n{"b": \n{"c": 3}\n')
    with pytest.raises(ValueError, match="line 2"):
        store.read_rows(path)


def calm_rows(losses, task, steps):
    """The runs that learn, two octaves and more below the best: near the edge of stability machines differ."""
    rows = []
    for schedule in TASKS[task].schedules:
        runs = [run for run in losses if (run.task, run.schedule, run.steps) == (task, schedule, steps)]
        best = min(runs, key=losses.__getitem__).octave
        start = losses[Run(task, schedule, 0, 0.0, 0)]
        rows += [run for run in runs if run.octave <= best - 2 and losses[run] < 0.9 * start]
    return sorted(rows, key=lambda run: (run.schedule, run.seed, run.octave))


@pytest.mark.parametrize("task", ["linear-sgd", "cancer-sgd", "digits-sgd", "friedman-adamw"])
def test_a_few_cells_of_the_truth_are_recomputed(task):
    losses = truth.load()
    calm = calm_rows(losses, task, TASKS[task].horizon // truth.SHORT)
    for run in (Run(task, TASKS[task].schedules[0], 0, 0.0, 1), calm[len(calm) // 4], calm[len(calm) // 2]):
        assert truth.perform(run) == pytest.approx(losses[run], rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("task", ["linear-sgd", "cancer-sgd"])
def test_full_runs_of_the_truth_are_recomputed(task):
    losses = truth.load()
    full = calm_rows(losses, task, TASKS[task].horizon)
    for run in full[:: max(1, len(full) // 4)]:
        assert truth.perform(run) == pytest.approx(losses[run], rel=1e-2)


def test_every_shape_is_used_and_stays_within_its_bounds():
    assert {name for task in TASKS.values() for name in task.schedules} == set(SHAPES)
    for shape in SHAPES.values():
        values = [shape(step / 1000) for step in range(1000)]
        assert min(values) >= 0
        assert max(values) == pytest.approx(1.0, abs=1e-3)


def test_the_tasks_are_what_the_page_says():
    groups = {}
    for task in TASKS.values():
        groups.setdefault(task.group, []).append(task)
    assert len(groups["seen"]) >= 18
    assert [task.name for task in groups["unseen"]] == ["waves-momentum", "picture-adam", "ratings-adamw"]
    assert len(groups["late"]) == 3
    assert min(task.horizon for name in ("seen", "unseen", "late") for task in groups[name]) >= 2000
    fitted = {task.family for name in ("seen", "wider") for task in groups[name]}
    assert not fitted & {task.family for name in ("unseen", "late", "kept") for task in groups[name]}
    assert {len([one for one in groups["wider"] if one.family == task.family]) > 0 for task in groups["wider"]} == {
        True
    }


def test_a_second_stage_begins_where_the_first_one_ends():
    task = TASKS["friedman-momentum-50"]
    (model, (optimizer,)), (again, _) = task.begin(0, 0.5), task.begin(0, 0.5)
    fresh = task.start(0)
    assert optimizer.state
    assert optimizer.param_groups[0]["lr"] == 0.5
    same = [bool((a == b).all()) for a, b in zip(model.parameters(), again.parameters(), strict=True)]
    assert all(same)
    assert not all(bool((a == b).all()) for a, b in zip(model.parameters(), fresh.parameters(), strict=True))


def test_a_skipped_batch_takes_no_step():
    task = TASKS["gaps-momentum"]
    model, optimizers = task.begin(0, 0.1)
    before = [one.clone() for one in model.parameters()]
    batch = next(batch for batch in task.loader(0) if batch[0].isnan().any())
    assert math.isnan(task.step(model, optimizers, batch))
    assert all(bool((a == b).all()) for a, b in zip(before, model.parameters(), strict=True))


def test_lightnings_stored_number_is_what_its_tuner_gives():
    peer = peers.PEERS["Lightning"]
    rows = [row for row in store.read_rows(collect.SUGGESTIONS) if row.get("peer") == peer.name]
    row = next(row for row in rows if row["task"] == "cancer-sgd")
    said = peer.run(TASKS["cancer-sgd"], collect.BOTH, row["seed"])
    assert said.lr == pytest.approx(row["lr"], rel=1e-6)
    assert said.steps == row["steps"]


@pytest.mark.skipif(find_spec("torch_lr_finder") is None, reason="the bench extra is not installed")
def test_torch_lr_finders_stored_number_is_its_own():
    rows = [row for row in store.read_rows(collect.SUGGESTIONS) if row.get("peer") == "torch-lr-finder"]
    row = next(row for row in rows if row["task"] == "cancer-sgd")
    said = peers.PEERS["torch-lr-finder"].run(TASKS["cancer-sgd"], collect.BOTH, row["seed"])
    assert said.lr == pytest.approx(row["lr"], rel=1e-6)


@pytest.mark.parametrize("package", [tasks, peers, rules])
def test_one_more_file_is_one_more_record(package, tmp_path, monkeypatch):
    """A record in a new file of the folder is found without naming it anywhere."""
    kind = package.__name__.split(".")[1].upper()
    source = next(iter(getattr(package, kind).values()))
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
    owner = {"TASKS": "linear", "PEERS": "habit", "RULES": "edge"}[kind]
    (tmp_path / "another.py").write_text(
        f"from dataclasses import replace\nfrom benchmarks.{kind.lower()}.{owner} import {kind} as known\n"
        f"{kind} = (replace(known[0], name='another'),)\n"
    )
    assert "another" in package.collected()
    assert type(package.collected()["another"]) is type(source)


def test_a_peer_that_raises_is_recorded_and_scored_as_lost():
    def suggest(task, schedule, seed):
        raise RuntimeError("no")

    row = collect.suggestion_row(Peer("broken", suggest), TASKS["linear-sgd"], collect.BOTH, 10)
    assert row["lr"] is None
    assert row["error"] == "RuntimeError: no"
    known = {("linear-sgd", "constant"): a_truth(task="linear-sgd")}
    scores = list(all_scores_of_peers(Stored({"linear-sgd": TASKS["linear-sgd"]}, known, [], [row])))
    assert [(one.method, one.regret, one.failed) for one in scores] == [("broken", 1.0, True)]


def all_scores_of_peers(stored):
    from benchmarks.scoring import peer_scores

    return peer_scores(stored)


def test_a_new_peer_is_scored_from_its_rows():
    row = collect.suggestion_row(
        Peer("half", lambda task, schedule, seed: Suggestion(2.0, 3, forwards=3)), TASKS["linear-sgd"], "constant", 10
    )
    known = {("linear-sgd", "constant"): a_truth(task="linear-sgd")}
    (one,) = all_scores_of_peers(Stored({"linear-sgd": TASKS["linear-sgd"]}, known, [], [row]))
    assert one.regret == pytest.approx(0.125)
    assert one.cost == 4.0


ALWAYS = Rule("always", lambda case: 0.0, lambda case: (1.0,), (0.0,))


def samples(family, best, count=6, group="seen"):
    bowl = a_truth(lambda octave, seed: 1 + min(abs(octave - best) / 4, 1), task=family, octaves=range(-8, 9))
    return [calibrate.Sample(family, group, bowl, seed, 2.0, (1.0,), 100, 0.1) for seed in range(count)]


def test_calibration_finds_the_constant_that_gives_the_best_rate():
    assert calibrate.fit(samples("a", -1), (0.0,)) == pytest.approx([3.0], abs=0.05)


def test_calibration_never_sees_the_family_it_scores_nor_an_unseen_one():
    many = [*samples("a", 0, 20), *samples("b", -2), *samples("c", 5, 90, "unseen")]
    constants = calibrate.leave_one_out(many, ALWAYS)
    assert constants["a"] == pytest.approx([4.0], abs=0.05)
    assert constants["b"] == pytest.approx([2.0], abs=0.05)
    assert constants["c"] == pytest.approx([2.0], abs=0.3)


def test_constants_for_later_families_are_fitted_on_these_alone_and_leave_the_others_be():
    rule = Rule("two", lambda case: 0.0, lambda case: (1.0, 1.0), (0.0, 0.0), later=1)
    first = [replace(one, features=(1.0, 0.0)) for one in samples("a", -1)]
    later = [replace(one, features=(1.0, 1.0)) for one in samples("b", -3, group="wider")]
    assert calibrate.fit_both(first, rule) == pytest.approx([3.0, 0.0], abs=0.05)
    assert calibrate.fit_both([*first, *later], rule) == pytest.approx([3.0, 2.0], abs=0.1)
    assert calibrate.leave_one_out([*first, *later], rule)["b"] == pytest.approx([3.0, 0.0], abs=0.05)


def test_changing_a_familys_truth_leaves_its_constants_alone():
    before = calibrate.leave_one_out([*samples("a", 0), *samples("b", -2)], ALWAYS)
    after = calibrate.leave_one_out([*samples("a", 1), *samples("b", -2)], ALWAYS)
    assert before["a"] == pytest.approx(after["a"])
    assert before["b"] != pytest.approx(after["b"])


def test_a_new_rule_is_scored_from_stored_sweeps():
    one = Stored.load({"cancer-sgd": TASKS["cancer-sgd"], "linear-sgd": TASKS["linear-sgd"]})
    rule = Rule("always", lambda case: -5.0, lambda case: (1.0,), (0.0,))
    scores, constants = calibrated_scores(rule, one, groups=sweeps.apart(one.sweeps))
    assert len(scores) == 2 * 2 * 20
    assert len(constants) == 1


def test_the_package_carries_the_constants_that_the_fit_gives():
    reading = importlib.import_module("lrfind.suggest.calibrated")
    _, constants = fitted(rules.RULES[CHOSEN], Stored.load(TASKS))
    repeated = (reading.REPEATED_ADAPTIVE, reading.REPEATED)
    first = (reading.ANNEALED, reading.STEADY, reading.ADAPTIVE, -reading.USUAL_ANNEALED, -reading.USUAL_STEADY)
    slower = importlib.import_module("lrfind.suggest.closer")
    carried = (*first, *repeated, reading.SHORTER, slower.ANNEALED, slower.STEADY)
    assert constants == pytest.approx(carried, abs=0.051)


def test_the_package_carries_the_tables_that_judge_rates():
    known = [one for one in judging.pairs(Stored.load(TASKS)) if one.group in ("seen", "wider")]
    for kind, (regrets, worse) in judging.tables(known).items():
        assert TABLES[kind][0] == pytest.approx(regrets, abs=0.011)
        assert TABLES[kind][1] == pytest.approx(worse, abs=0.011)


def test_every_method_is_scored_on_a_task():
    stored = Stored.load({"cancer-sgd": TASKS["cancer-sgd"], "linear-sgd": TASKS["linear-sgd"]})
    found = all_scores(stored, rules.RULES[CHOSEN])
    assert {reading.name for reading in READINGS} <= set(found)
    assert {"Lightning", "lrfind, 10 %", "lrfind, one sweep", "lrfind as shipped"} <= set(found)
    assert all(0 <= one.regret <= 1 for many in found.values() for one in many)


def test_a_constant_loss_smooths_to_itself():
    assert smoothed(np.full(9, 3.0)) == pytest.approx(np.full(9, 3.0))


@pytest.mark.parametrize("reading", READINGS, ids=lambda reading: reading.name)
def test_published_rules_read_a_plain_valley(reading):
    octaves = np.linspace(-20, 3, 100)
    losses = 2 - 1 / (1 + np.exp(-(octaves + 8))) + np.exp(octaves - 1)
    assert 2**-14 < reading.read(2**octaves, losses) < 4


def test_stored_files_hold_plain_rows_with_their_origin():
    for path in (truth.TABLE, collect.SUGGESTIONS):
        first = json.loads(path.read_text().splitlines()[0])
        assert {"torch", "python"} <= set(first["versions"])
        assert first["commit"]


def test_the_experiments_tables_are_those_of_its_numbers():
    results = json.loads(experiment.RESULTS.read_text(encoding="utf-8"))
    assert [one["seed"] for one in results] == list(experiment.SEEDS)
    page, readme = (path.read_text(encoding="utf-8") for path in (experiment.PAGE, experiment.README))
    for name, table in experiment.page_tables(results).items():
        assert f"<!-- {name} -->\n{table}\n<!-- end -->" in page
    assert f"<!-- experiment -->\n{experiment.readme_table(results)}\n<!-- end -->" in readme
    changed = [{**one, "search_steps": 999} for one in results]
    assert "999" in experiment.readme_table(changed)


def test_an_experiment_with_a_failed_run_is_not_written_down(monkeypatch, tmp_path):
    failed = made_up_comparison()
    assert failed.failures
    monkeypatch.setattr(experiment, "_train", lambda *arguments: failed)
    with pytest.raises(RuntimeError, match=r"seed 0: .* failed"):
        experiment.trained(tmp_path, jobs=1)

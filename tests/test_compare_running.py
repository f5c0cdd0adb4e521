"""The same comparison whichever way it runs, and however often it is cut short."""

import json
import math
import os
import random
import re
import signal
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import compared
import pytest
import torch
from compared import Fragile, make

from lrfind.compare import Comparison, CutShort, LightningTarget, PyTorchTarget, compare
from lrfind.compare.verdict import closing
from lrfind.errors import BadInputError
from lrfind.records import Finding
from lrfind.words import certainty

PLAIN = PyTorchTarget("compared:make")
WHAT = {"lrs": (1e-3,), "schedules": ("constant", "linear", "triangular"), "seeds": 2, "epochs": 2, "progress": False}
NAMES = ("0.001", "found", "linear", "triangular")


def timeless(comparison):
    """The report, but for times."""

    def without(value):
        if isinstance(value, dict):
            return {key: without(one) for key, one in value.items() if key != "seconds"}
        return [without(one) for one in value] if isinstance(value, list) else value

    return json.dumps(without(comparison.to_dict()), allow_nan=False)


def timeful(comparison):
    return json.dumps(comparison.to_dict(), allow_nan=False)


@pytest.fixture(scope="module")
def in_turn():
    return compare(PLAIN, **WHAT)


def test_every_arm_trains_with_every_seed(in_turn):
    assert [(run.arm, run.seed) for run in in_turn.runs] == [(name, seed) for name in NAMES for seed in (0, 1)]
    assert {run.steps for run in in_turn.runs} == {32}
    assert in_turn.finding.lr == in_turn.arms[1].lr
    assert set(in_turn.summaries) == set(NAMES)
    assert in_turn.verdict.best in NAMES
    assert in_turn.setting == (
        "Each run: 32 optimizer steps (2 epochs); the same start and the same batches for every arm."
    )
    assert Comparison.from_dict(in_turn.to_dict()).to_dict() == in_turn.to_dict()


def test_a_local_ray_gives_the_same_report(in_turn):
    assert timeless(compare(PLAIN, **WHAT, ray="local")) == timeless(in_turn)


def test_lightning_gives_the_same_report_in_processes():
    target, what = (
        LightningTarget("compared_lightning:Net", "compared_lightning:Points"),
        {**WHAT, "schedules": ("constant",), "seeds": 1},
    )
    assert timeless(compare(target, **what, jobs=2)) == timeless(compare(target, **what))


def test_what_cannot_be_built_elsewhere_is_refused_before_any_work():
    with pytest.raises(BadInputError, match="other processes cannot build what is trained"):
        compare(PyTorchTarget(lambda: make()), **WHAT, jobs=2)


def marks(folder):
    return {file.name: len(file.read_text()) for file in folder.iterdir()}


def test_a_run_that_fails_is_reported_and_the_others_go_on(tmp_path, in_turn):
    found = compare(Fragile("compared:make", raises=("linear", 1), marks=str(tmp_path)), **WHAT)
    ((arm, seed, error),) = [(one.arm, one.seed, one.error) for one in found.failures]
    assert (arm, seed, error) == ("linear", 1, "RuntimeError: out of luck")
    kept = [(run.arm, run.seed, run.rows) for run in in_turn.runs if (run.arm, run.seed) != ("linear", 1)]
    assert [(run.arm, run.seed, run.rows) for run in found.runs] == kept
    assert set(marks(tmp_path).values()) == {1}
    assert found.verdict.not_compared == ("linear",)
    assert {pair.seeds for pair in found.verdict.pairs} == {2}
    assert re.search(r"linear [0-9.e-]+ is not compared", found.verdict.sentence)


def test_a_run_that_ends_early_is_not_judged(tmp_path):
    found = compare(Fragile("compared:make", stops=("linear", 1), marks=str(tmp_path)), **WHAT)
    ((arm, seed, error),) = [(one.arm, one.seed, one.error) for one in found.failures]
    assert (arm, seed) == ("linear", 1)
    assert error.startswith("it stopped after 16 of 32 steps; leave out whatever ends training early")
    assert ("linear", 1) not in {(run.arm, run.seed) for run in found.runs}


WHERE = pytest.mark.parametrize(
    "where",
    [pytest.param({"jobs": 2}, id="processes"), pytest.param({"ray": "local"}, id="ray", marks=pytest.mark.slow)],
)


@WHERE
def test_workers_give_the_same_report_also_where_one_dies(tmp_path, in_turn, where):
    target = Fragile("compared:make", dies=("found", 0), marks=str(tmp_path))
    found = compare(target, **WHAT, **where)
    assert timeless(found) == timeless(in_turn)
    assert marks(tmp_path) == {
        f"{name}-{seed}": 1 + ((name, seed) == ("found", 0)) for name in NAMES for seed in (0, 1)
    }


@WHERE
def test_a_worker_that_dies_twice_and_a_run_that_raises_are_failures(tmp_path, where):
    target = Fragile("compared:make", dies=("found", 0), raises=("linear", 0), marks=str(tmp_path), always=True)
    found = compare(target, **{**WHAT, "seeds": 1}, **where)
    assert [(failure.arm, failure.seed) for failure in found.failures] == [("found", 0), ("linear", 0)]
    assert "died" in found.failures[0].error or "code 7, 2 times" in found.failures[0].error
    assert found.failures[1].error == "RuntimeError: out of luck"
    assert [run.arm for run in found.runs] == ["0.001", "triangular"]
    assert marks(tmp_path)["found-0"] == 2


def test_a_log_gets_a_line_for_each_run_and_now_and_then_one_of_a_run_that_goes_on(monkeypatch, capsys):
    what = {"lrs": (0.01, 0.02), "schedules": (), "seeds": 1, "steps": 8}
    compare(PLAIN, **what)
    said = capsys.readouterr().err.splitlines()
    assert [line.split(" (")[0] for line in said] == ["finished: lr 0.01, seed 0", "finished: lr 0.02, seed 0"]
    assert "2 of 2" in said[1]
    monkeypatch.setattr("lrfind.compare.running._EVERY", 0.0)
    monkeypatch.setattr("lrfind.compare.running._BETWEEN", 0.0)
    compare(PLAIN, **what)
    said = capsys.readouterr().err.splitlines()
    assert [line.split(", loss")[0] for line in said if ": 3 of 8" in line] == [
        f"lr {lr}, seed 0: 3 of 8 steps" for lr in (0.01, 0.02)
    ]
    compare(PLAIN, **what, progress=False)
    assert capsys.readouterr().err == ""


def test_a_terminal_gets_one_bar_over_all_runs(monkeypatch):
    shown = []
    bar = nullcontext(lambda *now: shown.append(now))
    monkeypatch.setattr("lrfind.compare.running.place", lambda: ("terminal", bar))
    what = {"lrs": (0.01, 0.02), "schedules": (), "seeds": 1, "steps": 8}
    compare(PLAIN, **what)
    assert shown[-1] == ("finished: lr 0.02, seed 0 (2 of 2 runs)", 2, 2)
    assert any(line.startswith("lr 0.01, seed 0: 8 of 8 steps") for line, *_ in shown)
    shown.clear()
    compare(PLAIN, **what, progress=False)
    assert shown == []


def test_what_is_finished_is_not_trained_again(tmp_path, in_turn):
    first = compare(PLAIN, **WHAT, out=tmp_path)
    seen = []
    again = compare(PLAIN, **WHAT, out=tmp_path, on_event=lambda event: seen.append(event.kind))
    assert set(seen) == {"found", "kept"}
    assert again.to_dict() == first.to_dict()  # times included: nothing ran
    assert timeless(first) == timeless(in_turn)


class Endless(torch.utils.data.IterableDataset):
    """Data that do not say how many they are."""

    def __iter__(self):
        return iter(compared.data())


def endless():
    return replace(make(), loader=torch.utils.data.DataLoader(Endless(), batch_size=8))


def test_data_without_a_length_are_compared_kept_and_read_back(tmp_path):
    target, what = PyTorchTarget(endless), {"lrs": (0.01, 0.02), "schedules": (), "steps": 8, "progress": False}
    one = compare(target, **what, seeds=1, out=tmp_path)
    assert math.isnan(one.runs[0].last.epoch)
    assert Comparison.from_dict(json.loads(timeful(one))).to_dict() == one.to_dict()
    seen = []
    both = compare(target, **what, seeds=2, out=tmp_path, on_event=lambda event: seen.append((event.kind, event.seed)))
    assert (seen.count(("kept", 0)), seen.count(("started", 1)), seen.count(("started", 0))) == (2, 2, 0)
    assert timeful(both) == timeful(compare(target, **what, seeds=2, out=tmp_path))


def test_runs_of_a_rate_that_is_no_longer_the_found_one_are_made_anew(tmp_path):
    what = {**WHAT, "schedules": ("constant",)}
    first = compare(PLAIN, **what, out=tmp_path)
    (tmp_path / "runs" / "finding-constant.json").unlink()
    began = []
    second = compare(
        PLAIN, **{**what, "seeds": (1, 0)}, out=tmp_path, on_event=lambda event: began.append((event.kind, event.arm))
    )
    assert second.finding.lr != first.finding.lr
    assert {run.lr_applied for run in second.runs_of("found")} == {(second.finding.lr, second.finding.lr)}
    assert (began.count(("kept", "0.001")), began.count(("started", "found"))) == (2, 2)
    assert timeless(compare(PLAIN, **{**what, "seeds": (1, 0)}, out=tmp_path)) == timeless(second)


WIDTHS = {f"width={width}": PyTorchTarget("compared:make", {"width": width}) for width in (4, 16)}


def test_several_targets_are_compared_each_at_its_own_found_rates(tmp_path, in_turn):
    what = {**WHAT, "schedules": ("constant", "linear")}
    found = compare(WIDTHS, **what, out=tmp_path)
    names = [f"{name} {variant}" for variant in WIDTHS for name in ("0.001", "found", "linear")]
    assert [arm.name for arm in found.arms] == names
    assert [arm.variant for arm in found.arms] == [name.split(" ")[1] for name in names]
    assert [(run.arm, run.seed) for run in found.runs] == [(name, seed) for name in names for seed in (0, 1)]
    alone = compare(WIDTHS["width=4"], **what)
    for name in ("0.001", "found", "linear"):  # each is trained as it is when it is compared by itself
        same = zip(found.runs_of(f"{name} width=4"), alone.runs_of(name), strict=True)
        assert all((one.rows, one.lr_applied) == (other.rows, other.lr_applied) for one, other in same)
        assert found.runs_of(f"{name} width=16")[0].rows == in_turn.runs_of(name)[0].rows
    notes = " ".join(found.notes)
    kept = {width: Finding.load(tmp_path / "runs" / f"finding-constant%20width%3D{width}.json") for width in (4, 16)}
    assert found.finding == kept[4]
    assert [note for note in kept[16].notes if note not in notes] == []  # of every search that the report does not show
    assert f"constant width=16: {certainty(kept[16])}" in notes
    assert found.setting == "Each run: 32 optimizer steps (2 epochs); the same seeds for every arm."
    seen = []
    again = compare(WIDTHS, **what, out=tmp_path, on_event=lambda event: seen.append(event.kind))
    assert set(seen) == {"found", "kept"}
    assert timeless(again) == timeless(found)
    more = {**WIDTHS, "width=8": PyTorchTarget("compared:make", {"width": 8})}
    seen.clear()
    compare(more, **what, out=tmp_path, on_event=lambda event: seen.append((event.kind, event.arm)))
    assert {arm for kind, arm in seen if kind == "started"} == {
        f"{name} width=8" for name in ("0.001", "found", "linear")
    }
    other = {"width=4": WIDTHS["width=16"]}
    with pytest.raises(BadInputError, match=r"holds the runs of another comparison: its target width=4\.arguments"):
        compare(other, **what, out=tmp_path)


def test_one_schedule_is_a_comparison_where_there_are_several_targets():
    what = {"schedules": ("linear",), "seeds": 1, "steps": 8, "progress": False}
    found = compare(WIDTHS, **what)
    assert [arm.name for arm in found.arms] == ["linear width=4", "linear width=16"]
    assert timeless(compare(WIDTHS, **what, jobs=2)) == timeless(found)
    best = next(arm for arm in found.arms if arm.name == found.verdict.best)
    assert f"with lr {best.lr:.3g}, {best.variant}, schedule linear" in closing(found)


def test_targets_whose_epochs_differ_train_equally_many_steps():
    targets = {"one": PLAIN, "two": PyTorchTarget("compared:make", {"accumulate": 2})}
    what = {"lrs": (0.01,), "schedules": (), "seeds": 1, "progress": False}
    with pytest.raises(BadInputError, match="give steps= instead"):
        compare(targets, **what, epochs=2)
    found = compare(targets, **what, steps=16)
    assert [(run.steps, run.last.epoch) for run in found.runs] == [(16, 1.0), (16, 2.0)]
    assert "An epoch has 16 steps with one, 8 steps with two" in " ".join(found.notes)
    assert "epochs" not in found.setting


def test_what_variants_have_in_common_is_said_also_of_lists():
    arguments = {"sizes": [8, 16], "depth": 2}
    targets = {f"{at}": PyTorchTarget(sized, {**arguments, "lr": 0.1 * at, "width": at}) for at in (4, 8)}
    found = compare(targets, lrs=(0.01,), schedules=(), seeds=1, steps=8, progress=False)
    assert "Each run: sizes=[8, 16], depth=2; 8 optimizer steps" in found.setting


def sized(sizes, depth, lr, width=8):
    return make(width)


def test_targets_that_train_the_same_are_not_compared(tmp_path):
    with pytest.raises(BadInputError, match="target a and target b are the same training"):
        compare({"a": PLAIN, "b": PLAIN}, lrs=(0.01,), schedules=(), progress=False, out=tmp_path)


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize(
    "of_rate",
    [
        lambda lr: PyTorchTarget(sized, {"sizes": [8], "depth": 2, "lr": lr}),
        lambda lr: LightningTarget("compared_lightning:Net", model_args={"optimizer": {"learning_rate": lr}}),
    ],
)
def test_targets_that_differ_only_in_their_rate_are_refused(tmp_path, of_rate, kept):
    """Each arm sets the rate, so that they would be the same training twice."""
    targets = {"slow": of_rate(1e-4), "fast": of_rate(1e-2)}
    with pytest.raises(BadInputError, match=r"slow and target fast differ only in their learning rate.*lrs="):
        compare(targets, schedules=("constant",), progress=False, out=tmp_path if kept else None)


@pytest.mark.parametrize(
    "targets", [{}, {"": PLAIN, "other": PLAIN}, {"a": PLAIN, "a ": WIDTHS["width=4"]}, {1: PLAIN}]
)
def test_targets_have_a_name_each(targets):
    with pytest.raises(BadInputError, match="by name"):
        compare(targets, lrs=(0.01, 0.02), schedules=(), progress=False)


@dataclass(frozen=True)
class Astray(PyTorchTarget):
    """A training that does not take the rate it is given."""

    def train(self, arm, seed, steps, told):
        return super().train(replace(arm, lr=arm.lr * (2 if arm.lr == 0.02 else 1)), seed, steps, told)


def test_a_run_at_other_rates_than_its_arms_is_a_failure():
    target = Astray("compared:make")
    found = compare(target, lrs=(0.01, 0.02, 0.03), schedules=(), seeds=1, steps=8, progress=False)
    assert [(one.arm, one.error) for one in found.failures] == [
        ("0.02", "it trained at rates from 0.04 to 0.04, and its arm has rates from 0.02 to 0.02")
    ]
    assert [run.arm for run in found.runs] == ["0.01", "0.03"]


def test_seeds_can_be_added(tmp_path, in_turn):
    compare(PLAIN, **{**WHAT, "seeds": 1}, out=tmp_path)
    began = []
    more = compare(PLAIN, **WHAT, out=tmp_path, on_event=lambda event: began.append((event.kind, event.seed)))
    assert began.count(("started", 1)) == 4
    assert not began.count(("started", 0))
    assert timeless(more) == timeless(in_turn)


def test_seeds_can_be_added_before_the_first(tmp_path):
    first = compare(PLAIN, **{**WHAT, "seeds": (7,)}, out=tmp_path)
    more = compare(PLAIN, **{**WHAT, "seeds": (0, 7)}, out=tmp_path)
    assert more.finding.to_dict() == first.finding.to_dict()
    assert [run.seed for run in more.runs_of("found")] == [0, 7]


def test_arms_can_be_added_and_left_out(tmp_path, in_turn):
    compare(PLAIN, **{**WHAT, "lrs": (), "schedules": ("linear", "triangular")}, out=tmp_path)
    began = []
    more = compare(PLAIN, **WHAT, out=tmp_path, on_event=lambda event: began.append((event.kind, event.arm)))
    assert sorted(began).count(("started", "0.001")) == 2
    assert ("started", "linear") not in began
    assert timeless(more) == timeless(in_turn)
    few = compare(PLAIN, **{**WHAT, "schedules": ("constant",)}, out=tmp_path)
    assert [arm.name for arm in few.arms] == ["0.001", "found"]


def test_a_run_that_cannot_be_read_is_named(tmp_path):
    compare(PLAIN, **{**WHAT, "seeds": 1}, out=tmp_path)
    (tmp_path / "runs" / "run-found-seed-0.json").write_text("{}")
    with pytest.raises(BadInputError, match=r"run-found-seed-0.json cannot be read as a run .* give another file"):
        compare(PLAIN, **{**WHAT, "seeds": 1}, out=tmp_path)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"epochs": 3}, "its steps is 32, not 48"),
        ({"cycles": 2}, "its cycles is 4, not 2"),
        ({"target": PyTorchTarget("compared:make", {"width": 8})}, "its target.arguments.width is null"),
        ({"target": PyTorchTarget(lambda: make())}, "its target.factory is"),
        ({"min_lr": 1e-5}, "its search.min_lr is null"),
    ],
)
def test_the_runs_of_another_comparison_are_refused(tmp_path, change, named):
    def stop(event):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compare(PLAIN, **WHAT, out=tmp_path, on_event=stop)
    asked = {**WHAT, **change}
    with pytest.raises(BadInputError, match=f"holds the runs of another comparison: {named}"):
        compare(asked.pop("target", PLAIN), **asked, out=tmp_path)


def test_ctrl_c_gives_what_is_finished(tmp_path):
    def interrupt(event):
        if event.kind == "started" and event.arm == "linear":
            raise KeyboardInterrupt

    with pytest.raises(CutShort) as caught:
        compare(PLAIN, **WHAT, out=tmp_path, on_event=interrupt)
    cut = caught.value.comparison
    assert [run.arm for run in cut.runs] == ["0.001", "found"]
    assert cut.notes[0] == "Stopped by Ctrl-C: 6 of 8 runs did not finish and are not shown."


KILLED = """
import json, sys
from compared import Killed
from lrfind.compare import compare
out, marks, at = sys.argv[1:]
what = {"lrs": (1e-3,), "schedules": ("constant", "linear", "triangular"), "seeds": 2, "epochs": 2, "progress": False}
found = compare(Killed("compared:make", marks=marks, at=int(at)), **what, out=out)
print(json.dumps(found.to_dict()))
"""


def kill_at(at, folder):
    """Compare in a process of its own that is killed at a step; then once more to the end; return the report."""
    for name in ("out", "marks"):
        (folder / name).mkdir(parents=True)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    reports = []
    for when in (at, 0):
        command = [sys.executable, "-c", KILLED, str(folder / "out"), str(folder / "marks"), str(when)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        assert done.returncode == (-signal.SIGKILL if when else 0), done.stderr
        reports.append(done.stdout)
    assert reports[0] == ""
    return Comparison.from_dict(json.loads(reports[1]))


FIRST, *OTHERS = random.Random(1).sample(range(1, 8 * 32), 5)


@pytest.mark.parametrize("at", [FIRST, *(pytest.param(at, marks=pytest.mark.slow) for at in OTHERS)])
def test_killed_at_any_point_it_goes_on_and_trains_nothing_finished_twice(tmp_path, in_turn, at):
    found = kill_at(at, tmp_path)
    begun = marks(tmp_path / "marks")
    assert timeless(found).replace("Killed", "PyTorchTarget") == timeless(in_turn)
    # in the order of training, all arms with one seed and then with the next: the runs before the kill ran once
    order = [f"{name}-{seed}" for seed in (0, 1) for name in NAMES]
    cut = (at - 1) // 32
    assert [begun[name] for name in order] == [1 + (place == cut) for place in range(8)]

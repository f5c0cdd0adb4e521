"""``lrfind demo`` as a person runs it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pressed
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.nn.functional import cross_entropy
from torch.utils.data import TensorDataset

from lrfind import cli
from lrfind.cli import faults
from lrfind.compare import Arm, compare
from lrfind.demo import data, experiment
from lrfind.demo.experiment import LeNet
from lrfind.errors import RateNotAppliedError
from lrfind.report.loggers import write_tensorboard

PROGRAM = str(Path(sys.executable).with_name("lrfind"))


@pytest.fixture(autouse=True)
def _data_is_looked_for_anew():
    experiment.dataset_of.cache_clear()


def demo(monkeypatch, *arguments):
    """Run the command in this process; return its exit code."""
    monkeypatch.setattr(sys, "argv", ["lrfind", "demo", *map(str, arguments)])
    with pytest.raises(SystemExit) as done:
        cli.main()
    return done.value.code or 0


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A short demo on digits, without data or network."""
    out = tmp_path_factory.mktemp("demo")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("LRFIND_DATA", raising=False)
        patch.setenv("XDG_CACHE_HOME", str(out / "cache"))
        patch.setattr(data, "MIRRORS", ("http://127.0.0.1:9/",))
        assert demo(patch, "--out", out, "--epochs", 6, "--seed", 3, "--seeds", 1, "--jobs", 1) == 0
    return out


def test_the_report_holds_what_ran(finished):
    report = json.loads((finished / "report.json").read_text())
    finding, runs, arms = report["finding"], report["runs"], report["arms"]
    assert (report["schema"], report["title"]) == ("lrfind/comparison/1", "LeNet on digits (scikit-learn)")
    assert {"lr", "base_lr", "max_lr", "interval", "method", "cost"} <= set(finding)
    assert 0 < finding["cost"]["steps"] <= 150
    assert sum(len(record["lrs"]) for record in finding["records"]) == finding["cost"]["steps"]
    assert [arm["name"] for arm in arms] == ["1e-05", "0.0001", "0.1", "found", "linear"]
    assert arms[3]["lr"] == finding["lr"] < arms[4]["lr"]
    assert [(run["arm"], run["seed"]) for run in runs] == [(arm["name"], 3) for arm in arms]
    for run, arm in zip(runs, arms, strict=True):
        steps = 6 * 19
        least = arm["lr"] / steps if arm["schedule"] == "linear" else arm["lr"]
        assert run["lr_applied"] == pytest.approx([least, arm["lr"]], rel=1e-12 if least < arm["lr"] else 0)
        assert (run["steps"], run["rows"][-1]["step"], run["rows"][-1]["epoch"]) == (steps, steps, 6)
        last = run["rows"][-1]["metrics"]
        assert {"val_loss", "val_accuracy", "train_loss", "train_accuracy"} <= set(last)
        assert run["tested"]["test_loss"] == pytest.approx(last["val_loss"], abs=0.3)
        assert round(run["tested"]["test_accuracy"] * 299, 3) == round(run["tested"]["test_accuracy"] * 299)
    assert report["verdict"]["best"] in ("found", "linear")


def test_three_seeds_are_trained_by_default_the_curve_comes_first_and_a_sentence_to_use_ends_it(
    monkeypatch, capsys, tmp_path
):
    assert demo(monkeypatch, "--dataset", "digits", "--epochs", 2, "--out", tmp_path, "--lrs", "1e-5", "--jobs", 1) == 0
    lines = capsys.readouterr().out.splitlines()
    report = json.loads((tmp_path / "report.json").read_text())
    assert sorted(run["seed"] for run in report["runs"]) == sorted([0, 1, 2] * 3)
    assert report["verdict"]["seeds"] == 3
    assert lines[0].startswith(f"lr {report['finding']['lr']:.3g} for Adam, held constant")
    assert any("▲" in line for line in lines[:30])
    best = next(arm for arm in report["arms"] if arm["name"] == report["verdict"]["best"])
    assert f"Train with lr {best['lr']:.3g}" in "".join(lines[-4:])


def test_the_page_is_self_contained_and_says_digits(finished):
    page = (finished / "report.html").read_text()
    assert "LeNet on digits" in re.search("<title>(.*?)</title>", page, re.DOTALL).group(1)
    assert "Adam, batches of 64; 114 optimizer steps (6 epochs)" in page
    assert "could not be downloaded" in page
    assert not re.findall(r"""<(?:script|img|link|iframe)[^>]*(?:src|href)=["'](?!data:)""", page)
    assert (finished / "figures" / "finding.png").exists()


def test_the_commands_of_the_experiments_page_are_ones_that_the_demo_takes(finished, monkeypatch, capsys):
    root = Path(__file__).parents[1]
    page = (root / "docs" / "experiment.md").read_text(encoding="utf-8")
    (options,) = re.findall(r"lrfind demo (.*?) *#", page)
    assert demo(monkeypatch, *options.split(), "--epochs", "0") == 2
    assert "--epochs must be at least 1" in capsys.readouterr().err  # what comes before was understood


def test_tensorboard_has_losses_accuracies_and_the_rate_of_every_run(finished):
    report = json.loads((finished / "report.json").read_text())
    for run in report["runs"]:
        events = EventAccumulator(str(finished / "tensorboard" / run["arm"] / "seed-3")).Reload()
        assert {"final/val_loss", "final/test_accuracy"} <= set(events.Tags()["scalars"])
        assert {"lr", "train_loss", "train_accuracy", "val_loss", "val_accuracy"} <= set(events.Tags()["scalars"])
        assert [event.value for event in events.Scalars("lr")] == pytest.approx([row["lr"] for row in run["rows"]])
        assert events.Scalars("val_loss")[-1].value == pytest.approx(run["rows"][-1]["metrics"]["val_loss"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--lrs", "1e-5,-0.1"], "positive and finite, got -0.1"),
        (["--lrs", "0"], "positive and finite, got 0.0"),
        (["--lrs", "nan"], "positive and finite, got nan"),
        (["--lrs", "1e-5,fast"], "--lrs: write numbers separated by commas, got '1e-5,fast'"),
        (["--lrs", ""], "numbers separated by commas, got ''"),
        (["--lrs", "0.1,1e-1"], "0.1 is named twice"),
        (["--epochs", "0"], "--epochs must be at least 1, got 0"),
        (["--dataset", "mnist"], "dataset must be one of"),
        (["--out", "{file}/inside"], "cannot be written"),
    ],
)
def test_bad_input_is_one_sentence(monkeypatch, capsys, tmp_path, arguments, message):
    (tmp_path / "file").touch()
    given = [argument.format(file=tmp_path / "file") for argument in arguments]
    given += [] if "--out" in given else ["--out", tmp_path / "out"]
    assert demo(monkeypatch, *given) == (2 if arguments[0] in ("--lrs", "--epochs") else 1)
    said = capsys.readouterr().err
    assert said.startswith("lrfind: ")
    assert message in said
    assert "Traceback" not in said


def test_a_damaged_file_ends_the_demo_with_one_sentence(monkeypatch, capsys, tmp_path):
    folder = tmp_path / data.FOLDER
    folder.mkdir(parents=True)
    for name in data.CHECKSUMS:
        (folder / name).write_bytes(b"not what it was")
    assert demo(monkeypatch, "--data-dir", tmp_path, "--out", tmp_path / "out") == 1
    assert "train-images-idx3-ubyte.gz is truncated or altered" in capsys.readouterr().err


@pytest.mark.parametrize("by", ["argument", "environment"])
def test_a_folder_without_the_data_ends_the_demo_with_one_sentence(monkeypatch, capsys, tmp_path, by):
    monkeypatch.setenv("LRFIND_DATA", str(tmp_path))
    given = ["--data-dir", tmp_path] if by == "argument" else []
    assert demo(monkeypatch, *given, "--out", tmp_path / "out") == 1
    named = "data_dir" if by == "argument" else "LRFIND_DATA"
    assert capsys.readouterr().err.startswith(f"lrfind: {named} is {tmp_path}, but ")


@pytest.fixture
def tiny(monkeypatch):
    """A few images, so that a run takes no time."""
    generator = torch.Generator().manual_seed(0)
    parts = [
        TensorDataset(torch.rand(n, 1, 28, 28, generator=generator), torch.arange(n) * 10 // n) for n in (192, 64, 1500)
    ]
    dataset = data.Dataset("tiny", "noise", 1, *parts)
    monkeypatch.setattr(experiment, "dataset_of", lambda name, data_dir: dataset)
    return dataset


def test_runs_at_close_rates_have_names_and_event_files_of_their_own(tmp_path, tiny):
    lrs = (0.01, 0.0100000001)
    found = compare(experiment.Experiment(), lrs=lrs, schedules=(), seeds=1, epochs=1, progress=False)
    write_tensorboard(found, tmp_path)
    names = ["0.01", "0.0100000001"]
    assert [run.arm for run in found.runs] == names
    assert sorted(folder.name for folder in tmp_path.iterdir()) == sorted(names)


def test_the_test_figures_are_means_over_all_test_images(tiny):
    run = experiment.Experiment().train(Arm("no rate to speak of", 1e-30), 0, 3, lambda done, words: None)
    torch.manual_seed(0)
    module = LeNet()  # what trained, as it was when it began and so, at such a rate, when it ended
    images, labels = tiny.test.tensors
    with torch.no_grad():
        logits = module(images)
    assert run.tested["test_loss"] == pytest.approx(float(cross_entropy(logits, labels)), rel=1e-5)
    assert run.tested["test_accuracy"] == pytest.approx(float((logits.argmax(1) == labels).float().mean()))


def test_the_found_run_finds_and_applies_its_rate_itself_and_says_if_it_is_another():
    what = experiment.Experiment(dataset="digits", seed=1)
    found = what.find("constant", 1, 190)
    right, wrong = (Arm("found", lr, origin="found") for lr in (found.lr, found.lr * 1.0001))
    run = what.train(right, 1, 190, lambda done, words: None)
    assert run.lr_applied == (found.lr, found.lr)
    with pytest.raises(RateNotAppliedError, match=f"not {found.lr} as applied"):
        what.train(wrong, 1, 190, lambda done, words: None)
    assert what.callbacks(right, 2) == what.callbacks(Arm("0.1", 0.1), 1) == []
    assert experiment.Experiment(dataset="digits").callbacks(right, 0) == []


def interrupted_at(line, out):
    """Run the demo in a process of its own, with Ctrl-C as it says ``line``; return its code and words."""
    few = ("--dataset", "digits", "--epochs", "2", "--seeds", "1", "--jobs", "1")
    command = [sys.executable, pressed.__file__, line, "demo", *few, "--out", out]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    done = subprocess.run([*map(str, command)], env={**os.environ, "OMP_NUM_THREADS": "1"}, **pipes, check=False)
    return done.returncode, done.stdout


def test_ctrl_c_in_the_runs_reports_the_finished_ones(tmp_path):
    code, words = interrupted_at("finished: lr 0.0001", tmp_path)
    report = json.loads((tmp_path / "report.json").read_text())
    assert code == 130
    assert "Traceback" not in words
    assert [run["arm"] for run in report["runs"]] == ["1e-05", "0.0001"]
    assert "3 of 5 runs did not finish" in report["notes"][0]
    assert (tmp_path / "tensorboard" / "0.0001" / "seed-0").exists()


def test_ctrl_c_in_the_search_leaves_nothing_of_an_earlier_report_either_and_says_so(tmp_path):
    (tmp_path / "figures").mkdir()
    for name in ("report.json", "report.html", "figures/finding.png"):
        (tmp_path / name).write_text("an earlier run's")
    code, words = interrupted_at("searching a rate", tmp_path)
    assert code == 130
    assert "interrupted" in words
    assert "Traceback" not in words
    assert not [file for file in tmp_path.rglob("*") if file.is_file() and "events" not in file.name]


@pytest.mark.parametrize("package", ["jinja2", "tensorboard"])
def test_what_the_report_needs_is_missed_before_any_work(monkeypatch, capsys, tmp_path, package):
    monkeypatch.setattr(faults, "find_spec", lambda name: None if name == package else True)
    assert demo(monkeypatch, "--dataset", "digits", "--out", tmp_path / "out") == 1
    assert f"{package} is not installed; install it with: pip install 'lrfind[demo]'" in capsys.readouterr().err
    assert not list((tmp_path / "out").iterdir())


def test_a_mistake_in_the_options_costs_no_report(monkeypatch, tmp_path):
    (tmp_path / "report.json").touch()
    assert demo(monkeypatch, "--out", tmp_path, "--dataset", "mnist") == 1
    assert (tmp_path / "report.json").exists()

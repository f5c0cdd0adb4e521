"""``lrfind compare`` and ``lrfind show`` on what it leaves, on modules of the user's own."""

import json
import pickle
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pressed
import pytest

from lrfind import cli
from lrfind.cli.lightning import Described
from lrfind.compare import Arm, Comparison, Failure, Interval, LightningTarget, Row, Run, Verdict, compare
from lrfind.compare.verdict import closing
from lrfind.report.rows import labelled

MINE = """
import torch
from torch.nn import functional as F
import lightning.pytorch as pl


class Net(pl.LightningModule):
    def __init__(self, lr: float = 0.01, hidden: int = 8, fails: str = ""):
        super().__init__()
        self.lr, self.fails = lr, fails
        self.net = torch.nn.Sequential(torch.nn.Linear(4, hidden), torch.nn.Tanh(), torch.nn.Linear(hidden, 1))

    def loss(self, batch):
        return F.mse_loss(self.net(batch[0]), batch[1])

    def training_step(self, batch, batch_idx):
        return self.loss(batch)

    def validation_step(self, batch, batch_idx):
        self.log("val_loss", self.loss(batch))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.lr)

    def on_validation_start(self):
        if self.fails and self.trainer.global_step:
            raise RuntimeError("out of [bold]luck[/bold]")


class Count(pl.Callback):
    def __init__(self):
        self.starts = 0

    def on_train_start(self, trainer, pl_module):
        self.starts += 1
        with open("starts", "a") as file:
            print(self.starts, file=file)


def loader(seed, batch_size, shuffle):
    x = torch.randn(128, 4, generator=torch.Generator().manual_seed(seed))
    data = torch.utils.data.TensorDataset(x, x.sum(1, keepdim=True))
    return torch.utils.data.DataLoader(data, batch_size=batch_size, shuffle=shuffle)


class Data(pl.LightningDataModule):
    def __init__(self, batch_size: int = 16):
        super().__init__()
        self.batch_size = batch_size

    def train_dataloader(self):
        return loader(0, self.batch_size, True)

    def val_dataloader(self):
        return loader(1, 64, False)


def task(hidden: int = 8):
    model = torch.nn.Sequential(torch.nn.Linear(4, hidden), torch.nn.Tanh(), torch.nn.Linear(hidden, 1))
    return model, torch.optim.SGD(model.parameters(), lr=0.01), loader(0, 16, True), torch.nn.MSELoss()
"""

OF_MINE = "--model mine:Net --data mine:Data"
TWO = "--lrs 1e-4,1e-2 --schedules constant"
SMALL = "--lrs 1e-4,1e-2 --schedules triangular --epochs 2 --seeds 2"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working directory with the user's own module ``mine``."""
    (tmp_path / "mine.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    return tmp_path


def run(monkeypatch, command):
    """Run a command in this process; return its exit code."""
    monkeypatch.setattr(sys, "argv", ["lrfind", *(command.split() if isinstance(command, str) else map(str, command))])
    with pytest.raises(SystemExit) as done:
        cli.main()
    return done.value.code or 0


def untimed(value):
    """Leave out what differs from one time to the next."""
    if isinstance(value, dict):
        return {name: untimed(one) for name, one in value.items() if name != "seconds"}
    return [untimed(one) for one in value] if isinstance(value, (list, tuple)) else value


def test_its_runs_are_those_of_the_function(folder, monkeypatch, capsys):
    assert run(monkeypatch, f"compare {OF_MINE} {SMALL} --model.hidden 16 --out out") == 0
    printed = capsys.readouterr()
    report = json.loads(Path("out/report.json").read_text())
    target = LightningTarget("mine:Net", "mine:Data", model_args={"hidden": 16})
    comparison = compare(target, lrs=(1e-4, 1e-2), schedules=("triangular",), seeds=2, epochs=2, progress=False)
    expected = comparison.to_dict()
    for part in ("runs", "arms", "verdict", "summaries", "finding"):
        assert untimed(report[part]) == untimed(expected[part])
    assert (report["title"], report["setting"][:20]) == ("Net on Data", "Each run: hidden=16;")
    assert printed.out.startswith(labelled(comparison).verdict.sentence)
    assert printed.out.rstrip().endswith("Report: out/report.html")
    assert closing(labelled(comparison)) in printed.out
    assert Path("out/report.html").exists()
    assert printed.err.count("finished: ") == 6


@pytest.mark.parametrize(
    ("what", "setting"),
    [(OF_MINE, "model.hidden"), ("--task mine:task", "task.hidden"), (OF_MINE, "optimizer.weight_decay")],
)
def test_values_of_an_argument_are_compared_each_at_its_own_rate(folder, monkeypatch, capsys, what, setting):
    more = "--optimizer=SGD --optimizer.lr=0.1" if "optimizer" in setting else ""
    command = f"compare {what} {more} --set {setting}=4,8 --schedules constant --seeds 2 --steps 8"
    assert run(monkeypatch, f"{command} --out out") == 0
    name = setting.split(".")[1]
    report = json.loads(Path("out/report.json").read_text())
    assert [arm["name"] for arm in report["arms"]] == [f"found {name}=4", f"found {name}=8"]
    assert [arm["variant"] for arm in report["arms"]] == [f"{name}=4", f"{name}=8"]
    finals = {run["rows"][-1]["metrics"]["train_loss"] for run in report["runs"]}
    assert (len(report["runs"]), len(finals), report["failures"]) == (4, 4, [])
    assert report["verdict"]["best"].split(" ")[1] in capsys.readouterr().out


def test_how_long_arms_train_cannot_be_set_apart(folder, monkeypatch, capsys):
    assert run(monkeypatch, f"compare {OF_MINE} --set trainer.max_epochs=1,3 --seeds 1 --out out") == 1
    assert "are the same training: a comparison sets the length" in " ".join(capsys.readouterr().err.split())


def test_a_short_search_names_a_comparison_that_can_be_run(folder, monkeypatch, capsys):
    for what in (f"{OF_MINE} --model.hidden 4 --trainer.max_epochs 1", "--task mine:task --task.hidden 4 --epochs 1"):
        assert run(monkeypatch, f"find {what} --out kept/f.json") == 0
        (said,) = [line for line in capsys.readouterr().out.splitlines() if "lrfind compare" in line]
        words = shlex.split(said.partition("lrfind ")[2])
        assert words[-2:] == ["--out", "kept/f-compare"]
        assert run(monkeypatch, [*words[:-1], f"out-{len(what)}", "--seeds", "1"]) == 0
        report = json.loads(Path(f"out-{len(what)}", "report.json").read_text())
        assert ([one["steps"] for one in report["runs"]], "hidden=4" in report["setting"]) == ([8] * 3, True)


def test_a_plain_task_is_judged_by_its_training_loss_where_it_has_no_other(folder, monkeypatch):
    command = f"compare --task mine:task --task.hidden 5 {TWO} --steps 8 --seeds 2 --out out"
    assert run(monkeypatch, command) == 0
    report = json.loads(Path("out/report.json").read_text())
    assert report["metric"] == "train_loss"
    assert "hidden=5" in report["setting"]
    assert {run["steps"] for run in report["runs"]} == {8}


def test_plain_pytorch_needs_no_lightning(folder):
    """Neither command imports it for a task, so that both run where it is not installed."""
    text = (folder / "mine.py").read_text()
    plain = text[: text.index("class Net")] + text[text.index("def loader") : text.index("class Data")]
    plain += text[text.index("def task") :]
    (folder / "plain.py").write_text(plain.replace("import lightning.pytorch as pl", ""))
    code = """
import sys
from lrfind.cli import main
for words in ("find --json", "compare --lrs 1e-4,1e-2 --schedules constant --steps 4 --seeds 1 --out out --json"):
    sys.argv = ["lrfind", *words.split(), "--task", "plain:task"]
    try:
        main()
    except SystemExit as done:
        assert not done.code, words
assert not {"lightning", "pytorch_lightning", "transformers"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=folder, stdout=subprocess.PIPE)
    assert len(json.loads((folder / "out" / "report.json").read_text())["runs"]) == 3


def test_a_built_in_task_is_one_like_any_other(folder, monkeypatch):
    assert run(monkeypatch, f"compare --task digits {TWO} --steps 8 --seeds 1 --out out") == 0
    report = json.loads(Path("out/report.json").read_text())
    assert report["title"].startswith("LeNet on ")
    assert {one["steps"] for one in report["runs"]} == {8}


def test_more_seeds_train_only_what_is_new_and_json_is_all_that_is_printed(folder, monkeypatch, capsys):
    assert run(monkeypatch, f"compare {OF_MINE} {SMALL} --out out") == 0
    capsys.readouterr()
    assert run(monkeypatch, f"compare {OF_MINE} {SMALL.replace('--seeds 2', '--seeds 0,1,5')} --out out --json") == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out) == json.loads(Path("out/report.json").read_text())
    assert (printed.err.count("kept: "), printed.err.count("finished: ")) == (6, 3)


@pytest.mark.parametrize("jobs", ["", pytest.param("--jobs 2", marks=pytest.mark.slow)])
def test_ctrl_c_reports_what_was_finished_and_the_same_command_goes_on(folder, jobs):
    words = f"compare {OF_MINE} {SMALL} {jobs} --out out".split()
    pipes = {"capture_output": True, "text": True, "check": False, "cwd": folder}
    cut_short = subprocess.run([sys.executable, pressed.__file__, "(2 of 6", *words], **pipes)
    assert cut_short.returncode == 130
    assert "Traceback" not in cut_short.stderr
    assert "interrupted. What is finished is kept: the same command goes on where it was." in cut_short.stderr
    cut = json.loads(Path("out/report.json").read_text())
    assert len(cut["runs"]) == 2
    assert "Stopped by Ctrl-C" in cut["notes"][0]
    done = subprocess.run([sys.executable, "-m", "lrfind", *words], **pipes)
    whole = json.loads(Path("out/report.json").read_text())
    assert done.stderr.count("kept: ") == 2
    assert [one for one in cut["runs"] if one not in whole["runs"]] == []
    assert len(whole["runs"]) == 6


def test_ctrl_c_in_the_search_is_said(folder):
    words = f"compare {OF_MINE} {SMALL} --out out".split()
    command = [sys.executable, pressed.__file__, "searching a rate", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    assert done.returncode == 130
    assert "lrfind: interrupted." in done.stderr.splitlines()[-1]
    assert not Path("out/report.json").exists()


def test_tensorboard_gets_the_runs_and_the_search(folder, monkeypatch, capsys):
    command = f"compare {OF_MINE} --lrs 0.01 --schedules constant --steps 8 --seeds 2 --tensorboard --out out"
    assert run(monkeypatch, command) == 0
    logs = {str(file.parent.relative_to("out/tensorboard")) for file in Path("out/tensorboard").rglob("events.*")}
    assert logs == {"search", "0.01/seed-0", "0.01/seed-1", "found/seed-0", "found/seed-1"}
    assert "tensorboard --logdir out/tensorboard" in capsys.readouterr().out


def test_a_built_in_task_takes_its_seeds_in_any_order(folder, monkeypatch):
    """The seeds name what is trained, whichever the search was made with."""
    command = "compare --task digits --schedules constant,linear --steps 8 --seeds 5,0 --out out"
    assert run(monkeypatch, command) == 0
    report = json.loads(Path("out/report.json").read_text())
    assert (report["failures"], len(report["runs"])) == ([], 4)


@pytest.mark.slow
def test_processes_give_the_same_report(folder, monkeypatch):
    for name, words in {"turn": "", "jobs": "--jobs 2"}.items():
        assert (
            run(monkeypatch, f"compare {OF_MINE} {SMALL} --model.hidden 16 --optimizer Adam {words} --out {name}") == 0
        )
    turn, jobs = (json.loads(Path(name, "report.json").read_text()) for name in ("turn", "jobs"))
    assert untimed(turn) == untimed(jobs)


def test_a_target_that_was_sent_elsewhere_trains_the_same(folder):
    target = Described("mine:Net", "mine:Data", ("--model.hidden=16", "--optimizer=Adam"))
    twin = pickle.loads(pickle.dumps(target))
    runs = [one.train(Arm("a", 0.01), 3, 8, lambda done, words: None) for one in (target, twin, target)]
    assert untimed(runs[0].to_dict()) == untimed(runs[1].to_dict()) == untimed(runs[2].to_dict())
    assert twin.identity() == target.identity()
    assert json.loads(json.dumps(target.identity())) == target.identity()


def test_what_is_trained_is_said_by_the_names_of_classes(folder):
    stop = '{"class_path": "mine.Count"}'
    words = ("--optimizer=Adam", "--optimizer.weight_decay=0.1", f"--trainer.callbacks=[{stop}, {stop}]")
    said = Described("mine:Net", "mine:Data", ("--model.hidden=4", *words)).setting
    assert "hidden=4, " in said
    assert "optimizer=Adam, " in said
    assert "weight_decay=0.1" in said
    assert "callbacks=[Count, Count]" in said


def test_callbacks_are_new_for_every_run(folder, monkeypatch):
    command = f"compare {OF_MINE} --trainer.callbacks mine.Count {TWO} --epochs 1 --seeds 1"
    assert run(monkeypatch, f"{command} --out out") == 0
    assert (
        "callbacks=Count; 8 optimizer steps (1 epoch); " in json.loads(Path("out/report.json").read_text())["setting"]
    )
    assert Path("starts").read_text().split() == ["1"] * (1 + 3)  # the look at what there is, and the runs


@pytest.mark.parametrize(
    ("words", "steps"), [("--trainer.max_epochs 3", 24), ("--trainer.max_steps 11", 11), ("--epochs 0.5", 4), ("", 40)]
)
def test_a_run_is_as_long_as_the_trainer_was_told_or_the_command(folder, monkeypatch, capsys, words, steps):
    command = f"compare {OF_MINE} {words} --trainer.val_check_interval 2 {TWO} --seeds 1"
    assert run(monkeypatch, f"{command} --out out") == 0
    report = json.loads(Path("out/report.json").read_text())
    assert {one["steps"] for one in report["runs"]} == {steps}
    assert "Left out: val_check_interval. A comparison sets" in capsys.readouterr().out


def test_what_another_configuration_trained_is_not_taken_for_this_ones(folder, monkeypatch, capsys):
    config = Path("config.yaml")
    for hidden, code in ((4, 0), (5, 1)):
        config.write_text(f"model:\n  hidden: {hidden}\n")
        command = f"compare {OF_MINE} --config config.yaml {TWO} --steps 4 --seeds 1 --out out"
        assert run(monkeypatch, command) == code
    assert "out holds the runs of another comparison" in capsys.readouterr().err
    assert Path("out/report.json").exists()


def test_nothing_finished_is_a_failure_and_says_what_failed(folder, monkeypatch, capsys):
    command = f"compare {OF_MINE} --model.fails always {TWO} --steps 4 --seeds 1 --out out"
    assert run(monkeypatch, command) == 1
    said = capsys.readouterr().out
    assert "0.01, seed 0, failed: RuntimeError: out of [bold]luck[/bold]" in said
    assert "no run" in said


@pytest.mark.parametrize(
    ("command", "code", "message"),
    [
        ("compare", 2, "what is to be trained?"),
        (f"compare {OF_MINE} --schedules sideways", 2, "--schedules must be among constant, linear"),
        (f"compare {OF_MINE} --schedules constant", 2, "two arms or more, got 1: name --lrs or --schedules."),
        (f"compare {OF_MINE} --set model.lr=0.01,0.1", 2, "write --lrs 0.01,0.1."),
        (f"compare {OF_MINE} --mode least", 2, '--mode must be "min" or "max", got'),
        (f"compare {OF_MINE} --cycles 0", 2, "--cycles must be a whole number from 1 up"),
        (f"compare {OF_MINE} --lrs 1e-4 1e-2", 2, "1e-2 stands alone; write lists with commas: --lrs 1e-4,1e-2."),
        (f"compare {OF_MINE} --set hidden=3,4", 2, "--set: write --set model.NAME=VALUE,VALUE"),
        (f"compare {OF_MINE} --set model.hidden=3,3", 2, "--set: a value is given twice"),
        (f"compare {OF_MINE} --set model.hiden=3,4", 2, "did you mean --model.hidden?"),
        (f"compare {OF_MINE} --schedules constant --set model.hidden=3", 2, "needs two arms or more, got 1"),
        (f"compare {OF_MINE} --lrs fast", 2, "--lrs: write numbers separated by commas, got 'fast'"),
        (f"compare {OF_MINE} --seeds 0", 2, "--seeds must be a number from 1 up"),
        (f"compare {OF_MINE} --seeds 1,1", 2, "different numbers from 0 up, got (1, 1)"),
        (f"compare {OF_MINE} --seeds 4,", 2, "--seeds: write numbers separated by commas"),
        (f"compare {OF_MINE} --lrs 0,0.1", 2, "positive and finite, got 0.0"),
        (f"compare {OF_MINE} --epochs 2 --steps 3", 2, "give --epochs or --steps, not both"),
        (f"compare {OF_MINE} --model.hiden 3", 2, "no such argument: --model.hiden 3"),
        (f"compare {OF_MINE} --task mine:task", 2, "leave out --model and --data"),
        (
            f"compare {OF_MINE} --metric accuracy --steps 8",
            1,
            "metric 'accuracy' is not evaluated; there are",
        ),
        (f"compare {OF_MINE} --jobs 0", 2, "--jobs must be at least 1, got 0"),
        (f"compare {OF_MINE} --out mine.py/out", 1, "--out mine.py/out cannot be written"),
        (
            "compare --task digits --task.hidden 3",
            2,
            "the built-in task digits takes no arguments, got --task.hidden 3",
        ),
        ("compare --task mine:nothing", 1, "the module mine has no nothing"),
        ("compare --task mine:task --task.hiden 3", 2, "no such argument: --task.hiden 3"),
    ],
)
def test_a_fault_is_one_sentence_and_its_exit_code(folder, monkeypatch, capsys, command, code, message):
    assert run(monkeypatch, command if "--out" in command else f"{command} --out out") == code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("lrfind: ")
    assert message in printed.err
    assert printed.err.count("\n") == 1


def made(mode="min"):
    """A comparison with every kind of arm: found, far off, without a run, and with a name to be careful with."""
    means = {"found": 0.298, "triangular [red]": 0.301, "1e-05": 0.88, "0.1": 2.31, "none": None}
    arms = tuple(Arm(name, 0.01, base_lr=1e-4 if "tri" in name else None, cycles=2) for name in means)
    runs = tuple(
        Run(name, seed, (0.01, 0.01), 8, 1.0, (Row(8, 1.0, 0.01, {"val_loss": mean + 0.01 * seed}),))
        for name, mean in means.items()
        for seed in (0, 1)
        if mean is not None
    )
    summaries = {name: Interval(mean, mean - 0.01, mean + 0.01) for name, mean in means.items() if mean is not None}
    verdict = Verdict("Too close to call.", None, "found", ())
    failures = (Failure("none", 0, "ValueError: [b]x[/b]"),)
    return Comparison("Net", "Each run: 8 steps.", "val_loss", mode, arms, runs, verdict, None, failures, summaries)


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("named", ["report.json", "."])
def test_show_prints_a_row_for_every_arm_within_the_width(folder, monkeypatch, capsys, width, named):
    monkeypatch.setenv("COLUMNS", str(width))
    Path("report.json").write_text(json.dumps(made().to_dict()))
    assert run(monkeypatch, f"show {named}") == 0
    said = capsys.readouterr().out.splitlines()
    rows = {re.split(r"  | \(", line)[0]: line for line in said if re.search("[●→]|no run", line)}
    assert said[0] == "Too close to call."
    assert list(rows) == ["found 0.01", "triangular [red]", "1e-05", "0.1", "none"]
    assert rows["found 0.01"].index("●") < rows["triangular [red]"].index("●")
    assert rows["0.1"].rstrip().endswith("→")
    assert max(map(len, said)) <= width
    assert re.search(r"runs +0\.2866 +0\.3174", "\n".join(said))  # the scale
    assert any(line.startswith("An arrow") for line in said)
    assert "none, seed 0, failed: ValueError: [b]x[/b]" in said


def test_show_writes_the_page_of_a_comparison_where_it_is_missing(folder, monkeypatch, capsys):
    Path("report.json").write_text(json.dumps(made().to_dict()))
    assert run(monkeypatch, "show report.json --html") == 0
    assert capsys.readouterr().out == "report.html\n"
    assert "Too close to call" in Path("report.html").read_text()
    Path("report.html").write_text("as it was")
    assert run(monkeypatch, "show . --html") == 0
    assert Path("report.html").read_text() == "as it was"

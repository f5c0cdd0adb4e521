"""``lrfind find`` and ``lrfind show`` as a person runs them, on modules of their own."""

import itertools
import json
import os
import pty
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import torch
import yaml

import lrfind
from lrfind import cli
from lrfind.cli.lightning import Described
from lrfind.cli.options import named

pytestmark = pytest.mark.filterwarnings(  # Lightning's own use of jsonargparse
    "ignore::jsonargparse._deprecated.JsonargparseDeprecationWarning"
)

MINE = """
import torch
from torch.nn import functional as F
import {package} as pl


class Net(pl.LightningModule):
    def __init__(self, lr: float = 0.001, hidden: int = 8):
        super().__init__()
        self.lr = lr
        self.net = torch.nn.Sequential(torch.nn.Linear(4, hidden), torch.nn.Tanh(), torch.nn.Linear(hidden, 1))

    def training_step(self, batch, batch_idx):
        return F.mse_loss(self.net(batch[0]), batch[1])

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=self.lr)


class Bare(Net):
    configure_optimizers = pl.LightningModule.configure_optimizers


class Raising(Net):
    def __init__(self, size: int = 3):
        raise ValueError(f"no such size: {{size}}")


class Buggy(Net):
    def training_step(self, batch, batch_idx):
        return self.nett(batch)


def make_net(hidden: int = 8) -> Net:
    return Net(hidden=hidden)


def loader(batch_size):
    x = torch.randn(512, 4, generator=torch.Generator().manual_seed(0))
    data = torch.utils.data.TensorDataset(x, x.sum(1, keepdim=True))
    return torch.utils.data.DataLoader(data, batch_size=batch_size, shuffle=True)


class Data(pl.LightningDataModule):
    def __init__(self, batch_size: int = 16):
        super().__init__()
        self.batch_size = batch_size

    def train_dataloader(self):
        return loader(self.batch_size)


class Empty(pl.LightningDataModule):
    pass


class Nothing(pl.LightningDataModule):
    def train_dataloader(self):
        return None


def task(hidden: int = 8, *, lr: float = 1e-3):
    model = torch.nn.Sequential(torch.nn.Linear(4, hidden), torch.nn.Tanh(), torch.nn.Linear(hidden, 1))
    return model, torch.optim.SGD(model.parameters(), lr=lr), loader(16), torch.nn.MSELoss()


def as_dict(hidden: int = 8):
    return dict(zip(("model", "optimizer", "loader", "loss_fn"), task(hidden)))


def three():
    return task()[:3]


def raising():
    raise ValueError("no data today")


number = 3
"""

FILES = {
    "broken.py": "x = (\n",
    "needy.py": "import no_such_library\n",
    "flat.yaml": "model:\n  hidden: 32\ntrainer:\n  max_epochs: 3\n",
    "full.yaml": (
        "seed_everything: 3\nmodel:\n  class_path: mine.Net\n  init_args:\n    hidden: 32\n"
        "data:\n  class_path: mine.Data\ntrainer:\n  max_epochs: 3\nckpt_path: null\n"
    ),
    "data.yaml": "data:\n  batch_size: 32\n",
    "resuming.yaml": "ckpt_path: last.ckpt\n",
    "task.yaml": "task:\n  hidden: 5\n",
    "file": "",
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working directory with the user's own module ``mine``, of the Lightning that is tried first."""
    return made(tmp_path, monkeypatch, "lightning.pytorch")


def made(path, monkeypatch, package):
    (path / "mine.py").write_text(MINE.format(package=package))
    for name, text in FILES.items():
        (path / name).write_text(text)
    monkeypatch.chdir(path)
    monkeypatch.setattr(sys, "path", [str(path), *sys.path])
    for name in ("mine", "needy", "broken"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return path


def run(monkeypatch, command):
    """Run a command in this process; return its exit code."""
    monkeypatch.setattr(sys, "argv", ["lrfind", *(command.split() if isinstance(command, str) else map(str, command))])
    with pytest.raises(SystemExit) as done:
        cli.main()
    return done.value.code or 0


MINE_OF = "--model mine:Net --data mine:Data"


class TestFind:
    def test_its_answer_is_that_of_the_function(self, folder, monkeypatch, pl, tmp_path_factory):
        here = made(tmp_path_factory.mktemp("own"), monkeypatch, pl.__name__)
        code = run(monkeypatch, f"find {MINE_OF} --model.hidden 64 --trainer.max_epochs 5 --seed 7 --out f.json")
        mine = import_module("mine")
        torch.manual_seed(7)
        net, trainer = mine.Net(hidden=64), pl.Trainer(max_epochs=5, logger=False, enable_checkpointing=False)
        finding = lrfind.lightning.find(trainer, net, datamodule=mine.Data(), seed=7, progress=False)
        found = lrfind.Finding.load(here / "f.json")
        assert code == 0
        assert found.records[0].losses == finding.records[0].losses
        assert found.lr == finding.lr

    def test_it_says_what_it_found_and_writes_what_it_was_told_to(self, folder, monkeypatch, capsys):
        before = set(folder.iterdir())
        assert run(monkeypatch, f"find {MINE_OF} --trainer.max_epochs 5 --out kept/f.json --plot curve.png") == 0
        said = capsys.readouterr().out
        finding = lrfind.Finding.load("kept/f.json")
        assert said.startswith(str(finding).splitlines()[0])
        assert f"To train with it: --model.lr {finding.lr:.3g}" in said
        assert "▲" in said
        assert "\x1b" not in said
        assert Path("curve.png").read_bytes().startswith(b"\x89PNG")
        assert {path.name for path in set(folder.iterdir()) - before} <= {"kept", "curve.png", "__pycache__"}

    def test_it_judges_a_rate_of_the_users_own(self, folder, monkeypatch, capsys):
        assert run(monkeypatch, f"find {MINE_OF} --trainer.max_epochs 5 --lr 1e-9 --out f.json") == 0
        assert lrfind.Finding.load("f.json").judge(1e-9).sentence in " ".join(capsys.readouterr().out.split())
        assert run(monkeypatch, f"find {MINE_OF} --trainer.max_epochs 5 --lr 1e-9 --json") == 0
        assert json.loads(capsys.readouterr().out)["judgement"]["verdict"] == "worse"
        assert run(monkeypatch, f"find {MINE_OF} --lr -1") == 2

    def test_json_is_all_that_goes_to_standard_output(self, folder, monkeypatch, capsys):
        assert run(monkeypatch, f"find {MINE_OF} --trainer.max_epochs 5 --json --out f.json") == 0
        assert json.loads(capsys.readouterr().out) == json.loads(Path("f.json").read_text())

    def test_a_search_of_some_seconds_says_how_far_it_is_where_there_is_no_terminal(self, folder, monkeypatch, capsys):
        clock = itertools.count()  # which is asked at every step
        monkeypatch.setattr("lrfind.progress.perf_counter", lambda: 0.1 * next(clock))
        assert run(monkeypatch, "find --task mine:task --strategy range") == 0
        said = capsys.readouterr().err.splitlines()
        assert 1 <= len(said) <= 5
        assert all(line.startswith("lrfind: range test 1") for line in said)

    def test_the_search_costs_what_it_may_and_goes_on_where_it_was(self, folder, monkeypatch):
        costs = []
        for words in ("--strategy range", "--budget 400", "--budget 400 --resume search.json"):
            assert run(monkeypatch, f"find --task mine:task --total-steps 4000 {words} --out f.json") == 0
            costs.append(lrfind.Finding.load("f.json").cost.steps)
        assert costs[0] <= 128 < costs[1] == costs[2] <= 400
        Path("search.json").write_text("{")
        assert run(monkeypatch, "find --task mine:task --resume search.json") == 1

    def test_the_shortest_search_of_a_built_in_task(self, folder, monkeypatch, capsys):
        pytest.importorskip("sklearn")
        assert run(monkeypatch, "find --task digits --quick --out f.json") == 0
        found = lrfind.Finding.load("f.json")
        assert capsys.readouterr().out.startswith(f"lr {found.lr:.3g} for Adam, held constant, 30 epochs")
        assert [len(record.probe.lrs) for record in found.records] == [60]
        assert run(monkeypatch, "find --task digits --task.width 3") == 2
        assert run(monkeypatch, f"find --task digits {MINE_OF}") == 2

    @pytest.mark.parametrize("name", ["task", "as_dict"])
    def test_a_plain_task_gives_what_the_function_does(self, folder, monkeypatch, name):
        assert (
            run(monkeypatch, f"find --task mine:{name} --task.hidden 5 --epochs 9 --schedule linear --out f.json") == 0
        )
        torch.manual_seed(0)
        parts = import_module("mine").task(hidden=5)
        finding = lrfind.find(*parts, epochs=9, schedule="linear", progress=False)
        found = lrfind.Finding.load("f.json")
        assert found.lr == finding.lr
        assert found.schedule == "linear"

    @pytest.mark.parametrize(
        ("words", "same"),
        [
            ("--trainer.max_epochs 1000", "--epochs 1000"),
            ("--trainer.max_steps 32000", "--total-steps 32000"),
            ("--trainer.max_epochs 1000 --trainer.max_steps 99000", "--epochs 1000"),
            ("", None),
        ],
    )
    def test_training_is_as_long_as_it_was_said_and_not_as_long_as_the_trainer_supposes(
        self, folder, monkeypatch, capsys, words, same
    ):
        sgd = f"find {MINE_OF} --optimizer SGD --optimizer.lr 0.1"
        assert run(monkeypatch, f"{sgd} {words} --out said.json") == 0
        hint = "How long training will be is not known" in capsys.readouterr().out
        assert run(monkeypatch, f"{sgd} {same or '--epochs 1000'} --out same.json") == 0
        said, other = (lrfind.Finding.load(name).lr for name in ("said.json", "same.json"))
        assert (said == other) == (same is not None)
        assert hint == (same is None)

    def test_an_optimizer_from_the_command_line_trains_the_copies_and_leaves_the_model_alone(self, folder):
        described = Described("mine:Bare", "mine:Data", ("--optimizer=SGD", "--optimizer.lr=0.1"))
        model, data, _ = described.parts()
        trainer = import_module("lightning.pytorch").Trainer(logger=False, enable_checkpointing=False)
        before = [parameter.clone() for parameter in model.parameters()]
        finding = lrfind.lightning.find(trainer, model, datamodule=data, progress=False)
        assert finding.records[0].optimizer == "SGD"
        assert min(finding.records[0].losses) < 0.5 * finding.records[0].losses[0]
        assert all(map(torch.equal, before, model.parameters()))

    def test_what_the_users_own_code_raises_keeps_its_traceback(self, folder, monkeypatch):
        monkeypatch.setattr(sys, "argv", ["lrfind", *["find", "--model", "mine:Buggy", "--data", "mine:Data"]])
        with pytest.raises(AttributeError, match="nett"):
            cli.main()


@pytest.mark.parametrize(
    ("arguments", "hidden", "batch_size", "max_epochs"),
    [
        (("mine:Net", "mine:Data"), 8, 16, None),
        (("mine.Net", "mine.Data", "--model.hidden", "64", "--data.batch_size=32"), 64, 32, None),
        (("mine:make_net", "mine:Data", "--model.hidden", "64"), 64, 16, None),
        (("mine:Net", "mine:Data", "--config", "flat.yaml"), 32, 16, 3),
        (("mine:Net", "mine:Data", "--config", "flat.yaml", "--model.hidden", "5", "--trainer.max_epochs=9"), 5, 16, 9),
        ((None, None, "--config", "full.yaml"), 32, 16, 3),
        ((None, None, "-c", "full.yaml"), 32, 16, 3),
        ((None, None, "--config", "full.yaml", "--model.hidden", "5", "--data.batch_size", "8"), 5, 8, 3),
        ((None, None, "--model", "mine.Net", "--data", "mine.Data", "--model.hidden", "5"), 5, 16, None),
    ],
)
def test_arguments_come_from_the_command_line_and_from_yaml(folder, arguments, hidden, batch_size, max_epochs):
    model, data, *others = arguments
    described = Described(model, data, tuple(others))
    net, datamodule, _ = described.parts()
    assert net.net[0].out_features == hidden
    assert datamodule.batch_size == batch_size
    assert described.length == ({} if max_epochs is None else {"epochs": max_epochs})


def test_parsing_and_building_move_no_random_number_but_those_of_the_model(folder):
    torch.manual_seed(1)
    weight = Described(None, None, ("--config=full.yaml",)).parts()[0].net[0].weight
    torch.manual_seed(1)
    assert torch.equal(weight, import_module("mine").Net(hidden=32).net[0].weight)


def test_the_seed_is_the_one_given_but_for_one_in_the_configuration(folder, monkeypatch):
    finding = {}
    for name, words in {"given": "--seed 3 --model.hidden 32", "configured": "--seed 1 -c full.yaml"}.items():
        what = MINE_OF if name == "given" else ""
        assert run(monkeypatch, f"find {what} {words} --epochs 3 --out {name}.json") == 0
        finding[name] = lrfind.Finding.load(f"{name}.json")
    assert finding["given"].records[0].losses == finding["configured"].records[0].losses


@pytest.mark.parametrize("arguments", [("--task.hidden=5",), ("--config=task.yaml",), ("--task.hidden", "5")])
def test_a_tasks_arguments_come_from_the_command_line_and_from_yaml(folder, arguments):
    target = named({"model": None, "data": None, "task": "mine:task"}, arguments).target
    assert target.arguments["hidden"] == 5


@pytest.mark.parametrize(
    ("command", "code", "message"),
    [
        ("find", 2, "what is to be trained? Give --model, --task, or a --config"),
        ("find mine:Net", 2, "mine:Net stands alone; did you mean --model mine:Net?"),
        ("find --task mine:task --trainer.max_epochs 3", 2, "a --task has no trainer, got --trainer.max_epochs;"),
        ("find mine:task", 2, "mine:task stands alone; did you mean --task mine:task?"),
        ("find --task mnist", 2, "there are fashion-mnist and digits, or name your function"),
        ("find mine.py", 2, "mine.py stands alone; did you mean --model mine:CLASS?"),
        ("find full.yaml", 2, "full.yaml stands alone; did you mean --config full.yaml?"),
        ("find 1e-3", 2, "1e-3 stands alone; write its option before it."),
        ("find --model Net", 2, "--model must be written module:name"),
        ("find --model mine.py:Net", 2, "as in train:Net for Net in train.py"),
        ("find --model nothere:Net", 1, "there is no module nothere in "),
        (
            "find --model needy:Net",
            1,
            "importing needy raised ModuleNotFoundError: No module named 'no_such_library' (",
        ),
        (
            "find --model broken:Net",
            1,
            "importing broken raised SyntaxError: '(' was never closed (broken.py, line 1).",
        ),
        ("find --model mine:Nett", 1, "the module mine has no Nett; did you mean Net?"),
        ("find --model mine:Data", 1, "--model mine:Data is no LightningModule but a Data; a plain PyTorch model goes"),
        ("find --model mine:number", 1, "--model mine:number must be a class, got a int"),
        ("find --model mine:task", 1, "annotate the class that it returns"),
        ("find --model mine:Raising --data mine:Data", 1, "ValueError: no such size: 3 ({here}/mine.py, line "),
        (
            "find --model mine:Net",
            1,
            "Net has no train_dataloader; give it one, or name a LightningDataModule with --d",
        ),
        ("find --model mine:Net --data mine:Net", 1, "--data mine:Net is no LightningDataModule but a Net."),
        ("find --model mine:Net --data mine:Empty", 1, "Empty has no train_dataloader; give it one"),
        ("find --model mine:Net --data mine:Nothing", 1, "An invalid dataloader was returned from"),
        ("find --model mine:Bare --data mine:Data", 1, "Lightning refuses it: No `configure_optimizers()` method"),
        (f"find {MINE_OF} --model.hiden 3", 2, "no such argument: --model.hiden 3; did you mean --model.hidden?"),
        (f"find {MINE_OF} --model.hidden x", 2, "--model.hidden: expected int, got x."),
        (f"find {MINE_OF} --trainer.max_epochs x", 2, "--trainer.max_epochs: expected int"),
        (f"find {MINE_OF} --trainer.accelerator x", 1, "building the trainer raised ValueError"),
        (f"find {MINE_OF} --nonsense 3", 2, "no such argument: --nonsense 3; --print_config lists what there is."),
        (f"find {MINE_OF} --trainer.max_epohcs=3", 2, "did you mean --trainer.max_epochs?"),
        (f"find {MINE_OF} --sched linear", 2, "no such option: --sched; did you mean --schedule?"),
        (f"find {MINE_OF} --config nothere.yaml", 2, "--config: File does not exist"),
        (f"find {MINE_OF} --config full.yaml", 2, "names a class_path and init_args, leave out --model or --data"),
        (f"find {MINE_OF} --config resuming.yaml", 2, "not at a checkpoint; leave out ckpt_path last.ckpt"),
        ("find --config full.yaml --model.hiden 7", 2, "class_path 'mine.Net': "),
        (f"find {MINE_OF} --schedule sideways", 2, "schedule must be one of"),
        (f"find {MINE_OF} --method oracle", 2, "method must be one of"),
        (f"find {MINE_OF} --total-steps -3", 2, "total_steps must be above 0"),
        (f"find {MINE_OF} --strategy fast", 2, 'strategy must be "auto", "range"'),
        (f"find {MINE_OF} --total-steps 9 --epochs 3", 2, "give --total-steps or --epochs, not both"),
        (f"find {MINE_OF} --epoch 3", 2, "no such option: --epoch; did you mean --epochs?"),
        ("find --task mine:Net", 1, "must be a function that returns (model, optimizer, loader, loss_fn), got a class"),
        ("find --model mine.py", 2, "--model must be written module:name, as in train:Net"),
        (f"find {MINE_OF} --strategy range --budget 0.1", 2, 'budget is for strategy="auto"'),
        (f"find {MINE_OF} --min-lr 3 --max-lr 2", 2, "min_lr must be below max_lr"),
        (f"find {MINE_OF} --plot curve.bmp", 2, "the name must end in one of .png, .svg, .pdf"),
        (f"find {MINE_OF} --out .", 1, "--out . is a folder; name a file in it"),
        (f"find {MINE_OF} --out file/f.json", 1, "--out file cannot be written"),
        ("find --task mine:task --model mine:Net", 2, "leave out --model and --data"),
        ("find --task digit", 2, "there is no built-in task digit; did you mean digits?"),
        (
            "find --config flat.yaml",
            2,
            "does not name the LightningModule that model is for; give --model",
        ),
        ("find --model mine:Net --config data.yaml", 2, "the LightningDataModule that data is for; give --data"),
        ("find --task mine:task --task.hiden 3", 2, "no such argument: --task.hiden 3; did you mean --task.hidden?"),
        ("find --task mine:number", 1, "--task mine:number must be a function"),
        (
            "find --task mine:three",
            1,
            "must return (model, optimizer, loader, loss_fn), a dict with these names or a",
        ),
        ("find --task mine:raising", 1, "--task mine:raising raised ValueError: no data today ({here}/mine.py, line "),
        (
            "show nothere.json",
            1,
            "nothere.json cannot be read as a finding or a comparison (No such file or directory)",
        ),
        ("show .", 1, ". has no report.json; there is one in runs/kept."),
        ("show mine.py", 1, "mine.py cannot be read as a finding or a comparison (Expecting value"),
        ("show kept.json", 1, "kept.json has the schema 'another/1'; lrfind show understands 'lrfind/finding/1' and"),
        (
            "show list.json",
            1,
            "list.json cannot be read as a finding or a comparison (expected a JSON object,",
        ),
        ("show kept.json --json --html", 2, "give --html or --json, not both"),
        ("demo --lrs 1e-5,fast", 2, "--lrs: write numbers separated by commas, got '1e-5,fast'"),
        ("demo --epochs 0", 2, "--epochs must be at least 1, got 0."),
    ],
)
def test_a_fault_is_one_sentence_and_its_exit_code(folder, monkeypatch, capsys, command, code, message):
    Path("kept.json").write_text('{"schema": "another/1"}')
    Path("list.json").write_text("[]")
    Path("runs/kept").mkdir(parents=True)
    Path("runs/kept/report.json").write_text("{}")
    assert run(monkeypatch, command) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("lrfind: ")
    assert message.format(here=folder) in printed.err
    assert printed.err.count("\n") == 1


@pytest.mark.parametrize("command", ["find --seed x", "nonsense", "find --out", "show"])
def test_what_the_command_line_itself_refuses_exits_with_2(folder, monkeypatch, capsys, command):
    assert run(monkeypatch, command) == 2
    assert "Error" in capsys.readouterr().err


@pytest.fixture(scope="module")
def finding():
    torch.manual_seed(0)
    x = torch.randn(2048, 4)
    batches = list(zip(x.split(16), x.sum(1, keepdim=True).split(16), strict=True))
    model = torch.nn.Linear(4, 1)
    found = lrfind.find(model, torch.optim.SGD(model.parameters(), lr=0.1), batches, torch.nn.MSELoss(), progress=False)
    return lrfind.Finding.from_dict({**found.to_dict(), "notes": ["<b>bold</b> [red]markup[/red]"]})


class TestShow:
    @pytest.mark.parametrize("width", [60, 80, 120])
    def test_a_finding_is_legible_in_any_width(self, finding, monkeypatch, capsys, tmp_path, width):
        monkeypatch.setenv("COLUMNS", str(width))
        assert run(monkeypatch, ["show", finding.save(tmp_path / "f.json")]) == 0
        said = capsys.readouterr().out
        assert said.startswith(str(finding))
        (axis,) = [line for line in said.splitlines() if "▲" in line and "└" in line]
        labels = said.splitlines()[said.splitlines().index(axis) + 1]
        assert max(map(len, said.split("\n\n")[1].splitlines())) <= width
        assert abs(axis.index("▲") - labels.index(f"{finding.lr:.3g}")) <= 4
        assert axis.index("═") <= axis.index("▲") <= axis.rindex("═") + 1

    def test_json_gives_back_the_file(self, finding, monkeypatch, capsys, tmp_path):
        assert run(monkeypatch, ["show", finding.save(tmp_path / "f.json"), "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == finding.to_dict()

    def test_its_page_is_self_contained_and_escapes_what_others_wrote(self, finding, monkeypatch, capsys, tmp_path):
        assert run(monkeypatch, ["show", finding.save(tmp_path / "f.json"), "--html"]) == 0
        page = Path(capsys.readouterr().out.strip())
        assert page == tmp_path / "f.html"
        text = page.read_text()
        assert not re.findall(r"""(?:src|href)=["'](?!#|data:)""", text)
        assert text.count("<script") == 2  # the numbers at the pointer, and what shows them
        assert "&lt;b&gt;bold&lt;/b&gt;" in text
        assert "<b>bold" not in text
        assert repr(finding.lr) in text
        assert "<svg" in text

    def test_markup_of_others_stays_text(self, finding, monkeypatch, capsys, tmp_path):
        assert run(monkeypatch, ["show", finding.save(tmp_path / "f.json")]) == 0
        assert "<b>bold</b> [red]markup[/red]" in capsys.readouterr().out


def in_terminal(arguments, code=0, **environment):
    """Run the program in a pseudo-terminal of 80 columns; return what it wrote there."""
    keeper, terminal = pty.openpty()
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS")}
    environment = {**kept, "TERM": "xterm-256color", "COLUMNS": "80", **environment}
    command = [sys.executable, "-m", "lrfind", *map(str, arguments)]
    with subprocess.Popen(command, stdout=terminal, stderr=terminal, stdin=terminal, env=environment) as process:
        os.close(terminal)
        said = b""
        while chunk := _read(keeper):
            said += chunk
    os.close(keeper)
    assert process.returncode == code
    return said.decode()


def _read(keeper):
    try:
        return os.read(keeper, 65536)
    except OSError:  # Linux's way to say that the other end is closed
        return b""


COLOUR = re.compile(r"\x1b\[(?:\d+;)*(?:3[0-7]|9[0-7])(?:;\d+)*m")


@pytest.mark.parametrize(("environment", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_there_are_colours_in_a_terminal_but_for_those_who_want_none(finding, tmp_path, environment, coloured):
    said = in_terminal(["show", finding.save(tmp_path / "f.json")], **environment)
    assert bool(COLOUR.search(said)) == coloured
    assert "▲" in said


def test_in_a_terminal_it_says_that_it_starts_before_it_imports_torch():
    said = in_terminal(["find", "--task", "digit"], code=2)
    assert said.index("starting") < said.index("did you mean digits?")


@pytest.mark.parametrize("program", [[str(Path(sys.executable).with_name("lrfind"))], [sys.executable, "-m", "lrfind"]])
def test_the_program_knows_the_modules_of_its_folder(folder, program):
    command = [*program, "find", *MINE_OF.split(), "--trainer.max_epochs", "5", "--json"]
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}  # old libraries warn of each other when imported
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, env=environment)
    assert done.returncode == 0, done.stderr
    assert lrfind.Finding.from_dict(json.loads(done.stdout)).lr > 0
    assert all(line.startswith("lrfind: ") for line in done.stderr.splitlines())


def test_print_config_is_a_configuration_with_every_argument(folder, monkeypatch, capsys):
    assert run(monkeypatch, f"find {MINE_OF} --model.hidden 5 --print_config") == 0
    config = yaml.safe_load(capsys.readouterr().out)
    assert config["model"] == {"lr": 0.001, "hidden": 5}
    assert config["data"] == {"batch_size": 16}
    assert "max_epochs" in config["trainer"]


@pytest.mark.parametrize("command", ["find", "compare", "show", "demo"])
def test_every_command_teaches_by_an_example_that_fits_on_a_line(monkeypatch, capsys, command):
    monkeypatch.setenv("COLUMNS", "80")
    assert run(monkeypatch, f"{command} --help") == 0
    assert re.search(rf"^ +lrfind {command} .*\S", capsys.readouterr().out, flags=re.MULTILINE)


def test_help_has_the_exit_codes_and_completion_has_the_commands(monkeypatch, capsys):
    assert run(monkeypatch, "--help") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "0 done" in said
    assert "130 stopped by Ctrl-C" in said
    assert "--install-completion" in said
    for word, offered in (("com", "compare"), ("fi", "find")):
        monkeypatch.setenv("_LRFIND_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", f"lrfind {word}")
        monkeypatch.setenv("COMP_CWORD", "1")
        assert run(monkeypatch, "") == 0
        assert capsys.readouterr().out.split() == [offered]

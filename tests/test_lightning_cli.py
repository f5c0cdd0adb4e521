"""``python train.py lr_find --config ...`` in the user's own script."""

import sys
from importlib import import_module

import pytest

import lrfind
from lrfind.errors import BadInputError
from lrfind.lightning import with_lr_find

pytestmark = pytest.mark.filterwarnings(  # Lightning's own use of jsonargparse
    "ignore::jsonargparse._deprecated.JsonargparseDeprecationWarning"
)

SCRIPT = """
import sys
import torch
from torch.nn import functional as F
import {package} as pl
from {package}.cli import LightningCLI
from lrfind.errors import BadInputError
from lrfind.lightning import with_lr_find


class Net(pl.LightningModule):
    def __init__(self, lr: float = 0.001, width: int = 8):
        super().__init__()
        self.lr = lr
        self.net = torch.nn.Sequential(torch.nn.Linear(4, width), torch.nn.Tanh(), torch.nn.Linear(width, 1))

    def training_step(self, batch, batch_idx):
        return F.mse_loss(self.net(batch[0]), batch[1])

    def configure_optimizers(self):
        optimizer = torch.optim.Adam(self.parameters(), lr=self.lr)
        return [optimizer], [torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 50)]


class Scaled(Net):
    # keeps its rate in its hyperparameters, and trains at twice that

    def __init__(self, learning_rate: float = 0.001):
        super().__init__()
        del self.lr
        self.save_hyperparameters()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=2 * self.hparams.learning_rate)


class Literal(Net):
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.01)


class Data(pl.LightningDataModule):
    def train_dataloader(self):
        x = torch.randn(256, 4, generator=torch.Generator().manual_seed(0))
        data = torch.utils.data.TensorDataset(x, x.sum(1, keepdim=True))
        return torch.utils.data.DataLoader(data, batch_size=16, shuffle=True)


def main(kind=Net):
    return with_lr_find(LightningCLI)(kind, Data, seed_everything_default=0)
"""


@pytest.fixture(params=["lightning.pytorch", "pytorch_lightning"])
def script(request, tmp_path, monkeypatch):
    name = f"train_{request.param.replace('.', '_')}"
    (tmp_path / f"{name}.py").write_text(SCRIPT.format(package=request.param))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    yield import_module(name)
    sys.modules.pop(name)


QUIET = ["--trainer.logger=false", "--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false"]


def run(script, monkeypatch, *arguments, kind="Net"):
    monkeypatch.setattr(sys, "argv", ["train.py", *arguments])
    return script.main(getattr(script, kind))


def test_it_finds_prints_and_writes_and_nothing_else(script, monkeypatch, capsys, tmp_path):
    (tmp_path / "config.yaml").write_text("model:\n  width: 16\n")
    before = set(tmp_path.iterdir())
    run(script, monkeypatch, "lr_find", "--config", "config.yaml", "--steps=64", "--out=finding.json", *QUIET)
    finding = lrfind.Finding.load(tmp_path / "finding.json")
    printed = capsys.readouterr().out
    words = " ".join(["python train.py fit --config config.yaml", *QUIET, f"--model.lr {finding.lr!r}"])
    assert f"To train with it: {words}" in printed.splitlines()
    assert str(finding) in printed
    assert len(finding.records[0].probe.lrs) == 64
    assert {path.name for path in set(tmp_path.iterdir()) - before} <= {"finding.json", "__pycache__"}


SGD = ["--optimizer=SGD", "--optimizer.lr=0.1", "--optimizer.momentum=0.9"]
FIT = ["--trainer.max_epochs=1", "--trainer.enable_checkpointing=false", "--trainer.enable_model_summary=false"]


@pytest.mark.parametrize(
    ("kind", "more"),
    [("Net", []), ("Scaled", []), ("Scaled", ["--optimizer=SGD", "--optimizer.lr=0.1", "--optimizer.momentum=0.9"])],
)
@pytest.mark.filterwarnings("ignore:.*configure_optimizers. will be overridden")
def test_what_it_prints_trains_with_the_found_rate(script, monkeypatch, capsys, kind, more):
    search = ["--strategy=range", "--epochs=5", "--steps", "64", "--out", "finding.json"]
    run(script, monkeypatch, "lr_find", *more, *search, *QUIET, kind=kind)
    finding = lrfind.Finding.load("finding.json")
    (said,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("To train with it: ")]
    command = said.removeprefix("To train with it: python train.py ").split()
    assert command[: 1 + len(more) + len(QUIET)] == ["fit", *more, *QUIET]
    cli = run(script, monkeypatch, *command, *FIT, kind=kind)
    used = cli.trainer.optimizers[0].defaults
    assert (used["lr"], used.get("momentum", 0.9)) == (finding.lr, 0.9 if more or kind == "Net" else 0)
    assert (finding.epochs, len(finding.records)) == (5, 1)


def test_it_reads_a_configuration_that_fit_prints(script, monkeypatch, capsys, tmp_path):
    with pytest.raises(SystemExit):
        run(script, monkeypatch, "fit", "--trainer.max_epochs=2", *QUIET, "--print_config")
    (tmp_path / "config.yaml").write_text(capsys.readouterr().out)
    run(script, monkeypatch, "lr_find", "--config", "config.yaml", "--strategy=range", "--steps=64")
    assert "To train with it: " in capsys.readouterr().out
    with pytest.raises(BadInputError, match="leave out ckpt_path last"):
        run(script, monkeypatch, "lr_find", "--config", "config.yaml", "--ckpt_path=last.ckpt")


def test_where_no_argument_is_read_it_says_what_applies_the_rate(script, monkeypatch, capsys):
    run(script, monkeypatch, "lr_find", "--strategy=range", "--steps=64", *QUIET, kind="Literal")
    assert "LRFinder" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("said", "schedule"), [([], "CosineAnnealingLR"), (["--schedule=linear"], "linear"), (["--schedule=null"], None)]
)
def test_the_schedule_is_that_of_the_modules_scheduler_unless_it_is_said(script, monkeypatch, said, schedule):
    run(script, monkeypatch, "lr_find", "--out=finding.json", "--trainer.max_epochs=50", *said, *QUIET)
    assert lrfind.Finding.load("finding.json").schedule == (schedule or "CosineAnnealingLR")


def test_the_other_subcommands_are_still_there(script, monkeypatch):
    cli = run(script, monkeypatch, "fit", "--model.lr=0.01", *FIT, *QUIET)
    assert cli.trainer.global_step == 256 // 16
    assert cli.trainer.optimizers[0].param_groups[0]["initial_lr"] == 0.01


def test_its_help_names_the_options(script, monkeypatch, capsys):
    with pytest.raises(SystemExit):
        run(script, monkeypatch, "lr_find", "--help")
    printed = capsys.readouterr().out
    assert all(flag in printed for flag in ("--steps", "--out", "--schedule", "--model.width"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--max_lrr=1"], "lr_find: no such argument: --max_lrr=1; did you mean --max_lr?"),
        (["--trainer.max_epohcs=1"], "did you mean --trainer.max_epochs?"),
        (["--strategy=fast"], "lr_find: --strategy: "),
        (["--steps=many"], "lr_find: --steps: expected int, got many."),
    ],
)
def test_a_fault_in_its_options_is_one_sentence(script, monkeypatch, capsys, words, said):
    with pytest.raises(SystemExit) as done:
        run(script, monkeypatch, "lr_find", *words)
    printed = capsys.readouterr().err
    assert (done.value.code, printed.count("\n")) == (2, 1)
    assert said in printed
    assert "Value error" not in printed


def test_the_other_subcommands_say_what_is_wrong_as_they_did(script, monkeypatch, capsys):
    with pytest.raises(SystemExit) as done:
        run(script, monkeypatch, "fit", "--trainer.max_epohcs=1")
    assert done.value.code == 2
    assert "usage: " in capsys.readouterr().err


def test_a_subclass_stays_itself(script):
    kind = type("Mine", (import_module(script.pl.__name__ + ".cli").LightningCLI,), {"answer": 42})
    assert with_lr_find(kind).answer == 42


@pytest.mark.filterwarnings("ignore:.*configure_optimizers. will be overridden")
def test_an_optimizer_of_the_command_lines_own_is_searched_on_the_copy(script, monkeypatch, tmp_path):
    """LightningCLI binds the optimizer that it built for the module into ``configure_optimizers``."""
    chosen = ["--optimizer=SGD", "--optimizer.lr=0.1", "--optimizer.momentum=0.9"]
    cli = run(script, monkeypatch, "lr_find", *chosen, "--steps=64", "--out=finding.json", *QUIET)
    finding = lrfind.Finding.load(tmp_path / "finding.json")
    assert finding.records[0].optimizer == "SGD"
    assert finding.records[0].losses[-1] != pytest.approx(finding.records[0].losses[0])
    script.pl.seed_everything(0)
    untouched = script.Net().state_dict()
    assert all(value.equal(untouched[name]) for name, value in cli.model.state_dict().items())
    assert not cli.model.configure_optimizers().state

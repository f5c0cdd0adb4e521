"""A comparison in TensorBoard and in Lightning's own loggers, read back from their files."""

import csv
import io
import math
import sys
from dataclasses import replace

import pytest
import torch
import yaml
from comparisons import ARMS, FINDING, made_up_comparison
from matplotlib.figure import Figure
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

import lrfind
from lrfind.compare.comparison import Arm
from lrfind.errors import BadInputError, MissingExtraError
from lrfind.loggers import log_search
from lrfind.report.loggers import forget_events, log_comparison, log_finding, write_tensorboard

FEW = (ARMS[3], ARMS[5])
TRIED = [pair for record in FINDING.records for pair in zip(record.lrs, record.losses, strict=True)]


def events(folder):
    """What TensorBoard reads from a folder, and nothing else lies in it."""
    accumulator = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0})
    accumulator.Reload()
    return accumulator


def scalars(accumulator, name):
    return [(event.step, event.value) for event in accumulator.Scalars(name)]


def settings(accumulator):
    found = {}
    for name in ("_hparams_/session_start_info", "_hparams_/experiment"):
        content = accumulator.summary_metadata[name].plugin_data.content
        found[name.split("/")[1]] = HParamsPluginData.FromString(content)
    values = found["session_start_info"].session_start_info.hparams
    metrics = {info.name.tag for info in found["experiment"].experiment.metric_infos}
    return {name: value.string_value or value.number_value for name, value in values.items()}, metrics


def own(comparison, folder, pl):
    write_tensorboard(comparison, folder)


def lightnings(comparison, folder, pl):
    log_comparison(comparison, lambda name: pl.loggers.TensorBoardLogger(folder, name=name, version=""))


@pytest.mark.parametrize("write", [own, lightnings])
def test_tensorboard_gets_runs_rates_settings_and_the_curve(write, pl, tmp_path):
    whole = made_up_comparison(FEW, 2, failed=None)
    write(whole, tmp_path, pl)
    for run in whole.runs:
        log = events(tmp_path / run.arm / f"seed-{run.seed}")
        assert scalars(log, "val_loss") == [(row.step, pytest.approx(row.metrics["val_loss"])) for row in run.rows]
        assert scalars(log, "lr") == [(row.step, pytest.approx(row.lr)) for row in run.rows]
        (last,) = scalars(log, "final/test_accuracy")
        assert last[1] == pytest.approx(run.tested["test_accuracy"])
        hparams, metrics = settings(log)
        arm = next(arm for arm in FEW if arm.name == run.arm)
        assert (hparams["lr"], hparams["schedule"], hparams["seed"]) == (arm.lr, arm.schedule, run.seed)
        assert hparams.get("base_lr") == arm.base_lr
        assert {"final/val_loss", "final/test_loss"} <= metrics
    search = events(tmp_path / "search")
    assert scalars(search, "range_test/loss") == [(at, pytest.approx(loss)) for at, (_, loss) in enumerate(TRIED)]
    (image,) = search.Images("rate curve")
    assert image.encoded_image_string.startswith(b"\x89PNG")
    assert settings(search)[0]["lr"] == FINDING.lr


def test_lightnings_csv_logger_gets_the_same(pl, tmp_path):
    whole = made_up_comparison(FEW, 1, failed=None)
    log_comparison(whole, lambda name: pl.loggers.CSVLogger(tmp_path, name=name, version=""))
    for run in whole.runs:
        folder = tmp_path / run.arm / f"seed-{run.seed}"
        rows = list(csv.DictReader(io.StringIO((folder / "metrics.csv").read_text())))
        got = [(int(row["step"]), float(row["val_loss"]), float(row["lr"])) for row in rows if row["val_loss"]]
        assert got == [(row.step, row.metrics["val_loss"], row.lr) for row in run.rows]
        (last,) = [float(row["final/val_loss"]) for row in rows if row["final/val_loss"]]
        assert last == run.final("val_loss")
        assert yaml.safe_load((folder / "hparams.yaml").read_text())["arm"] == run.arm
    rows = list(csv.DictReader(io.StringIO((tmp_path / "search" / "metrics.csv").read_text())))
    assert [
        (float(row["range_test/lr"]), float(row["range_test/loss"])) for row in rows if row["range_test/lr"]
    ] == TRIED


def test_event_files_of_earlier_runs_go_and_what_is_not_a_run_stays(tmp_path):
    kept = ("search/optuna.db", "resnet/seed-0/model.pt", "found/seed-best/events.out.tfevents.1", "2024/notes")
    gone = ("search/events.out.tfevents.1", "resnet/seed-0/events.out.tfevents.2", "0.5/seed-3/hparams.yaml")
    for name in (*kept, *gone):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "mine").mkdir()
    forget_events(tmp_path)
    assert {str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*") if file.is_file()} == set(kept)
    assert (tmp_path / "mine").exists()
    assert not (tmp_path / "0.5").exists()


@pytest.mark.parametrize("tool", ["wandb", "mlflow"])
def test_the_curve_goes_where_the_tool_takes_figures(tool):
    """Their loggers' own methods, by the signatures that they have; neither tool is needed for this."""
    taken = []

    class Experiment:
        def log_figure(self, run_id, figure, artifact_file):
            taken.append((run_id, figure, artifact_file))

    class Logger:
        experiment, run_id = (object(), None) if tool == "wandb" else (Experiment(), "7")

        def log_hyperparams(self, params):
            pass

        def log_metrics(self, metrics, step=None):
            pass

        def finalize(self, status):
            pass

    if tool == "wandb":
        Logger.log_image = lambda self, key, images, step=None, **named: taken.append((key, *images))
    log_finding(Logger(), FINDING)
    (one,) = taken
    assert one[0] == ("rate curve" if tool == "wandb" else "7")
    assert isinstance(one[1], Figure)


def told(read, finding):
    """What a logger was told, by name, is what was found."""
    low, high = finding.interval
    found = {"lr": finding.lr, "base_lr": finding.base_lr, "max_lr": finding.max_lr, "steps": finding.cost.steps}
    found |= {"interval_low": low, "interval_high": high}
    for name, value in found.items():
        assert read(f"lrfind/{name}") == [pytest.approx(value)]
    tried = [pair for record in finding.records for pair in zip(record.lrs, record.losses, strict=True)]
    assert read("range_test/lr") == [pytest.approx(lr) for lr, _ in tried]
    assert read("range_test/loss") == [pytest.approx(loss, rel=1e-6) for _, loss in tried]


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")
def test_the_loggers_of_a_lightning_training_are_told_what_its_callback_found(pl, tmp_path):
    from importlib import import_module

    class Net(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(4, 1)

        def training_step(self, batch, _):
            return (self.layer(batch) - batch.sum(1, keepdim=True)).square().mean()

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters(), lr=1e-3)

    loggers = pl.loggers.CSVLogger(tmp_path, name="csv", version=""), pl.loggers.TensorBoardLogger(tmp_path, "tb", "")
    finder = import_module("lrfind.lightning").LRFinder(strategy="range", progress=False)
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
    trainer = pl.Trainer(max_epochs=1, logger=list(loggers), callbacks=[finder], accelerator="cpu", **quiet)
    trainer.fit(Net(), torch.utils.data.DataLoader(torch.randn(640, 4), batch_size=8))
    rows = list(csv.DictReader(io.StringIO((tmp_path / "csv" / "metrics.csv").read_text())))
    told(lambda name: [float(row[name]) for row in rows if row.get(name)], finder.finding)
    board = events(tmp_path / "tb")
    told(lambda name: [value for _, value in scalars(board, name)], finder.finding)
    assert board.Images("rate curve")[0].encoded_image_string.startswith(b"\x89PNG")


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")
def test_what_a_hugging_face_trainer_reports_to_is_told_what_its_callback_found(tmp_path, monkeypatch):
    transformers = pytest.importorskip("transformers")
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "tb"))

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(4, 1)

        def forward(self, x):
            return {"loss": (self.layer(x) - x.sum(1, keepdim=True)).square().mean()}

    from lrfind.huggingface import LRFinder

    finder = LRFinder(strategy="range", progress=False)
    args = transformers.TrainingArguments(
        str(tmp_path), use_cpu=True, report_to=["tensorboard"], max_steps=9, disable_tqdm=True, save_strategy="no"
    )
    data = [{"x": row} for row in torch.randn(640, 4)]
    trainer = transformers.Trainer(Net(), args, train_dataset=data, callbacks=[finder])
    trainer.train()
    board = events(next(tmp_path.rglob("events.out.*")).parent)
    told(lambda name: [value for _, value in scalars(board, f"train/{name}")], finder.finding)
    assert board.Images("rate curve")[0].encoded_image_string.startswith(b"\x89PNG")
    assert not [row for row in trainer.state.log_history if "lrfind/lr" in row]


def test_a_finding_of_too_few_losses_for_a_curve_is_logged_without_its_picture(pl, tmp_path):
    record = FINDING.records[0]
    few = replace(record, lrs=record.lrs[:4], losses=record.losses[:4])
    logger = pl.loggers.TensorBoardLogger(tmp_path)
    log_search(logger, replace(FINDING, records=(few,)))
    logger.finalize("success")
    assert len(scalars(events(logger.log_dir), "range_test/loss")) == 4


def test_a_loss_that_is_not_finite_is_logged_as_it_was(tmp_path):
    write_tensorboard(made_up_comparison(ARMS[2:3], 1), tmp_path)
    logged = [value for _, value in scalars(events(tmp_path / "0.1" / "seed-0"), "val_loss")]
    assert (math.isnan(logged[-1]), math.isnan(logged[0])) == (True, False)


@pytest.mark.parametrize(
    "names", [("../../up", "a/b", "A-b", "search", "..", ""), ("x-2", "x", "x!"), ("x!", "x", "x-2")]
)
def test_every_arm_gets_a_folder_of_its_own_inside(names, tmp_path):
    made = []

    class Quiet:
        def log_hyperparams(self, params):
            pass

        def log_metrics(self, metrics, step=None):
            pass

        def finalize(self, status):
            pass

    def opened(name):
        made.append(name)
        return Quiet()

    log_comparison(made_up_comparison(tuple(Arm(name, 0.01) for name in names), 1, failed=None), opened)
    assert made[0] == "search"
    assert len({name.lower() for name in made}) == 1 + len(names)
    for name in made:
        assert (tmp_path / name).resolve().is_relative_to(tmp_path)
        assert (tmp_path / name).resolve() != tmp_path


def test_without_tensorboard_it_is_named(monkeypatch, tmp_path):
    for name in [name for name in sys.modules if name.startswith("torch.utils.tensorboard")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(MissingExtraError, match="tensorboard is not installed"):
        write_tensorboard(made_up_comparison(FEW, 1), tmp_path)


@pytest.mark.parametrize("name", ["LRFinder", "VerifyLR"])
def test_a_callback_in_the_other_frameworks_trainer_is_told_which_one_was_meant(pl, tmp_path, name):
    transformers = pytest.importorskip("transformers")
    given = () if name == "LRFinder" else (0.1,)
    lightnings, hugging_faces = (getattr(room, name)(*given) for room in (lrfind.lightning, lrfind.huggingface))
    with pytest.raises(BadInputError, match=rf"a Lightning Trainer takes lrfind\.lightning\.{name}"):
        pl.Trainer(callbacks=[hugging_faces], logger=False, enable_checkpointing=False)
    args = transformers.TrainingArguments(str(tmp_path), use_cpu=True, report_to=[])
    with pytest.raises(BadInputError, match=rf"a Hugging Face Trainer takes lrfind\.huggingface\.{name}"):
        transformers.Trainer(torch.nn.Linear(1, 1), args, callbacks=[lightnings])

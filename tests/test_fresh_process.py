"""In a process of its own, where nothing has been imported, drawn or searched before, a search moves nothing either."""

import functools
import json
import os
import subprocess
import sys

import pytest

START = """
import hashlib, pickle, random, sys
import numpy as np
import torch
{imports}
HOW = sys.argv[1]
torch.set_num_threads(1)
{seeds}

class Rows(torch.utils.data.Dataset):
    def __len__(self):
        return 96
    def __getitem__(self, index):
        x = torch.linspace(-1, 1, 8).roll(index) + 0.1 * torch.randn(8)
        return {{"x": x + float(np.random.normal(0, 0.1)), "labels": x[:1] * random.random()}}

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(8, 16), torch.nn.BatchNorm1d(16), torch.nn.Dropout(0.2), torch.nn.Linear(16, 1)
        )
    def forward(self, x, labels=None):
        outputs = self.layers(x)
        return {{"loss": torch.nn.functional.mse_loss(outputs, labels), "logits": outputs}}

losses, loader = [], torch.utils.data.DataLoader(Rows(), batch_size=16, shuffle=True)
"""
END = """
weights = [value.tolist() for value in model.state_dict().values()]
numbers = random.getstate(), np.random.get_state(), torch.get_rng_state().tolist()
for name, value in (("losses", losses), ("weights", weights), ("random numbers", numbers)):
    print(name, hashlib.sha256(pickle.dumps(repr(value))).hexdigest())
print(len(losses), "losses")
"""
SEEDS = "random.seed(3); np.random.seed(3); torch.manual_seed(3)"
PLAIN = """
model = Net()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
if HOW == "find":
    lrfind.find(model, optimizer, loader, lambda model, batch: model(**batch)["loss"], progress=False)
for _ in range(2):
    for batch in loader:
        optimizer.zero_grad()
        loss = model(**batch)["loss"]
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
"""
LIGHTNING = """
class Module(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.net, self.lr = Net(), 1e-3
    def training_step(self, batch, index):
        loss = self.net(**batch)["loss"]
        self.log("loss", loss)
        losses.append(loss.item())
        return loss
    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=self.lr)

def trainer(*callbacks):
    quiet = dict(logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False)
    return pl.Trainer(max_epochs=2, accelerator="cpu", callbacks=list(callbacks), **quiet)

model = Module()
if HOW == "find":
    find(trainer(), model, loader, progress=False)
trainer(*([LRFinder(apply=False, progress=False)] if HOW == "callback" else [])).fit(model, loader)
"""
HUGGINGFACE = """
class Keeping(Trainer):
    def compute_loss(self, model, inputs, return_outputs=False, **_):
        loss = model(**inputs)["loss"]
        losses.append(loss.item())
        return loss

model = Net()
quiet = dict(report_to=[], disable_tqdm=True, save_strategy="no", logging_strategy="no", use_cpu=True)
args = TrainingArguments(per_device_train_batch_size=16, num_train_epochs=2, output_dir="out", **quiet)
trainer = Keeping(model=model, args=args, train_dataset=Rows())
if HOW == "find":
    find(trainer, progress=False)
if HOW == "callback":
    trainer.add_callback(LRFinder(apply=False, progress=False))
trainer.train()
"""
TRANSFORMERS = "from transformers import Trainer, TrainingArguments\nfrom lrfind.huggingface import LRFinder, find"
SCRIPTS = {
    "plain": ("import lrfind", SEEDS, PLAIN),
    "lightning": (
        "import lightning.pytorch as pl\nfrom lrfind.lightning import LRFinder, find",
        "pl.seed_everything(3)",
        LIGHTNING,
    ),
    "pytorch_lightning": (
        "import pytorch_lightning as pl\nfrom lrfind.lightning import LRFinder, find",
        "pl.seed_everything(3)",
        LIGHTNING,
    ),
    "huggingface": (TRANSFORMERS, SEEDS, HUGGINGFACE),
}


@functools.cache
def output(name, how, folder):
    imports, seeds, training = SCRIPTS[name]
    script = folder / f"train_in_{name}.py"
    script.write_text(START.format(imports=imports, seeds=seeds) + training + END)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, str(script), how]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [line for line in done.stdout.splitlines() if line.startswith(("losses", "weights", "random", "12"))]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("scripts")


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("plain", "find"),
        ("lightning", "find"),
        ("lightning", "callback"),
        pytest.param("pytorch_lightning", "callback", marks=pytest.mark.slow),
        ("huggingface", "find"),
        ("huggingface", "callback"),
    ],
)
def test_training_after_the_first_search_of_a_process_equals_training_without(name, how, folder):
    plain = output(name, "plain", folder)
    assert output(name, how, folder) == plain
    assert plain[-1] == "12 losses"


INSTALLED = """
import torch
import mytraining
import lrfind

model = torch.nn.Linear(4, 1)
batches = [(x, x.sum(1, keepdim=True)) for x in torch.randn(48, 4).split(8)]
lrfind.find(model, torch.optim.Adam(model.parameters()), batches, mytraining.loss_fn, strategy="range", progress=False)
print(mytraining.steps, mytraining.Meter.total)
"""
PACKAGE = """
import torch
steps = 0

class Meter:
    total = 0

def loss_fn(model, batch):
    global steps
    steps += 1
    Meter.total += 1
    return torch.nn.functional.mse_loss(model(batch[0]), batch[1])
"""


@pytest.mark.parametrize("is_there", [True, False])
def test_a_package_of_the_users_that_is_installed_is_put_back_if_its_folder_is_there(is_there, tmp_path):
    """``pip install .`` puts it among the libraries, of which what an index gave is not entered."""
    libraries, origin = tmp_path / "site-packages", tmp_path / "my project"
    about = libraries / "mytraining-1.0.dist-info"
    about.mkdir(parents=True)
    origin.mkdir()
    (libraries / "mytraining.py").write_text(PACKAGE)
    (about / "RECORD").write_text("mytraining.py,,\nmytraining-1.0.dist-info/RECORD,,\n")
    url = (origin if is_there else tmp_path / "elsewhere").as_uri()
    (about / "direct_url.json").write_text(json.dumps({"dir_info": {}, "url": url}))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(libraries), *sys.path])}
    command = [sys.executable, "-W", "ignore", "-c", INSTALLED]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (done.stdout.split() == ["0", "0"]) == is_there

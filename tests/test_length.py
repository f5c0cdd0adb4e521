"""One length of training, whoever says it: the user, the loader or the scheduler."""

import re

import pytest
import torch
import transformers
from schedulers import TimmScheduler
from torch.optim import lr_scheduler as torchs

import lrfind
from lrfind.errors import BadInputError
from lrfind.loop import Loop
from lrfind.records import Record
from lrfind.search import find_with
from lrfind.suggest.training import Training, with_length_of

PER_EPOCH, EPOCHS = 40, 5
STEPS = PER_EPOCH * EPOCHS


def found(make=None, accumulate=1, size=8, **options):
    torch.manual_seed(0)
    x = torch.randn(PER_EPOCH * size, 8)
    data = torch.utils.data.TensorDataset(x, x[:, :1].sin())
    loader = torch.utils.data.DataLoader(data, size // accumulate, shuffle=True)
    model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1))
    groups = [{"params": model[0].parameters()}, {"params": model[2].parameters(), "lr": 1e-2}]
    optimizer = torch.optim.AdamW(groups, lr=1e-3)
    schedule = {} if make is None else {"schedule": make(optimizer)}
    loss_fn = torch.nn.functional.mse_loss
    return lrfind.find(model, optimizer, loader, loss_fn, accumulate=accumulate, progress=False, **schedule, **options)


def transformers_linear(optimizer):
    return transformers.get_scheduler("linear", optimizer, num_warmup_steps=9, num_training_steps=STEPS)


def warmed_up(optimizer):
    parts = [torchs.LinearLR(optimizer, 0.1, total_iters=9), torchs.CosineAnnealingLR(optimizer, STEPS - 9)]
    return torchs.SequentialLR(optimizer, parts, milestones=[9])


KNOWING = {
    "OneCycleLR": lambda one: torchs.OneCycleLR(one, [1e-3, 1e-2], total_steps=STEPS),
    "OneCycleLR(epochs)": lambda one: torchs.OneCycleLR(one, [1e-3, 1e-2], epochs=EPOCHS, steps_per_epoch=PER_EPOCH),
    "CosineAnnealingLR": lambda one: torchs.CosineAnnealingLR(one, STEPS),
    "PolynomialLR": lambda one: torchs.PolynomialLR(one, STEPS),
    "SequentialLR": warmed_up,
    "transformers": transformers_linear,
    "timm, per update": lambda one: TimmScheduler(one, STEPS, t_in_epochs=False),
    "timm, per epoch": lambda one: TimmScheduler(one, EPOCHS),
    "CosineAnnealingLR, per epoch": lambda one: torchs.CosineAnnealingLR(one, EPOCHS),
    "OneCycleLR, per epoch": lambda one: torchs.OneCycleLR(one, [1e-3, 1e-2], total_steps=EPOCHS),
}


@pytest.mark.parametrize("make", KNOWING.values(), ids=KNOWING)
def test_a_scheduler_that_knows_its_length_is_read_over_it_however_the_length_is_said(make):
    by_itself = found(make)
    answers = {found(make, total_steps=STEPS).lr, found(make, epochs=EPOCHS).lr, by_itself.lr}
    assert len(answers) == 1
    assert by_itself.lr != found(lambda one: "constant").lr
    assert not any("read as constant" in note for note in by_itself.notes)
    assert (by_itself.total_steps, by_itself.epochs) in ((STEPS, None), (None, EPOCHS))


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("options", [{}, {"budget": 0.6}, {"schedule": "linear"}, {"strategy": "range"}])
def test_epochs_and_the_same_number_of_steps_are_one_training_also_in_the_budget(options, accumulate):
    by_steps, by_epochs = (
        found(accumulate=accumulate, **options, **how) for how in ({"total_steps": STEPS}, {"epochs": 5})
    )
    assert by_steps.lr == by_epochs.lr
    assert by_steps.interval == by_epochs.interval
    assert by_steps.cost.steps == by_epochs.cost.steps
    if "strategy" not in options:
        budget = options.get("budget", 0.1)
        assert by_epochs.cost.steps <= max(max(budget, min(3 * budget, 0.3)) * STEPS, 48)


@pytest.mark.parametrize(
    ("length", "said"),
    [({"total_steps": 60}, "60"), ({"epochs": 1}, "40"), ({"total_steps": 479}, "479"), ({"total_steps": 480}, "")],
)
def test_a_training_too_short_for_a_finder_is_said_to_be_with_what_to_do_instead(length, said):
    finding = found(**length)
    notes = [note for note in finding.notes if "too short for a finder" in note]
    assert len(notes) == bool(said)
    if said:
        assert f"{said} steps and the search took {finding.cost.steps}:" in notes[0]
        (lrs,) = re.findall(r"in full at ([\d.e-]+), ([\d.e-]+) and ([\d.e-]+) and keep", notes[0])
        assert list(map(float, lrs)) == pytest.approx([finding.lr / 4, finding.lr, finding.lr * 4], rel=0.05)
    again = found(total_steps=100_000).at(**length)
    assert any("too short for a finder" in note for note in again.notes) == bool(said)


def test_so_is_a_longer_one_that_its_search_took_more_than_half_of():
    assert any("too short" in note for note in found(total_steps=600, budget=1000, steps=400).notes)


class Own:
    def __init__(self, length, unit=None):
        self.length, self.unit = length, unit


@pytest.mark.parametrize(
    ("said", "schedule", "steps", "passes"),
    [
        (Training(470, None, 94.0), Own(10), 470, 5),
        (Training(None, 5, 94.0), Own(470), 470, 5),
        (Training(None, None, 94.0), Own(470), 470, 5),
        (Training(None, None, 94.0), Own(5), 470, 5),
        (Training(None, None, 94.0), Own(5, "step"), 5, 5 / 94),
        (Training(None, None, 94.0), Own(188, "epoch"), 188 * 94, 188),
        (Training(None, None, 0.0), Own(470), None, None),
        (Training(None, None, 0.0), Own(5, "epoch"), None, 5),
        (Training(470, 3, 94.0), "cosine", 282, 3),
        (Training(None, None, 94.0), "cosine", None, None),
    ],
)
def test_the_length_is_worked_out_from_what_is_known(said, schedule, steps, passes):
    length = with_length_of(said, schedule)
    assert length.steps == steps
    assert length.passes == passes


class Told(Loop):
    """A loop of one's own that knows how long a pass over the data is, and whose records do not say."""

    steps_per_epoch = 40.0
    _begin = _run = None

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def run(self, probe, on_step):
        losses = [1.0 + 0.01 * (step % 3) - min(lr, 0.1) * 5 + lr**2 for step, lr in enumerate(probe.lrs)]
        return Record(probe, probe.lrs, tuple(losses), "done", optimizer="AdamW", is_fresh=True)


class Planned(Told):
    """A trainer's loop, which has as many epochs as its framework assumes."""

    def left(self):
        return 0, 1000


@pytest.mark.parametrize(
    ("given", "epochs"), [({}, 1000), ({"schedule": None, "steps": None}, 1000), ({"total_steps": None}, None)]
)
def test_a_length_that_is_none_is_unknown_also_where_a_trainer_has_one(given, epochs):
    assert find_with(Planned(), progress=False, **given).epochs == epochs


def test_two_lengths_are_refused_where_a_finding_is_read_again_too():
    finding = find_with(Told(), progress=False, epochs=5)
    assert finding.at(epochs=10, total_steps=402).length.steps == 400
    with pytest.raises(BadInputError, match="two lengths"):
        finding.at(epochs=10, total_steps=300)


def test_a_loop_that_knows_how_long_a_pass_is_gives_one_length_to_the_schedule_and_to_the_reading():
    by_epochs, by_steps = (find_with(Told(), progress=False, schedule="linear", **how) for how in LENGTHS)
    assert by_epochs.lr == by_steps.lr
    assert by_epochs.interval == by_steps.interval
    assert {record.steps_per_epoch for record in by_epochs.records} == {40.0}
    assert by_epochs.at(total_steps=400).lr == by_epochs.at(epochs=10).lr


LENGTHS = ({"epochs": 5}, {"total_steps": 200})


@pytest.mark.parametrize(("steps", "epochs"), [(200, 9), (470, 5), (40, 0.5), (300, 5)])
def test_a_length_in_steps_and_one_in_epochs_that_are_not_one_are_refused(steps, epochs):
    with pytest.raises(BadInputError, match=f"total_steps={steps} and epochs={epochs} are two lengths .* 40 steps"):
        find_with(Told(), progress=False, schedule="linear", total_steps=steps, epochs=epochs)


@pytest.mark.parametrize("steps", [200, 197, 204])
def test_both_may_be_given_where_they_are_one(steps):
    assert find_with(Told(), progress=False, schedule="linear", total_steps=steps, epochs=5).lr > 0

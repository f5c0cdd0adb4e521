import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import lrfind
from lrfind.errors import BadInputError, ProbeError
from lrfind.optim import apply_rate

OPTIMIZERS = {
    "momentum": lambda parameters: torch.optim.SGD(parameters, lr=0.05, momentum=0.9),
    "adam": lambda parameters: torch.optim.Adam(parameters, lr=1e-3),
}


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(8, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 1))
        self.register_buffer("seen", torch.zeros(1), persistent=False)
        self.count = 0

    def forward(self, x):
        self.count += 1
        self.seen += 1
        return self.layers(x)


def loader(size=640, batch_size=32):
    x = torch.randn(size, 8)
    return DataLoader(TensorDataset(x, (2 * x[:, :1]).sin()), batch_size=batch_size, shuffle=True)


def setup(optimizer="adam"):
    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)
    model = Net()
    return model, OPTIMIZERS[optimizer](model.parameters()), loader()


def train(model, optimizer, batches, epochs=2):
    losses = []
    for _ in range(epochs):
        for x, y in batches:
            optimizer.zero_grad()
            loss = F.mse_loss(model(x), y)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return losses


def everything(model, optimizer):
    state = optimizer.state_dict()
    tensors = [*model.state_dict().values(), model.seen, torch.get_rng_state()]
    tensors += [value for each in state["state"].values() for value in each.values() if torch.is_tensor(value)]
    rest = (model.count, model.training, state["param_groups"], random.getstate(), np.random.get_state()[1].tolist())
    return [tensor.tolist() for tensor in tensors], rest


def find(model, optimizer, batches, loss_fn=F.mse_loss, **options):
    return lrfind.find(model, optimizer, batches, loss_fn, progress=False, **options)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
class TestNothingMoves:
    def test_training_after_a_find_equals_training_without_one(self, optimizer):
        outcomes = []
        for search in (False, True):
            model, stepper, batches = setup(optimizer)
            first = train(model, stepper, batches, 1)
            if search:
                find(model, stepper, batches)
            outcomes.append((first, train(model, stepper, batches), everything(model, stepper)))
        assert outcomes[0] == outcomes[1]

    @pytest.mark.parametrize("failure", [KeyboardInterrupt(), RuntimeError("boom")])
    def test_a_find_that_fails_leaves_everything_as_it_was(self, optimizer, failure):
        def loss_fn(model, batch):
            if model.count > 30:
                raise failure
            return F.mse_loss(model(batch[0]), batch[1])

        model, stepper, batches = setup(optimizer)
        train(model, stepper, batches, 1)
        gradients = [parameter.grad.clone() for parameter in model.parameters()]
        model.count = 0
        before = everything(model, stepper)
        with pytest.raises(type(failure)):
            find(model, stepper, batches, loss_fn)
        assert everything(model, stepper) == before
        assert all(torch.equal(a, b.grad) for a, b in zip(gradients, model.parameters(), strict=True))


def test_the_rate_is_applied_and_watched():
    model, optimizer, batches = setup()
    finding = find(model, optimizer, batches)
    watch = finding.apply(optimizer)
    train(model, optimizer, batches)
    assert (watch.least, watch.greatest, watch.steps) == (finding.lr, finding.lr, 40)


def test_probes_do_not_count_as_training():
    model, optimizer, batches = setup()
    watch = find(model, optimizer, batches).apply(optimizer)
    find(model, optimizer, batches, seed=1)
    assert (watch.steps, optimizer.state_dict()["state"]) == (0, {})


def test_tensor_rates_in_a_ratio_are_searched_alike():
    records = []
    for to_rate in (float, torch.tensor):
        model, _, batches = setup()
        head = {"params": model.layers[-1].parameters(), "lr": to_rate(1e-4)}
        optimizer = torch.optim.Adam([{"params": model.layers[0].parameters()}, head], lr=to_rate(1e-3))
        records += find(model, optimizer, batches).records
    assert records[1].lrs == pytest.approx(records[0].lrs)
    assert records[1].losses[:20] == pytest.approx(records[0].losses[:20], rel=1e-4)


def test_a_record_holds_the_rates_that_ran():
    finding = find(*setup())
    (record,) = finding.records
    assert record.lrs == record.probe.lrs[: len(record.lrs)]
    assert finding.cost.steps == len(record.lrs) == len(record.losses)


def test_the_same_seed_gives_the_same_answer_and_another_one_near_it():
    findings = [find(*setup(), seed=seed) for seed in (0, 0, 1)]
    assert findings[0].records[0].losses == findings[1].records[0].losses
    assert findings[0].lr == findings[1].lr
    assert findings[0].records[0].losses != findings[2].records[0].losses
    low, high = findings[0].interval
    assert low <= findings[2].lr <= high


def test_the_found_rate_trains_better_than_far_lower_and_far_higher_ones():
    finding = find(*setup())
    ends = []
    for lr in (finding.lr, finding.lr / 300, finding.lr * 300):
        model, optimizer, batches = setup()
        apply_rate(optimizer, lr)
        ends.append(np.mean(train(model, optimizer, batches, 5)[-20:]))
    assert ends[0] < ends[1]
    assert ends[0] < ends[2]


@pytest.mark.parametrize(
    "loss_fn",
    [nn.MSELoss(), F.mse_loss, lambda model, batch: F.mse_loss(model(batch[0]), batch[1])],
    ids=["module", "functional", "callable"],
)
def test_every_kind_of_loss_function_gives_the_same_losses(loss_fn):
    plain = find(*setup())
    assert find(*setup(), loss_fn).records[0].losses == plain.records[0].losses


def test_losses_may_be_negative():
    plain = find(*setup())
    lower = find(*setup(), lambda model, batch: F.mse_loss(model(batch[0]), batch[1]) - 100.0)
    assert lower.lr == pytest.approx(plain.lr, rel=0.5)


def test_a_short_loader_is_begun_again_and_that_is_said():
    model, optimizer, _ = setup()
    finding = find(model, optimizer, loader(size=96))
    assert finding.records[0].passes > 10
    assert "begun" in finding.notes[0]


def test_batches_may_be_none():
    model, optimizer, batches = setup()
    x, y = next(iter(batches))
    finding = find(model, optimizer, [None] * 50, lambda model, batch: F.mse_loss(model(x), y))
    assert finding.records[0].passes == 3


def test_an_evaluating_model_is_trained_in_the_probe_and_stays_as_it_is():
    model, optimizer, batches = setup()
    reference = find(*setup()).records[0].losses
    model.eval()
    assert find(model, optimizer, batches).records[0].losses == reference
    assert not model.training


def loss_of(change):
    return lambda model, batch: change(F.mse_loss(model(batch[0]), batch[1]))


@pytest.mark.parametrize(
    ("loss_fn", "error", "message"),
    [
        (loss_of(lambda loss: loss * torch.nan), ProbeError, "not finite from the first step at lr=1e-06"),
        (loss_of(lambda loss: loss * 0 + 1), ProbeError, "the loss did not fall"),
        (loss_of(lambda loss: loss.expand(3)), BadInputError, r"must be a scalar, got shape \(3,\)"),
        (loss_of(lambda loss: loss.item()), BadInputError, "must return a tensor, got float"),
        (loss_of(lambda loss: loss.detach()), BadInputError, "the loss has no gradient"),
    ],
)
def test_losses_that_cannot_be_used(loss_fn, error, message):
    with pytest.raises(error, match=message):
        find(*setup(), loss_fn)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_lr": 1.0, "max_lr": 0.5}, "min_lr must be below max_lr"),
        ({"steps": 1}, "steps must be at least 2"),
        ({"strategy": "guess"}, "strategy must be"),
        ({"method": "best"}, "method must be one of"),
        ({"schedule": "sawtooth"}, "schedule must be one of"),
        ({"speed": 3}, "unknown option 'speed'"),
        ({"strategy": lrfind.RangeTest(), "steps": 50}, "give steps to the strategy RangeTest itself"),
    ],
)
def test_options_that_cannot_be_used(options, message):
    with pytest.raises(BadInputError, match=message):
        find(*setup(), **options)


def test_loaders_that_cannot_be_used():
    model, optimizer, batches = setup()
    for bad, message in ((iter(batches), "one-shot iterator"), ([], "gave no batch"), (3, "must be iterable")):
        with pytest.raises(BadInputError, match=message):
            find(model, optimizer, bad)
    with pytest.raises(BadInputError, match=r"batches of \(inputs, targets\), got Tensor"):
        find(model, optimizer, [torch.ones(4, 8)])


def test_models_that_cannot_be_used():
    _, optimizer, batches = setup()
    with pytest.raises(BadInputError, match="Identity has no parameters"):
        find(nn.Identity(), optimizer, batches)
    with pytest.raises(BadInputError, match="Adam holds no parameter of Net"):
        find(Net(), optimizer, batches)



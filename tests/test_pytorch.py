import random
import re

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import lrfind
from lrfind.errors import BadInputError, ProbeError, RateNotAppliedError
from lrfind.optim import apply_rate
from lrfind.pytorch import PyTorchLoop
from lrfind.records import Probe

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
        records += find(model, optimizer, batches, strategy="range").records
    assert records[1].lrs == pytest.approx(records[0].lrs)
    assert records[1].losses[:20] == pytest.approx(records[0].losses[:20], rel=1e-4)


def test_a_record_holds_the_rates_that_ran():
    finding = find(*setup())
    assert len(finding.records) == 3
    for record in finding.records:
        assert record.lrs == record.probe.lrs[: len(record.lrs)]
        assert len(record.lrs) == len(record.losses)
    assert finding.cost.steps == sum(len(record.lrs) for record in finding.records)


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


def test_a_short_loader_is_begun_again_and_the_record_says_how_often():
    model, optimizer, _ = setup()
    finding = find(model, optimizer, loader(size=96))
    assert finding.records[0].epochs > 10
    assert "begun" not in str(finding)


class SAM(torch.optim.Optimizer):
    """As published for sharpness-aware minimization: two moves make a step, which another optimizer makes."""

    def __init__(self, params, lr):
        super().__init__(params, {"lr": lr})
        self.base_optimizer = torch.optim.SGD(self.param_groups)
        self.param_groups = self.base_optimizer.param_groups

    @torch.no_grad()
    def climb(self):
        for one in self.param_groups[0]["params"]:
            self.state[one]["before"] = one.clone()
            one.add_(0.05 * one.grad / (one.grad.norm() + 1e-12))
        self.zero_grad()

    @torch.no_grad()
    def descend(self):
        for one in self.param_groups[0]["params"]:
            one.copy_(self.state[one]["before"])
        self.base_optimizer.step()
        self.zero_grad()


class TestWhatWasMeant:
    """Calls that are mistaken: one sentence that names what was meant."""

    @pytest.mark.parametrize("order", [(1, 0, 2, 3), (0, 2, 1, 3), (0, 1, 3, 2), (2, 0, 1, 3)])
    def test_arguments_in_each_others_place(self, order):
        names, given = ("model", "optimizer", "loader", "loss_fn"), (*setup(), F.mse_loss)
        with pytest.raises(BadInputError, match=re.escape(f"was given ({', '.join(names[at] for at in order)})")):
            lrfind.find(*(given[at] for at in order))

    def test_a_dataset_instead_of_a_loader(self):
        model, optimizer, batches = setup()
        with pytest.raises(BadInputError, match=r"TensorDataset gives samples; wrap it: DataLoader\("):
            lrfind.find(model, optimizer, batches.dataset, F.mse_loss)

    def test_a_trainer_of_a_framework(self, pl):
        trainer = pl.Trainer(logger=False, enable_checkpointing=False, accelerator="cpu")
        for given in ((trainer,), (trainer, setup()[0]), (trainer, *setup())):
            with pytest.raises(BadInputError, match=r"lrfind\.lightning\.find\(trainer, model\)"):
                lrfind.find(*given)

    def test_a_trainer_of_hugging_face(self):
        transformers = pytest.importorskip("transformers")
        trainer = object.__new__(type("Mine", (transformers.Trainer,), {}))
        with pytest.raises(BadInputError, match=r"lrfind\.huggingface\.find\(trainer\)"):
            lrfind.find(trainer)

    def test_a_missing_argument_is_still_pythons_to_name(self):
        with pytest.raises(TypeError, match="'loader'"):
            lrfind.find(*setup()[:2])


@pytest.mark.parametrize("made", ["OneCycleLR", "LinearLR"])
def test_a_scheduler_that_drives_the_optimizer_is_read_without_being_passed(made):
    model, optimizer, batches = setup()
    kind = getattr(torch.optim.lr_scheduler, made)
    scheduler = kind(optimizer, 0.1, total_steps=900) if made == "OneCycleLR" else kind(optimizer, total_iters=900)
    length = {} if made == "OneCycleLR" else {"total_steps": 900}
    by_itself = lrfind.find(model, optimizer, batches, F.mse_loss, **length)
    assert by_itself.schedule == made
    told = lrfind.find(model, optimizer, batches, F.mse_loss, schedule=scheduler, **length)
    assert (by_itself.lr, by_itself.interval) == (told.lr, told.interval)
    assert "constant" not in by_itself.headline
    constant = lrfind.find(model, optimizer, batches, F.mse_loss, schedule="constant", **length)
    assert "held constant" in constant.headline
    again = kind(optimizer, 0.1, total_steps=900) if made == "OneCycleLR" else kind(optimizer, total_iters=900)
    both = lrfind.find(model, optimizer, batches, F.mse_loss)
    assert again.optimizer is optimizer
    assert any("2 schedulers drive the Adam; pass schedule=" in note for note in both.notes)


def test_batches_may_be_none():
    model, optimizer, batches = setup()
    x, y = next(iter(batches))
    finding = find(model, optimizer, [None] * 50, lambda model, batch: F.mse_loss(model(x), y))
    assert finding.records[0].epochs == 3


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
        (lambda outputs, targets: ((outputs - targets) ** 2).mean(), BadInputError, "takes outputs and targets; pass"),
        (lambda model, batch: model.body(batch[0]).mean(), AttributeError, "no attribute 'body'"),
    ],
)
def test_losses_that_cannot_be_used(loss_fn, error, message):
    with pytest.raises(error, match=message):
        find(*setup(), loss_fn)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_lr": 1.0, "max_lr": 0.5}, "min_lr must be below max_lr"),
        ({"steps": 1}, "steps must be a whole number, at least 8"),
        ({"steps": "100"}, "steps must be a whole number.*, got '100'"),
        ({"min_lr": "1e-3"}, "min_lr must be a number"),
        ({"total_steps": "2000"}, "total_steps must be above 0: a whole number.*, got '2000'"),
        ({"total_steps": 1.5}, "total_steps must be above 0: a whole number.*, got 1.5"),
        ({"epochs": "5"}, "epochs must be above 0: a finite number.*, got '5'"),
        ({"budget": "x"}, "budget must be a share"),
        ({"seed": -1}, "seed must be a whole number"),
        ({"schedule": 5}, "schedule must be one of"),
        ({"schedule": lambda done: 0.1}, "schedule must reach 1"),
        ({"strategy": "guess"}, "strategy must be"),
        ({"method": "best"}, "method must be one of"),
        ({"schedule": "sawtooth"}, "schedule must be one of"),
        ({"colour": 3}, "unknown option 'colour'; there are .*schedule"),
        ({"epoch": 3}, "did you mean 'epochs'"),
        ({"mode": 3}, "did you mean 'ramp'"),
        ({"beta": 3}, "there are "),
        ({"val_loader": 3}, "there are "),
        ({"acumulate": 3}, "did you mean 'accumulate'"),
        ({"max_steps": 3}, "did you mean 'total_steps'"),
        ({"num_iter": 3}, "did you mean 'steps'"),
        ({"criterion": nn.MSELoss()}, "did you mean 'loss_fn'"),
        ({"schedule": torch.optim.lr_scheduler.OneCycleLR}, "got the class OneCycleLR; give an instance"),
        ({"schedule": lambda: 1.0}, "schedule must be .*which returns a number"),
        ({"schedule": lambda done: None}, "schedule must be .*which returns a number"),
        ({"strategy": lrfind.RangeTest(), "steps": 50}, "give steps to the strategy RangeTest itself"),
        ({"strategy": lrfind.RangeTest}, "or an object with propose, got <class"),
        ({"strategy": 3}, "or an object with propose, got 3"),
        ({"total_steps": 1000, "epochs": 10}, "two lengths"),
        ({"total_steps": 100, "epochs": 10}, "two lengths"),
        ({"total_steps": 200, "epochs": 10, "accumulate": 2}, "two lengths"),
    ],
)
def test_options_that_cannot_be_used(options, message):
    with pytest.raises(BadInputError, match=message):
        find(*setup(), **options)


def test_an_option_that_is_none_is_not_given():
    options = ("schedule", "steps", "min_lr", "max_lr", "strategy", "budget", "seed", "total_steps", "epochs", "resume")
    assert find(*setup(), **dict.fromkeys(options)).lr == find(*setup()).lr


@pytest.mark.parametrize("length", [{"total_steps": 200}, {"total_steps": 208}, {"total_steps": 190}])
def test_lengths_that_agree_are_taken(length):
    assert find(*setup(), epochs=10, **length).length.steps == pytest.approx(200, rel=0.06)


def test_a_loader_that_ends_for_good_is_said_to():
    model, optimizer, batches = setup()
    for once in (zip([x for x, _ in batches], [y for _, y in batches], strict=True), map(list, list(batches))):
        with pytest.raises(BadInputError, match="cannot be iterated again after its 20 batches"):
            find(model, optimizer, once)


def test_a_search_in_inference_mode_trains():
    model, optimizer, batches = setup()
    with torch.inference_mode():
        lr = find(model, optimizer, batches).lr
        assert torch.is_inference_mode_enabled()
    assert lr == find(*setup()).lr


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


def test_what_is_maximized_is_refused_unless_the_step_says_what_falls():
    model, _, batches = setup()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, maximize=True)
    with pytest.raises(BadInputError, match="SGD maximizes"):
        find(model, optimizer, batches)

    def step(model, optimizer, batch):
        loss = F.mse_loss(model(batch[0]), batch[1])
        optimizer.zero_grad()
        (-loss).backward()
        optimizer.step()
        return loss

    usual = torch.optim.SGD(model.parameters(), lr=0.1)
    assert find(model, optimizer, batches, None, step=step).lr == find(model, usual, batches).lr


def test_arguments_of_another_kind():
    model, optimizer, batches = setup()
    for arguments, message in (
        ((3, optimizer, batches), "model must be a torch.nn.Module, got 3"),
        ((model, model, batches), "optimizer must be a torch optimizer, or several, got Net"),
        ((model, [], batches), "optimizer is an empty list; give the optimizer, or several"),
        ((model, optimizer, batches, "mse"), "loss_fn must be a function or a criterion, got 'mse'"),
        ((Net, optimizer, batches), r"model must be a torch.nn.Module, got the class Net; make one: Net\(\)"),
        ((Net(), torch.optim.Adam, batches), r"make one: Adam\(model.parameters\(\)\)"),
    ):
        with pytest.raises(BadInputError, match=message):
            find(*arguments)
    with pytest.raises(BadInputError, match=r"got the class MSELoss; make one: MSELoss\(\)"):
        lrfind.find(model, optimizer, batches, nn.MSELoss)


class TestAnyStep:
    """``step=``: the user's own loop body, with whatever it closes over."""

    @pytest.mark.parametrize(
        "as_number",
        [
            torch.Tensor.detach,
            torch.Tensor.item,
            lambda loss: loss.detach().numpy(),
            lambda loss: np.float32(loss.item()),
        ],
    )
    def test_it_gives_the_losses_of_the_loss_function(self, as_number):
        def step(model, optimizer, batch):
            optimizer.zero_grad()
            loss = F.mse_loss(model(batch[0]), batch[1])
            loss.backward()
            optimizer.step()
            return as_number(loss.detach())

        plain = find(*setup())
        assert find(*setup(), None, step=step).records[0].losses == plain.records[0].losses

    def test_what_it_closes_over_does_not_move(self):
        def outcome(search):
            model, optimizer, batches = setup("momentum")
            scaler = torch.amp.GradScaler("cpu", init_scale=256.0, growth_interval=3)
            scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.99)
            average = torch.optim.swa_utils.AveragedModel(model, use_buffers=True)
            count, seen = 0, []

            def step(model_, optimizer_, batch):
                nonlocal count
                count += 1
                optimizer_.zero_grad()
                with torch.autocast("cpu", dtype=torch.bfloat16):
                    loss = F.mse_loss(model(batch[0]), batch[1])
                scaler.scale(loss).backward()
                scaler.unscale_(optimizer)
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                scaler.step(optimizer)
                scaler.update()
                scheduler.step()
                average.update_parameters(model)
                seen.append(loss.item())
                return loss

            if search:
                finding = find(model, optimizer, batches, None, step=step)
                assert len(finding.records[0].lrs) > 20
                assert finding.records[0].lrs == finding.records[0].probe.lrs[: len(finding.records[0].lrs)]
            for batch in batches:
                step(model, optimizer, batch)
            averaged = [value.tolist() for value in average.state_dict().values()]
            rest = (count, seen, averaged, scaler.state_dict(), scheduler.state_dict())
            return *everything(model, optimizer), rest

        assert outcome(search=True) == outcome(search=False)

    def test_accumulation_by_hand_gives_a_record_per_optimizer_step(self):
        model, optimizer, batches = setup()
        count = 0

        def step(model, optimizer, batch):
            nonlocal count
            count += 1
            loss = F.mse_loss(model(batch[0]), batch[1])
            (loss / 4).backward()
            if count % 4 == 0:
                optimizer.step()
                optimizer.zero_grad()
            return loss

        by_hand = find(model, optimizer, batches, None, step=step, steps=32)
        by_option = find(*setup(), accumulate=4, steps=32)
        assert count == 0
        assert by_hand.records[0].losses == pytest.approx(by_option.records[0].losses, rel=1e-5)
        assert by_hand.records[0].epochs == by_option.records[0].epochs > 4

    def test_the_optimizer_that_a_sharpness_aware_one_steps_is_named_and_searched(self):
        model, _, batches = setup()
        sam = SAM(model.parameters(), lr=0.1)

        def step(model, optimizer, batch):
            for move in (sam.climb, sam.descend):
                loss = F.mse_loss(model(batch[0]), batch[1])
                loss.backward()
                move()
            return loss

        with pytest.raises(BadInputError, match=r"SAM was not stepped .*; pass its base_optimizer, which may be what"):
            find(model, sam, batches, None, step=step)
        before = [one.tolist() for one in model.parameters()]
        assert find(model, sam.base_optimizer, batches, None, step=step, steps=32).lr > 0
        assert [one.tolist() for one in model.parameters()] == before

    def test_a_step_that_never_steps(self):
        with pytest.raises(BadInputError, match="Adam was not stepped in 1000 batches"):
            find(
                *setup(),
                None,
                step=lambda model, optimizer, batch: F.mse_loss(model(batch[0]), batch[1]).backward() or 1,
            )

    @pytest.mark.parametrize(("result", "message"), [(None, "got NoneType"), (torch.ones(3), r"got shape \(3,\)")])
    def test_a_step_that_returns_no_loss(self, result, message):
        def step(model, optimizer, batch):
            F.mse_loss(model(batch[0]), batch[1]).backward()
            optimizer.step()
            return result

        with pytest.raises(BadInputError, match=f"step must return the loss of its batch.*{message}"):
            find(*setup(), None, step=step)

    def test_both_or_neither(self):
        for loss_fn, step in ((None, None), (F.mse_loss, F.mse_loss)):
            with pytest.raises(BadInputError, match="give either loss_fn or step"):
                find(*setup(), loss_fn, step=step)

    @pytest.mark.parametrize("accumulate", [0, 2.0])
    def test_a_number_of_batches_that_is_none(self, accumulate):
        with pytest.raises(
            BadInputError, match=f"accumulate must be 1 or more batches, .* got accumulate={accumulate}"
        ):
            find(*setup(), accumulate=accumulate)


class TestOptimizers:
    def test_several_move_together(self):
        model, _, batches = setup()
        first = torch.optim.SGD(model.layers[0].parameters(), lr=0.1)
        second = torch.optim.Adam(model.layers[1:].parameters(), lr=0.01)
        finding = find(model, [first, second], batches)
        assert finding.records[0].ratios == pytest.approx((1.0, 0.1))
        assert (first.param_groups[0]["lr"], second.param_groups[0]["lr"]) == (0.1, 0.01)
        watch = finding.apply([first, second])
        assert first.param_groups[0]["lr"] == finding.lr
        assert second.param_groups[0]["lr"] == pytest.approx(finding.lr / 10)
        second.param_groups[0]["lr"] = 3.0
        with pytest.raises(RateNotAppliedError, match="param group 0 of Adam has lr=3"):
            train(model, second, batches, 1)
        watch.remove()

    def test_lbfgs_is_given_a_closure(self):
        torch.manual_seed(0)
        x = torch.randn(256, 4)
        batches = [(x, x @ torch.ones(4, 1))] * 3
        model = nn.Linear(4, 1)
        optimizer = torch.optim.LBFGS(model.parameters(), lr=0.1, max_iter=3)
        before = model.weight.clone()
        finding = find(model, optimizer, batches, steps=64)
        assert finding.records[0].losses[-1] != finding.records[0].losses[0]
        assert torch.equal(model.weight, before)
        assert not optimizer.state

    def test_beside_lbfgs_the_others_are_stepped_too(self, capfd):
        x = torch.randn(64, 4)
        model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 1))
        both = [torch.optim.LBFGS(model[0].parameters(), lr=0.1, max_iter=2)]
        both.append(torch.optim.SGD(model[1].parameters(), lr=0.1))
        for each in both:
            each.register_step_post_hook(lambda optimizer, *_: print(type(optimizer).__name__))
        PyTorchLoop(model, both, [(x, x.sum(1, keepdim=True))], F.mse_loss).run(Probe((1e-3,) * 2))
        assert capfd.readouterr().out.split() == ["LBFGS", "SGD", "LBFGS", "SGD"]

    def test_lazy_parameters_stay_lazy(self):
        outcomes = []
        for search in (False, True):
            _, _, batches = setup()
            torch.manual_seed(3)
            model = nn.Sequential(nn.LazyLinear(16), nn.ReLU(), nn.LazyLinear(1))
            optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
            if search:
                find(model, optimizer, batches)
                assert all(isinstance(part, nn.parameter.UninitializedParameter) for part in model.parameters())
            outcomes.append((train(model, optimizer, batches), model[0].weight.tolist()))
        assert outcomes[0] == outcomes[1]

    def test_hooks_run_in_a_probe_and_stay(self, capsys):
        model, optimizer, batches = setup("momentum")
        seen = []
        model.layers[0].weight.register_hook(lambda gradient: gradient.clamp(-1e-3, 1e-3))
        optimizer.register_step_post_hook(lambda *_: seen.append(1) or print("step"))
        model.register_forward_hook(lambda *_: seen.append(2) or print("forward"))
        clamped = find(model, optimizer, batches)
        assert seen == []
        said = capsys.readouterr().out.split()
        assert said.count("step") == said.count("forward") == clamped.cost.steps
        free = find(*setup("momentum"))
        assert clamped.records[0].losses[0] == free.records[0].losses[0]
        assert clamped.records[0].losses != free.records[0].losses
        train(model, optimizer, batches, 1)
        assert seen.count(1) == seen.count(2) == 20


class TestInPlace:
    """Probes run on the originals, which are put back."""

    def test_a_model_that_cannot_be_copied_is_put_back(self):
        model, optimizer, batches = setup()
        model.kept = model(torch.ones(2, 8))  # no leaf: cannot be deep-copied
        before = everything(model, optimizer)
        assert find(model, optimizer, batches).lr > 0
        assert everything(model, optimizer) == before

    def test_isolation_is_accepted_and_does_nothing(self):
        with pytest.warns(DeprecationWarning, match="isolation= has no effect any more, leave it out"):
            found = find(*setup(), isolation="copy")
        assert found.records[0].losses == find(*setup()).records[0].losses


class Registry:
    """Where some trainings keep the model."""

    model = None


class Engine:
    """A training in one object."""

    def __init__(self, model):
        self.model, self.history = model, []

    def loss(self, _, batch):
        self.history.append(1)
        return F.mse_loss(self.model(batch[0]), batch[1])


MODEL = None


def loss_of_a_global(_, batch):
    return F.mse_loss(MODEL(batch[0]), batch[1])


def loss_of_a_class_attribute(_, batch):
    return F.mse_loss(Registry.model(batch[0]), batch[1])


def loss_of_a_default(model):
    return lambda _, batch, net=model: F.mse_loss(net(batch[0]), batch[1])


def loss_of_a_closure(model):
    return lambda _, batch: F.mse_loss(model(batch[0]), batch[1])


class TestTheLossOfAModelFromElsewhere:
    """A loss that takes the model from where it finds it, and not as its argument."""

    @pytest.mark.parametrize(
        "to_loss",
        [
            loss_of_a_closure,
            loss_of_a_default,
            lambda model: loss_of_a_global,
            lambda model: loss_of_a_class_attribute,
            lambda model: Engine(model).loss,
        ],
        ids=["closure", "default", "global", "class attribute", "bound method"],
    )
    def test_it_is_the_model_that_is_searched_and_put_back(self, to_loss, monkeypatch):
        model, optimizer, batches = setup()
        plain = find(*setup()).records[0].losses
        monkeypatch.setattr(Registry, "model", model)
        monkeypatch.setitem(globals(), "MODEL", model)
        before, loss_fn = everything(model, optimizer), to_loss(model)
        assert find(model, optimizer, batches, loss_fn).records[0].losses == plain
        assert everything(model, optimizer) == before
        assert all(parameter.grad is None for parameter in model.parameters())

    def test_what_the_object_of_a_bound_method_collects_is_put_back(self):
        model, optimizer, batches = setup()
        engine = Engine(model)
        find(model, optimizer, batches, engine.loss)
        assert engine.history == []

    def test_a_loss_of_another_model_is_refused_and_that_is_put_back(self):
        model, optimizer, batches = setup()
        other = Net()
        before = everything(other, optimizer)
        with pytest.raises(BadInputError, match="the loss gives no parameter of Adam a gradient"):
            find(model, optimizer, batches, lambda _, batch: F.mse_loss(other(batch[0]), batch[1]))
        assert everything(other, optimizer) == before
        assert all(parameter.grad is None for parameter in other.parameters())


class Counting(torch.utils.data.IterableDataset):
    """An iterable dataset that remembers where it is, as streams do."""

    def __init__(self):
        self.position, self.log = 0, []

    def __iter__(self):
        generator = torch.Generator().manual_seed(5)
        x = torch.randn(4000, 8, generator=generator)
        while self.position < 4000:
            self.position += 1
            self.log.append(self.position)
            yield x[self.position - 1], (2 * x[self.position - 1, :1]).sin()


class TestData:
    def test_a_stateful_dataset_is_put_back(self):
        model, optimizer, _ = setup()
        data = Counting()
        finding = find(model, optimizer, DataLoader(data, batch_size=16))
        assert len(finding.records[0].lrs) > 20
        assert (data.position, data.log) == (0, [])

    def test_a_dataset_that_is_its_own_iterator_is_copied(self):
        class Endless(torch.utils.data.IterableDataset):
            def __init__(self):
                self.generator = torch.Generator().manual_seed(1)

            def __iter__(self):
                return self

            def __next__(self):
                x = torch.randn(8, generator=self.generator)
                return x, (2 * x[:1]).sin()

        model, optimizer, _ = setup()
        data = Endless()
        wanted = next(Endless())[0]
        assert find(model, optimizer, DataLoader(data, batch_size=16)).records[0].epochs == 1
        assert torch.equal(next(data)[0], wanted)

    def test_workers_and_persistent_workers(self):
        outcomes = []
        for search in (False, True):
            model, optimizer, batches = setup()
            workers = DataLoader(batches.dataset, 32, shuffle=True, num_workers=1, persistent_workers=True)
            first = train(model, optimizer, workers, 1)
            if search:
                find(model, optimizer, workers, steps=24)
            outcomes.append((first, train(model, optimizer, workers, 1)))
        assert outcomes[0] == outcomes[1]

    @pytest.mark.parametrize(
        ("pack", "unpack"),
        [
            (lambda x, y: {"x": x, "y": y}, lambda batch: (batch["x"], batch["y"])),
            (lambda x, y: (x, (y, {"ids": 3})), lambda batch: (batch[0], batch[1][0])),
            (lambda x, y: torch.cat([x, y], 1), lambda batch: (batch[:, :8], batch[:, 8:])),
            (lambda x, y: [x, y, None], lambda batch: batch[:2]),
        ],
        ids=["dictionary", "nested", "tensor", "three"],
    )
    def test_batches_of_any_shape(self, pack, unpack):
        model, optimizer, batches = setup()
        packed = [pack(x, y) for x, y in batches]

        def loss_fn(model, batch):
            x, y = unpack(batch)
            return F.mse_loss(model(x), y)

        assert find(model, optimizer, packed, loss_fn).records[0].epochs > 1

    def test_a_generator_is_refused_with_the_remedy(self):
        model, optimizer, batches = setup()
        with pytest.raises(BadInputError, match=r"one-shot iterator.*pass the DataLoader or a list"):
            find(model, optimizer, (batch for batch in batches))


@pytest.mark.parametrize(("batches", "accumulate", "epoch"), [(10, 1, 10.0), (10, 2, 5.0), (80, 1, 80.0)])
def test_a_record_says_how_many_steps_a_pass_has(batches, accumulate, epoch):
    model = nn.Linear(3, 1)
    loader = [(torch.randn(4, 3), torch.randn(4, 1))] * batches
    loop = PyTorchLoop(model, torch.optim.SGD(model.parameters(), lr=0.1), loader, nn.MSELoss(), accumulate=accumulate)
    assert loop.run(Probe((1e-3,) * 20)).steps_per_epoch == epoch
    loop = PyTorchLoop(model, torch.optim.SGD(model.parameters(), lr=0.1), Endless(), nn.MSELoss())
    assert loop.run(Probe((1e-3,) * 20)).steps_per_epoch == 0


class Endless:
    def __iter__(self):
        while True:
            yield torch.randn(4, 3), torch.randn(4, 1)


SEEN, COUNTS = [], {"steps": 0}


def test_what_a_step_collects_in_a_global_is_left_alone():
    def step(model, optimizer, batch):
        optimizer.zero_grad()
        loss = F.mse_loss(model(batch[0]), batch[1])
        loss.backward()
        optimizer.step()
        SEEN.append(loss.item())
        COUNTS["steps"] += 1
        return loss

    find(*setup(), loss_fn=None, step=step)
    assert (SEEN, COUNTS) == ([], {"steps": 0})


# Each of what ``find`` is given may be the only way to some state.


class Counted:
    """Calls of one thing, counted where only that thing reaches."""

    def __init__(self):
        self.calls = 0

    def loss(self, model, batch):
        self.calls += 1
        return nn.functional.mse_loss(model(batch[0]), batch[1])

    def step(self, model, optimizer, batch):
        loss = self.loss(model, batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss


class CountingLinear(nn.Linear):
    calls = 0

    def forward(self, x):
        self.calls += 1
        return super().forward(x)


class CountingSGD(torch.optim.SGD):
    calls = 0

    def step(self, closure=None):
        self.calls += 1
        return super().step(closure)


class CountingBatches(list):
    calls = 0

    def __iter__(self):
        self.calls += 1
        return super().__iter__()


class CountingRows(TensorDataset):
    calls = 0

    def __getitem__(self, index):
        self.calls += 1
        return super().__getitem__(index)


@pytest.mark.parametrize("root", ["model", "optimizer", "loss", "step", "loader", "dataset"])
def test_state_that_only_one_of_the_arguments_reaches_is_put_back(root):
    x = torch.randn(32, 4, generator=torch.Generator().manual_seed(0))
    model = CountingLinear(4, 1) if root == "model" else nn.Linear(4, 1)
    optimizer = (CountingSGD if root == "optimizer" else torch.optim.SGD)(model.parameters(), lr=0.1)
    batches = [(x, x.sum(1, keepdim=True))] * 3
    rows = CountingRows(x, x.sum(1, keepdim=True))
    loaders = {"loader": CountingBatches(batches), "dataset": DataLoader(rows, 8)}
    loader = loaders.get(root, batches)
    counted = Counted()
    how = {"step": counted.step} if root == "step" else {"loss_fn": counted.loss if root == "loss" else nn.MSELoss()}
    roots = {
        "model": model,
        "optimizer": optimizer,
        "loss": counted,
        "step": counted,
        "loader": loader,
        "dataset": rows,
    }
    lrfind.find(model, optimizer, loader, **how, strategy="range", progress=False)
    assert roots[root].calls == 0


def test_each_probe_reads_an_iterator_from_where_it_stands_and_leaves_it_there():
    x = torch.randn(8, 4, generator=torch.Generator().manual_seed(0))
    model, rows = nn.Linear(4, 1), iter([(x, x.sum(1, keepdim=True))] * 40)
    next(rows)
    loop = PyTorchLoop(model, torch.optim.SGD(model.parameters(), lr=0.1), rows, nn.MSELoss())
    with loop:
        records = [loop.run(Probe((1e-3,) * 30, 0)) for _ in range(2)]
    assert records[0].losses == records[1].losses
    assert len(list(rows)) == 39

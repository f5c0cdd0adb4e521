"""What happens fresh, resumed, in a second stage and in mid-training, in plain loops, Lightning and Hugging Face."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset
from transformers import Trainer, TrainingArguments

import lrfind
import lrfind.huggingface as lrh
import lrfind.lightning as lrl
from lrfind.errors import RateNotAppliedError
from lrfind.strategies.range_test import RangeTest

pytestmark = [
    pytest.mark.usefixtures("imports_frozen"),
    pytest.mark.usefixtures("empty_folder"),
    pytest.mark.filterwarnings("ignore:Please use the new API settings to control TF32"),
    pytest.mark.filterwarnings("ignore:.*lr_scheduler.step\\(\\).*before"),
]
FAST = {"strategy": RangeTest(steps=64), "progress": False}


def rows(size=320):
    numbers = torch.Generator().manual_seed(0)
    x = torch.randn(size, 8, generator=numbers)
    return TensorDataset(x, (2 * x[:, :1]).sin())


def net():
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 1))


def adam(model, lr=1e-4):
    return torch.optim.Adam(model.parameters(), lr=lr)


def in_groups(model, lr=1e-4):
    """The usual fine-tuning: a backbone at a tenth of the rate, before the head; and biases at a third."""
    groups = [{"params": [model[0].weight], "lr": lr * 0.1}, {"params": [model[2].weight]}]
    return torch.optim.Adam([*groups, {"params": [model[0].bias, model[2].bias], "lr": lr / 3}], lr=lr)


def cosine(optimizer, steps=40, **options):
    return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps, **options)


def held(optimizer):
    rates = [group["lr"] for group in optimizer.param_groups]
    return rates if len(rates) > 1 else rates[0]


class Plain:
    """A loop of one's own."""

    def __init__(self, lr=1e-4, schedule=None, make=adam):
        self.model = net()
        self.optimizer = make(self.model, lr)
        self.scheduler = schedule and schedule(self.optimizer)
        self.rates = []

    def train(self, steps=20):
        data = DataLoader(rows(), 16)
        for (x, y), _ in zip(data, range(steps), strict=False):
            self.optimizer.zero_grad()
            F.mse_loss(self.model(x), y).backward()
            self.rates.append(held(self.optimizer))
            self.optimizer.step()
            if self.scheduler:
                self.scheduler.step()
        return self

    def find(self):
        return lrfind.find(self.model, self.optimizer, DataLoader(rows(), 16), nn.MSELoss(), **FAST)

    @property
    def state(self):
        parts = (self.model, self.optimizer, *([self.scheduler] if self.scheduler else []))
        return [part.state_dict() for part in parts]

    def load(self, state):
        parts = (self.model, self.optimizer, *([self.scheduler] if self.scheduler else []))
        for part, kept in zip(parts, state, strict=False):
            part.load_state_dict(kept)
        return self


class TestPlain:
    def test_fresh(self):
        one = Plain(schedule=cosine)
        finding = one.find()
        watch = finding.apply(one.optimizer, one.scheduler)
        assert one.train().rates == Plain(finding.lr, cosine).train().rates
        assert (watch.steps, watch.greatest) == (20, finding.lr)

    @pytest.mark.parametrize("schedule", [None, cosine])
    def test_resumed_with_its_finding(self, schedule):
        one = Plain(schedule=schedule)
        finding = one.find()
        finding.apply(one.optimizer, one.scheduler)
        finding.save("finding.json")
        state, whole = one.train(10).state, Plain(finding.lr, schedule).train(20)
        again = Plain(schedule=schedule).load(state)
        watch = lrfind.Finding.load("finding.json").apply(again.optimizer, again.scheduler)
        assert again.train(10).rates == pytest.approx(whole.rates[10:], rel=1e-12)
        assert watch.steps == 10

    @pytest.mark.parametrize("schedule", [None, cosine])
    def test_resumed_without_a_finding(self, schedule):
        state, whole = Plain(schedule=schedule).train(20).state, Plain(schedule=schedule)
        again = Plain(schedule=schedule).load(state)
        finding = again.find()
        assert finding.records[0].losses[0] < whole.find().records[0].losses[0]
        finding.apply(again.optimizer, again.scheduler)
        factor = finding.lr / 1e-4
        wanted = [rate * factor for rate in whole.train(20).train(20).rates[20:]]
        assert again.train(20).rates == pytest.approx(wanted, rel=1e-9)

    def test_second_stage_with_a_new_schedule(self):
        first = Plain(schedule=lambda one: cosine(one, 20)).train(20)
        assert first.optimizer.param_groups[0]["lr"] == 0
        second = Plain().load(first.state)
        second.scheduler = cosine(second.optimizer)
        finding = second.find()
        finding.apply(second.optimizer, second.scheduler)
        assert second.train().rates == pytest.approx(Plain(finding.lr, cosine).train().rates, rel=1e-9)

    def test_search_again_in_the_middle(self):
        one = Plain(schedule=cosine)
        findings = [one.find()]
        findings[0].apply(one.optimizer, one.scheduler)
        findings.append(one.train(20).find())
        watch = findings[1].apply(one.optimizer, one.scheduler)
        shape = Plain(1.0, cosine).train(20).train(20).rates[20:]
        assert one.train(20).rates[20:] == pytest.approx([findings[1].lr * each for each in shape], rel=1e-9)
        assert watch.steps == 20


def module(pl, lr=1e-4, schedule=None, make=adam):
    class Net(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.lr, self.net, self.rates = lr, net(), []

        def training_step(self, batch, batch_idx):
            self.rates.append(held(self.trainer.optimizers[0]))
            return F.mse_loss(self.net(batch[0]), batch[1])

        def configure_optimizers(self):
            optimizer = make(self.net, self.lr)
            if schedule is None:
                return optimizer
            return [optimizer], [{"scheduler": schedule(optimizer), "interval": "step"}]

    return Net()


def fit(pl, model, *callbacks, epochs=1, resume=None, keep=None):
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    trainer = pl.Trainer(max_epochs=epochs, callbacks=list(callbacks), enable_checkpointing=False, **quiet)
    trainer.fit(model, DataLoader(rows(), 16), ckpt_path=resume)
    if keep:
        trainer.save_checkpoint(keep)
    return model


class TestLightning:
    def test_fresh(self, pl):
        finder = lrl.LRFinder(**FAST)
        model = fit(pl, module(pl, schedule=cosine), finder)
        assert model.rates == fit(pl, module(pl, finder.finding.lr, cosine)).rates
        assert (model.lr, finder.applied.steps) == (finder.finding.lr, 20)

    @pytest.mark.parametrize("schedule", [None, cosine])
    def test_resumed_with_its_finding(self, pl, schedule):
        first, second = (lrl.LRFinder(**FAST) for _ in range(2))
        fit(pl, module(pl, schedule=schedule), first, keep="one.ckpt")
        model = fit(pl, module(pl, schedule=schedule), second, epochs=2, resume="one.ckpt")
        assert second.finding == first.finding
        assert model.rates == fit(pl, module(pl, first.finding.lr, schedule), epochs=2).rates[20:]
        assert (model.lr, second.applied.steps) == (first.finding.lr, 20)

    def test_resumed_with_a_finding_that_was_not_applied(self, pl, capsys):
        fit(pl, module(pl), first := lrl.LRFinder(apply=False, **FAST), keep="one.ckpt")
        model = fit(pl, module(pl), finder := lrl.LRFinder(**{**FAST, "progress": True}), epochs=2, resume="one.ckpt")
        assert finder.findings == first.findings
        assert set(model.rates) == {finder.finding.lr}
        assert "training uses it" in capsys.readouterr().err

    def test_only_found_a_resumed_run_does_not_search_again(self, pl):
        fit(pl, module(pl), first := lrl.LRFinder(apply=False, **FAST), keep="one.ckpt")
        model = fit(pl, module(pl), second := lrl.LRFinder(apply=False, **FAST), epochs=2, resume="one.ckpt")
        assert (second.findings, set(model.rates)) == (first.findings, {1e-4})

    @pytest.mark.parametrize("schedule", [None, cosine])
    def test_resumed_without_a_finding(self, pl, schedule):
        fit(pl, module(pl, schedule=schedule), keep="one.ckpt")
        model = fit(pl, module(pl, schedule=schedule), finder := lrl.LRFinder(**FAST), epochs=2, resume="one.ckpt")
        whole = fit(pl, module(pl, finder.finding.lr, schedule), epochs=2)
        assert model.rates == pytest.approx(whole.rates[20:], rel=1e-9)
        assert len(finder.findings) == 1

    def test_second_stage_with_a_new_schedule(self, pl):
        model = fit(pl, module(pl, schedule=lambda one: cosine(one, 20)))
        second = module(pl, schedule=cosine)
        second.load_state_dict(model.state_dict())
        fit(pl, second, finder := lrl.LRFinder(**FAST))
        assert second.rates == fit(pl, module(pl, finder.finding.lr, cosine)).rates
        assert finder.finding.records[0].losses[0] < module_loss(pl)

    def test_fitted_again_by_the_same_trainer_it_searches_again(self, pl):
        finder, model = lrl.LRFinder(**FAST), module(pl)
        quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
        trainer = pl.Trainer(max_epochs=1, callbacks=[finder], enable_checkpointing=False, **quiet)
        trainer.fit(model, DataLoader(rows(), 16))
        first = finder.finding
        trainer.fit_loop.max_epochs = 2
        trainer.fit(model, DataLoader(rows(), 16))
        assert finder.findings != [first]
        assert set(model.rates[20:]) == {finder.finding.lr}

    def test_search_again_in_the_middle(self, pl):
        finder = lrl.LRFinder(every=1, **FAST)
        model = fit(pl, module(pl), finder, epochs=2)
        first, second = (finding.lr for finding in finder.findings)
        assert model.rates == [first] * 20 + [second] * 20
        assert (finder.applied.steps, model.lr) == (40, second)
        assert finder.span == (min(first, second), max(first, second))

    def test_search_again_where_it_has_just_been_searched_is_left_out(self, pl):
        fit(pl, module(pl), keep="one.ckpt")
        fit(pl, module(pl), finder := lrl.LRFinder(every=1, **FAST), epochs=3, resume="one.ckpt")
        assert len(finder.findings) == 2


def module_loss(pl):
    return F.mse_loss(module(pl).net(rows()[:][0]), rows()[:][1]).item()


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.net, self.rates = net(), []

    def forward(self, x, labels=None):
        out = self.net(x)
        return {"loss": F.mse_loss(out, labels), "logits": out}


class Grouped(Trainer):
    """A Trainer that makes the param groups of its optimizer itself."""

    def create_optimizer(self, model=None):
        if self.optimizer is None:
            self.optimizer = in_groups(self.model.net, self.args.learning_rate)
        return self.optimizer


def train(
    model,
    *callbacks,
    lr=1e-4,
    epochs=1,
    resume=None,
    schedule="constant",
    make=None,
    is_passed=False,
    late=None,
    **options,
):
    quiet = {"report_to": [], "disable_tqdm": True, "save_strategy": "epoch", "use_cpu": True, "output_dir": "out"}
    how = {"learning_rate": lr, "num_train_epochs": epochs, "lr_scheduler_type": schedule, "data_seed": 3}
    args = TrainingArguments(**{**quiet, **how, **options}, per_device_train_batch_size=16, logging_steps=1)
    data = [{"x": x, "labels": y} for x, y in rows()]
    optimizers = (make(model.net, lr) if is_passed else None, None)
    kind = Grouped if make and not is_passed else Trainer
    trainer = kind(model=model, args=args, train_dataset=data, callbacks=list(callbacks), optimizers=optimizers)
    if late:
        trainer.add_callback(late)
    trainer.train(resume_from_checkpoint=resume)
    return trainer


def group_rates(trainer):
    """The rates that training ended with, and those of its log."""
    return held(trainer.optimizer), rates_of(trainer)


def rates_of(trainer):
    return [row["learning_rate"] for row in trainer.state.log_history if "learning_rate" in row]


class TestHuggingFace:
    def test_fresh(self):
        trainer = train(Model(), finder := lrh.LRFinder(**FAST), schedule="cosine")
        assert rates_of(trainer) == rates_of(train(Model(), lr=finder.finding.lr, schedule="cosine"))
        assert (trainer.args.learning_rate, finder.applied.steps) == (finder.finding.lr, 20)

    @pytest.mark.parametrize("schedule", ["constant", "cosine"])
    def test_resumed_with_its_finding(self, schedule):
        first, second = (lrh.LRFinder(**FAST) for _ in range(2))
        whole = train(Model(), first, epochs=2, schedule=schedule)
        trainer = train(Model(), second, epochs=2, resume="out/checkpoint-20", schedule=schedule)
        assert (second.finding, rates_of(trainer)) == (first.finding, rates_of(whole))
        assert (trainer.args.learning_rate, second.applied.steps) == (first.finding.lr, 20)

    def test_resumed_with_a_finding_that_was_not_applied(self, capsys):
        train(Model(), first := lrh.LRFinder(apply=False, **FAST), epochs=2)
        finder = lrh.LRFinder(**{**FAST, "progress": True})
        trainer = train(Model(), finder, epochs=2, resume="out/checkpoint-20")
        assert finder.findings == first.findings
        assert set(rates_of(trainer)[20:]) == {finder.finding.lr}
        assert "training uses it" in capsys.readouterr().err

    def test_only_found_a_resumed_run_does_not_search_again(self):
        train(Model(), first := lrh.LRFinder(apply=False, **FAST), epochs=2)
        second = lrh.LRFinder(apply=False, **FAST)
        trainer = train(Model(), second, epochs=2, resume="out/checkpoint-20")
        assert (second.findings, set(rates_of(trainer))) == (first.findings, {1e-4})

    @pytest.mark.parametrize("schedule", ["constant", "cosine"])
    def test_resumed_without_a_finding(self, schedule):
        train(Model(), epochs=2, schedule=schedule)
        finder = lrh.LRFinder(**FAST)
        trainer = train(Model(), finder, epochs=2, resume="out/checkpoint-20", schedule=schedule)
        whole = train(Model(), lr=finder.finding.lr, epochs=2, schedule=schedule)
        assert rates_of(trainer)[20:] == pytest.approx(rates_of(whole)[20:], rel=1e-9)
        assert len(finder.findings) == 1

    def test_resumed_from_a_checkpoint_of_only_the_model(self):
        """The optimizer and the schedule begin anew, at the rate that was found."""
        how = {"epochs": 2, "schedule": "cosine", "save_only_model": True}
        whole = train(Model(), first := lrh.LRFinder(**FAST), **how)
        again = lrh.LRFinder(**FAST)
        with pytest.warns(UserWarning, match="has only the model .*: the optimizer and the schedule begin anew"):
            trainer = train(Model(), again, resume="out/checkpoint-20", **how)
        assert (again.finding, again.applied.steps) == (first.finding, 20)
        assert rates_of(trainer)[20:] == rates_of(whole)[:20]
        with pytest.warns(UserWarning, match="only the model"), pytest.raises(RateNotAppliedError, match="starts with"):
            train(Model(), lrh.VerifyLR(1e-2), resume="out/checkpoint-20", **how)

    def test_second_stage_with_a_new_schedule(self):
        model, fresh = train(Model(), schedule="linear").model, Model()
        trainer = train(model, finder := lrh.LRFinder(**FAST), schedule="cosine")
        assert rates_of(trainer) == rates_of(train(fresh, lr=finder.finding.lr, schedule="cosine"))

    def test_search_again_in_the_middle(self):
        trainer = train(Model(), finder := lrh.LRFinder(every=1, **FAST), epochs=2)
        first, second = (finding.lr for finding in finder.findings)
        assert rates_of(trainer) == [first] * 20 + [second] * 20
        assert (finder.applied.steps, trainer.args.learning_rate) == (40, second)
        assert finder.span == (min(first, second), max(first, second))

    def test_search_again_where_it_has_just_been_searched_is_left_out(self):
        train(Model(), epochs=3)
        finder = lrh.LRFinder(every=1, **FAST)
        train(Model(), finder, epochs=3, resume="out/checkpoint-20")
        assert len(finder.findings) == 2

    @pytest.mark.parametrize("step", [10, 20, 30])
    def test_resumed_within_an_epoch_it_searches_again_when_the_whole_run_does(self, step):
        how = {"epochs": 3, "save_strategy": "steps", "save_steps": 10}
        whole = train(Model(), first := lrh.LRFinder(every=1, **FAST), **how)
        resumed = train(Model(), second := lrh.LRFinder(every=1, **FAST), resume=f"out/checkpoint-{step}", **how)
        assert [one.lr for one in second.findings] == [one.lr for one in first.findings]
        assert rates_of(resumed) == rates_of(whole)

    def test_resumed_where_nothing_is_left_to_train_is_no_error(self):
        train(Model(), lrh.VerifyLR(1e-4))
        done = train(Model(), lrh.VerifyLR(1e-4), resume="out/checkpoint-20")
        assert done.state.global_step == 20


class TestGroups:
    """Whose rate the found one is, is known after a resume too, where the optimizer's default is another rate."""

    @pytest.mark.parametrize("schedule", [None, cosine])
    @pytest.mark.parametrize("lr", [1e-4, None, 10])
    def test_plain(self, schedule, lr):
        one = Plain(schedule=schedule, make=in_groups)
        finding = one.find()
        finding.apply(one.optimizer, one.scheduler)
        whole, state = one.train(10), copy.deepcopy(one.state)
        built = lr if lr == 1e-4 else finding.lr * (0.1 if lr else 1)  # the last is the rate of the first group
        again = Plain(built, schedule, make=in_groups).load(state)
        watch = finding.apply(again.optimizer, again.scheduler)
        rates = again.train(10).rates
        assert rates == [pytest.approx(row, rel=1e-12) for row in whole.train(10).rates[10:]]
        assert watch.greatest == pytest.approx(max(head for _, head, _ in rates), rel=1e-12)
        assert again.optimizer.defaults["lr"] == finding.lr  # of groups that are added later

    @pytest.mark.parametrize("schedule", [None, cosine])
    def test_lightning(self, pl, schedule):
        first, second = lrl.LRFinder(**FAST), lrl.LRFinder(**FAST)
        fit(pl, module(pl, schedule=schedule, make=in_groups), first, keep="one.ckpt")
        whole = fit(pl, module(pl, first.finding.lr, schedule, make=in_groups), epochs=2)
        model = module(pl, schedule=schedule, make=in_groups)
        fit(pl, model, second, epochs=2, resume="one.ckpt")
        assert (model.rates, model.lr) == (whole.rates[20:], first.finding.lr)
        assert second.applied.greatest == max(head for _, head, _ in model.rates)

    @pytest.mark.parametrize("built", [1e-4, 1e-3])  # the last is the rate of the first group in the checkpoint
    @pytest.mark.parametrize("schedule", [None, cosine])
    def test_lightning_with_a_rate_to_verify(self, pl, schedule, built):
        fit(pl, module(pl, 1e-2, schedule, make=in_groups), keep="one.ckpt")
        model, verify = module(pl, built, schedule, make=in_groups), lrl.VerifyLR(1e-2)
        fit(pl, model, verify, epochs=2, resume="one.ckpt")
        assert verify.span[1] == max(head for _, head, _ in model.rates)
        with pytest.raises(RateNotAppliedError, match=r"the checkpoint .* has lr=0\.01, not lr=0\.001"):
            fit(pl, module(pl, built, schedule, make=in_groups), lrl.VerifyLR(1e-3), epochs=2, resume="one.ckpt")

    @pytest.mark.parametrize("schedule", [None, cosine])
    def test_lightning_without_a_finding(self, pl, schedule):
        fit(pl, module(pl, 1e-3, schedule, make=in_groups), keep="one.ckpt")
        model = module(pl, 1e-4, schedule, make=in_groups)
        fit(pl, model, finder := lrl.LRFinder(**FAST), epochs=2, resume="one.ckpt")
        whole = fit(pl, module(pl, finder.finding.lr, schedule, make=in_groups), epochs=2)
        assert model.rates == [pytest.approx(row, rel=1e-9) for row in whole.rates[20:]]
        assert finder.finding.used == pytest.approx(1e-3)

    @pytest.mark.parametrize("schedule", ["constant", "cosine"])
    @pytest.mark.parametrize("is_passed", [False, True])
    def test_hugging_face(self, schedule, is_passed):
        how = {"epochs": 2, "schedule": schedule, "make": in_groups, "is_passed": is_passed}
        whole = train(Model(), first := lrh.LRFinder(**FAST), **how)
        lr = first.finding.lr
        for callback in (second := lrh.LRFinder(**FAST), lrh.VerifyLR(lr)):
            for built in (1e-4, 0.1 * lr):
                trainer = train(Model(), callback, lr=built, resume="out/checkpoint-20", **how)
                assert group_rates(trainer) == group_rates(whole)
                assert callback.applied.steps == 20
        assert second.findings == first.findings
        with pytest.raises(RateNotAppliedError, match="the checkpoint that training resumes from has"):
            train(Model(), lrh.VerifyLR(0.1 * lr), lr=0.1 * lr, resume="out/checkpoint-20", **how)

    @pytest.mark.parametrize("schedule", ["constant", "cosine"])
    def test_hugging_face_where_the_callback_comes_late_and_the_optimizer_is_passed(self, schedule):
        """The Trainer tells it nothing of the optimizer as it was built: the rate may be that of any group."""
        how = {"epochs": 2, "schedule": schedule, "make": in_groups, "is_passed": True}
        whole = train(Model(), lr=1e-2, **how)
        for lr, least in ((1e-2, 0), (1e-3, 0)):
            late = lrh.VerifyLR(lr)
            trainer = train(Model(), late=late, lr=1e-4, resume="out/checkpoint-20", **how)
            assert group_rates(trainer) == group_rates(whole)
            assert late.applied.steps == 20
            assert least < late.span[0] <= late.span[1] <= lr
        with pytest.raises(RateNotAppliedError, match="the checkpoint that training resumes from has"):
            train(Model(), late=lrh.VerifyLR(5e-2), lr=1e-4, resume="out/checkpoint-20", **how)


OTHER = (
    r"the checkpoint that training resumes from has lr=0.0001, not lr=0.01, and training goes on with what it has; "
    r"if that is meant, verify VerifyLR\(0.0001\), else begin a new training from its weights\."
)


class TestARateVerifiedOnResume:
    """The checkpoint's rate is what trains, whatever the module or the arguments say."""

    @pytest.mark.parametrize("schedule", [None, cosine])
    def test_lightning_refuses_another_one(self, pl, schedule):
        fit(pl, module(pl, 1e-4, schedule), keep="one.ckpt")
        model = module(pl, 1e-2, schedule)
        with pytest.raises(RateNotAppliedError, match=OTHER):
            fit(pl, model, lrl.VerifyLR(1e-2), epochs=2, resume="one.ckpt")
        assert model.rates == []

    @pytest.mark.parametrize("schedule", [None, cosine])
    def test_lightning_takes_the_checkpoints_also_where_the_module_has_another(self, pl, schedule):
        fit(pl, module(pl, 1e-2, schedule), lrl.VerifyLR(1e-2), keep="one.ckpt")
        model = fit(pl, module(pl, 1e-4, schedule), verify := lrl.VerifyLR(1e-2), epochs=2, resume="one.ckpt")
        assert (len(model.rates), verify.applied.steps) == (20, 20)

    @pytest.mark.parametrize("schedule", ["constant", "cosine"])
    def test_hugging_face_refuses_another_one(self, schedule):
        train(Model(), epochs=2, schedule=schedule)
        how = {"lr": 1e-2, "epochs": 2, "resume": "out/checkpoint-20", "schedule": schedule}
        with pytest.raises(RateNotAppliedError, match=OTHER):
            train(Model(), lrh.VerifyLR(1e-2), **how)

    @pytest.mark.parametrize("schedule", ["constant", "cosine"])
    def test_hugging_face_takes_the_checkpoints(self, schedule):
        train(Model(), lr=1e-2, epochs=2, schedule=schedule)
        verify = lrh.VerifyLR(1e-2)
        train(Model(), verify, lr=1e-4, epochs=2, resume="out/checkpoint-20", schedule=schedule)
        assert verify.applied.steps == 20

    def test_a_rate_of_single_precision_is_the_same_rate(self, pl):
        model = module(pl)
        model.configure_optimizers = lambda: adam(model.net, torch.tensor(1e-3))
        fit(pl, model, verify := lrl.VerifyLR(1e-3))
        assert verify.applied.steps == 20

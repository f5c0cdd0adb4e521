"""The Hugging Face loop, callbacks and function, in real Trainers over tiny random models."""

import copy
import dataclasses
import multiprocessing
import random
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState, GradientState, PartialState
from torch import nn
from torch.distributed import _composable_state as composable
from torch.nn import functional as F
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    EarlyStoppingCallback,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    SchedulerType,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

import lrfind.huggingface as lrh
from lrfind.curves import GAPS
from lrfind.errors import BadInputError, ProbeError, RateNotAppliedError
from lrfind.huggingface.loop import HuggingFaceLoop
from lrfind.records import Cost, Finding, Probe
from lrfind.schedules import name_of, ramp

pytestmark = [
    pytest.mark.usefixtures("imports_frozen"),
    pytest.mark.filterwarnings("ignore:Please use the new API settings to control TF32"),
    pytest.mark.filterwarnings("ignore:.*lr_scheduler.step\\(\\).*before"),  # transformers, where it resumes
]


class Rough:
    """A strategy of few steps and a reading that always gives a rate, for the tests that compare trainings."""

    def propose(self, records):
        if not records:
            return [Probe(ramp(1e-4, 0.3, 24))]
        lr = records[0].lrs[int(np.argmin(records[0].losses))] / 10
        return Finding(lr, lr, lr, (lr, lr), "rough", "constant", tuple(records), Cost(24, 0.0))


class OnceReadable(Rough):
    """The same, whose third curve (or another one) cannot be read."""

    def __init__(self, bad=2):
        self.left = bad

    def propose(self, records):
        self.left -= bool(records)
        if records and self.left < 0:
            raise ProbeError("nothing to see")
        return super().propose(records)


ROUGH = {"strategy": Rough(), "progress": False}


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


class Rows(torch.utils.data.Dataset):
    """Rows of features, and of labels that they tell."""

    def __init__(self, size=320):
        numbers = torch.Generator().manual_seed(0)
        self.x = torch.randn(size, 8, generator=numbers)
        self.y = (2 * self.x[:, :1]).sin()

    def __len__(self):
        return len(self.x)

    def __getitem__(self, index):
        return {"x": self.x[index], "labels": self.y[index]}


class Stream(torch.utils.data.IterableDataset):
    """The same rows without a length."""

    def __init__(self, size=320):
        self.rows = Rows(size)

    def __iter__(self):
        return (self.rows[index] for index in range(len(self.rows)))


class Tokens(torch.utils.data.Dataset):
    """Sentences whose first word tells the label; of other lengths where they are padded for a language model."""

    def __init__(self, size=160, *, padded=False):
        numbers = torch.Generator().manual_seed(0)
        self.words = torch.randint(1, 20, (size, 6), generator=numbers)
        self.lengths = torch.randint(2, 7, (size,), generator=numbers)
        self.padded = padded

    def __len__(self):
        return len(self.words)

    def __getitem__(self, index):
        words = self.words[index]
        if not self.padded:
            return {"input_ids": words, "labels": (words[0] > 10).long()}
        return {"input_ids": words, "labels": words.where(torch.arange(6) < self.lengths[index], -100)}


class Net(nn.Module):
    """A net with batch norm, dropout, a Python counter, a non-persistent buffer and, if asked, a frozen layer."""

    def __init__(self, *, dropout=0.2, norm=True, frozen=False):
        super().__init__()
        self.count = 0
        self.register_buffer("seen", torch.zeros(1), persistent=False)
        middle = nn.BatchNorm1d(32) if norm else nn.Identity()
        self.net = nn.Sequential(nn.Linear(8, 32), middle, nn.ReLU(), nn.Dropout(dropout), nn.Linear(32, 1))
        self.net[0].requires_grad_(not frozen)

    def forward(self, x, labels=None):
        self.count += 1
        self.seen += 1
        outputs = self.net(x)
        loss = {} if labels is None else {"loss": F.mse_loss(outputs, labels.to(outputs.dtype))}
        return {**loss, "logits": outputs}


class Overflowing(Net):
    """A net whose loss is finite so many times only."""

    def __init__(self, limit):
        super().__init__(dropout=0)
        self.limit = limit

    def forward(self, x, labels=None):
        outputs = super().forward(x, labels)
        return outputs if self.count <= self.limit else {**outputs, "loss": outputs["loss"] * torch.nan}


def net(**options):
    torch.manual_seed(1)
    return Net(**options)


def bert():
    torch.manual_seed(1)
    sizes = {"vocab_size": 20, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    return BertForSequenceClassification(BertConfig(**sizes, intermediate_size=32, max_position_embeddings=8))


def gpt2(dropout=0.1):
    torch.manual_seed(1)
    drops = {"resid_pdrop": dropout, "embd_pdrop": dropout, "attn_pdrop": dropout}
    config = GPT2Config(vocab_size=20, n_positions=8, n_embd=16, n_layer=1, n_head=2, **drops)
    config.bos_token_id = config.eos_token_id = 0
    return GPT2LMHeadModel(config)


def llama():
    torch.manual_seed(1)
    sizes = {"vocab_size": 20, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1}
    return LlamaForCausalLM(LlamaConfig(**sizes, num_attention_heads=2, max_position_embeddings=8))


def arguments(**options):
    quiet = {"report_to": [], "disable_tqdm": True, "save_strategy": "no", "logging_steps": 5, "use_cpu": True}
    sizes = {"per_device_train_batch_size": 16, "num_train_epochs": 2, "output_dir": "out", "learning_rate": 2e-3}
    return TrainingArguments(**{**quiet, **sizes, **options})


def trainer(*callbacks, model=None, data=None, kind=Trainer, given=None, **options):
    """A Trainer over a net and rows, without the callback that prints."""
    model, data = net() if model is None else model, Rows() if data is None else data
    one = kind(model=model, args=arguments(**options), train_dataset=data, callbacks=list(callbacks), **(given or {}))
    one.pop_callback(next(each for each in one.callback_handler.callbacks if type(each).__name__ == "PrinterCallback"))
    return one


def trained(*callbacks, **options):
    one = trainer(*callbacks, **options)
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    one.train()
    return one


def logged(one):
    """What was logged, but for times."""
    timed = ("runtime", "_per_second")
    return [{k: v for k, v in row.items() if not k.endswith(timed)} for row in one.state.log_history]


def moved(one):
    """Everything a search could move, as comparable values."""
    optimizer = one.optimizer.state_dict()
    tensors = [*one.model.state_dict().values(), getattr(one.model, "seen", torch.zeros(1)), torch.get_rng_state()]
    tensors += [torch.as_tensor(value) for each in optimizer["state"].values() for value in each.values()]
    numbers = (random.getstate(), np.random.get_state()[1].tolist())
    rest = (getattr(one.model, "count", 0), optimizer["param_groups"], logged(one), one.state.global_step)
    scheduler = {name: value for name, value in one.lr_scheduler.state_dict().items() if name != "lr_lambdas"}
    return [tensor.tolist() for tensor in tensors], numbers, rest, one.state.epoch, scheduler


def shared():
    """What every Accelerator of the process shares."""
    kinds = (PartialState, AcceleratorState, GradientState)
    return [{**kind._shared_state} for kind in kinds]


def without_times(finding):
    data = finding.to_dict()
    data["cost"]["seconds"] = 0.0
    for record in data["records"]:
        record["seconds"] = 0.0
    return data


def one_cycle(model):
    optimizer = torch.optim.SGD(model.parameters(), lr=2e-3, momentum=0.9)
    return optimizer, torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=2e-3, total_steps=60)


def rows_loss(outputs, labels, num_items_in_batch=None):
    return (outputs["logits"] - labels).abs().sum() / num_items_in_batch


class Weighted(Trainer):
    """A Trainer with a loss of its own and, as such have, a counter, a list and a teacher that is in training mode."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.count, self.losses, self.teacher = 0, [], nn.BatchNorm1d(8)

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        self.count += 1
        outputs = model(**inputs)
        loss = outputs["loss"] + 0.1 * self.teacher(inputs["x"]).mean().detach() + 0 * self.model.net[0].weight.sum()
        self.losses.append(loss.item())
        return (loss, outputs) if return_outputs else loss


def test_it_says_in_a_line_what_it_found_and_whether_training_uses_it(capsys):
    for options, fate in (
        ({}, "training uses it."),
        ({"apply": False}, "does not use it."),
        ({"progress": False}, None),
    ):
        finder = lrh.LRFinder(strategy=Rough(), **options)
        trained(finder, max_steps=2)
        said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("lrfind:")]
        start = f"lrfind: lr {finder.finding.lr:.3g} found in 24 steps, "
        assert [(line.startswith(start), line.endswith(fate or "")) for line in said] == [(True, True)] * bool(fate)


TRAININGS = {
    "plain": {},
    "accumulation, no clipping": {"gradient_accumulation_steps": 3, "max_grad_norm": 0.0},
    "bf16": {"bf16": True},
    "warmup and cosine": {"warmup_steps": 5, "lr_scheduler_type": "cosine", "weight_decay": 0.1},
    "max_steps, SGD": {"max_steps": 25, "optim": "sgd"},
    "adafactor, data_seed": {"optim": "adafactor", "data_seed": 7},
    "no seedable sampler": {"accelerator_config": {"use_seedable_sampler": False}},
    "evaluation before the first step": {"eval_strategy": "epoch", "eval_on_start": True, "given": "evaluated"},
    "full determinism": {"full_determinism": True},
    "iterable": {"data": Stream, "max_steps": 25},
    "frozen": {"model": lambda: net(frozen=True)},
    "own loss": {"kind": Weighted},
    "compute_loss_func": {"given": "loss", "gradient_accumulation_steps": 2},
    "bert, label smoothing, token norms": {"model": bert, "data": Tokens, "label_smoothing_factor": 0.1},
    "bert, bf16, activation checkpointing": {
        "model": bert,
        "data": Tokens,
        "bf16": True,
        "activation_checkpointing": True,
    },
    "gpt2, NEFTune": {"model": gpt2, "data": lambda: Tokens(padded=True), "neftune_noise_alpha": 5.0},
    "by length": {"model": bert, "data": Tokens, "train_sampling_strategy": "group_by_length"},
    "gpt2, bf16, NEFTune": {
        "model": gpt2,
        "data": lambda: Tokens(padded=True),
        "bf16": True,
        "neftune_noise_alpha": 5.0,
    },
}
OPTIONS = {
    "accumulation": {"gradient_accumulation_steps": 4},
    "no clipping": {"max_grad_norm": 0.0},
    "clipping hard": {"max_grad_norm": 1e-3},
    "weight decay, betas": {"weight_decay": 0.1, "adam_beta1": 0.8, "adam_beta2": 0.95, "adam_epsilon": 1e-6},
    "torch_compile": {"torch_compile": True, "torch_compile_backend": "eager"},
    "compiled, bf16": {"torch_compile": True, "torch_compile_backend": "aot_eager", "bf16": True},
    "gradient checkpointing": {"model": bert, "data": Tokens, "activation_checkpointing": True},
    "checkpointing, reentrant": {
        "model": gpt2,
        "data": lambda: Tokens(padded=True),
        "activation_checkpointing": True,
        "activation_checkpointing_kwargs": {"use_reentrant": True},
    },
    "tokens are counted": {"model": bert, "data": Tokens, "include_num_input_tokens_seen": "all"},
    "tokens averaged": {"model": gpt2, "data": lambda: Tokens(padded=True), "average_tokens_across_devices": False},
    "in order": {"train_sampling_strategy": "sequential"},
    "drop_last": {"data": lambda: Rows(100), "dataloader_drop_last": True},
    "a last batch": {"data": lambda: Rows(100)},
    "workers": {"dataloader_num_workers": 1, "dataloader_prefetch_factor": 2},
    "workers that persist": {"dataloader_num_workers": 1, "dataloader_persistent_workers": True},
    "seed": {"seed": 7},
    "half an epoch": {"num_train_epochs": 0.5},
    "warmup as a share": {"warmup_steps": 0.25},
    "evaluated within": {"eval_strategy": "steps", "eval_steps": 7, "given": "evaluated"},
    "logged at each step": {"logging_steps": 1, "logging_first_step": True, "logging_nan_inf_filter": False},
    "the best is loaded": {
        "eval_strategy": "epoch",
        "save_strategy": "best",
        "metric_for_best_model": "loss",
        "load_best_model_at_end": True,
        "given": "evaluated",
    },
    "batch size found": {"auto_find_batch_size": True},
    "neftune": {"model": bert, "data": Tokens, "neftune_noise_alpha": 1.0},
    "cache emptied": {"torch_empty_cache_steps": 2},
    "split_batches": {"accelerator_config": {"split_batches": True}},
    "dispatched": {"data": Stream, "max_steps": 10, "accelerator_config": {"dispatch_batches": True}},
    **{f"optim={name}": {"optim": name} for name in ("adamw_torch", "adamw_torch_fused", "adagrad", "rmsprop")},
    "optim_args": {"optim": "rmsprop", "optim_args": "momentum=0.5,alpha=0.9"},
    "compiled, mode": {"torch_compile": True, "torch_compile_backend": "eager", "torch_compile_mode": "default"},
    "evaluated in bf16": {"bf16_full_eval": True, "eval_strategy": "epoch", "given": "evaluated"},
    "evaluated late": {"eval_strategy": "epoch", "eval_delay": 1, "eval_accumulation_steps": 1, "given": "evaluated"},
    "workers that fork": {"dataloader_num_workers": 1, "dataloader_multiprocessing_context": "fork"},
    "workers out of order": {"dataloader_num_workers": 1, "dataloader_in_order": False},
    "memory not pinned": {"dataloader_pin_memory": False},
    "columns kept": {"remove_unused_columns": False, "label_names": ["labels"]},
    "by length of a column": {
        "model": bert,
        "data": Tokens,
        "train_sampling_strategy": "group_by_length",
        "length_column_name": "none",
    },
    "cache": {"model": gpt2, "data": lambda: Tokens(padded=True), "use_cache": True},
    "overflows looked for": {"debug": "underflow_overflow"},
    "saved": {"save_strategy": "steps", "save_steps": 15, "save_total_limit": 1, "save_only_model": True},
    "restarts": {"optim": "sgd", "lr_scheduler_type": "cosine_with_restarts"},
    "min_lr": {"lr_scheduler_type": "cosine_with_min_lr", "lr_scheduler_kwargs": {"min_lr_rate": 0.1}},
}
"""What else ``TrainingArguments`` changes of training."""
TRAININGS |= OPTIONS
NOT_TRIED = {
    "what is not of training": (
        "output_dir run_name project trackio_space_id trackio_bucket_id trackio_static_space_id report_to disable_tqdm "
        "log_level log_level_replica log_on_each_node do_train do_eval do_predict logging_strategy use_cpu "
        "per_device_eval_batch_size prediction_loss_only eval_do_concat_batches eval_use_gather_object "
        "include_for_metrics batch_eval_metrics greater_is_better save_on_each_node enable_jit_checkpoint push_to_hub "
        "hub_token hub_private_repo hub_model_id hub_strategy hub_always_push hub_revision skip_memory_metrics"
    ),
    "what is for other devices or processes": (
        "fp16 fp16_full_eval tf32 local_rank fsdp fsdp_config deepspeed parallelism_config ddp_find_unused_parameters "
        "ddp_bucket_cap_mb ddp_broadcast_buffers ddp_static_graph ddp_backend ddp_timeout"
    ),
    "old names of others": "gradient_checkpointing gradient_checkpointing_kwargs",
    "what needs a package that is not here": "use_liger_kernel liger_kernel_config optim_target_modules",
    "TestResuming": "resume_from_checkpoint ignore_data_skip restore_callback_states_from_checkpoint",
    "every training here": "learning_rate per_device_train_batch_size",
}
"""Arguments that no training above is given, by why."""
GIVEN = {"evaluated": {"eval_dataset": Rows(32)}, "loss": {"compute_loss_func": rows_loss}}


def options_of(name):
    """Fresh options of a training, and those of its search."""
    options = dict(TRAININGS[name])
    made = {each: options[each]() for each in ("model", "data") if each in options}
    given = GIVEN.get(options.get("given"))
    return {**options, **made, "given": given}, dict(ROUGH)


def test_every_argument_is_tried_or_said_why_not():
    tried = {name for options in TRAININGS.values() for name in options} - {"model", "data", "given", "kind"}
    known = {field.name for field in dataclasses.fields(TrainingArguments)}
    left_out = [name for names in NOT_TRIED.values() for name in names.split()]
    assert not tried & set(left_out)
    assert tried | set(left_out) == known


class TestNothingMoves:
    @pytest.mark.parametrize("name", TRAININGS)
    def test_training_with_the_callback_equals_training_at_its_rate_without(self, name, tmp_path):
        options, search = options_of(name)
        finder = lrh.LRFinder(**search)
        with_finder = trained(finder, **options)
        after = moved(with_finder), shared()[2].get("sync_gradients")
        without = trained(**{**options_of(name)[0], "learning_rate": finder.finding.lr})
        assert after == (moved(without), shared()[2].get("sync_gradients"))
        assert with_finder.args.learning_rate == finder.finding.lr != 2e-3
        assert finder.applied.steps == with_finder.state.global_step
        saves = "save_strategy" in options
        assert saves or not [path for path in tmp_path.rglob("*") if path.is_file()]

    @pytest.mark.parametrize("name", ["plain", "bf16", "own loss", "iterable"])
    def test_only_finding_leaves_training_as_it_is(self, name):
        options, search = options_of(name)
        finder = lrh.LRFinder(apply=False, **search)
        with_finder, without = trained(finder, **options), trained(**options_of(name)[0])
        assert moved(with_finder) == moved(without)
        kept = with_finder.state.stateful_callbacks.pop("lrfind")  # so that a resumed training does not search again
        assert [Finding.from_dict(each) for each in kept["findings"]] == finder.findings
        assert with_finder.state.stateful_callbacks == without.state.stateful_callbacks
        assert (finder.finding.lr > 0, finder.applied) == (True, None)

    @pytest.mark.parametrize("model", [net, gpt2])
    def test_find_touches_neither_trainer_nor_model_nor_args(self, model, tmp_path):
        data = Tokens(padded=True) if model is gpt2 else Rows()
        one = trainer(model=model(), data=data, neftune_noise_alpha=5.0 if model is gpt2 else None, bf16=True)
        before, args, states = copy.copy(vars(one)), copy.copy(vars(one.args)), shared()
        weights = {name: value.clone() for name, value in one.model.state_dict().items()}
        names, numbers, log = set(vars(one.model)), torch.get_rng_state(), list(one.state.log_history)
        finding = lrh.find(one, **ROUGH)
        assert vars(one) == before
        assert vars(one.args) == args
        assert shared() == states
        assert set(vars(one.model)) == names
        assert torch.equal(torch.get_rng_state(), numbers)
        assert all(torch.equal(weights[name], value) for name, value in one.model.state_dict().items())
        assert all(each.grad is None for each in one.model.parameters())
        assert (one.state.log_history, one.accelerator.step, one.accelerator._models) == (log, 0, [])
        assert not [path for path in tmp_path.rglob("*") if path.is_file()]
        assert without_times(finding) == without_times(lrh.find(one, **ROUGH))

    def test_training_after_find_equals_training_without(self):
        one, other = trainer(bf16=True), trainer(bf16=True)
        lrh.find(one, **ROUGH)
        for each in (one, other):
            torch.manual_seed(1)
            each.train()
        assert [p.tolist() for p in one.model.parameters()] == [p.tolist() for p in other.model.parameters()]
        assert logged(one) == logged(other)

    def test_find_after_training_goes_on_from_there(self):
        one = trained()
        before = moved(one)
        assert lrh.find(one, **ROUGH).records[0].losses[0] < 0.4
        assert moved(one) == before

    def test_a_search_leaves_no_worker(self):
        lrh.find(trainer(dataloader_num_workers=1, dataloader_persistent_workers=True), **ROUGH)
        assert multiprocessing.active_children() == []

    @pytest.mark.parametrize("failure", [RuntimeError("boom"), KeyboardInterrupt()])
    def test_a_search_that_fails_leaves_everything_as_it_was(self, failure):
        class Failing(Trainer):
            def training_step(self, model, *args, **kwargs):
                if model.count == 20:
                    raise failure
                return super().training_step(model, *args, **kwargs)

        one = trainer(kind=Failing)
        before, states = [each.clone() for each in one.model.parameters()], shared()
        numbers = torch.get_rng_state()
        with pytest.raises(type(failure)):
            lrh.find(one, **ROUGH)
        assert (one.model.count, one.is_in_train, one.optimizer, shared()) == (0, False, None, states)
        assert torch.equal(torch.get_rng_state(), numbers)
        assert all(torch.equal(a, b) for a, b in zip(before, one.model.parameters(), strict=True))

    def test_what_a_subclass_keeps_is_as_before(self):
        one = trainer(kind=Weighted)
        lrh.find(one, **ROUGH)
        assert (one.count, one.losses, one.teacher.num_batches_tracked.item()) == (0, [], 0)

    def test_what_a_subclass_does_when_it_logs_is_not_done(self, capsys):
        class Logging(Trainer):
            def log(self, values, *args):
                print(values)

        lrh.find(trainer(kind=Logging), **ROUGH)
        assert capsys.readouterr().out == ""

    def test_a_loss_that_takes_the_model_from_elsewhere_is_searched_and_put_back(self):
        model = net()

        class Global(Trainer):
            def compute_loss(self, given, inputs, **kwargs):
                return model(**inputs)["loss"]

        one, before = trainer(model=model, kind=Global), model.net[1].running_mean.clone()
        assert without_times(lrh.find(one, **ROUGH)) == without_times(lrh.find(trainer(model=net()), **ROUGH))
        assert torch.equal(model.net[1].running_mean, before)
        assert (model.count, model.net[0].weight.grad) == (0, None)

    def test_what_a_method_put_on_the_trainer_moves_is_put_back(self):
        one = trainer()
        one.compute_loss = Weighted.compute_loss.__get__(one)
        one.count, one.losses, one.teacher = 0, [], nn.BatchNorm1d(8)
        assert lrh.find(one, **ROUGH).lr > 0
        assert (one.count, one.losses) == (0, [])

    def test_the_teacher_that_a_loss_function_closes_over_is_put_back(self):
        teacher = nn.BatchNorm1d(8)

        def loss(outputs, labels, num_items_in_batch=None):
            return F.mse_loss(outputs["logits"], labels) + teacher(torch.ones(2, 8)).mean()

        assert lrh.find(trainer(given={"compute_loss_func": loss}), **ROUGH).lr > 0
        assert teacher.num_batches_tracked.item() == 0

    def test_callbacks_see_nothing_of_the_search(self, capsys):
        class Spy(TrainerCallback):
            def on_step_end(self, args, state, control, **kwargs):
                print(state.global_step)

            def on_log(self, args, state, control, **kwargs):
                print("log")

        trained(lrh.LRFinder(**ROUGH), Spy(), num_train_epochs=1, logging_strategy="no")
        assert capsys.readouterr().out.split() == [*map(str, range(1, 21)), "log"]

    def test_saving_evaluating_and_stopping_early_are_as_without(self, tmp_path):
        def run(folder, *callbacks, **options):
            saving = {"save_strategy": "epoch", "eval_strategy": "epoch", "load_best_model_at_end": True}
            rest = {"given": {"eval_dataset": Rows(32)}, "num_train_epochs": 4, "output_dir": folder}
            one = trained(*callbacks, EarlyStoppingCallback(2), **saving, **rest, **options)
            return moved(one), sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*"))

        finder = lrh.LRFinder(**ROUGH)
        assert run("a", finder) == run("b", learning_rate=finder.finding.lr)


class TestWhatTheTrainingDoesTheProbeDoes:
    """The loss of a step is the one that the Trainer reports for it."""

    @pytest.mark.parametrize("accumulation", [1, 3])
    @pytest.mark.parametrize(("model", "data"), [(lambda: net(dropout=0), Rows), (lambda: gpt2(0.0), Tokens)])
    def test_losses_are_those_that_training_logs(self, model, data, accumulation):
        options = {"data": data(160, padded=True) if data is Tokens else data(160), "lr_scheduler_type": "constant"}
        steps = {"gradient_accumulation_steps": accumulation, "logging_steps": 1, "learning_rate": 0.01, "data_seed": 5}
        one = trainer(model=model(), **options, **steps)
        record = HuggingFaceLoop(one).run(Probe((0.01,) * 6, seed=5))
        one.train()
        assert record.losses == tuple(row["loss"] for row in one.state.log_history[:6])
        assert record.lrs == (0.01,) * 6

    def test_accumulated_losses_against_means_by_hand(self):
        still, data = net(dropout=0, norm=False), Rows(80)
        options = {"gradient_accumulation_steps": 2, "train_sampling_strategy": "sequential", "data": data}
        record = HuggingFaceLoop(trainer(model=still, **options)).run(Probe((1e-12,) * 3))
        batches = [F.mse_loss(still.net(x), y).item() for x, y in zip(data.x.split(16), data.y.split(16), strict=True)]
        by_hand = [sum(batches[0:2]) / 2, sum(batches[2:4]) / 2, batches[4]]
        np.testing.assert_allclose(record.losses, by_hand, rtol=1e-5)

    def test_accumulated_losses_of_a_language_model_are_means_over_tokens(self):
        model, data = llama(), Tokens(64, padded=True)
        options = {"gradient_accumulation_steps": 2, "train_sampling_strategy": "sequential", "data": data}
        record = HuggingFaceLoop(trainer(model=model, **options)).run(Probe((1e-12,) * 2))
        rows = [data[index] for index in range(64)]
        labels, words = torch.stack([row["labels"] for row in rows]), data.words
        losses = F.cross_entropy(model(words).logits[:, :-1].transpose(1, 2), labels[:, 1:], reduction="none")
        kept = labels[:, 1:] != -100
        by_hand = [(losses[half].sum() / kept[half].sum()).item() for half in (slice(0, 32), slice(32, 64))]
        np.testing.assert_allclose(record.losses, by_hand, rtol=1e-5)

    def test_the_order_follows_the_probes_seed(self):
        losses = [
            HuggingFaceLoop(trainer(seed=training)).run(Probe((1e-6,) * 5, seed=seed)).losses
            for training, seed in ((42, 0), (43, 0), (42, 1))
        ]
        assert losses[0] == losses[1] != losses[2]

    @pytest.mark.parametrize("name", ["bf16", "gpt2, NEFTune", "bert, bf16, activation checkpointing"])
    def test_find_and_the_callback_agree(self, name):
        """What ``train`` puts on a model (autocast, noise, checkpointing) is on its copy, and only once."""
        finder = lrh.LRFinder(**ROUGH)
        trained(finder, **options_of(name)[0])
        finding = lrh.find(trainer(**options_of(name)[0]), **ROUGH)
        assert finder.finding.records[0].losses == finding.records[0].losses

    @pytest.mark.parametrize("data", [Rows(48), Stream(48)])
    def test_data_shorter_than_the_probe_is_begun_again(self, data):
        record = lrh.find(trainer(data=data, max_steps=5), **ROUGH).records[0]
        assert (len(record.lrs), record.epochs) == (24, 8)

    def test_a_dataset_that_is_its_own_iterator_is_not_used_up(self):
        class OneShot(torch.utils.data.IterableDataset):
            def __init__(self):
                self.at = 0

            def __iter__(self):
                return self

            def __next__(self):
                self.at += 1
                return Rows(400)[self.at % 400]

        data = OneShot()
        lrh.find(trainer(data=data, max_steps=5), **ROUGH)
        assert data.at == 0

    def test_a_model_that_train_will_make_is_searched_as_it_will_be_made(self):
        given = {"model_init": lambda: Net(), "args": arguments(full_determinism=True), "train_dataset": Rows()}
        one = Trainer(**given)
        torch.manual_seed(99)
        with torch.no_grad():
            one.model.net[0].weight.zero_()
        made = lrh.find(one, **ROUGH).records[0].losses[0]
        assert made == lrh.find(Trainer(**given), **ROUGH).records[0].losses[0]
        assert one.model.net[0].weight.abs().max() == 0

    def test_the_optimizer_and_scheduler_that_the_user_gives(self):
        model = net()
        finder = lrh.LRFinder(**ROUGH)
        one = trained(finder, model=model, given={"optimizers": one_cycle(model)}, num_train_epochs=3)
        assert finder.span[1] == pytest.approx(finder.finding.lr, rel=1e-6)
        assert finder.applied.steps == one.state.global_step == 60
        assert finder.finding.schedule == "constant"

    def test_the_schedule_is_the_trainers_unless_named(self):
        cosine = trainer(lr_scheduler_type="cosine")
        assert lrh.find(cosine, progress=False).schedule == "cosine"
        assert lrh.find(cosine, schedule="constant", progress=False).schedule == "constant"
        assert lrh.find(trainer(lr_scheduler_type="inverse_sqrt"), progress=False).schedule == "inverse_sqrt"

    @pytest.mark.parametrize("kind", ["linear", "polynomial", "inverse_sqrt", "warmup_stable_decay", "greedy"])
    def test_every_schedule_of_transformers_is_read_by_what_it_does_before_training_and_within(self, kind):
        given = {"warmup_stable_decay": {"num_decay_steps": 20}, "polynomial": {"lr_end": 1e-6}}.get(kind, {})
        options = {"lr_scheduler_type": kind, "lr_scheduler_kwargs": given, "warmup_steps": 5, "eval_strategy": "epoch"}
        options |= {"given": {"eval_dataset": Rows(32)}, "num_train_epochs": 4}
        before = lrh.find(one := trainer(**options), progress=False)
        finder = lrh.LRFinder(progress=False)
        within = trained(finder, **options)
        assert finder.finding.lr == pytest.approx(before.lr, rel=1e-9)
        assert finder.finding.final_fraction == pytest.approx(before.final_fraction, rel=1e-9)
        steps, scheduler = within.state.max_steps, one.create_scheduler(80, torch.optim.SGD(one.model.parameters()))
        assert steps == 80
        if kind == "greedy":
            assert (before.final_fraction, "when it will change the rate is not known" in before.notes[0]) == (
                1.0,
                True,
            )
        else:
            left = np.mean([scheduler.lr_lambdas[0](step) for step in range(64, 80)])
            assert before.final_fraction == pytest.approx(left, rel=0.02)

    def test_what_a_trainer_makes_of_its_own_is_read_too(self):
        class Own(Trainer):
            def create_scheduler(self, num_training_steps, optimizer=None):
                self.lr_scheduler = torch.optim.lr_scheduler.PolynomialLR(
                    optimizer or self.optimizer, num_training_steps
                )
                return self.lr_scheduler

        class Late(Trainer):
            def create_optimizer(self, model=None):
                self.made = super().create_optimizer()
                return self.made

            def create_scheduler(self, num_training_steps, optimizer=None):
                self.lr_scheduler = torch.optim.lr_scheduler.PolynomialLR(self.made, num_training_steps)
                return self.lr_scheduler

        own, linear = (lrh.find(trainer(kind=kind), progress=False) for kind in (Own, Trainer))
        assert own.lr == pytest.approx(linear.lr, rel=1e-9)
        assert "making it before training ends in" in lrh.find(trainer(kind=Late), progress=False).notes[0]

    def test_the_schedule_of_a_scheduler_that_the_user_gives_is_read_off_it(self):
        model = net()
        before = (one := trainer(model=model, given={"optimizers": one_cycle(model)})).lr_scheduler.state_dict()
        assert lrh.find(one, progress=False, budget=300).schedule == "OneCycleLR"
        assert one.lr_scheduler.state_dict() == before
        finder = lrh.LRFinder(progress=False, budget=300)
        trained(finder, model=(model := net()), given={"optimizers": one_cycle(model)}, num_train_epochs=3)
        assert finder.finding.schedule == "OneCycleLR"
        assert finder.span[1] == pytest.approx(finder.finding.lr, rel=1e-6)

    def test_param_groups_keep_their_ratios(self):
        model = net()
        groups = [{"params": model.net[0].parameters(), "lr": 1e-2}, {"params": model.net[4].parameters(), "lr": 1e-3}]
        finder = lrh.LRFinder(**ROUGH)
        one = trained(finder, model=model, given={"optimizers": (torch.optim.Adam(groups, lr=1e-2), None)})
        assert finder.finding.records[0].ratios == (1.0, 0.1)
        bases = one.lr_scheduler.base_lrs
        assert bases == pytest.approx([finder.finding.lr, finder.finding.lr / 10])

    def test_a_find_every_epoch(self):
        finder = lrh.LRFinder(every=1, **ROUGH)
        one = trained(finder, num_train_epochs=3)
        assert len(finder.findings) == 3
        assert finder.findings[2].records[0].losses[0] < finder.findings[0].records[0].losses[0]
        assert one.args.learning_rate == finder.finding.lr

    def test_a_curve_in_the_middle_that_cannot_be_read_keeps_the_rate_and_says_so(self):
        finder = lrh.LRFinder(every=1, strategy=OnceReadable(), progress=False)
        with pytest.warns(UserWarning, match="At epoch 2 the rate is kept as it is: nothing to see"):
            one = trained(finder, num_train_epochs=3, lr_scheduler_type="constant")
        assert len(finder.findings) == 2
        rates = [finding.lr for finding in finder.findings]
        assert one.args.learning_rate == finder.finding.lr
        assert finder.span == (min(rates), max(rates))

    def test_a_first_curve_that_cannot_be_read_is_an_error(self):
        with pytest.raises(ProbeError, match="nothing to see"):
            trained(lrh.LRFinder(every=1, strategy=OnceReadable(0), progress=False))

    @pytest.mark.parametrize("accumulation", [1, 2])
    @pytest.mark.parametrize(("optim", "recorded"), [("adamw_torch", 0), ("adamw_torch_fused", GAPS)])
    def test_steps_that_a_gradient_scaler_skips_end_a_probe(self, optim, recorded, accumulation):
        """A fused optimizer is stepped and leaves the weights alone; of others, ``step`` is not called."""
        options = {"max_grad_norm": 0.0, "gradient_accumulation_steps": accumulation, "optim": optim}
        one = trainer(model=Overflowing(12), **options)
        one.accelerator.scaler = torch.amp.GradScaler("cpu")
        record = HuggingFaceLoop(one).run(Probe(ramp(1e-6, 1e-3, 48)))
        steps = 12 // accumulation
        assert (record.stop, len(record.lrs), len(record.losses)) == ("non-finite", *[steps + recorded] * 2)
        assert np.isfinite(record.losses).tolist() == [True] * steps + [False] * recorded

    def test_without_a_single_step_there_is_a_sentence(self):
        one = trainer(model=Overflowing(0), max_grad_norm=0.0, optim="adamw_torch")
        one.accelerator.scaler = torch.amp.GradScaler("cpu")
        with pytest.raises(ProbeError, match=f"took no step and {GAPS} losses in a row were not finite"):
            lrh.find(one, progress=False)


SCHEDULES = {
    "linear": {},
    "cosine": {},
    "constant": {},
    "cosine_warmup_with_min_lr": {"min_lr_rate": 0.1, "warmup_lr_rate": 0.2},
    "cosine_with_restarts": {"num_cycles": 2},
    "polynomial": {"lr_end": 0.0, "power": 2.0},
    "constant_with_warmup": {},
    "inverse_sqrt": {},
    "reduce_lr_on_plateau": {},
    "greedy": {"patience": 50},
    "cosine_with_min_lr": {"min_lr_rate": 0.1},
    "warmup_stable_decay": {"num_decay_steps": 10},
}


def test_the_list_of_schedules_is_whole():
    assert set(SCHEDULES) == {kind.value for kind in SchedulerType}


@pytest.mark.parametrize("lasts", [{"num_train_epochs": 4}, {"max_steps": 80}, {"max_steps": 80, "data": Stream()}])
@pytest.mark.parametrize("kind", ["constant", "cosine"])
def test_each_later_search_is_for_what_is_left_of_training(lasts, kind):
    finder = lrh.LRFinder(every=1, progress=False, strategy="range")
    trained(finder, lr_scheduler_type=kind, **lasts)
    left = [finding.epochs if "num_train_epochs" in lasts else finding.total_steps / 20 for finding in finder.findings]
    assert left == [4, 3, 2, 1]


class TestTheAppliedRate:
    @pytest.mark.parametrize("kind", SCHEDULES)
    def test_it_is_the_peak_of_every_schedule(self, kind):
        evaluated = {"eval_strategy": "epoch", "given": {"eval_dataset": Rows(32)}}
        options = {"lr_scheduler_type": kind, "lr_scheduler_kwargs": SCHEDULES[kind], "warmup_steps": 4, **evaluated}
        finder = lrh.LRFinder(**ROUGH)
        with_finder = trained(finder, **options)
        rates = [row["learning_rate"] for row in with_finder.state.log_history if "learning_rate" in row]
        without = trained(**options, learning_rate=finder.finding.lr)
        assert rates == [row["learning_rate"] for row in without.state.log_history if "learning_rate" in row]
        assert finder.span[1] == pytest.approx(finder.finding.lr, rel=1e-12)
        assert finder.applied.steps == 40

    def test_someone_else_setting_the_rate_is_caught_at_that_step(self):
        class Meddler(TrainerCallback):
            def on_step_begin(self, args, state, control, optimizer=None, **kwargs):
                if state.global_step == 5:
                    optimizer.param_groups[0]["lr"] = 0.7

        with pytest.raises(RateNotAppliedError, match=r"step 6 param group 0 .*lr=0\.7.*LambdaLR: Meddler\.on_step_b"):
            trained(lrh.LRFinder(**ROUGH), Meddler())

    def test_a_rate_set_by_hand_is_verified(self):
        verify = lrh.VerifyLR(2e-3)
        trained(verify, lr_scheduler_type="constant")
        assert (verify.span, verify.applied.steps) == ((2e-3, 2e-3), 40)

    def test_the_planted_liar_is_found_out_before_training(self):
        """The rate goes to the args after the optimizer was made, which reads it no more."""
        one = trainer()
        one.create_optimizer()
        one.args.learning_rate = 0.5
        one.add_callback(lrh.VerifyLR(0.5))
        with pytest.raises(RateNotAppliedError, match=r"starts with lr=0\.002, not with lr=0\.5"):
            one.train()
        assert one.model.count == 0

    def test_no_span_without_training(self):
        with pytest.raises(RateNotAppliedError, match="no step was watched"):
            _ = lrh.VerifyLR(0.1).span


class TestResuming:
    def saved(self, *callbacks, **options):
        return trained(*callbacks, save_strategy="epoch", data_seed=3, **options)

    @pytest.mark.parametrize("restoring", [False, True])
    def test_the_finding_comes_along_and_nothing_is_searched(self, restoring):
        first = lrh.LRFinder(**ROUGH)
        whole = self.saved(first)
        second = lrh.LRFinder(**ROUGH)
        one = trainer(second, save_strategy="epoch", data_seed=3, restore_callback_states_from_checkpoint=restoring)
        one.train(resume_from_checkpoint="out/checkpoint-20")
        assert without_times(second.finding) == without_times(first.finding)
        assert second.applied.steps == 20
        assert one.args.learning_rate == first.finding.lr
        for name, value in whole.model.state_dict().items():
            assert torch.equal(value, one.model.state_dict()[name])
        assert logged(one)[:-1] == logged(whole)[:-1]

    def test_of_a_run_without_the_callback_the_search_starts_from_the_checkpoint(self):
        self.saved()
        finder = lrh.LRFinder(**ROUGH)
        one = trainer(finder)
        one.train(resume_from_checkpoint="out/checkpoint-20")
        scratch = lrh.find(trainer(), **ROUGH)
        assert finder.finding.records[0].losses[0] < 0.9 * scratch.records[0].losses[0]
        assert (one.state.global_step, finder.applied.steps) == (40, 20)
        assert finder.span[1] == pytest.approx(finder.finding.lr / 2)

    def test_only_found_a_resumed_run_equals_the_whole_one(self):
        whole = self.saved(lrh.LRFinder(apply=False, **ROUGH))
        one = trainer(lrh.LRFinder(apply=False, **ROUGH), save_strategy="epoch", data_seed=3)
        one.train(resume_from_checkpoint="out/checkpoint-20")
        assert logged(one)[:-1] == logged(whole)[:-1]

    def test_training_again_searches_again(self):
        finder = lrh.LRFinder(**ROUGH)
        one = trained(finder)
        first = finder.finding
        one.train()
        assert len(finder.findings) == 1
        assert finder.finding.records[0].losses[0] < first.records[0].losses[0]


class TestBadInput:
    def test_no_trainer(self):
        with pytest.raises(BadInputError, match="must be a transformers Trainer, got int"):
            lrh.find(3)

    @pytest.mark.parametrize(
        ("name", "value", "means"),
        [
            ("is_model_parallel", True, "splitting"),
            ("is_deepspeed_enabled", True, "Deep"),
            ("is_fsdp_xla_enabled", 1, "TPU"),
        ],
    )
    def test_several_devices(self, name, value, means):
        one = trainer()
        setattr(one, name, value)
        with pytest.raises(BadInputError, match=f"spreads training by .*{means}.*learning_rate=finding.lr"):
            lrh.find(one, **ROUGH)

    def test_data_parallel(self):
        one = trainer()
        one.args._n_gpu = 2
        with pytest.raises(BadInputError, match="DataParallel over 2 devices"):
            lrh.find(one, **ROUGH)

    def test_options_are_checked_when_the_callback_is_made(self):
        with pytest.raises(BadInputError, match="min_lr must be below max_lr"):
            lrh.LRFinder(min_lr=1.0, max_lr=0.1)
        with pytest.raises(BadInputError, match="every must be"):
            lrh.LRFinder(every=0)

    def test_a_dataset_that_can_be_read_only_once(self):
        class Once(torch.utils.data.IterableDataset):
            def __init__(self):
                self.rows = (row for row in Rows())

            def __iter__(self):
                return self

            def __next__(self):
                return next(self.rows)

        data = Once()
        with pytest.raises(BadInputError, match=r"reads on in .*Once\.rows, a generator that"):
            lrh.find(trainer(data=data, max_steps=5), **ROUGH)
        assert len(list(data)) == 320

    def test_a_dataset_that_keeps_what_it_reads_from(self):
        class Keeps(torch.utils.data.IterableDataset):
            def __init__(self):
                self.rows = (row for row in Rows())

            def __iter__(self):
                return self.rows

        data = Keeps()
        with pytest.raises(BadInputError, match=r"reads on in .*Keeps\.rows, a generator that"):
            lrh.find(trainer(data=data, max_steps=5), **ROUGH)
        assert len(list(data)) == 320

    def test_a_model_without_parameters(self):
        class Empty(nn.Module):
            def forward(self, x, labels=None):
                return {"loss": x.mean()}

        with pytest.raises(BadInputError, match="Empty has no parameters"):
            lrh.find(trainer(model=Empty()), **ROUGH)

    def test_a_loss_that_is_never_finite(self):
        class Never(Net):
            def forward(self, x, labels=None):
                return {"loss": float("nan") * self.net(x).mean()}

        one = trainer(model=Never())
        before = [each.clone() for each in one.model.parameters()]
        with pytest.raises(ProbeError, match="not finite from the first step"):
            lrh.find(one, progress=False)
        assert all(torch.equal(a, b) for a, b in zip(before, one.model.parameters(), strict=True))

    def test_a_callback_that_no_trainer_calls(self):
        with pytest.raises(BadInputError, match="must be called by a Trainer"):
            lrh.LRFinder().on_train_begin(arguments(), trainer().state, None, optimizer=None)

    def test_a_rate_of_zero_has_no_ratios(self):
        with pytest.raises(BadInputError, match="construct it with a positive lr"):
            lrh.find(trainer(learning_rate=0.0), **ROUGH)

    @pytest.mark.parametrize("library", ["transformers", "accelerate"])
    def test_a_library_that_is_missing_is_named(self, library):
        code = f"import sys; sys.modules[{library!r}] = None; import lrfind.huggingface"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert f"{library} is not installed; install it with: pip install 'lrfind[huggingface]'" in done.stderr


def test_the_page_runs(capsys):
    page = (Path(__file__).parents[1] / "docs" / "huggingface.md").read_text(encoding="utf-8")
    names = {}
    for block in re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL):
        exec(block, names)
    assert isinstance(names["finding"], Finding)


@pytest.mark.parametrize(
    ("lasts", "given", "known"),
    [
        ({"num_train_epochs": 4}, {}, {"schedule": "linear", "epochs": 4}),
        (
            {"max_steps": 50, "lr_scheduler_type": "polynomial"},
            {},
            {"schedule": "polynomial", "total_steps": 50},
        ),
        ({"num_train_epochs": 4}, {"epochs": 2, "schedule": "cosine"}, {"schedule": "cosine", "epochs": 2}),
    ],
)
def test_a_search_knows_how_long_the_trainer_will_train(lasts, given, known):
    args = TrainingArguments("out", use_cpu=True, report_to=[], **lasts)
    plan = HuggingFaceLoop(Trainer(net(), args, train_dataset=Rows())).planned(given)
    assert {**plan, "schedule": name_of(plan["schedule"])} == known


@pytest.mark.parametrize("given", [{}, {"optim": "adamw_torch", "optim_args": "eps=1e-6"}], ids=str)
def test_probes_of_a_model_that_the_trainer_makes_all_begin_with_it_as_it_was_made(given):
    one = Trainer(model_init=lambda: Net(), args=arguments(**given), train_dataset=Rows())
    probe = Probe((0.01,) * 4)
    with HuggingFaceLoop(one) as loop:
        first, second = loop.run(probe), loop.run(probe)
    assert first.losses == second.losses != first.losses[::-1]


def test_the_parameters_that_a_user_chose_are_those_of_every_probe():
    """The Trainer takes them out of what it is given, where it makes the optimizer."""
    model = net(dropout=0)
    chosen = torch.optim.SGD, {"params": list(model.parameters())[:1], "lr": 0.1}
    one = trainer(model=model, given={"optimizer_cls_and_kwargs": chosen})
    probe = Probe((0.1,) * 4)
    with HuggingFaceLoop(one) as loop:
        assert loop.run(probe).losses == loop.run(probe).losses


class Sharding(Trainer):
    """Marks its model in the first step as one in shards, as ``fully_shard`` does; it cannot be marked twice."""

    def compute_loss(self, model, *args, **kwargs):
        if self.state.global_step == 0:
            composable._insert_module_state(model, composable._State())
        return super().compute_loss(model, *args, **kwargs)


def test_what_fsdp_remembers_of_the_modules_of_the_process_is_put_back():
    one = trainer(kind=Sharding)
    lrh.find(one, **ROUGH)
    assert composable._get_module_state(one.model) is None


def test_a_model_that_the_trainer_makes_is_made_without_a_trace():
    made = []

    def make():
        made.append(len(made))
        return Net()

    one = Trainer(model_init=make, args=arguments(), train_dataset=Rows())
    before = list(made)
    lrh.find(one, **ROUGH)
    assert made == before


def test_a_finder_that_is_given_the_trainer_says_that_the_trainer_takes_it(tmp_path):
    args = TrainingArguments(str(tmp_path), use_cpu=True, report_to=[])
    with pytest.raises(BadInputError, match=r"LRFinder takes all by name, got a Trainer; .* callbacks=\[LRFinder\(\)"):
        lrh.LRFinder(Trainer(model=nn.Linear(1, 1), args=args))

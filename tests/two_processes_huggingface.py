"""The cases of the Hugging Face Trainer on two processes."""

import time
from functools import partial

import torch
import transformers
from accelerate import DistributedType
from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import FullyShardedDataParallelPlugin
from torch import nn
from torch.nn import functional as F
from torch.utils.data import Dataset, IterableDataset

from lrfind.huggingface import LRFinder, find
from tests.two_processes_pytorch import differences, seed, state_of

OPTIONS = {"progress": False, "steps": 40}
LONG = {**OPTIONS, "total_steps": 1000, "schedule": "linear"}
"""For a training of that length there is more than one probe."""
WORDS = 12


class Net(nn.Module):
    """Says of each word which follows; ``**kwargs`` tell the Trainer that it may count the words of a whole step."""

    def __init__(self):
        super().__init__()
        self.fails = lambda: None
        self.body = nn.Sequential(nn.Embedding(WORDS, 16), nn.Dropout(0.1), nn.Linear(16, 16), nn.ReLU())
        self.head = nn.Linear(16, WORDS)

    def forward(self, input_ids, labels, num_items_in_batch=None, **kwargs):
        self.fails()
        logits = self.head(self.body(input_ids))
        total = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-100, reduction="sum")
        count = num_items_in_batch if num_items_in_batch is not None else (labels != -100).sum()
        return {"loss": total / count, "logits": logits}


def sentence(index):
    length = 3 + index % 7
    words = [(index + 5 * place) % WORDS for place in range(length)]
    return {"input_ids": words, "labels": [(one + 1) % WORDS for one in words]}


class Sentences(Dataset):
    def __init__(self, length=96):
        self.length = length

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        if index >= self.length:
            raise IndexError(index)
        return sentence(index)


class Stream(IterableDataset):
    def __iter__(self):
        return (sentence(index) for index in range(96))


def collate(examples):
    longest = max(len(each["labels"]) for each in examples)
    padded = [[*each["input_ids"], *[0] * (longest - len(each["labels"]))] for each in examples]
    labels = [[*each["labels"], *[-100] * (longest - len(each["labels"]))] for each in examples]
    return {"input_ids": torch.tensor(padded), "labels": torch.tensor(labels)}


class OnCPU(transformers.Trainer):
    """accelerate makes no shards on a CPU, and trains by DDP there whatever is asked for; FSDP works all the same."""

    def create_accelerator_and_postprocess(self):
        super().create_accelerator_and_postprocess()
        if self.args.fsdp_plugin_args:
            plugin, device = FullyShardedDataParallelPlugin(**self.args.fsdp_plugin_args), torch.device("cpu")
            if self.args.bf16:
                plugin.set_mixed_precision("bf16")
            for state in (PartialState, AcceleratorState):
                state._shared_state.update(distributed_type=DistributedType.FSDP, fsdp_plugin=plugin, device=device)
            self.is_fsdp_enabled = True


def fsdp(version, **config):
    return {"fsdp": True, "fsdp_config": {"version": version, "sync_module_states": False, **config}}


def trainer_of(callbacks, data=None, **arguments):
    seed(0)
    defaults = {"output_dir": "out", "report_to": [], "save_strategy": "no", "use_cpu": True, "disable_tqdm": True}
    plan = {
        "num_train_epochs": 2,
        "per_device_train_batch_size": 8,
        "learning_rate": 2e-3,
        "remove_unused_columns": False,
    }
    arguments = transformers.TrainingArguments(**{**defaults, **plan, **arguments})
    dataset = Sentences() if data is None else data()
    options = {"args": arguments, "train_dataset": dataset, "data_collator": collate, "callbacks": callbacks}
    options["eval_dataset"] = Sentences(32)
    return OnCPU(Net(), **options)


class Losses(transformers.TrainerCallback):
    def __init__(self):
        self.losses = []

    def on_log(self, args, state, control, logs, **kwargs):
        self.losses.append({name: one for name, one in logs.items() if name in ("loss", "grad_norm")})


def searched(find_first=False, every=None, find_options=OPTIONS, **about):
    """Return a case: training with a search that is not applied, and without; and one that is applied."""

    def case(rank):
        outcomes, found = [], []
        for is_searched in (True, False):
            heard, finder = Losses(), LRFinder(apply=False, every=every, **find_options)
            is_callback = is_searched and not find_first
            trainer = trainer_of([heard, finder] if is_callback else [heard], logging_steps=1, **about)
            if is_searched and find_first:
                found = [find(trainer, **find_options)]
            trainer.train()
            found = finder.findings if is_callback else found
            state = state_of(trainer.model, trainer.optimizer.optimizer)
            told = [list(each.values()) for each in heard.losses if each]
            outcomes.append({**state, "losses": told, "step": trainer.state.global_step})
        applied = LRFinder(**find_options)
        trainer_of([applied], **about).train()
        assert applied.finding.lr == found[0].lr
        assert applied.span[1] <= applied.finding.lr
        records = [(one.losses, one.lrs, one.stop) for finding in found for one in finding.records]
        rates = [finding.lr for finding in found]
        assert len(rates) == (1 if every is None else 2)
        return {"lr": rates, "records": records, "moved": [], "differs": differences(*outcomes)}

    return case


def failing(rank, **about):
    """Rank 1 fails in a probe."""
    seen = {}

    class Fails(transformers.TrainerCallback):
        def on_train_begin(self, args, state, control, model, optimizer, **kwargs):
            seen.update(model=model, optimizer=optimizer.optimizer)
            seen.update(before=state_of(model, optimizer.optimizer))
            if rank == 1:
                model.fails = fail

    def fail():
        if torch.is_grad_enabled() and seen["optimizer"].state:
            raise ValueError("rank 1 fails in its loss")

    start, said = time.monotonic(), None
    try:
        trainer_of([Fails(), LRFinder(**OPTIONS)], **about).train()
    except Exception as error:  # noqa: BLE001, whatever it is, the test is to hear of it
        said = type(error).__name__, str(error)
    moved = differences(seen["before"], state_of(seen["model"], seen["optimizer"]))
    return {"said": said, "seconds": time.monotonic() - start, "moved": moved}


CASES = {
    "ddp": searched(),
    "ddp find": searched(find_first=True),
    "ddp every": searched(every=1),
    "ddp accumulate": searched(gradient_accumulation_steps=2),
    "ddp range": searched(find_options={**OPTIONS, "strategy": "range"}),
    "ddp tokens of each device": searched(average_tokens_across_devices=False),
    "ddp by length": searched(train_sampling_strategy="group_by_length"),
    "ddp uneven": searched(data=lambda: Sentences(99)),
    "ddp stream": searched(data=Stream, max_steps=12),
    "ddp bf16": searched(bf16=True),
    **{f"fsdp{version}": searched(**fsdp(version)) for version in (1, 2)},
    **{f"fsdp{version} find": searched(find_first=True, find_options=LONG, **fsdp(version)) for version in (1, 2)},
    **{f"fsdp{version} every": searched(every=1, **fsdp(version)) for version in (1, 2)},
    "fsdp1 evaluated": searched(
        every=1, eval_strategy="epoch", **fsdp(1)
    ),  # whose checkpoints torch crashes on, on a CPU
    "fsdp2 evaluated and saved": searched(every=1, eval_strategy="epoch", save_strategy="epoch", **fsdp(2)),
    "fsdp1 in layers": searched(**fsdp(1, transformer_layer_cls_to_wrap=["Linear"]), bf16=True),
    "fsdp2 in layers": searched(every=1, **fsdp(2, transformer_layer_cls_to_wrap=["Linear"])),
    "fsdp2 accumulate": searched(gradient_accumulation_steps=2, **fsdp(2)),
    "fsdp2 bf16": searched(bf16=True, **fsdp(2)),
    "rank 1 fails under ddp": failing,
    "rank 1 fails under fsdp": partial(failing, **fsdp(2)),
}

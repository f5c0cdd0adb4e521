"""The cases of Lightning's strategies on two processes."""

import time
from importlib import import_module

import lightning.pytorch
import pytorch_lightning
import torch
from torch import nn
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import lrfind.lightning as lrl
from tests.two_processes_pytorch import differences, network, seed, state_of

PACKAGES = (lightning.pytorch, pytorch_lightning)
QUIET = {
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}
OPTIONS = {"progress": False, "steps": 40}


def module_of(package, shard=None):
    """Return a module, whose network is sharded where ``shard`` does so."""

    class Net(package.LightningModule):
        def __init__(self):
            super().__init__()
            self.lr, self.losses, self.fails = 2e-3, [], lambda: None
            plain = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))
            self.net = plain if shard is in_columns else network()
            if shard is not None:
                self.configure_model = self.sharded

        def configure_model(self):
            pass

        def sharded(self):
            shard(self.net, self.device_mesh)
            self.configure_model = lambda: None

        def training_step(self, batch, batch_idx):
            self.fails()
            loss = F.mse_loss(self.net(batch[0]), batch[1])
            self.log("loss", loss)
            self.losses.append(loss.item())
            return loss

        def configure_optimizers(self):
            optimizer = torch.optim.Adam(self.parameters(), lr=self.lr)
            return [optimizer], [torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)]

    return Net()


def in_shards(net, mesh):
    for each in (net[0], net):
        fully_shard(each, mesh=mesh["data_parallel"])


def in_columns(net, mesh):
    parallelize_module(net, mesh["tensor_parallel"], {"0": ColwiseParallel(), "2": RowwiseParallel()})


def ddp(package):
    return "ddp"


def fsdp(package):
    class OnCPU(package.strategies.FSDPStrategy):
        """Lightning refuses the class itself on a CPU, and gives FSDP no device there; FSDP works all the same."""

        def _setup_model(self, model):
            options = {"sharding_strategy": self.sharding_strategy, "device_id": torch.device("cpu")}
            return FullyShardedDataParallel(model, **options, **self.kwargs)

    return OnCPU(process_group_backend="gloo", auto_wrap_policy={nn.Linear})


def model_parallel(data=2, tensor=1):
    return lambda package: package.strategies.ModelParallelStrategy(
        data_parallel_size=data, tensor_parallel_size=tensor, process_group_backend="gloo"
    )


def loader():
    x = torch.randn(160, 8, generator=torch.Generator().manual_seed(0))
    return DataLoader(TensorDataset(x, x[:, :1].sin()), batch_size=16, shuffle=True)


def fit(package, strategy, shard, callbacks, **options):
    seed(0)
    module = module_of(package, shard)
    options = {"max_epochs": 2, **QUIET, **options}
    trainer = package.Trainer(accelerator="cpu", devices=2, strategy=strategy(package), callbacks=callbacks, **options)
    trainer.fit(module, loader())
    return trainer, module


def searched(strategy, shard=None, package="lightning.pytorch", every=None, find=OPTIONS, **options):
    """Return a case: training with a search that is not applied, and without; and one that is applied."""

    def case(rank):
        made, outcomes = import_module(package), []
        finder, applied = lrl.LRFinder(apply=False, every=every, **find), lrl.LRFinder(**find)
        for callbacks in ([finder], []):
            trainer, module = fit(made, strategy, shard, callbacks, **options)
            state = state_of(trainer.strategy.model, trainer.optimizers[0])
            outcomes.append({**state, "losses": module.losses, "step": trainer.global_step})
        fit(made, strategy, shard, [applied], **options)
        assert applied.finding.lr == finder.findings[0].lr
        assert applied.span[1] == applied.finding.lr
        assert len(finder.findings) == (1 if every is None else 2)
        records = [(one.losses, one.lrs, one.stop) for finding in finder.findings for one in finding.records]
        losses = outcomes[0]["losses"]
        rates = [finding.lr for finding in finder.findings]
        return {"lr": rates, "records": records, "moved": [], "differs": differences(*outcomes), "losses": losses}

    return case


def failing(strategy, shard=None):
    """Return a case in which rank 1 fails in a probe."""

    def case(rank):
        start, said, seen = time.monotonic(), None, {}

        class Fails(lightning.pytorch.Callback):
            def on_fit_start(self, trainer, pl_module):
                seen.update(model=trainer.strategy.model, optimizer=trainer.optimizers[0])
                seen.update(before=state_of(seen["model"], seen["optimizer"]))
                pl_module.fails = lambda: fail(pl_module)

        def fail(module):
            if rank == 1 and len(module.losses) >= 5:
                raise ValueError("rank 1 fails in its loss")

        try:
            fit(lightning.pytorch, strategy, shard, [Fails(), lrl.LRFinder(**OPTIONS)])
        except Exception as error:  # noqa: BLE001, whatever it is, the test is to hear of it
            said = type(error).__name__, str(error)
        moved = differences(seen["before"], state_of(seen["model"], seen["optimizer"]))
        return {"said": said, "seconds": time.monotonic() - start, "moved": moved}

    return case


CASES = {
    "ddp": searched(ddp),
    "ddp every": searched(ddp, every=1),
    "ddp accumulate": searched(ddp, accumulate_grad_batches=2, gradient_clip_val=1.0),
    "fsdp": searched(fsdp),
    "fsdp every": searched(fsdp, every=1),
    "fsdp accumulate": searched(fsdp, accumulate_grad_batches=2),
    "fsdp of the twin": searched(fsdp, package="pytorch_lightning", find={**OPTIONS, "strategy": "range"}),
    "model parallel shards": searched(model_parallel(), in_shards),
    "model parallel shards every": searched(model_parallel(), in_shards, every=1),
    "model parallel shards accumulate": searched(model_parallel(), in_shards, accumulate_grad_batches=2),
    "model parallel columns": searched(model_parallel(1, 2), in_columns),
    "rank 1 fails under ddp": failing(ddp),
    "rank 1 fails under fsdp": failing(fsdp),
    "rank 1 fails under model parallel": failing(model_parallel(), in_shards),
}

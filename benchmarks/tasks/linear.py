"""Linear models."""

from functools import partial

from torch import nn
from torch.nn import functional as F

from benchmarks.data import correlated, fashion
from benchmarks.models import mlp
from benchmarks.task import ADAM, SGD, Task

TASKS = (
    Task(
        "linear-sgd",
        "linear",
        correlated,
        partial(nn.Linear, 40, 1),
        SGD,
        512,
        ("constant", "cosine-warmup"),
        loss=F.mse_loss,
    ),
    Task("softmax-adam", "linear", fashion, partial(mlp, 196, 10), ADAM, 128, ("constant", "linear")),
)

"""Tables: classification and regression."""

from functools import partial

from torch import nn
from torch.nn import functional as F

from benchmarks.data import breast_cancer, clusters, friedman, spirals
from benchmarks.models import mlp
from benchmarks.task import ADAM, ADAMW, MOMENTUM, RMSPROP, SGD, Task

TASKS = (
    Task("cancer-sgd", "classification", breast_cancer, partial(mlp, 30, 32, 2), SGD, 16, ("constant", "linear")),
    Task(
        "clusters-adam",
        "classification",
        clusters,
        partial(mlp, 20, 96, 96, 5, dropout=0.2),
        ADAM,
        128,
        ("constant", "cosine-warmup"),
    ),
    Task("spirals-rmsprop", "classification", spirals, partial(mlp, 2, 48, 48, 2), RMSPROP, 32, ("constant", "linear")),
    Task(
        "friedman-adamw",
        "regression",
        friedman,
        partial(mlp, 10, 64, 64, 1),
        ADAMW,
        64,
        ("constant", "linear"),
        loss=F.mse_loss,
    ),
    Task(
        "friedman-momentum",
        "regression",
        friedman,
        partial(mlp, 10, 64, 64, 1, norm=nn.BatchNorm1d),
        MOMENTUM,
        256,
        ("constant", "one-cycle"),
        loss=F.mse_loss,
    ),
)

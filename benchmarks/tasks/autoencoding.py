"""Autoencoding: images through a narrow layer."""

from functools import lru_cache, partial

from torch.nn import functional as F

from benchmarks.data import digits, fashion, reconstructed
from benchmarks.models import mlp
from benchmarks.task import ADAM, SGD, Data, Task


@lru_cache
def small() -> Data:
    """The digits, to be given back."""
    return reconstructed(digits())


@lru_cache
def large() -> Data:
    """Fashion-MNIST, to be given back."""
    return reconstructed(fashion())


TASKS = (
    Task(
        "encode-digits-adam",
        "autoencoding",
        small,
        partial(mlp, 64, 64, 8, 64, 64),
        ADAM,
        64,
        ("constant", "one-cycle"),
        loss=F.mse_loss,
    ),
    Task(
        "encode-fashion-sgd",
        "autoencoding",
        large,
        partial(mlp, 196, 96, 16, 96, 196),
        SGD,
        64,
        ("constant", "linear"),
        loss=F.mse_loss,
    ),
)

"""Images: LeNet, convolutions with BatchNorm, a residual net, a vision transformer, an MLP."""

from functools import partial

from torch import nn

from benchmarks.data import digits, fashion
from benchmarks.models import ViT, convnet, lenet, mlp, resnet
from benchmarks.task import ADAM, ADAMW, MOMENTUM, RMSPROP, SGD, Task

TASKS = (
    Task("lenet-adam", "fashion", fashion, lenet, ADAM, 16, ("constant", "linear")),
    Task("lenet-momentum", "fashion", fashion, lenet, MOMENTUM, 32, ("constant", "one-cycle")),
    Task("convnet-adamw", "fashion", fashion, convnet, ADAMW, 32, ("constant", "cosine-warmup")),
    Task("resnet-momentum", "digits", digits, resnet, MOMENTUM, 32, ("constant", "one-cycle")),
    Task("vit-adamw", "digits", digits, ViT, ADAMW, 16, ("constant", "cosine-warmup")),
    Task("digits-sgd", "digits", digits, partial(mlp, 64, 64, 10), SGD, 64, ("constant", "linear")),
    Task(
        "digits-rmsprop",
        "digits",
        digits,
        partial(mlp, 64, 64, 64, 10, norm=nn.LayerNorm),
        RMSPROP,
        128,
        ("constant", "linear"),
    ),
)

"""The data of the tasks: bundled with scikit-learn or Python, generated, or Fashion-MNIST."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch.nn import functional as F

from benchmarks.task import Data, Tensor

LENGTH = 20
"""Characters in one example of text."""

SYMBOLS = 64
"""Different characters that are told apart: the most frequent ones; the last stands for all others."""


def split(inputs: Tensor, targets: Tensor, held: int) -> Data:
    """Shuffle, always in the same way, and hold out the last ``held`` examples."""
    order = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(0))
    x, y = inputs[order].contiguous(), targets[order].contiguous()
    return Data(x[:-held], y[:-held], x[-held:], y[-held:])


def _standard(values: np.ndarray) -> Tensor:
    return torch.from_numpy(((values - values.mean(0)) / (values.std(0) + 1e-8)).astype(np.float32))


@lru_cache
def fashion() -> Data:
    """Fashion-MNIST at 14 by 14 pixels: 12,000 images to train on, 2,000 held out."""
    from lrfind.demo.data import load

    dataset = load("fashion-mnist")
    parts = [
        (one.tensors[0][:size], one.tensors[1][:size])
        for one, size in ((dataset.train, 12_000), (dataset.validation, 2_000))
    ]
    (x, y), (held_x, held_y) = [(F.avg_pool2d(images, 2) * 4 - 1.2, labels) for images, labels in parts]
    return Data(x, y, held_x, held_y)


@lru_cache
def digits() -> Data:
    """scikit-learn's digits, 8 by 8 pixels: 1,297 and 500."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = torch.from_numpy(bunch.images.astype(np.float32))[:, None] / 4 - 1.2
    return split(images, torch.from_numpy(bunch.target.astype(np.int64)), 500)


@lru_cache
def breast_cancer() -> Data:
    """scikit-learn's breast cancer, 30 features: 369 and 200."""
    from sklearn.datasets import load_breast_cancer

    bunch = load_breast_cancer()
    return split(_standard(bunch.data), torch.from_numpy(bunch.target.astype(np.int64)), 200)


@lru_cache
def diabetes() -> Data:
    """scikit-learn's diabetes, 10 features: 292 and 150."""
    from sklearn.datasets import load_diabetes

    bunch = load_diabetes()
    return split(_standard(bunch.data), _standard(bunch.target)[:, None], 150)


@lru_cache
def clusters() -> Data:
    """Five classes of clusters in 20 dimensions, a twentieth mislabelled: 4,000 and 2,000."""
    from sklearn.datasets import make_classification

    x, y = make_classification(6000, 20, n_informative=10, n_classes=5, flip_y=0.05, random_state=0)
    return split(_standard(x), torch.from_numpy(y.astype(np.int64)), 2000)


@lru_cache
def spirals() -> Data:
    """Two noisy spirals of two turns in the plane: 3,000 and 2,000."""
    random = np.random.default_rng(0)
    radius = np.sqrt(random.uniform(0.02, 1, 5000))
    label = random.integers(0, 2, 5000)
    angle = 4 * np.pi * radius + np.pi * label
    points = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1) + 0.03 * random.normal(size=(5000, 2))
    return split(_standard(points), torch.from_numpy(label.astype(np.int64)), 2000)


@lru_cache
def friedman() -> Data:
    """Friedman's first regression, 10 features, noise 1: 4,000 and 2,000."""
    from sklearn.datasets import make_friedman1

    x, y = make_friedman1(6000, noise=1.0, random_state=0)
    return split(_standard(x), _standard(y)[:, None], 2000)


@lru_cache
def correlated() -> Data:
    """A linear regression in 40 correlated dimensions whose variances span two decades: 4,000 and 1,000."""
    random = np.random.default_rng(0)
    scales = np.logspace(0, -1, 40)
    x = random.normal(size=(5000, 40)) * scales
    y = x @ random.normal(size=40) + 0.3 * random.normal(size=5000)
    return split(torch.from_numpy(x.astype(np.float32)), _standard(y)[:, None], 1000)


@lru_cache
def text() -> Data:
    """Characters of the help topics that Python carries, each with the next one as its target."""
    from pydoc_data.topics import topics

    characters = "".join(topics[name] for name in sorted(topics))[:300_000]
    ranked = sorted(set(characters), key=lambda one: (-characters.count(one), one))
    code = {one: min(rank, SYMBOLS - 1) for rank, one in enumerate(ranked)}
    codes = torch.tensor([code[one] for one in characters])
    windows = codes.unfold(0, LENGTH + 1, LENGTH)
    return split(windows[:, :-1], windows[:, 1:], 1000)


def reconstructed(data: Data) -> Data:
    """Return the data with the inputs, flat, as the targets."""
    x, held = data.inputs.flatten(1), data.held_inputs.flatten(1)
    return Data(x, x, held, held)


def only(data: Data, classes: range) -> Data:
    """Return the examples of these classes, counted from 0."""
    keep, held = [(y >= classes.start) & (y < classes.stop) for y in (data.targets, data.held_targets)]
    return Data(
        data.inputs[keep],
        data.targets[keep] - classes.start,
        data.held_inputs[held],
        data.held_targets[held] - classes.start,
    )

import gzip
import hashlib
import os
import struct

import numpy as np
import pytest
import torch

from lrfind.demo import data
from lrfind.errors import BadInputError, DataError

IMAGES, LABELS = "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """No data on this machine, and a network that refuses."""
    monkeypatch.delenv("LRFIND_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(data, "MIRRORS", ("http://127.0.0.1:9/",))


@pytest.fixture
def small(tmp_path, monkeypatch, nowhere):
    """A Fashion-MNIST of 50 images, with checksums of its own."""
    folder = tmp_path / "data" / data.FOLDER
    folder.mkdir(parents=True)
    images = np.arange(50 * 784, dtype=np.uint8)
    packed = {
        IMAGES: gzip.compress(struct.pack(">4i", 2051, 50, 28, 28) + images.tobytes()),
        LABELS: gzip.compress(struct.pack(">2i", 2049, 50) + bytes(range(10)) * 5),
    }
    for name, content in packed.items():
        (folder / name).write_bytes(content)
        monkeypatch.setitem(data.CHECKSUMS, name, hashlib.md5(content).hexdigest())
    return tmp_path / "data"


def test_files_are_read_and_split_by_a_fixed_seed(small):
    one, two = data.load("fashion-mnist", small), data.load("auto", small)
    images, labels = one.train.tensors
    assert (len(one.train), len(one.validation)) == (40, 10)
    assert (images.shape[1:], images.dtype, labels.dtype) == ((1, 28, 28), torch.float32, torch.int64)
    assert 0.0 <= float(images.min()) <= float(images.max()) <= 1.0
    assert torch.equal(images, two.train.tensors[0])
    order = torch.randperm(50, generator=torch.Generator().manual_seed(7))
    assert labels.tolist() == (order % 10)[:40].tolist()


def test_the_environment_names_the_folder(small, monkeypatch):
    monkeypatch.setenv("LRFIND_DATA", str(small))
    assert data.load("fashion-mnist").title == "Fashion-MNIST"


@pytest.mark.parametrize("name", [IMAGES, LABELS])
@pytest.mark.parametrize("damage", [lambda content: content[:-7], lambda content: content[:20] + b"!" + content[21:]])
@pytest.mark.parametrize("dataset", ["auto", "fashion-mnist"])
def test_a_damaged_file_is_named_with_both_checksums(small, name, damage, dataset):
    path = small / data.FOLDER / name
    path.write_bytes(damage(path.read_bytes()))
    had = hashlib.md5(path.read_bytes()).hexdigest()
    with pytest.raises(
        DataError, match=f"{name} is truncated or altered: its md5 is {had}, not {data.CHECKSUMS[name]}"
    ):
        data.load(dataset, small)


def test_without_data_or_network_it_is_digits_and_that_is_said(nowhere):
    digits = data.load("auto")
    assert digits.name == "digits"
    assert "could not be downloaded" in digits.note
    assert digits.train.tensors[0].shape[1:] == (1, 28, 28)


def test_fashion_mnist_that_was_asked_for_and_is_not_there_is_an_error(nowhere):
    with pytest.raises(DataError, match="could not be downloaded; set LRFIND_DATA"):
        data.load("fashion-mnist")


def test_an_unknown_dataset():
    with pytest.raises(BadInputError, match="dataset must be one of auto, fashion-mnist, digits, got 'mnist'"):
        data.load("mnist")


def test_loaders_give_whole_batches_in_the_order_of_the_seed():
    digits = data.digits()
    first, second, other = (digits.loaders(batch_size=64, seed=seed)[0] for seed in (0, 0, 1))
    labels = [[batch[1].tolist() for batch in loader] for loader in (first, second, other)]
    assert labels[0] == labels[1] != labels[2]
    assert [len(batch) for batch in labels[0]][:3] == [64, 64, 64]


def test_the_real_files_are_fashion_mnist():
    if not os.environ.get("LRFIND_DATA"):
        pytest.skip("needs the real files: set LRFIND_DATA")
    real = data.load("fashion-mnist")
    assert (len(real.train), len(real.validation)) == (48_000, 12_000)
    assert torch.bincount(torch.cat([real.train.tensors[1], real.validation.tensors[1]])).tolist() == [6000] * 10

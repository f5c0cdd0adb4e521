import gzip
import hashlib
import os
import re
import shutil
import struct

import numpy as np
import pytest
import torch

from lrfind.demo import data
from lrfind.errors import BadInputError, DataError

IMAGES, LABELS = "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"
TEST_IMAGES, TEST_LABELS = "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """No data on this machine, and a network that refuses."""
    monkeypatch.delenv("LRFIND_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(data, "MIRRORS", ("http://127.0.0.1:9/",))


@pytest.fixture
def small(tmp_path, monkeypatch, nowhere):
    """A Fashion-MNIST of 50 images and 10 for the test, with checksums of its own."""
    folder = tmp_path / "data" / data.FOLDER
    folder.mkdir(parents=True)
    for images, labels, size in ((IMAGES, LABELS, 50), (TEST_IMAGES, TEST_LABELS, 10)):
        pixels = (np.arange(size * 784) % 256).astype(np.uint8).tobytes()
        packed = {
            images: gzip.compress(struct.pack(">4i", 2051, size, 28, 28) + pixels),
            labels: gzip.compress(struct.pack(">2i", 2049, size) + bytes(range(10)) * (size // 10)),
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


def test_the_test_files_are_the_test_set_in_their_order(small):
    images, labels = data.load("fashion-mnist", small).test.tensors
    assert (images.shape, images.dtype, labels.tolist()) == ((10, 1, 28, 28), torch.float32, list(range(10)))


def test_the_environment_names_the_folder(small, monkeypatch):
    monkeypatch.setenv("LRFIND_DATA", str(small))
    assert data.load("fashion-mnist").title == "Fashion-MNIST"


@pytest.mark.parametrize("dataset", ["auto", "fashion-mnist"])
@pytest.mark.parametrize("lacking", [IMAGES, TEST_LABELS])
@pytest.mark.parametrize("by", ["data_dir", "LRFIND_DATA"])
def test_a_folder_that_was_given_and_lacks_a_file_is_named_and_nothing_else_is_used(
    small, tmp_path, monkeypatch, dataset, lacking, by
):
    given = tmp_path / "given"
    shutil.copytree(small, given)
    (given / data.FOLDER / lacking).unlink()
    (tmp_path / "cache").mkdir()
    small.rename(tmp_path / "cache" / "lrfind")
    if by == "LRFIND_DATA":
        monkeypatch.setenv(by, str(given))
    said = re.escape(f"{by} is {given}, but {given / data.FOLDER} has no {lacking};")
    with pytest.raises(DataError, match=said):
        data.load(dataset, given if by == "data_dir" else None)


def test_the_argument_comes_before_the_environment_and_both_before_the_cache(small, tmp_path, monkeypatch):
    monkeypatch.setenv("LRFIND_DATA", str(tmp_path / "nothing here"))
    assert data.load("fashion-mnist", small).name == "fashion-mnist"
    monkeypatch.delenv("LRFIND_DATA")
    (tmp_path / "cache").mkdir()
    small.rename(tmp_path / "cache" / "lrfind")
    assert data.load("auto").name == "fashion-mnist"


@pytest.mark.parametrize("name", [IMAGES, LABELS, TEST_IMAGES, TEST_LABELS])
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


def test_the_digits_of_the_three_parts_are_all_digits_once():
    from sklearn.datasets import load_digits

    digits = data.digits()
    parts = [part.tensors[0] for part in (digits.train, digits.validation, digits.test)]
    assert [len(part) for part in parts] == [1199, 299, 299]
    small = torch.cat(parts)[:, 0, 2:-2:3, 2:-2:3].flatten(1) * 16
    assert sorted(small.tolist()) == sorted(load_digits().data.tolist())


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
    assert (len(real.train), len(real.validation), len(real.test)) == (48_000, 12_000, 10_000)
    assert torch.bincount(torch.cat([real.train.tensors[1], real.validation.tensors[1]])).tolist() == [6000] * 10

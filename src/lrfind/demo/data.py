"""Fashion-MNIST with its checksums, from wherever it is; scikit-learn's digits where it is nowhere."""

from __future__ import annotations

import gzip
import hashlib
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, SequentialSampler, TensorDataset

from lrfind.errors import BadInputError, DataError, from_extra

FOLDER = Path("FashionMNIST") / "raw"
"""Where torchvision keeps the files, so that an existing download is used."""

CHECKSUMS = {
    "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
    "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
    "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
}

MIRRORS = (
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
)

DATASETS = ("auto", "fashion-mnist", "digits")
SPLIT_SEED = 7


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Images in memory, split for training, validation and test.

    Attributes:
        name: ``"fashion-mnist"`` or ``"digits"``.
        title: The name for people.
        epochs: How many epochs make a training on it.
        train: Images (n, 1, 28, 28) in [0, 1] and labels (n,) in 0..9.
        validation: Likewise.
        test: Likewise; nothing is chosen by it.
        note: What a person should know about how it was chosen; may be empty.
    """

    name: str
    title: str
    epochs: int
    train: TensorDataset
    validation: TensorDataset
    test: TensorDataset
    note: str = ""

    def loaders(self, *, batch_size: int, seed: int) -> tuple[DataLoader[Any], DataLoader[Any], DataLoader[Any]]:
        """Return the loaders for training (shuffled), validation and test; whole batches are indexed at once."""
        generator = torch.Generator().manual_seed(seed)
        shuffled = BatchSampler(RandomSampler(self.train, generator=generator), batch_size, drop_last=False)
        loader = DataLoader(self.train, batch_size=None, sampler=shuffled)
        return loader, _in_order(self.validation), _in_order(self.test)


def load(name: str = "auto", data_dir: str | os.PathLike[str] | None = None) -> Dataset:
    """Load a dataset.

    Args:
        name: ``"fashion-mnist"``, ``"digits"``, or ``"auto"``: Fashion-MNIST where it can be had, else digits.
        data_dir: The folder that holds ``FashionMNIST/raw``; by default the environment's ``LRFIND_DATA``. Where
            neither is given: the user's cache, or a download into it.

    Raises:
        BadInputError: If the name is unknown.
        DataError: If a file is truncated or altered, or is not in the folder that was given, or Fashion-MNIST was
            asked for and cannot be had.
    """
    if name not in DATASETS:
        raise BadInputError(f"dataset must be one of {', '.join(DATASETS)}, got {name!r}.")
    if name == "digits":
        return digits()
    if folder := _given_folder(data_dir):
        return fashion_mnist(folder)
    try:
        return fashion_mnist(_downloaded())
    except DataError as error:
        if name == "fashion-mnist":
            raise
        return digits(note=f"{error} Running on scikit-learn's digits instead.")


def fashion_mnist(folder: Path) -> Dataset:
    """Read Fashion-MNIST from a folder: 48,000 images to train on, 12,000 for validation, 10,000 for the test.

    Raises:
        DataError: If a file is missing, truncated or altered.
    """
    train, validation = _split(_read_part(folder, "train"), 0.2)
    return Dataset("fashion-mnist", "Fashion-MNIST", 5, train, validation, _read_part(folder, "t10k"))


def digits(note: str = "") -> Dataset:
    """Return scikit-learn's digits, enlarged to 28 by 28 so that LeNet takes them: 1,199, 299 and 299."""
    with from_extra("demo"):
        from sklearn.datasets import load_digits
    bunch = load_digits()
    large = np.kron(bunch.images.astype(np.float32) / 16.0, np.ones((3, 3), dtype=np.float32))
    images = np.pad(large, ((0, 0), (2, 2), (2, 2)))[:, None]
    rest, test = _split(_to_dataset(images, bunch.target), 1 / 6)
    train, validation = _split(rest, 0.2)
    return Dataset("digits", "digits (scikit-learn)", 30, train, validation, test, note)


def _given_folder(data_dir: str | os.PathLike[str] | None) -> Path | None:
    """Return the folder of the files that the argument, or else the environment, names; it has them all."""
    for given, place in (("data_dir", data_dir), ("LRFIND_DATA", os.environ.get("LRFIND_DATA"))):
        if place:
            folder = Path(place) / FOLDER
            if lacking := [name for name in CHECKSUMS if not (folder / name).is_file()]:
                raise DataError(
                    f"{given} is {os.fspath(place)}, but {folder} has no {', '.join(lacking)}; "
                    f"give the folder that holds {FOLDER}, or none to have the files downloaded."
                )
            return folder
    return None


def _downloaded() -> Path:
    """Return the folder in the user's cache, with all files: what is not there, or is damaged, is downloaded."""
    with from_extra("demo"):
        import pooch
    pooch.get_logger().setLevel("ERROR")
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lrfind" / FOLDER
    for name, checksum in CHECKSUMS.items():
        for mirror in MIRRORS:
            fetch = pooch.HTTPDownloader(progressbar=True, timeout=10)
            with suppress(OSError, ValueError):
                pooch.retrieve(mirror + name, f"md5:{checksum}", fname=name, path=folder, downloader=fetch)
                break
        else:
            raise DataError(f"Fashion-MNIST is not at hand and {name} could not be downloaded; set LRFIND_DATA.")
    return folder


def _read_part(folder: Path, part: str) -> TensorDataset:
    images = _read(folder / f"{part}-images-idx3-ubyte.gz", 16).reshape(-1, 1, 28, 28)
    return _to_dataset(images.astype(np.float32) / 255.0, _read(folder / f"{part}-labels-idx1-ubyte.gz", 8))


def _read(path: Path, header: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    try:
        packed = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}).") from error
    checksum = hashlib.md5(packed, usedforsecurity=False).hexdigest()
    wanted = CHECKSUMS[path.name]
    if checksum != wanted:
        raise DataError(
            f"{path} is truncated or altered: its md5 is {checksum}, not {wanted}; "
            f"delete it and run again to download it."
        )
    return np.frombuffer(gzip.decompress(packed), np.uint8, offset=header)


def _to_dataset(images: Any, labels: Any) -> TensorDataset:
    return TensorDataset(torch.from_numpy(images), torch.from_numpy(labels.astype(np.int64)))


def _split(data: TensorDataset, held: float) -> tuple[TensorDataset, TensorDataset]:
    """Shuffle, always in the same way, and hold out a share of the data."""
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(SPLIT_SEED))
    kept = len(data) - int(len(data) * held)
    return TensorDataset(*data[order[:kept]]), TensorDataset(*data[order[kept:]])


def _in_order(data: TensorDataset) -> DataLoader[Any]:
    return DataLoader(data, batch_size=None, sampler=BatchSampler(SequentialSampler(data), 250, drop_last=False))

"""Fashion-MNIST from a folder, the cache or a mirror, with checksums; else scikit-learn's digits."""

import gzip
import hashlib
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, Sampler, SequentialSampler, TensorDataset

from lrfind.errors import BadInputError, DataError, from_extra

FOLDER = Path("FashionMNIST") / "raw"  # as torchvision has it

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
    """Images in memory, of shape (n, 1, 28, 28) in [0, 1], with labels of shape (n,) in 0..9."""

    name: str
    title: str  # in reports
    epochs: int  # the length of a training on it
    train: TensorDataset
    validation: TensorDataset
    test: TensorDataset
    note: str = ""  # why it is not the one asked for

    def loaders(self, *, batch_size: int, seed: int) -> tuple[DataLoader[Any], DataLoader[Any], DataLoader[Any]]:
        """Return the loaders for training (shuffled), validation and test."""
        shuffled = RandomSampler(self.train, generator=torch.Generator().manual_seed(seed))
        return _loader(self.train, shuffled, batch_size), _loader(self.validation), _loader(self.test)


def load(name: str = "auto", data_dir: str | os.PathLike[str] | None = None) -> Dataset:
    """Load a dataset by name; ``"auto"`` is Fashion-MNIST or, if it cannot be downloaded, digits.

    Fashion-MNIST is read from ``data_dir/FashionMNIST/raw``, else from the folder in the environment's ``LRFIND_DATA``,
    else from the user's cache, into which it is downloaded.

    Raises:
        DataError: If a file is damaged, is not in the given folder, or cannot be downloaded.
    """
    if name not in DATASETS:
        raise BadInputError(f"dataset must be one of {', '.join(DATASETS)}, got {name!r}.")
    if name == "digits":
        return digits()
    for given, place in (("data_dir", data_dir), ("LRFIND_DATA", os.environ.get("LRFIND_DATA"))):
        if place:
            folder = Path(place) / FOLDER
            if lacking := [each for each in CHECKSUMS if not (folder / each).is_file()]:
                raise DataError(
                    f"{given} is {os.fspath(place)}, but {folder} has no {', '.join(lacking)}; give the folder that "
                    f"holds {FOLDER}, or none to have the files downloaded."
                )
            return _fashion_mnist(folder)
    try:
        return _fashion_mnist(_downloaded())
    except DataError as error:
        if name == "fashion-mnist":
            raise
        return digits(note=f"{error} Running on scikit-learn's digits instead.")


def digits(note: str = "") -> Dataset:
    """Return scikit-learn's digits, enlarged to 28 by 28: 1,199 for training, 299 for validation and 299 for test."""
    with from_extra("demo"):
        from sklearn.datasets import load_digits
    bunch = load_digits()
    large = np.kron(bunch.images.astype(np.float32) / 16.0, np.ones((3, 3), dtype=np.float32))
    images = np.pad(large, ((0, 0), (2, 2), (2, 2)))[:, None]
    rest, test = _split(_to_dataset(images, bunch.target), 1 / 6)
    return Dataset("digits", "digits (scikit-learn)", 30, *_split(rest, 0.2), test, note)


def _fashion_mnist(folder: Path) -> Dataset:
    """Read Fashion-MNIST: 48,000 images for training, 12,000 for validation and 10,000 for test."""
    rest, test = _read_part(folder, "train"), _read_part(folder, "t10k")
    return Dataset("fashion-mnist", "Fashion-MNIST", 5, *_split(rest, 0.2), test)


def _downloaded() -> Path:
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
            raise DataError(
                f"Fashion-MNIST is not on this machine, and {name} could not be downloaded; set LRFIND_DATA."
            )
    return folder


def _read_part(folder: Path, part: str) -> TensorDataset:
    images = _read(folder / f"{part}-images-idx3-ubyte.gz", 16).reshape(-1, 1, 28, 28)
    return _to_dataset(images.astype(np.float32) / 255.0, _read(folder / f"{part}-labels-idx1-ubyte.gz", 8))


def _read(path: Path, header: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    try:
        packed = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}).") from error
    had, wanted = hashlib.md5(packed, usedforsecurity=False).hexdigest(), CHECKSUMS[path.name]
    if had != wanted:
        what = f"{path} is truncated or altered: its md5 is {had}, not {wanted}"
        raise DataError(f"{what}; delete it and run again to download it.")
    return np.frombuffer(gzip.decompress(packed), np.uint8, offset=header)


def _to_dataset(images: Any, labels: Any) -> TensorDataset:
    return TensorDataset(torch.from_numpy(images), torch.from_numpy(labels.astype(np.int64)))


def _split(data: TensorDataset, held: float) -> tuple[TensorDataset, TensorDataset]:
    """Split off the share ``held`` of the data, at random but always the same."""
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(SPLIT_SEED))
    kept = len(data) - int(len(data) * held)
    return TensorDataset(*data[order[:kept]]), TensorDataset(*data[order[kept:]])


def _loader(data: TensorDataset, order: Sampler[int] | None = None, batch_size: int = 250) -> DataLoader[Any]:
    batches = BatchSampler(order or SequentialSampler(data), batch_size, drop_last=False)
    return DataLoader(data, batch_size=None, sampler=batches)

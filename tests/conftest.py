"""What every test shares."""

import gc
from importlib import import_module

import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    """Small networks gain nothing from more, and lose much where the machine is busy."""
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def imports_frozen():
    """Spare garbage collection, which Hugging Face's Trainer calls at each start, all that was imported."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(params=["lightning.pytorch", "pytorch_lightning"])
def pl(request):
    """Each Lightning package."""
    return import_module(request.param)


@pytest.fixture
def empty_folder(tmp_path, monkeypatch):
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path

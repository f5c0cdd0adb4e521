"""What every test shares."""

from importlib import import_module

import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    """Small networks gain nothing from more, and lose much where the machine is busy."""
    torch.set_num_threads(1)


@pytest.fixture(params=["lightning.pytorch", "pytorch_lightning"])
def pl(request):
    """Each Lightning package."""
    return import_module(request.param)


@pytest.fixture
def empty_folder(tmp_path, monkeypatch):
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path

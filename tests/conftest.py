"""What every test shares."""

import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    """Small networks gain nothing from more, and lose much where the machine is busy."""
    torch.set_num_threads(1)

"""What a kernel of Jupyter shows of a search, its finding and a comparison."""

from pathlib import Path

import pytest
from jupyter_client.manager import run_kernel

TRAINING = """
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
import lrfind, lrfind.progress

lrfind.progress.EVERY["notebook"] = 0.0
torch.manual_seed(0)
x = torch.randn(512, 8)
loader = DataLoader(TensorDataset(x, x[:, :1].sin()), batch_size=32, shuffle=True)
model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 1))
optimizer = torch.optim.Adam(model.parameters())
"""


@pytest.fixture(scope="module")
def kernel():
    with run_kernel(kernel_name="python3") as client:
        yield client


def run(kernel, code):
    """Run a cell; return the messages that its output is made of, each as its kind and content."""
    heard = []
    reply = kernel.execute_interactive(code, timeout=120, output_hook=heard.append, store_history=True)
    assert reply["content"]["status"] == "ok", reply["content"]
    return [(message["msg_type"], message["content"]) for message in heard]


def test_a_cell_shows_a_bar_with_the_time_left_and_then_the_finding(kernel):
    run(kernel, TRAINING)
    said = run(kernel, "finding = lrfind.find(model, optimizer, loader, nn.MSELoss(), epochs=20)\nfinding")
    bars = [content["data"]["text/html"] for kind, content in said if kind == "update_display_data"]
    assert len({content["transient"]["display_id"] for kind, content in said if "display" in kind}) == 1
    assert all("<progress" in bar for bar in bars[:-1])
    assert any("s left" in bar for bar in bars)
    assert bars[-1] == ""
    assert not [content for kind, content in said if kind == "stream"]
    (shown,) = (content["data"] for kind, content in said if kind == "execute_result")
    assert "<svg" in shown["text/html"] or "<img" in shown["text/html"]
    assert "learning rate" in shown["text/html"]


def test_a_cell_shows_a_judgement_and_a_plot(kernel):
    said = run(kernel, "finding.judge(0.01)")
    (shown,) = (content["data"] for kind, content in said if kind == "execute_result")
    assert "0.01" in shown["text/plain"]
    said = run(kernel, "figure = finding.plot()")
    assert [content for kind, content in said if kind == "display_data" and "image/png" in content["data"]]


def test_a_cell_shows_a_comparison(kernel):
    tests = str(Path(__file__).parent)
    code = (
        f"import sys; sys.path.insert(0, {tests!r})\nfrom comparisons import made_up_comparison\nmade_up_comparison()"
    )
    (shown,) = (content["data"] for kind, content in run(kernel, code) if kind == "execute_result")
    assert "linear 0.0024 wins" in shown["text/html"]
    assert "<img" in shown["text/html"]

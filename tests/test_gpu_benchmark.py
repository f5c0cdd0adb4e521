"""The benchmark for a GPU: what of it needs none runs here, small; without one it says so."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[1]


def run(*arguments):
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.gpu", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU, and what it measures takes minutes")
def test_without_a_gpu_it_says_so_in_a_sentence():
    said = run()
    assert said.startswith("There is no CUDA GPU here")
    assert said.count("\n") == 1


def test_every_training_is_equal_on_the_cpu():
    said = run("--tiny")
    assert said.startswith("CPU, tiny; torch")
    assert said.count("| equal bit for bit |") == 9
    assert "differs" not in said

"""The matrix, pairwise for plain PyTorch and one of each for the others; in threes and pairs under ``slow``."""

import pytest
from matrix import DATA, EXITS, LOOPS, MODELS, OPTIMIZERS, TRAININGS, Cell, cells, check

from lrfind.errors import BadInputError


def refused(loop, cell):
    """Why a cell is refused; empty where it is not."""
    if "snapshot" in loop and cell.model == "lazy":
        return "lazy parameters cannot be put back in place"
    return ""


def one_of_each():
    """Cells in which every value of every factor occurs."""
    factors = (list(OPTIMIZERS), MODELS, TRAININGS, DATA, EXITS)
    longest = max(map(len, factors))
    return [Cell(*(factor[(index + shift) % len(factor)] for shift, factor in enumerate(factors))) for index in range(longest)]


def run(loop, cell, folder, monkeypatch):
    monkeypatch.chdir(folder)
    if sentence := refused(loop, cell):
        with pytest.raises(BadInputError, match=sentence):
            check(loop, cell)
    else:
        check(loop, cell)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("cell", cells(2), ids=str)
def test_pytorch_in_pairs(cell, tmp_path, monkeypatch):
    run("pytorch", cell, tmp_path, monkeypatch)


@pytest.mark.parametrize("cell", one_of_each(), ids=str)
@pytest.mark.parametrize("loop", [loop for loop in LOOPS if loop != "pytorch"])
def test_every_value_in_every_loop(loop, cell, tmp_path, monkeypatch):
    run(loop, cell, tmp_path, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("cell", cells(3), ids=str)
def test_pytorch_in_threes(cell, tmp_path, monkeypatch):
    run("pytorch", cell, tmp_path, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("cell", cells(2), ids=str)
@pytest.mark.parametrize("loop", [loop for loop in LOOPS if loop != "pytorch"])
def test_the_others_in_pairs(loop, cell, tmp_path, monkeypatch):
    run(loop, cell, tmp_path, monkeypatch)

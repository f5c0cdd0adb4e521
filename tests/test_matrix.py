"""The matrix: every value in every loop, and two loops in pairs; more under ``slow``.

``make matrix`` runs all of it and writes ``docs/matrix.md``.
"""

from itertools import combinations

import pytest
from matrix import LOOPS, cells, check, combinations_of, refusal

from lrfind.errors import BadInputError

IN_PAIRS = ["pytorch", "lightning"]


@pytest.mark.parametrize("ways", [1, 2, 3])
def test_the_cells_hold_every_combination(ways):
    rows = [enumerate((cell.optimizer, cell.model, cell.training, cell.data, cell.exit)) for cell in cells(ways)]
    covered = {combination for row in rows for combination in combinations(list(row), ways)}
    assert set(combinations_of(ways)) <= covered


def run(loop, cell, folder, monkeypatch):
    monkeypatch.chdir(folder)
    if sentence := refusal(loop, cell):
        with pytest.raises(BadInputError, match=sentence):
            check(loop, cell)
    else:
        check(loop, cell)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("cell", cells(1), ids=str)
@pytest.mark.parametrize("loop", LOOPS)
def test_every_value(loop, cell, tmp_path, monkeypatch):
    run(loop, cell, tmp_path, monkeypatch)


@pytest.mark.parametrize("cell", cells(2), ids=str)
@pytest.mark.parametrize("loop", IN_PAIRS)
def test_in_pairs(loop, cell, tmp_path, monkeypatch):
    run(loop, cell, tmp_path, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("cell", cells(2), ids=str)
@pytest.mark.parametrize("loop", [loop for loop in LOOPS if loop not in IN_PAIRS])
def test_the_others_in_pairs(loop, cell, tmp_path, monkeypatch):
    run(loop, cell, tmp_path, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("cell", cells(3), ids=str)
def test_in_threes(cell, tmp_path, monkeypatch):
    run("pytorch", cell, tmp_path, monkeypatch)

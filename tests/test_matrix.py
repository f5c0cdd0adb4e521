"""The matrix: every value in every loop, and two loops in pairs; more under ``slow``.

``make matrix`` runs all of it and writes ``docs/matrix.md``.
"""

from itertools import combinations

import pytest
from matrix import LOOPS, cells, combinations_of, expected, outcome

IN_PAIRS = ["pytorch", "lightning"]


@pytest.mark.parametrize("ways", [1, 2, 3])
def test_the_cells_hold_every_combination(ways):
    rows = [enumerate((cell.optimizer, cell.model, cell.training, cell.data, cell.exit)) for cell in cells(ways)]
    covered = {combination for row in rows for combination in combinations(list(row), ways)}
    assert set(combinations_of(ways)) <= covered


@pytest.mark.parametrize("cell", cells(1), ids=str)
@pytest.mark.parametrize("loop", LOOPS)
def test_every_value(loop, cell, empty_folder):
    assert outcome(loop, cell) == expected(loop, cell)
    assert list(empty_folder.iterdir()) == []


@pytest.mark.parametrize("cell", cells(2), ids=str)
@pytest.mark.parametrize("loop", IN_PAIRS)
def test_in_pairs(loop, cell, empty_folder):
    assert outcome(loop, cell) == expected(loop, cell)
    assert list(empty_folder.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("cell", cells(2), ids=str)
@pytest.mark.parametrize("loop", [loop for loop in LOOPS if loop not in IN_PAIRS])
def test_the_others_in_pairs(loop, cell, empty_folder):
    assert outcome(loop, cell) == expected(loop, cell)


@pytest.mark.slow
@pytest.mark.parametrize("cell", cells(3), ids=str)
def test_in_threes(cell, empty_folder):
    assert outcome("pytorch", cell) == expected("pytorch", cell)

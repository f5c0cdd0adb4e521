"""The matrix: every value in every loop, and two loops in pairs; more under ``slow``.

``make matrix`` runs all of it and writes ``docs/matrix.md``.
"""

import pytest
from matrix import LOOPS, cells, check, refusal

from lrfind.errors import BadInputError


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
@pytest.mark.parametrize("loop", ["pytorch", "lightning"])
def test_in_pairs(loop, cell, tmp_path, monkeypatch):
    run(loop, cell, tmp_path, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("cell", cells(2), ids=str)
@pytest.mark.parametrize("loop", [loop for loop in LOOPS if loop not in ("pytorch", "lightning")])
def test_the_others_in_pairs(loop, cell, tmp_path, monkeypatch):
    run(loop, cell, tmp_path, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("cell", cells(3), ids=str)
@pytest.mark.parametrize("loop", ["pytorch", "lightning"])
def test_in_threes(loop, cell, tmp_path, monkeypatch):
    run(loop, cell, tmp_path, monkeypatch)

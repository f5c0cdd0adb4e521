"""The matrix: every value in every loop, and in pairs in plain PyTorch; the others' pairs under ``slow``.

``make matrix`` runs all of it and writes ``docs/matrix.md``.
"""

from dataclasses import asdict
from itertools import combinations

import matrix_nets
import pytest
from matrix import FACTORS, LOOPS, UNTRAINABLE, Cell, cells, combinations_of, outcome
from matrix_loops import train


def every(ways, loops):
    """The cells of several loops, each with its name."""
    return [pytest.param(loop, cell, id=f"{loop}-{cell}") for loop in loops for cell in cells(ways, loop)]


@pytest.mark.parametrize("loop", ["pytorch", "huggingface"])
@pytest.mark.parametrize("ways", [1, 2, 3])
def test_the_cells_hold_every_combination(ways, loop):
    rows = [sorted(asdict(cell).items()) for cell in cells(ways, loop)]
    covered = {combination for row in rows for combination in combinations(row, ways)}
    assert set(combinations_of(ways, loop)) == covered


@pytest.mark.parametrize(
    ("loop", "values"),
    [(loop, values) for one, values, _ in UNTRAINABLE for loop in LOOPS if one in ("", loop)],
)
def test_what_is_left_out_cannot_be_trained_without_a_search_either(loop, values):
    cell = Cell(**{name: each[0] for name, each in FACTORS.items()} | values)
    with pytest.raises((AttributeError, TypeError, ValueError)):
        train(loop, cell, probe=False)


@pytest.mark.parametrize("state", FACTORS["state"])
@pytest.mark.parametrize("loop", ["pytorch", "lightning", "huggingface"])
def test_state_changes_the_training(loop, state, empty_folder, monkeypatch):
    cell = Cell("SGD", "plain", "plain", "shuffle", state, "eager", "done")
    moving = train(loop, cell, probe=False)
    monkeypatch.setattr(matrix_nets, "turned", lambda *bag: 0.0)
    still = train(loop, cell, probe=False)
    assert moving["losses"] != still["losses"]
    assert all(one != other for one, other in zip(moving["state"], still["state"], strict=True))


@pytest.mark.parametrize(("loop", "cell"), every(1, LOOPS))
def test_every_value(loop, cell, empty_folder):
    assert outcome(loop, cell) == "bit-exact"
    assert list(empty_folder.iterdir()) == []


@pytest.mark.parametrize(("loop", "cell"), every(2, ["pytorch"]))
def test_in_pairs(loop, cell, empty_folder):
    assert outcome(loop, cell) == "bit-exact"
    assert list(empty_folder.iterdir()) == []


@pytest.mark.parametrize("step", ["compiled model", "compiled submodule", "compiled loss"])
@pytest.mark.parametrize("model", ["BatchNorm", "dropout"])
@pytest.mark.parametrize("loop", ["pytorch", "lightning"])
def test_with_a_compiler_that_also_traces_the_backward_pass(loop, model, step, empty_folder, monkeypatch):
    monkeypatch.setattr(matrix_nets, "BACKEND", "aot_eager")
    assert outcome(loop, Cell("Adam", model, "clipping", "shuffle", "closure", step, "exception")) == "bit-exact"


@pytest.mark.slow
@pytest.mark.parametrize(("loop", "cell"), every(2, [loop for loop in LOOPS if loop != "pytorch"]))
def test_the_others_in_pairs(loop, cell, empty_folder):
    assert outcome(loop, cell) == "bit-exact"


@pytest.mark.slow
@pytest.mark.parametrize("cell", cells(3), ids=str)
def test_in_threes(cell, empty_folder):
    assert outcome("pytorch", cell) == "bit-exact"

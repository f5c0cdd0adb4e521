"""Searches on two processes: one rate on both, training afterwards bit for bit as without, and no hang.

All cases of a group run in one launch of ``tests/two_processes.py``, where each has a time limit.
"""

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.two_processes import GROUPS, cases_of

ROOT = Path(__file__).parents[1]


@cache
def launched(group):
    """Run all cases of a group; return the lines of each, by its name, in the order of ranks."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONPATH": "src"}
    command = [sys.executable, "-m", "tests.two_processes", group]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600)
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert done.returncode == 0, done.stderr[-2000:]
    return {line["case"]: [one for one in lines if one["case"] == line["case"]] for line in lines}


def results(group, case):
    lines = launched(group)[case]
    assert [line["rank"] for line in lines] == [0, 1]
    for line in lines:
        assert not line["hung"], line["said"]
        assert "error" not in line, line["said"]
    return [line["result"] for line in lines]


def searches():
    names = [(group, name) for group in GROUPS for name in cases_of(group) if "fail" not in name]
    return [pytest.param(*each, id=f"{each[0]}: {each[1]}") for each in names]


@pytest.mark.parametrize(("group", "case"), searches())
def test_ranks_find_one_rate_and_train_as_without_a_search(group, case):
    first, second = results(group, case)
    for one in (first, second):
        assert one["moved"] == []
        assert one["differs"] == []
    if "alone" not in case:
        assert first["lr"] == second["lr"]
        assert first.get("records") == second.get("records")


def test_ranks_have_data_of_their_own():
    first, second = results("pytorch", "ddp fresh")
    assert first["losses"] != second["losses"]


def test_when_one_rank_gives_nan_both_stop_alike():
    first, second = results("pytorch", "nan on one rank")
    assert first["records"][0][2] == second["records"][0][2] == "non-finite"


@pytest.mark.parametrize("case", ["both fail at once", "both fail later"])
def test_where_all_ranks_fail_each_says_its_own_and_training_can_go_on(case):
    for rank, result in enumerate(results("pytorch", case)):
        assert result["said"] == ["ValueError", f"rank {rank} fails in its loss"]
        assert result["moved"] == []
        assert result["losses"]

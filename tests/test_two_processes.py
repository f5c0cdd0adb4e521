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

from tests.two_processes import GROUPS, all_of, cases_of

ROOT = Path(__file__).parents[1]


SLOW = {
    "published": tuple(all_of("published")),  # more of the same kinds, as people publish them
    "huggingface": tuple(
        f"fsdp{how}" for how in ("1 find", "2 find", "1 every", "1 in layers", "2 accumulate", "2 bf16")
    ),
}
"""What runs under ``make test-all`` only: what is like another case, in another way of training."""


@cache
def launched(group, is_slow):
    """Run the cases of a group that are slow, or the others; return the lines of each by its name, by ranks."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT / "src")}
    names = [name for name in all_of(group) if (name in SLOW.get(group, ())) is is_slow]
    command = [sys.executable, "-m", "tests.two_processes", group, *names]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600)
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert done.returncode == 0, done.stderr[-2000:]
    return {line["case"]: [one for one in lines if one["case"] == line["case"]] for line in lines}


def results(group, case):
    lines = launched(group, case in SLOW.get(group, ()))[case]
    assert [line["rank"] for line in lines] == [0, 1]
    for line in lines:
        assert not line["hung"], line["said"]
        assert "error" not in line, line["said"]
    return [line["result"] for line in lines]


def searches():
    names = [(group, name) for group in GROUPS for name in cases_of(group) if "fail" not in name]
    marks = {True: pytest.mark.slow, False: ()}
    return [
        pytest.param(group, name, id=f"{group}: {name}", marks=marks[name in SLOW.get(group, ())])
        for group, name in names
    ]


@pytest.mark.parametrize(("group", "case"), searches())
def test_ranks_find_one_rate_and_train_as_without_a_search(group, case):
    first, second = results(group, case)
    for one in (first, second):
        assert one["moved"] == []
        assert one["differs"] == []
    if "alone" not in case:
        assert first["lr"] == second["lr"]
        assert first.get("records") == second.get("records")


@pytest.mark.slow
def test_frozen_shards_are_not_copied():
    assert all(0.001 < one["share"] < 0.1 for one in results("published", "frozen shards are not copied"))


def test_ranks_have_data_of_their_own():
    first, second = results("pytorch", "ddp fresh")
    assert first["losses"] != second["losses"]


SHARDED = ("fsdp1", "fsdp2", "tensor parallel")


@pytest.mark.parametrize("case", ["nan on one rank", *(f"{kind} nan in one shard" for kind in SHARDED)])
def test_when_one_rank_gives_nan_both_stop_alike(case):
    first, second = results("pytorch", case)
    (losses, _, stop), *_ = first["records"]
    assert stop == second["records"][0][2] == "non-finite"
    assert len(losses) < 25  # as soon as weights that are not finite tell that no step will mend it


@pytest.mark.parametrize("how", ["fsdp1", "fsdp2", "fsdp1 evaluated", "fsdp2 in layers"])
def test_a_trainer_finds_in_shards_what_it_finds_in_whole_models(how):
    whole = results("huggingface", "ddp every")[0]["lr"]
    found = results("huggingface", how)[0]["lr"]
    assert found == pytest.approx(whole[: len(found)], rel=1e-6)


@pytest.mark.parametrize(
    ("case", "place"),
    [("both fail at once", "loss"), ("both fail later", "loss"), ("both fail in backward", "backward")],
)
def test_where_all_ranks_fail_each_says_its_own_and_training_can_go_on(case, place):
    for rank, result in enumerate(results("pytorch", case)):
        assert result["said"] == ["ValueError", f"rank {rank} fails in its {place}"]
        assert result["moved"] == []
        assert result["losses"]


@pytest.mark.parametrize("place", ["loss", "first loss", "loader"])
@pytest.mark.parametrize("failed", [0, 1])
def test_where_one_rank_fails_all_raise_with_its_words_and_put_everything_back(failed, place):
    assert_one_failed("pytorch", f"rank {failed} fails in its {place}", failed, f"in its {place.split()[-1]}")


@pytest.mark.parametrize(
    ("group", "how"),
    [
        ("pytorch", "fsdp2"),
        ("lightning", "ddp"),
        ("lightning", "fsdp"),
        ("lightning", "model parallel"),
        ("huggingface", "ddp"),
        ("huggingface", "fsdp"),
    ],
)
def test_where_one_rank_fails_shards_are_put_back(group, how):
    assert_one_failed(group, f"rank 1 fails under {how}", 1, "in its loss")


def test_a_rank_that_waits_for_one_that_failed_and_stays_says_so_and_raises_when_it_goes():
    assert_one_failed("pytorch", "rank 1 fails and stays", 1, "in its loss")
    waiting = launched("pytorch", False)["rank 1 fails and stays"][0]
    assert "lrfind: rank 1 failed with ValueError: rank 1 fails in its loss. Rank 0 waits for it" in waiting["said"]


@pytest.mark.parametrize(("case", "name"), [("ddp options fail", "method"), ("ddp strategies fail", "strategy")])
def test_where_ranks_search_for_different_things_each_says_what_differs(case, name):
    first, second = results("pytorch", case)
    assert first["said"] == second["said"]
    assert f"{name} is " in first["said"][1]


def test_a_rank_that_waits_for_one_that_has_not_called_find_says_so():
    results("pytorch", "one begins late")
    assert "rank 1 has not begun this search" in launched("pytorch", False)["one begins late"][0]["said"]


def test_a_rank_whose_step_communicates_with_one_that_does_not_search_says_so():
    first, second = results("pytorch", "one begins too late and fails")
    assert first["lr"]
    assert second["said"][0] == "BadInputError"
    assert "communicates with rank 0, which does not search" in second["said"][1]


def test_ranks_that_search_each_for_itself_are_told():
    results("pytorch", "each alone with a file")
    said = [one["said"] for one in launched("pytorch", False)["each alone with a file"]]
    assert "ranks 0, 1 search each for itself" in "".join(said)


def assert_one_failed(group, case, failed, where):
    said = f"rank {failed} fails {where}"
    for rank, result in enumerate(results(group, case)):
        kind, sentence = result["said"]
        assert kind == ("ValueError" if rank == failed else "RankError")
        assert said in sentence
        if rank != failed:
            assert sentence.startswith(f"rank {failed} failed with ValueError: ")
        assert result["moved"] == []
        assert result["seconds"] < 30

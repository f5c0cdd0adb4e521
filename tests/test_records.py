import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrfind.errors import BadInputError, LRFindError
from lrfind.records import Cost, Finding, Probe, Record, write_json

rates = st.floats(min_value=1e-12, max_value=1e6)
losses = st.floats(width=64)


def finding(lrs=(0.1, 0.2), values=(2.0, 1.0), **changes):
    record = Record(Probe(tuple(lrs), 3), tuple(lrs), tuple(values), "diverged", passes=2, seconds=0.5)
    data = {
        "lr": 0.1,
        "base_lr": 0.05,
        "max_lr": 0.2,
        "interval": (0.08, 0.12),
        "method": "calibrated",
        "schedule": "constant",
        "records": (record,),
        "cost": Cost(2, 0.5),
        "notes": ("said",),
    }
    return Finding(**{**data, **changes})


@given(st.lists(st.tuples(rates, losses), min_size=1))
def test_a_finding_survives_json(points):
    one = finding(*zip(*points, strict=True))
    text = json.dumps(one.to_dict(), allow_nan=False)
    again = Finding.from_dict(json.loads(text))
    assert repr(again) == repr(one)


def test_save_and_load(tmp_path):
    path = finding().save(tmp_path / "deep" / "finding.json")
    assert Finding.load(path) == finding()
    assert [file.name for file in path.parent.iterdir()] == ["finding.json"]


def test_an_unwritable_file_is_one_sentence(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(LRFindError, match="cannot be written"):
        finding().save(tmp_path / "file" / "finding.json")


def test_what_cannot_be_json_leaves_the_old_file(tmp_path):
    path = write_json(tmp_path / "a.json", {"a": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"a": math.nan})
    assert json.loads(path.read_text()) == {"a": 1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read"),
        ("[]", "holds no finding"),
        ("{}", "expected a finding of schema"),
        ('{"schema": "lrfind/finding/1"}', "cannot be read: KeyError 'lr'"),
        ('{"schema": "lrfind/finding/1", "lr": "high"}', "cannot be read: ValueError"),
    ],
)
def test_a_file_that_is_no_finding(tmp_path, text, message):
    path = tmp_path / "finding.json"
    path.write_text(text)
    with pytest.raises(BadInputError, match=message):
        Finding.load(path)


@pytest.mark.parametrize("lrs", [(), (0.0,), (-1.0,), (math.nan,), (math.inf,)])
def test_a_probe_refuses_rates_nobody_can_step_with(lrs):
    with pytest.raises(BadInputError):
        Probe(lrs)


@pytest.mark.parametrize("changes", [{"base_lr": 0.15}, {"max_lr": 0.05}, {"interval": (0.11, 0.12)}])
def test_range_and_interval_hold_the_rate(changes):
    with pytest.raises(BadInputError, match="must hold lr"):
        finding(**changes)


def test_a_record_needs_a_loss_per_rate():
    with pytest.raises(BadInputError, match="one loss per rate"):
        Record(Probe((0.1,)), (0.1,), (), "done")


def test_print_shows_rate_range_cost_and_notes():
    text = str(finding())
    assert all(part in text for part in ("lr 0.1", "0.05..0.2", "2 steps", "said"))

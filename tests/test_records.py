import json
import math
import re
import sys
from base64 import b64decode
from dataclasses import replace

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
        ("[]", "does not hold a finding but a list"),
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


@pytest.mark.parametrize(
    ("changes", "first"),
    [
        ({}, "Train with lr 0.1, held constant."),
        ({"horizon": 12_000}, "Train with lr 0.1, held constant, for 12,000 steps."),
        ({"schedule": "one-cycle", "epochs": 2.5}, "Train with lr 0.1, as the peak of the one-cycle schedule, for 2.5"),
        ({"horizon": 300, "epochs": 3}, "for 300 steps or 3 epochs."),
        ({"records": (replace(finding().records[0], optimizer="Adam"),)}, "Train Adam with lr 0.1"),
    ],
)
def test_what_is_printed_begins_with_what_to_do(changes, first):
    assert first in " ".join(str(finding(**changes)).split())


def test_what_is_printed_is_a_paragraph_of_interval_range_cost_and_notes():
    lines = str(finding()).splitlines()
    assert max(map(len, lines)) <= 100
    assert " ".join(lines).split(". ", 1)[1] == (
        "The best rate of a grid search should lie between 0.08 and 0.12, and most of it is often as good; such "
        "intervals hold it on nine in ten of the benchmark's tasks. A cyclical schedule may go from 0.05 to 0.2. This "
        "is the calibrated reading of one range test: 2 steps in 0.5 s. said"
    )
    wide = str(finding(interval=(1e-3, 3.0)))
    assert "between 0.001 and 3, so wide a span that the search says little;" in " ".join(wide.split())
    assert "With other seeds the valley reading would mostly lie between 0.08 and 0.12." in " ".join(
        str(finding(method="valley")).split()
    )


def test_a_notebook_shows_the_picture_and_the_words_escaped():
    lrs = tuple(1e-4 * 1.5**step for step in range(20))
    losses = tuple(2.0 - 0.05 * step for step in range(20))
    record = Record(Probe(lrs), lrs, losses, "done", optimizer="<b>Adam</b>")
    page = finding(records=(record,), notes=("<script>alert(1)</script> & more",))._repr_html_()
    (data,) = re.findall(r'<img alt="[^"]*" style="[^"]*" src="data:image/png;base64,([^"]*)">', page)
    assert b64decode(data, validate=True).startswith(b"\x89PNG")
    words = re.sub(r"<img[^>]*>", "", page)
    assert set(re.findall(r"<[^>]*>", words)) == {'<div style="max-width: 46em">', "<p>", "</p>", "</div>"}
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; more" in words
    assert "&lt;b&gt;Adam&lt;/b&gt;" in words
    assert "http" not in words


def test_a_notebook_shows_the_words_where_nothing_can_be_drawn(monkeypatch):
    assert "<img" not in finding()._repr_html_()  # two losses are no curve
    lrs = tuple(1e-4 * 1.5**step for step in range(20))
    record = Record(Probe(lrs), lrs, tuple(2.0 - 0.05 * step for step in range(20)), "done")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    page = finding(records=(record,))._repr_html_()
    assert "<img" not in page
    assert "Train with lr 0.1" in page
    assert finding(records=())._repr_html_().startswith("<div")


def test_a_file_of_an_earlier_version_is_read():
    data = finding(left=0.1, horizon=7, epochs=2.0).to_dict()
    assert Finding.from_dict(data) == finding(left=0.1, horizon=7, epochs=2.0)
    for name in ("left", "horizon", "epochs"):
        del data[name]
    assert Finding.from_dict(data) == finding()


@pytest.mark.parametrize(
    ("ratios", "said"),
    [
        ((1.0, 0.1), "Its param groups then train with 0.1 and 0.01."),
        ((1.0, 1.0, 5.0), "Its param groups then train with 0.1, 0.1 and 0.5."),
        (
            (1.0, *(0.5**depth for depth in range(1, 9))),
            "The rates of its 9 param groups then go from 0.000391 to 0.1.",
        ),
    ],
)
def test_each_param_groups_rate_is_said_where_they_differ(ratios, said):
    one = finding()
    grouped = replace(one, records=(replace(one.records[0], ratios=ratios),))
    assert said in str(grouped).replace("\n", " ")
    assert said in grouped._repr_html_()
    assert "param groups" not in str(one)

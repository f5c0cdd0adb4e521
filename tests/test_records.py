import json
import math
import re
import sys
from base64 import b64decode
from dataclasses import replace
from html import escape

import numpy as np
import pytest
from curves_with_answers import flat_then_diverging, made_up
from hypothesis import given
from hypothesis import strategies as st

from lrfind.codec import encode, leaves
from lrfind.errors import BadInputError, LRFindError
from lrfind.records import Cost, Finding, Probe, Record, write_json
from lrfind.strategies.range_test import RangeTest

rates = st.floats(min_value=1e-12, max_value=1e6)
losses = st.floats(width=64)


def finding(lrs=(0.1, 0.2), values=(2.0, 1.0), **changes):
    record = Record(Probe(tuple(lrs), 3), tuple(lrs), tuple(values), "diverged", epochs=2, seconds=0.5)
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
    found = finding(*zip(*points, strict=True))
    text = json.dumps(found.to_dict(), allow_nan=False)
    again = Finding.from_dict(json.loads(text))
    assert repr(again) == repr(found)


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
        ("[]", "cannot be read as a finding .*JSON object, got a list.*give another file"),
        ("{}", "expected a finding of schema"),
        ('{"schema": "lrfind/finding/1"}', "cannot be read: it has no 'lr'"),
        ('{"schema": "lrfind/finding/1", "lr": "high"}', "cannot be read: .*'high'"),
    ],
)
def test_a_file_that_is_no_finding(tmp_path, text, message):
    path = tmp_path / "finding.json"
    path.write_text(text)
    with pytest.raises(BadInputError, match=message):
        Finding.load(path)


@pytest.mark.parametrize("file", [None, 3, "", "nul\0", "x" * 300])
def test_what_names_no_file_is_one_sentence(file):
    for use in (finding().save, Finding.load):
        with pytest.raises(LRFindError, match=r"cannot be (written|read)"):
            use(file)


@pytest.mark.parametrize("data", [[], "finding", None, 3])
def test_what_is_no_json_object_is_no_finding(data):
    with pytest.raises(BadInputError, match="JSON object"):
        Finding.from_dict(data)


def test_nested_data_is_plain_and_has_paths():
    assert encode({"losses": (1.0, math.inf)}) == {"losses": [1.0, "inf"]}
    assert list(leaves({"model": {"width": 8}, "seed": 0})) == [("model.width", 8), ("seed", 0)]


def test_numbers_of_numpy_are_written_as_json():
    options = {"min_lr": np.float32(1e-6), "steps": np.int32(128), "total_steps": np.int64(2000), "seed": np.int8(3)}
    test = RangeTest(epochs=np.float32(5), **options)
    found = test.find([replace(made_up(), probe=test.propose([])[0])])
    assert Finding.from_dict(json.loads(json.dumps(found.to_dict()))) == found


@pytest.mark.parametrize("ax", [True, 3, np.zeros(2), [None]])
def test_what_are_no_axes_are_refused(ax):
    with pytest.raises(BadInputError, match="takes axes of matplotlib"):
        EVIDENT.plot(ax)


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
        ({}, "lr 0.1, held constant"),
        ({"total_steps": 12_000}, "lr 0.1, held constant, 12,000 steps"),
        ({"schedule": "one-cycle", "epochs": 2.5}, "lr 0.1, the peak of one-cycle, 2.5 epochs"),
        ({"total_steps": 1, "epochs": 1}, "lr 0.1, held constant, 1 step or 1 epoch"),
        ({"records": (replace(finding().records[0], optimizer="Adam"),)}, "lr 0.1 for Adam, held constant"),
    ],
)
def test_what_is_printed_begins_with_the_rate_and_what_it_is_for(changes, first):
    assert str(finding(**changes)).splitlines()[0] == finding(**changes).headline == first


def test_what_is_printed_has_a_line_each_for_interval_range_cost_and_notes():
    said = str(finding(notes=("raise max_lr", "more steps " * 20))).splitlines()
    assert max(map(len, said)) <= 100
    starts = [line.split()[0] for line in said if not line.startswith(" ")]
    assert starts == ["lr", "interval:", "cycles:", "cost:", "note:", "note:"]
    assert said[1].endswith("0.08 to 0.12")
    assert said[2:4] == ["cycles: 0.05 to 0.2", "cost: 2 steps, 0.5 s"]
    assert "with other seeds the valley reading" in str(finding(method="valley"))


FELL = made_up()
EVIDENT = RangeTest(total_steps=2000).find([FELL])
WEAK = RangeTest(total_steps=2000).find([flat_then_diverging()])


@pytest.mark.parametrize(
    ("found", "word"),
    [
        (RangeTest(total_steps=2000).find([replace(FELL, optimizer="Adam")]), "sure"),
        (EVIDENT, "fairly sure"),  # of another optimizer the interval is wide
        (WEAK, "unsure"),
        (RangeTest(total_steps=200).find([FELL]), "unsure"),
    ],
)
def test_how_sure_it_is_is_a_word_of_what_the_benchmark_lost_and_a_short_training_is_not_sure(found, word):
    assert str(found).splitlines()[1].split(":")[0] == word


@pytest.mark.parametrize(("factor", "place"), [(1e-3, "below"), (1.1, "within"), (1e3, "above"), (1.0, "the same")])
def test_the_rate_that_the_optimizer_has_is_said_to_be_below_within_or_above(factor, place):
    used = EVIDENT.lr * factor
    found = replace(EVIDENT, records=(replace(FELL, used=used),))
    line = re.search(r"^yours: .*(\n  .*)*", str(found), re.MULTILINE)[0].replace("\n ", "")
    assert f"{used:.3g}" in line
    assert place in line
    judged = found.judge(used)
    assert (judged.words in line and judged.expected in line) is (factor != 1.0)
    assert "yours" not in str(EVIDENT)  # of a rate that is not known


@pytest.mark.parametrize("factor", [1e-3, 1.1, 1e3])
def test_in_a_short_training_the_finding_and_its_judgement_say_the_same_and_neither_is_sure(factor):
    """None of the benchmark's trainings, which a rate is judged by, is as short."""
    used = EVIDENT.lr * factor
    short = replace(EVIDENT, records=(replace(FELL, used=used),), total_steps=200)
    judged, said = short.judge(used), " ".join(str(short).split())
    assert not judged.is_sure
    assert judged.words.startswith("may be")
    assert judged.words in said
    assert judged.expected in said
    assert "%" not in judged.sentence
    assert judged.verdict == EVIDENT.judge(used).verdict


def test_a_notebook_and_json_show_how_sure_a_judgement_is():
    judged = EVIDENT.judge(EVIDENT.lr * 2)
    assert not judged.is_sure
    assert judged._repr_html_() == f"<p>{escape(judged.sentence)}</p>"
    plain = json.loads(json.dumps(judged.to_dict()))
    assert (plain["verdict"], plain["is_sure"], plain["sentence"]) == (judged.verdict, False, judged.sentence)


@pytest.mark.parametrize("name", ["curve.png", "CURVE.SVG"])
def test_a_picture_is_neither_saved_as_json_nor_taken_for_axes(tmp_path, name):
    for mistaken in (finding().save, finding().plot):
        with pytest.raises(BadInputError, match=r"finding\.plot\(\)\.figure\.savefig\(.*" + name):
            mistaken(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_notebook_shows_the_picture_and_the_words_escaped():
    lrs = tuple(1e-4 * 1.5**step for step in range(20))
    losses = tuple(2.0 - 0.05 * step for step in range(20))
    record = Record(Probe(lrs), lrs, losses, "done", optimizer="<b>Adam</b>")
    page = finding(records=(record,), notes=("<script>alert(1)</script> & more",))._repr_html_()
    (data,) = re.findall(r'<img alt="[^"]*" style="[^"]*" src="data:image/png;base64,([^"]*)">', page)
    assert b64decode(data, validate=True).startswith(b"\x89PNG")
    words = re.sub(r"<img[^>]*>", "", page)
    assert set(re.findall(r"<[^>]*>", words)) == {
        *('<div style="max-width: 46em">', "<p>", "<strong>", "</strong>", "<br>", "</p>", "</div>")
    }
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
    assert "lr 0.1" in page
    assert finding(records=())._repr_html_().startswith("<div")


def test_a_file_of_an_earlier_version_is_read():
    data = finding(final_fraction=0.1, total_steps=7, epochs=2.0).to_dict()
    assert Finding.from_dict(data) == finding(final_fraction=0.1, total_steps=7, epochs=2.0)
    for name in ("final_fraction", "total_steps", "epochs"):
        del data[name]
    assert Finding.from_dict(data) == finding()


@pytest.mark.parametrize(
    ("ratios", "said"),
    [
        ((1.0, 0.1), "param groups: 0.1, 0.01"),
        ((1.0, 1.0, 5.0), "param groups: 0.1, 0.1, 0.5"),
        (
            (1.0, *(0.5**depth for depth in range(1, 9))),
            "param groups: 9, from 0.000391 to 0.1",
        ),
    ],
)
def test_each_param_groups_rate_is_said_where_they_differ(ratios, said):
    alike = finding()
    grouped = replace(alike, records=(replace(alike.records[0], ratios=ratios),))
    assert said in str(grouped).replace("\n", " ")
    assert said in grouped._repr_html_()
    assert "param groups" not in str(alike)

"""The README's code runs, and the names it uses exist."""

import re
from pathlib import Path

import pytest
import torch
from shown import differences, shown_after

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
def test_every_block_runs_in_order_and_prints_what_is_shown(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    names, checked = {}, 0
    for kind, _, block, output in shown_after(README):
        assert kind == "python"
        exec(compile(block, "README.md", "exec"), names)
        printed = capsys.readouterr().out
        if output is not None:
            assert differences(output, printed) == []
            checked += 1
        else:
            assert printed == ""  # what is printed is shown
    assert checked == 2
    assert names["optimizer"].param_groups[0]["lr"] == names["finding"].lr
    assert (tmp_path / "finding.json").exists()
    assert isinstance(names["model"], torch.nn.Module)


def test_what_comes_first_is_where_to_read_how_to_install_and_what_is_printed():
    places = [README.index(words) for words in ("docs/index.md", "## Install", "pip install '.", "```text", "| --- |")]
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        ("lr 0.0037 for Adam\n  cost: 49 steps, 0.5 s", "lr 0.00371 for Adam cost: 49 steps, 7.8 s", True),
        ("lr 0.0037", "lr 0.0041", False),
        ("12,000 steps", "12,100 steps", True),
        ("1e-05", "1.1e-05", False),
        ("held constant", "held", False),
    ],
)
def test_an_output_that_is_shown_otherwise_is_found_out(shown, printed, same):
    assert (differences(shown, printed) == []) is same


def test_every_file_it_links_to_is_there():
    root = Path(__file__).parents[1]
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if not link.startswith("http")]
    assert links
    assert [link for link in links if not (root / link).exists()] == []

"""The README's code runs, and the names it uses exist."""

import re
from pathlib import Path

import pytest
import torch

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
def test_every_block_runs_in_order(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    names = {}
    for block in BLOCKS:
        exec(compile(block, "README.md", "exec"), names)
    assert len(BLOCKS) == 3
    assert names["optimizer"].param_groups[0]["lr"] == names["finding"].lr
    assert str(names["finding"]) in capsys.readouterr().out
    assert (tmp_path / "finding.json").exists()
    assert isinstance(names["model"], torch.nn.Module)


def test_every_file_it_links_to_is_there():
    root = Path(__file__).parents[1]
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if not link.startswith("http")]
    assert links
    assert [link for link in links if not (root / link).exists()] == []

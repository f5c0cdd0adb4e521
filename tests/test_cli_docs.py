"""The commands of the command line's page run, in order, on the file that the page shows."""

import json
import re
import sys
from pathlib import Path

import pytest
from shown import differences, shown_after

from lrfind import cli

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "cli.md").read_text(encoding="utf-8")
FILE = re.search(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)[1]
COMMANDS = [line for block in re.findall(r"```bash\n(.*?)```", PAGE, flags=re.DOTALL) for line in block.splitlines()]


def test_every_command_runs(tmp_path, monkeypatch, capsys):
    (tmp_path / "train.py").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.delitem(sys.modules, "train", raising=False)
    assert {line.split()[1] for line in COMMANDS} == {"find", "compare", "show"}
    for line in COMMANDS:
        program, *arguments = line.split()
        assert program == "lrfind"
        monkeypatch.setattr(sys, "argv", [program, *arguments])
        with pytest.raises(SystemExit) as done:
            cli.main()
        assert not done.value.code, line
        printed = capsys.readouterr().out
        assert "--json" not in line or json.loads(printed)
    assert {"finding.json", "finding.html", "curve.png", "runs"} <= {path.name for path in tmp_path.iterdir()}
    assert Path("runs/compare/report.html").exists()


def test_the_quick_start_prints_what_is_shown(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    shown = [*shown_after((DOCS / "start" / "shell.md").read_text(encoding="utf-8"))]
    assert [(kind, output is not None) for kind, _, _, output in shown] == [("bash", True)]
    for _, _, command, output in shown:
        monkeypatch.setattr(sys, "argv", command.split())
        with pytest.raises(SystemExit) as done:
            cli.main()
        assert not done.value.code
        assert differences(output, capsys.readouterr().out) == []

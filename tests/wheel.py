"""Checks an installed wheel beside nothing but what it requires: ``make package`` runs it in a clean environment.

Usage: ``python tests/wheel.py README.md core`` after ``pip install lrfind-*.whl``, and with ``extras`` for ``core``
once its extras ``cli`` and ``plot`` were installed.
"""

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path


def command(*words):
    """Run the command that the wheel installs."""
    program = Path(sys.executable).with_name("lrfind")
    return subprocess.run([program, *words], capture_output=True, text=True, check=False)


def main(readme, what):
    """Run README's first example, and try what the extras are for."""
    import lrfind
    from lrfind.errors import MissingExtraError

    assert "site-packages" in lrfind.__file__, f"the wheel is not what is imported: {lrfind.__file__}"
    blocks = re.findall(r"```python\n(.*?)```", Path(readme).read_text(encoding="utf-8"), flags=re.DOTALL)
    names = {}
    exec(compile(blocks[0], readme, "exec"), names)
    finding = names["finding"]
    assert names["optimizer"].param_groups[0]["lr"] == finding.lr
    said = command("--version")
    if what == "extras":
        assert said.stdout.split() == ["lrfind", lrfind.__version__], said
        import matplotlib as mpl

        mpl.use("Agg")
        assert finding.plot().get_lines()
        return
    assert not [name for name in ("rich", "matplotlib", "typer", "jsonargparse") if find_spec(name)]
    assert said.returncode == 1
    assert "pip install 'lrfind[cli]'" in said.stderr, said
    assert "<p>" in finding._repr_html_()
    sentence = ""
    try:
        finding.plot()
    except MissingExtraError as error:
        sentence = str(error)
    assert "pip install 'lrfind[plot]'" in sentence, sentence


if __name__ == "__main__":
    main(*sys.argv[1:])
    print(f"{sys.argv[2]}: ok")

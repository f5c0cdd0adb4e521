"""Imports point down only, and what is optional is imported when it is used."""

import ast
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import lrfind

ROOT = Path(lrfind.__file__).parent

ROOMS = [
    ["errors", "words", "replies"],
    ["codec"],
    ["records"],
    ["schedules"],
    ["curves"],
    ["suggest"],
    ["strategies"],
    ["optim"],
    ["isolation"],
    ["loop", "ranks", "steps"],
    ["resume"],
    ["progress"],
    ["search"],
    ["finder"],
    ["pytorch", "lightning", "huggingface"],
    ["compare"],
    ["plots"],
    ["report"],
    ["demo"],
    ["cli"],
    ["__main__"],
]
LEVEL = {room: level for level, rooms in enumerate(ROOMS) for room in rooms}

DOORS = {
    ("records", "apply", "optim"),
    ("records", "at", "search"),
    ("records", "judge", "strategies"),
    ("records", "plot", "plots"),
    ("records", "_repr_html_", "plots"),
}
"""Methods that open a higher room when called; docs/decisions/0001-finding-has-doors.md says why."""

MODULES = sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")


def room_of(path):
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(node, function=""):
    """Yield (function, imported room) for every import of lrfind that runs, with the function it stands in."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from imports(child, child.name)
            continue
        names = []
        if isinstance(child, ast.ImportFrom):
            names = [f"{child.module}.{alias.name}" for alias in child.names]
        elif isinstance(child, ast.Import):
            names = [alias.name for alias in child.names]
        yield from ((function, name.split(".")[1]) for name in names if name.startswith("lrfind."))
        yield from imports(child, function)


def upward(path):
    room = room_of(path)
    found = imports(ast.parse(path.read_text(encoding="utf-8")))
    return {(room, function, other) for function, other in found if other != room and LEVEL[other] >= LEVEL[room]}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down(path):
    assert upward(path) <= DOORS


def test_every_door_is_in_use():
    assert set().union(*map(upward, MODULES)) == DOORS


def test_nothing_optional_is_imported_before_it_is_used():
    code = "import sys, torch; before = set(sys.modules); import lrfind; print(*(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    new = {name.split(".")[0] for name in done.stdout.split()} - set(sys.stdlib_module_names)
    assert {name for name in new if "cython" not in name} <= {"lrfind", "numpy"}  # Cython's runtime comes with NumPy


def installed_with(extra):
    """The names of what an extra installs, beside what everybody has."""
    wanted = [line for line in metadata.requires("lrfind") if re.search(rf"extra == ['\"]{extra}['\"]", line)]
    return {re.split(r"[\[<>=~!; ]", line)[0].lower() for line in wanted}


def test_an_extra_brings_what_its_users_are_told_to_install_it_for():
    told = set()
    for path in MODULES:
        for call in re.findall(r"(?:check_installed|MissingExtraError)\(([^)]*)\)", path.read_text()):
            *packages, extra = re.findall(r'"([\w-]+)"', call) or [None]
            told |= {(package.lower(), extra) for package in packages}
    assert ("plotly", "demo") in told
    assert [one for one in sorted(told) if one[0] not in installed_with(one[1])] == []


def test_help_and_completion_wait_for_no_torch():
    code = "import sys, lrfind.cli; assert not {'torch', 'scipy', 'matplotlib'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_loops_are_there_without_being_imported_first():
    code = "import lrfind; print(lrfind.find, lrfind.lightning.find, lrfind.huggingface.find, lrfind.compare.compare)"
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE)
    with pytest.raises(AttributeError, match="'lrfind' has no attribute 'fnd'"):
        lrfind.fnd  # noqa: B018

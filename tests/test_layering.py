"""Imports point down only, and what is optional is imported when it is used."""

import ast
import inspect
import pydoc
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from importlib import metadata
from pathlib import Path

import pytest

import lrfind
from lrfind.errors import MissingExtraError, from_extra
from lrfind.options import NAMES

ROOT = Path(lrfind.__file__).parent

ROOMS = [
    ["errors", "replies", "numbers", "rank_store"],
    ["words", "codec", "schedules"],
    ["records"],
    ["curves"],
    ["suggest"],
    ["strategies"],
    ["charts"],
    ["plots"],
    ["loggers", "flags"],
    ["isolation"],
    ["optim"],
    ["ranks", "steps"],
    ["loop"],
    ["options", "progress"],
    ["search"],
    ["finder"],
    ["pytorch", "lightning", "huggingface"],
    ["compare"],
    ["report"],
    ["demo"],
    ["cli"],
    ["__main__"],
]
LEVEL = {room: level for level, rooms in enumerate(ROOMS) for room in rooms}

DOORS = {
    ("records", "apply", "optim"),
    ("records", "at", "options"),
    ("records", "judge", "strategies"),
    ("records", "length", "suggest"),
    ("records", "plot", "plots"),
    ("records", "_repr_html_", "plots"),
    ("compare", "_repr_html_", "report"),
}
"""Methods that open a higher room when called; docs/decisions/0001-finding-has-doors.md says why."""

MODULES = sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")


def room_of(path):
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(node):
    """Yield (function, imported room) for every import of lrfind that runs, with the function it stands in."""
    return ((function, name.split(".")[1]) for function, name in imported(node))


def imported(node, function=""):
    """Yield (function, imported name) for every import of lrfind that runs."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from imported(child, child.name)
            continue
        names = []
        if isinstance(child, ast.ImportFrom):
            names = [f"{child.module}.{alias.name}" for alias in child.names]
        elif isinstance(child, ast.Import):
            names = [alias.name for alias in child.names]
        yield from ((function, name) for name in names if name.startswith("lrfind."))
        yield from imported(child, function)


def upward(path):
    room = room_of(path)
    found = imports(ast.parse(path.read_text(encoding="utf-8")))
    return {(room, function, other) for function, other in found if other != room and LEVEL[other] >= LEVEL[room]}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down(path):
    assert upward(path) <= DOORS


def test_every_door_is_in_use():
    assert set().union(*map(upward, MODULES)) == DOORS


def module_of(path):
    return ".".join(("lrfind", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")


def test_modules_import_each_other_in_no_circle_but_through_the_doors():
    known = {module_of(path) for path in MODULES}
    needs = {}
    for path in MODULES:
        room, needed = room_of(path), needs.setdefault(module_of(path), set())
        for function, name in imported(ast.parse(path.read_text(encoding="utf-8"))):
            module = name if name in known else name.rpartition(".")[0]
            if module in known and (room, function, module.split(".")[1]) not in DOORS:
                needed.add(module)
    assert "lrfind.compare.comparison" in needs["lrfind.report.rows"]
    TopologicalSorter(needs).prepare()  # raises where there is a circle


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
    assert ("jinja2", "demo") in told
    assert [one for one in sorted(told) if one[0] not in installed_with(one[1])] == []


def test_what_is_missing_is_said_with_what_to_install():
    sentence = r"no_such_library is not installed; .*pip install 'lrfind\[plot\]'"
    with pytest.raises(MissingExtraError, match=sentence), from_extra("plot"):
        import no_such_library.of_mine  # noqa: F401
    with pytest.raises(ModuleNotFoundError) as caught, from_extra("plot"):
        import lrfind.no_such_module  # noqa: F401
    assert not isinstance(caught.value, MissingExtraError)  # a fault of ours is not told as the user's
    code = "import sys; sys.modules['typer'] = None; from lrfind.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.strip() == "lrfind: typer is not installed; install it with: pip install 'lrfind[cli]'."


def test_every_extra_that_is_named_is_one():
    project = (ROOT.parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    extras = set(
        re.findall(r"^([\w-]+) = \[", project.split("[project.optional-dependencies]")[1].split("\n[")[0], re.M)
    )
    named = {extra for path in MODULES for extra in re.findall(r'from_extra\("([\w-]+)"\)', path.read_text())}
    assert {"cli", "plot", "ray"} <= named <= extras


def test_help_and_completion_wait_for_no_torch():
    code = "import sys, lrfind.cli; print({'torch', 'scipy', 'matplotlib'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE, text=True)
    assert done.stdout.strip() == "set()"


def test_the_loops_are_there_without_being_imported_first():
    code = "import lrfind; print(lrfind.find, lrfind.lightning.find, lrfind.huggingface.find, lrfind.compare.compare)"
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE)
    with pytest.raises(AttributeError, match="'lrfind' has no attribute 'fnd'"):
        lrfind.fnd  # noqa: B018


def test_dir_and_help_show_the_public_names_and_an_example():
    assert {name for name in dir(lrfind) if not name.startswith("__")} == {
        *(name for name in lrfind.__all__ if not name.startswith("__")),
        *("compare", "huggingface", "lightning", "pytorch"),
    }
    said = pydoc.render_doc(lrfind, renderer=pydoc.plaintext)
    assert "finding = lrfind.find(model, optimizer, loader" in said
    assert [name for name in lrfind.__all__ if name != "__version__" and name not in said] == []
    for name in lrfind.__all__:
        assert getattr(lrfind, name) is not None


def test_every_option_is_shown_with_its_meaning():
    for function in (lrfind.find, lrfind.lightning.find, lrfind.huggingface.find):
        parameters = inspect.signature(function).parameters
        said = pydoc.render_doc(function, renderer=pydoc.plaintext)
        for name in NAMES:
            assert parameters[name].kind is inspect.Parameter.KEYWORD_ONLY
            assert re.search(rf"^ +{name}: [A-Z`]", said, re.MULTILINE), name
        assert parameters["steps"].default == lrfind.RangeTest().steps
        assert parameters["schedule"].default is None  # the training's own scheduler says it
        assert parameters["budget"].default == lrfind.Replicated().budget
    for kind in (lrfind.lightning.LRFinder, lrfind.huggingface.LRFinder):
        assert [name for name in NAMES if not re.search(rf"^ +{name}: [A-Z`]", kind.__doc__, re.MULTILINE)] == []


def test_compare_is_called_without_saying_it_twice(monkeypatch):
    import lrfind.compare.function as home

    monkeypatch.setattr(home, "compare", lambda *given, **named: (given, named))
    assert lrfind.compare(1, lrs=(2,)) == lrfind.compare.compare(1, lrs=(2,)) == ((1,), {"lrs": (2,)})
    assert lrfind.compare.Training.__name__ == "Training"

"""The documentation: its code runs, what it names exists, the site builds without a warning and fetches nothing."""

import ast
import importlib
import json
import os
import re
import subprocess
import sys
from functools import cache
from html import escape
from pathlib import Path

import pytest
from shown import differences, shown_after

from lrfind import Finding
from lrfind.suggest import METHODS, RULES

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
NOTEBOOKS = sorted(page for page in (DOCS / "gallery").glob("*.md") if page.stem != "index")
"""Pages whose blocks run when the site is built."""

FENCE = re.compile(r"^```python(.*?)\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)
RUN, BEFORE = ("", ' title="With lrfind"'), ' title="Before"'
"""What marks code that runs, and another library's code, which is compiled and not run."""
SCRIPT = re.compile(r' title="(\w+\.py)"')
"""What marks a script that is a file, for two processes."""

NAMED_TEST = re.compile(r"tests/test_\w+\.py::[\w:]+")
FETCHED = re.compile(r"""<(?:script|link|img|iframe|source)\b[^>]*?(?:src|href)=["']?(?:https?:)?//""")


def name_of(page):
    return str(page.relative_to(DOCS))


def blocks_of(page):
    return FENCE.findall(page.read_text(encoding="utf-8"))


def named_tests(page):
    return NAMED_TEST.findall(page.read_text(encoding="utf-8"))


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("page", [page for page in PAGES if blocks_of(page) and page not in NOTEBOOKS], ids=name_of)
def test_every_block_runs_in_order_and_prints_what_is_shown(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    names = {"__name__": "docs"}
    for kind, mark, block, output in shown_after(page.read_text(encoding="utf-8")):
        if kind != "python":
            continue
        assert mark in (*RUN, BEFORE) or SCRIPT.fullmatch(mark)
        code = compile(block, page.name, "exec")
        capsys.readouterr()
        if mark in RUN:
            exec(code, names)
            assert output is None or differences(output, capsys.readouterr().out) == []
    findings = [one for one in names.values() if isinstance(one, Finding)]
    assert findings
    for finding in findings:
        assert finding.base_lr <= finding.lr <= finding.max_lr
        assert finding.cost.steps == sum(len(record.lrs) for record in finding.records)
    assert {path.name for path in tmp_path.iterdir()} <= {"out", "finding.json"}  # what the pages say they write


SCRIPTS = {
    SCRIPT.fullmatch(kind)[1]: block for page in PAGES for kind, block in blocks_of(page) if SCRIPT.fullmatch(kind)
}


SLOW = ("finetune_fsdp.py", "fsdp2.py", "fabric_ddp.py", "accelerate_ddp.py")  # test_two_processes.py has their kinds


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n in SLOW)) for n in SCRIPTS])
def test_each_script_for_several_processes_runs_and_they_agree(tmp_path, name):
    (tmp_path / name).write_text(SCRIPTS[name], encoding="utf-8")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    launcher = [] if name == "lightning_ddp.py" else torchrun
    command = [sys.executable, *launcher, name]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240)
    said = dict(re.findall(r"rank (\d): lr ([\d.e-]+)", done.stdout))  # two processes may share a line
    assert sorted(said) == ["0", "1"], done.stderr[-2000:]  # said last; gloo may abort while the group ends
    assert said["0"] == said["1"]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_file_a_page_links_to_is_there(page):
    links = re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not link.startswith("http") and not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", [*filter(named_tests, PAGES)], ids=name_of)
def test_every_test_a_page_names_is_there(page):
    named = [test.split("::", 1) for test in named_tests(page)]
    assert [f"{path}::{name}" for path, name in named if name not in names_in(ROOT / path)] == []


TRAPS = """Lightning 21141 14167 4846 16561 1850 1726 21401 11737 13856; fastai 962 2487 3688; ignite 1482; darts 2334;
pytorch-forecasting 941; torch-lr-finder 11 61 71 73 78 55 21 80"""
"""The threads in which other finders were seen to fail."""


@pytest.mark.parametrize("threads", TRAPS.split(";"), ids=lambda threads: threads.split()[0])
def test_every_known_trap_names_its_tests(threads):
    library, *numbers = threads.split()
    rows = [row.split("|")[2:4] for row in (DOCS / "promises.md").read_text().splitlines() if row.count("|") == 4]
    for number in numbers:
        assert any(re.search(rf"{library}[ #\d,]* #{number}\b", seen) and named.strip() for seen, named in rows), number


@cache
def names_in(path):
    def walk(nodes, prefix=""):
        for node in nodes:
            if isinstance(node, ast.ClassDef):
                yield from walk(node.body, f"{prefix}{node.name}::")
            elif isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                yield prefix + node.name

    return set(walk(ast.parse(path.read_text(encoding="utf-8")).body))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    # not with --quiet: what mkdocs does not say, it does not count as a warning either
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    quiet = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(command, cwd=ROOT, env=quiet, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return folder


def test_the_site_builds_with_warnings_as_errors_and_has_every_page(site):
    assert [name_of(page) for page in PAGES if not (site / page.relative_to(DOCS).with_suffix(".html")).is_file()] == []


def test_the_site_holds_nothing_but_pages_and_what_they_show(site):
    assert list(site.rglob("*.py")) == []


@pytest.mark.parametrize("page", NOTEBOOKS, ids=name_of)
def test_a_notebook_of_the_gallery_shows_what_it_gave(site, page):
    text = (site / "gallery" / f"{page.stem}.html").read_text(encoding="utf-8")
    notebook = json.loads((site / "gallery" / f"{page.stem}.ipynb").read_text(encoding="utf-8"))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert ["".join(cell["source"]) for cell in code] == [block.strip("\n") for _, block in blocks_of(page)]
    outputs = [output for cell in code for output in cell["outputs"]]
    assert [output for output in outputs if output.get("name") == "stdout" and escape(output["text"]) not in text] == []
    assert any("text/html" in output.get("data", ()) and "base64" in output["data"]["text/html"] for output in outputs)
    found, *others = (float(share) for share in re.findall(r"([\d.]+)%[\w -]* right", text))
    assert found > max(others) - 2.0
    assert f'href="{page.stem}.ipynb"' in text


def test_search_works_in_pages_that_are_opened_from_disk(site):
    assert (site / "search" / "search_index.js").read_text(encoding="utf-8").startswith("var __index = {")
    assert 'src="assets/iframe-worker.js"' in (site / "index.html").read_text(encoding="utf-8")


def test_a_block_that_raises_breaks_the_build(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# A\n\n```python\nprint(1)\n2\n```\n\n```python\n1 / 0\n```\n")
    command = [sys.executable, str(DOCS / "notebooks.py"), str(page)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, "ZeroDivisionError" in done.stderr) == (1, True)
    page.write_text(page.read_text().replace("1 / 0", "3"))
    cells = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)["cells"]
    assert [cell["cell_type"] for cell in cells] == ["markdown", "code", "code"]
    assert [output.get("text") or output["data"]["text/plain"] for output in cells[1]["outputs"]] == ["1\n", "2"]


def test_the_site_fetches_nothing_from_elsewhere(site):
    pages = {page: page.read_text(encoding="utf-8") for page in site.rglob("*.html")}
    assert len(pages) > len(PAGES)  # and the page for what is not found
    assert [str(page) for page, text in pages.items() if FETCHED.search(text)] == []
    styles = [style.read_text(encoding="utf-8") for style in site.rglob("*.css")]
    assert styles
    assert [style for style in styles if re.search(r"@import|url\([\"']?(https?:)?//", style)] == []


@pytest.mark.parametrize(
    "module", ["lrfind", "lrfind.lightning", "lrfind.huggingface", "lrfind.compare", "lrfind.report"]
)
def test_every_public_name_is_in_the_api(site, module):
    text = (site / "api" / f"{module.rpartition('.')[2]}.html").read_text(encoding="utf-8")
    public = [name for name in importlib.import_module(module).__all__ if name != "__version__"]
    assert public
    assert [name for name in public if not re.search(rf'id="lrfind[\w.]*\.{name}"', text)] == []


@pytest.mark.parametrize("method", METHODS)
def test_every_reading_is_in_the_api(site, method):
    assert f'id="{RULES[method].__module__}.{method}"' in (site / "api" / "suggest.html").read_text(encoding="utf-8")

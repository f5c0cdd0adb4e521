import importlib
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from io import StringIO
from types import ModuleType

import numpy as np
import pytest
import torch
from curves_with_answers import loss_at, made_up
from rich.console import Console
from torch.optim import SGD
from torch.optim.lr_scheduler import ExponentialLR

from lrfind.errors import BadInputError, LRFindError, ProbeError
from lrfind.loop import Loop
from lrfind.options import to_strategy
from lrfind.progress import EVERY, Display, display
from lrfind.records import Cost, Finding, Probe, Record
from lrfind.schedules import SCHEDULES
from lrfind.search import find_with, search
from lrfind.strategies.range_test import RangeTest
from lrfind.strategies.replicated import Replicated
from lrfind.suggest.calibrated import SHORTER


class MadeUpLoop(Loop):
    """A loop whose losses are a formula of the rate."""

    _begin = _run = None

    def __init__(self):
        self.probes = []

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def run(self, probe, on_step):
        self.probes.append(probe)
        losses = tuple(
            map(float, loss_at(probe.lrs) + 0.02 * np.random.default_rng(probe.seed).standard_normal(len(probe.lrs)))
        )
        for lr, loss in zip(probe.lrs, losses, strict=True) if on_step else ():
            on_step(lr, loss)
        return Record(probe, probe.lrs, losses, "done", seconds=1.0)


def test_a_search_counts_everything_it_ran():
    rounds, steps, kept = [], [], []
    loop, shown = MadeUpLoop(), Display(lambda *line: None, RangeTest())
    shown.on_round, shown.on_step = rounds.append, lambda lr, loss: steps.append(lr)
    shown.on_record = lambda records: kept.append(len(records))
    finding = search(RangeTest(), loop, keep=lambda records: kept.append(len(records)), shown=shown)
    assert len(loop.probes) == 1
    assert rounds == [loop.probes]
    assert tuple(steps) == loop.probes[0].lrs
    assert kept == [1, 1]
    assert finding.cost.steps == 128


class Terminal:
    """Keeps what is written, line by line, without what moves the cursor."""

    def __init__(self, monkeypatch, *, terminal=True):
        self.stream = StringIO()
        console = Console(file=self.stream, force_terminal=terminal, width=120, legacy_windows=False, _environ={})
        monkeypatch.setattr("rich.console.Console", lambda **options: console)

    @property
    def text(self):
        return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", self.stream.getvalue())


@pytest.mark.parametrize(("progress", "shown"), [(True, True), (False, False)])
def test_progress_is_shown_in_a_terminal_unless_it_is_off(monkeypatch, progress, shown):
    screen = Terminal(monkeypatch)
    find_with(MadeUpLoop(), progress=progress)
    assert ("lrfind ━" in screen.text) is shown
    assert screen.text.strip() == "" or shown


def test_progress_goes_to_the_error_stream(capsys, monkeypatch):
    monkeypatch.setattr("rich.console.Console.is_terminal", True)
    find_with(MadeUpLoop())
    out, err = capsys.readouterr()
    assert out == ""
    assert "lrfind" in err


@pytest.mark.parametrize(("every", "progress", "lines"), [(0.0, True, 200), (15.0, True, 0), (0.0, False, 0)])
def test_a_log_gets_a_line_now_and_then_with_the_time_left(capsys, monkeypatch, every, progress, lines):
    monkeypatch.setitem(EVERY, "log", every)
    finding = find_with(MadeUpLoop(), progress=progress)
    out, err = capsys.readouterr()
    said = err.splitlines()
    assert out == ""
    assert len(said) >= min(lines, finding.cost.steps)
    assert (len(said) == 0) is (lines == 0)
    assert all(re.match(r"lrfind: range test \d", line) and line.endswith(" steps)") for line in said)
    assert any(re.search(r"lr 1.1e-06  loss .*\| +\d+ s left .*\(2 of 128 steps\)", line) for line in said) is (
        lines > 0
    )


class Shell:
    """What IPython gives to a cell of a notebook: a kernel, and output that is changed by its display id."""

    def __init__(self, monkeypatch, *, kernel):
        self.kernel, self.shown = kernel, []
        outside, inside = ModuleType("IPython"), ModuleType("IPython.display")
        outside.get_ipython, inside.HTML, inside.display = lambda: self, str, self._display
        monkeypatch.setitem(sys.modules, "IPython", outside)
        monkeypatch.setitem(sys.modules, "IPython.display", inside)

    def _display(self, page, *, display_id):
        assert display_id
        self.update(page)
        return self

    def update(self, page):
        self.shown.append(page)


@pytest.mark.parametrize("kernel", [object(), None])
def test_a_notebook_gets_a_bar_that_is_gone_at_the_end_and_ipython_in_a_terminal_gets_none(monkeypatch, kernel):
    shell = Shell(monkeypatch, kernel=kernel)
    monkeypatch.setitem(EVERY, "notebook", 0.0)
    find_with(MadeUpLoop())
    if kernel is None:
        assert shell.shown == []
        return
    first, *between, last = shell.shown
    assert (first, last) == ("", "")
    assert len(between) > 100
    assert all('<progress value="' in page and "range test" in page for page in between)
    assert any(" s left" in page for page in between)


def test_progress_says_which_range_test_it_is_the_loss_and_the_rate_so_far():
    said = []
    shown = Display(lambda *line: said.append(line), Replicated())
    first = RangeTest()._probe()
    shown.on_round([first])
    shown.on_step(1e-6, 2.25)
    assert shown.line.startswith("range test 1  lr 1.0e-06  loss 2.25")
    assert said[-1] == (shown.line, 1, 128)
    records = [made_up()]
    shown.on_record(records)
    shown.on_round([first, first])
    assert shown.line == f"range test 2 of 3  |  so far {RangeTest().read(records[0]):.1e}"
    shown.on_step(2e-6, -100.0)
    assert shown.line.startswith("range test 2 of 3  lr 2.0e-06  loss -100")
    shown.on_record(records * 2)
    assert shown.line.startswith("range test 3 of 3")


def test_a_log_has_no_line_before_the_first_step_however_long_it_took_to_begin(monkeypatch):
    now, said = [100.0], []
    monkeypatch.setattr("lrfind.progress.perf_counter", lambda: now[0])
    shown = Display(lambda *line: said.append(line), RangeTest(), every=5.0, wait=5.0)
    now[0] += 60.0  # other ranks come late, say
    shown.on_round([RangeTest()._probe()])
    assert said == []
    now[0] += 60.0
    shown.on_step(1e-6, 2.25)
    assert [line.split("  ")[0] for line, *_ in said] == ["range test 1"]


def test_progress_of_a_strategy_that_cannot_tell_the_best_so_far(monkeypatch):
    Terminal(monkeypatch)

    class Two:
        def propose(self, records):
            return [Probe((0.1, 0.1)), Probe((0.1,), 1)] if not records else RangeTest().propose([made_up()])

    with display(Two()) as shown:
        search(Two(), MadeUpLoop(), shown=shown)
        assert shown.line == "probe 2 of 2"


def test_a_search_that_was_cut_short_goes_on_from_its_records():
    loop = MadeUpLoop()
    whole = search(RangeTest(), loop)
    resumed = search(RangeTest(), loop, records=whole.records)
    assert len(loop.probes) == 1
    assert (resumed.lr, resumed.records, resumed.interval) == (whole.lr, whole.records, whole.interval)
    assert resumed.cost.seconds >= 1.0


def test_a_round_that_was_cut_short_goes_on_within_it():
    """Also for a strategy that knows nothing of half rounds."""

    class Round:
        def propose(self, records):
            if not records:
                return [Probe((0.1,), seed) for seed in range(3)]
            assert len(records) == 3
            return RangeTest().propose([made_up()])

    whole, loop = search(Round(), MadeUpLoop()), MadeUpLoop()
    again = [Record(Probe((0.1,), seed), (0.1,), (2.0,), "done") for seed in range(2)]
    assert search(Round(), loop, records=again).lr == whole.lr
    assert [probe.seed for probe in loop.probes] == [2]


def test_records_that_cannot_be_read_come_with_the_error_and_another_method_may_read_them():
    loop = MadeUpLoop()
    with pytest.raises(ProbeError, match="did not fall") as caught:
        search(RangeTest(max_lr=1e-5), loop)
    (record,) = caught.value.records
    assert (record.probe, len(record.losses)) == (loop.probes[0], 128)
    assert 9e-8 < RangeTest(method="minimum").read(record) < 2e-6  # a tenth of where the least loss is


def test_a_probe_that_cannot_be_run_leaves_those_before_it_with_the_error():
    class Failing(MadeUpLoop):
        def run(self, probe, on_step):
            if self.probes:
                raise ProbeError("the optimizer took no step")
            return super().run(probe, on_step)

    loop = Failing()
    with pytest.raises(ProbeError) as caught:
        search(Replicated(RangeTest(total_steps=10_000)), loop)
    assert [record.probe for record in caught.value.records] == loop.probes
    assert ProbeError("alone").records == ()


def test_a_loop_that_fails_fails_the_search():
    class Broken:
        def run(self, probe, on_step):
            raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"):
        search(RangeTest(), Broken())
    assert search(RangeTest(max_lr=1.0), Broken(), records=[made_up()]).cost.steps == 128


def test_records_of_another_search_are_refused():
    with pytest.raises(
        BadInputError, match=r"another search: there probe was lr=1e-06\.\.1 in 128 steps with seed 0, .*30"
    ):
        search(RangeTest(), MadeUpLoop(), records=[made_up()])


class Dies(MadeUpLoop):
    """A loop that is killed, as far as a process can be that goes on, in its n-th probe."""

    def __init__(self, after):
        super().__init__()
        self.after = after

    def run(self, probe, on_step):
        if len(self.probes) == self.after:
            raise KeyboardInterrupt
        return super().run(probe, on_step)


def same(found, other):
    """Equal but for the seconds."""
    return replace(found, cost=Cost(found.cost.steps, 0.0)) == replace(other, cost=Cost(other.cost.steps, 0.0))


@pytest.mark.parametrize("after", [0, 1, 2])
def test_an_interrupted_search_resumes_from_its_file_and_the_file_goes(tmp_path, after):
    file = tmp_path / "deep" / "search.json"
    with pytest.raises(KeyboardInterrupt):
        find_with(Dies(after), resume=file)
    assert len(json.loads(file.read_text())["records"]) == after
    loop = MadeUpLoop()
    resumed = find_with(loop, resume=str(file))
    assert len(loop.probes) == 3 - after
    assert same(resumed, find_with(MadeUpLoop()))
    assert list(file.parent.iterdir()) == []


def test_another_schedule_reads_the_same_file(tmp_path):
    file = tmp_path / "search.json"
    with pytest.raises(KeyboardInterrupt):
        find_with(Dies(2), resume=file)
    loop = MadeUpLoop()
    assert same(find_with(loop, resume=file, schedule="linear"), find_with(MadeUpLoop(), schedule="linear"))
    assert len(loop.probes) == 1


@pytest.mark.parametrize("options", [{"seed": 1}, {"min_lr": 1e-5}, {"max_lr": 1.0}, {"steps": 64}, {"ramp": "linear"}])
def test_a_file_of_another_search_is_refused_and_stays(tmp_path, options):
    file = tmp_path / "search.json"
    with pytest.raises(KeyboardInterrupt):
        find_with(Dies(1), resume=file)
    before, loop = file.read_text(), MadeUpLoop()
    with pytest.raises(
        BadInputError, match=r"another search: .* delete the file to search anew, or give resume= another"
    ):
        find_with(loop, resume=file, **options)
    assert (file.read_text(), loop.probes) == (before, [])


def test_what_an_earlier_search_left_is_whole_until_there_is_more(tmp_path, monkeypatch):
    """Its first probe is known, its second is another one: the file is as it was, also in between."""
    file = tmp_path / "search.json"
    with pytest.raises(KeyboardInterrupt):
        find_with(Dies(2), resume=file)
    before = file.read_text()
    monkeypatch.setattr("lrfind.strategies.replicated.AROUND", 4.0)
    with pytest.raises(BadInputError, match="there probe was"):
        find_with(MadeUpLoop(), resume=file)
    assert file.read_text() == before


def test_records_of_another_optimizer_are_refused(tmp_path):
    class Other(MadeUpLoop):
        def run(self, probe, on_step):
            return replace(super().run(probe, on_step), optimizer="Other")

    file = tmp_path / "search.json"
    with pytest.raises(KeyboardInterrupt):
        find_with(Dies(1), resume=file)
    with pytest.raises(BadInputError, match=r"of another search: there optimizer was '', and it is 'Other'"):
        find_with(Other(), resume=file)
    assert len(json.loads(file.read_text())["records"]) == 1


def test_a_schedule_that_was_read_as_constant_is_not_inherited():
    """Its shape over the other length is not known to the finding."""
    scheduler = ExponentialLR(SGD([torch.zeros(1)], lr=0.1), 0.99)
    finding = find_with(MadeUpLoop(), schedule=scheduler, progress=False)
    assert "read as constant; pass total_steps=" in finding.notes[0]
    with pytest.raises(BadInputError, match=r"shape of its schedule 'ExponentialLR'; pass schedule="):
        finding.at(total_steps=1000)
    told = to_strategy(schedule=scheduler, total_steps=1000)
    assert finding.at(schedule=scheduler, total_steps=1000).lr == told.test.find(finding.records).lr


def test_losses_that_cannot_be_read_end_the_search_and_its_file(tmp_path):
    class Flat(MadeUpLoop):
        def run(self, probe, on_step):
            return Record(probe, probe.lrs, (1.0,) * len(probe.lrs), "done")

    with pytest.raises(ProbeError, match="did not fall"):
        find_with(Flat(), resume=tmp_path / "search.json")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read as a search .*give another file"),
        ("", "cannot be read as a search"),
        ("\x00\x01", "cannot be read as a search"),
        ("[]", "cannot be read as a search .*JSON object, got a list"),
        ("{}", "cannot be read as a search .*schema .*give another file"),
        ('{"schema": "lrfind/finding/1"}', "schema 'lrfind/search/1', got 'lrfind/finding/1'.*give another file"),
        ('{"schema": "lrfind/search/1"}', "no 'records'.*give another file"),
        ('{"schema": "lrfind/search/1", "records": [{"probe": 1}]}', "cannot be read as a search"),
        ('{"schema": "lrfind/search/1", "records": ["x"]}', "cannot be read as a search"),
    ],
)
def test_a_file_that_cannot_be_resumed_from_is_said_and_stays(tmp_path, text, message):
    file, loop = tmp_path / "search.json", MadeUpLoop()
    file.write_text(text)
    with pytest.raises(BadInputError, match=message):
        find_with(loop, resume=file)
    assert (file.read_text(), loop.probes) == (text, [])


def test_a_file_that_cannot_be_written_is_said_before_any_work(tmp_path):
    (tmp_path / "file").touch()
    loop = MadeUpLoop()
    with pytest.raises(LRFindError, match="cannot be written"):
        find_with(loop, resume=tmp_path / "file" / "search.json")
    assert loop.probes == []


SCRIPT = """
import os, signal, sys
from pathlib import Path
import torch
from torch.nn import functional as F
import lrfind
import lrfind.pytorch, torch._dynamo  # once, not in every child

torch.set_num_threads(1)
torch.manual_seed(0)
inputs = torch.randn(512, 8)
data = torch.utils.data.TensorDataset(inputs, inputs[:, :1] * 2 + 0.1 * torch.randn(512, 1))
loader = torch.utils.data.DataLoader(data, batch_size=16, shuffle=True)
model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.Tanh(), torch.nn.Dropout(0.1), torch.nn.Linear(16, 1))


def search(last, out):
    steps = os.open(out + ".log", os.O_CREAT | os.O_WRONLY)  # a search puts back what a step counts in, but for this

    def loss(model, batch):
        os.write(steps, b".")
        if os.fstat(steps).st_size == last:
            os.kill(os.getpid(), signal.SIGKILL)
        return F.mse_loss(model(batch[0]), batch[1])

    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    finding = lrfind.find(model, optimizer, loader, loss, resume="search.json", epochs=100)
    finding.save(out)
    Path(out + ".steps").write_text(str(os.fstat(steps).st_size))
    return finding


def child(last, out):
    pid = os.fork()
    if pid == 0:
        search(last, out)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


assert child(0, "whole") == 0
first, second, third = (len(record.lrs) for record in lrfind.Finding.load("whole").records)
for last in (1, first, first + 1, first + second, first + second + third):
    assert child(last, f"killed-{last}") == -signal.SIGKILL
    assert child(0, f"resumed-{last}") == 0
"""


def test_a_search_that_is_killed_and_started_again_gives_the_same_finding(tmp_path):
    done = subprocess.run([sys.executable, "-c", SCRIPT], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    finding = Finding.load(tmp_path / "whole")
    first, second, third = (len(record.lrs) for record in finding.records)
    whole = first + second + third
    ran = {1: whole, first: whole, first + 1: second + third, first + second: second + third, whole: third}
    for last, steps in ran.items():
        resumed = Finding.load(tmp_path / f"resumed-{last}")
        assert int((tmp_path / f"resumed-{last}.steps").read_text()) == steps
        records = zip(finding.records, resumed.records, strict=True)
        assert all(replace(first, seconds=0.0) == replace(second, seconds=0.0) for first, second in records)
        assert same(replace(resumed, records=()), replace(finding, records=()))
        assert not (tmp_path / f"killed-{last}").exists()
    assert not (tmp_path / "search.json").exists()


RANKS = """
import json, os, sys
from pathlib import Path
import torch.distributed as dist
from test_search import Dies, MadeUpLoop
from lrfind.errors import LRFindError
from lrfind.ranks import Ranks
from lrfind.search import find_with

rank, folder = int(sys.argv[1]), Path(sys.argv[2])
dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
MadeUpLoop.ranks = Ranks.all()
own = folder / str(rank)  # as on two machines that share no disk
try:
    find_with(Dies(2), resume=own / "search.json")
except KeyboardInterrupt:
    pass
files = [file.name for file in own.glob("*")]
loop = MadeUpLoop()
lr = find_with(loop, resume=own / "search.json").lr
if rank == 0:
    own.joinpath("search.json").write_text("{")
dist.barrier()
try:
    find_with(MadeUpLoop(), resume=own / "search.json")
except LRFindError as error:
    words = str(error)
Path(folder, f"{rank}.json").write_text(json.dumps([files, len(loop.probes), lr, words]))
dist.destroy_process_group()
os._exit(0)  # gloo sometimes aborts a process that ends by itself
"""


def test_in_data_parallel_training_the_first_process_keeps_the_records_and_tells_the_others(tmp_path):
    path = os.pathsep.join([os.path.dirname(__file__), *sys.path])
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONWARNINGS": "ignore"}
    ranks = [
        subprocess.Popen([sys.executable, "-c", RANKS, str(rank), str(tmp_path)], env=environment) for rank in (0, 1)
    ]
    assert [rank.wait(timeout=120) for rank in ranks] == [0, 0]
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    assert (first[0], second[0]) == (["search.json"], [])
    assert first[1] == second[1] == 1
    assert first[2:] == second[2:]
    assert "cannot be read as a search" in second[3]


def test_a_finding_read_again_for_its_own_training_is_the_same_bit_for_bit():
    for schedule in ("constant", "linear", "one-cycle", lambda fraction: 1.0 - 0.7 * fraction):
        options = {"schedule": schedule, "total_steps": 1500, "epochs": 7}
        finding = find_with(MadeUpLoop(), **options)
        loaded = Finding.from_dict(json.loads(json.dumps(finding.to_dict())))
        for known in (finding, loaded):
            assert known.at() == known.at(total_steps=1500, epochs=7) == finding or schedule not in SCHEDULES
            assert known.at(**options).lr.hex() == known.at(total_steps=1500, epochs=7).lr.hex() == finding.lr.hex()
            assert known.at(**options) == finding


@pytest.mark.parametrize("strategy", [RangeTest(max_lr=1.0), Replicated(RangeTest(max_lr=1.0))])
@pytest.mark.parametrize(
    "options",
    [
        {"total_steps": 20_000},
        {"total_steps": 200},
        {"epochs": 3},
        {"schedule": "linear"},
        {"schedule": "cosine", "total_steps": 640, "epochs": 64},
    ],
)
def test_another_training_reads_what_a_search_for_it_would_have(strategy, options):
    class Adam(MadeUpLoop):
        def run(self, probe, on_step):
            return replace(super().run(probe, on_step), optimizer="Adam", steps_per_epoch=10.0)

    test = strategy if isinstance(strategy, RangeTest) else strategy.test
    first = replace(test, total_steps=5000, schedule="one-cycle")
    finding = search(first if strategy is test else replace(strategy, test=first), Adam())
    kept = {"total_steps": 5000} if not {"total_steps", "epochs"} & set(options) else {}
    wanted = replace(test, **{"schedule": "one-cycle", **kept, **options}).find(finding.records)
    read = finding.at(**options)
    assert replace(read, notes=()) == replace(wanted, cost=finding.cost, notes=())
    assert set(wanted.notes) <= set(read.notes)
    assert read != finding
    assert finding.at(**options).at(total_steps=5000, schedule="one-cycle") == finding


def test_a_torch_scheduler_is_read_over_the_other_length():
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1000, gamma=0.01)
    finding = search(to_strategy(schedule=scheduler, total_steps=2000), MadeUpLoop())
    assert finding.at(schedule=scheduler, total_steps=2000).lr == finding.lr
    short = finding.at(schedule=scheduler, total_steps=980)
    assert (short.lr, short.schedule) == (finding.at(schedule="constant", total_steps=980).lr, "StepLR")
    kept = finding.at(total_steps=980)
    assert kept.lr == pytest.approx(finding.lr * (2000 / 980) ** SHORTER)
    inherited, closer = kept.notes
    assert inherited == "The shape of StepLR is taken to be the same over the other length."
    assert "second, slower range test" in closer
    assert finding.at(total_steps=4000).notes == (inherited,)
    unknown = search(to_strategy(), MadeUpLoop()).at(schedule=scheduler)
    assert "StepLR was read as constant; pass total_steps=" in unknown.notes[0]


@pytest.mark.parametrize("method", ["steepest", "valley", "minimum", "slide"])
def test_other_readings_do_not_change_with_the_training_and_say_so(method):
    finding = search(to_strategy(method=method, total_steps=100_000), MadeUpLoop())
    other = finding.at(total_steps=1000, schedule="linear")
    assert (other.lr, other.interval, other.schedule, other.total_steps) == (
        finding.lr,
        finding.interval,
        "linear",
        1000,
    )
    assert other.notes == (
        f"The {method} reading knows nothing of the schedule and the length of training: lr is the same.",
    )


def test_a_finding_of_an_earlier_version_is_read_again_where_its_schedule_has_a_name():
    finding = find_with(MadeUpLoop(), schedule="linear", total_steps=500)
    old = replace(finding, final_fraction=None, total_steps=None, epochs=None)
    assert old.at(total_steps=500).lr == finding.lr
    with pytest.raises(BadInputError, match=r"does not hold the shape .* 'custom'; pass schedule="):
        replace(old, schedule="custom").at(total_steps=500)
    assert replace(old, schedule="custom").at(total_steps=500, schedule="linear").lr == finding.lr


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({}, {"total_steps": 0}, "total_steps must be above 0"),
        ({}, {"epochs": -1}, "epochs must be above 0"),
        ({}, {"schedule": "sawtooth"}, "schedule must be one of"),
        (
            {"method": "race"},
            {"total_steps": 10},
            "of the method 'race' and 1 records cannot be read for another training",
        ),
        ({"records": ()}, {"total_steps": 10}, "and 0 records cannot be read"),
    ],
)
def test_what_cannot_be_read_again_is_said(change, options, message):
    finding = replace(RangeTest().propose([made_up()]), **change)
    with pytest.raises(BadInputError, match=message):
        finding.at(**options)


@pytest.mark.parametrize("framework", ["lightning", "huggingface"])
def test_a_file_to_resume_from_is_refused_where_the_search_is_repeated(framework):
    if framework == "huggingface":
        pytest.importorskip("transformers")
    finder = importlib.import_module(f"lrfind.{framework}").LRFinder
    with pytest.raises(BadInputError, match="leave it out where every= asks for more"):
        finder(every=2, resume="search.json")
    finder(every=2)
    finder(resume="search.json")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epoch": 3}, "unknown option 'epoch'; did you mean 'epochs'"),
        ({"max_steps": 3}, "did you mean 'total_steps'"),
        ({"lr": 3}, "there are epochs, schedule, total_steps"),
        ({"schedule": 3}, "schedule must be one of.*scheduler of torch, got 3.$"),
        ({"schedule": "cos"}, "did you mean 'cosine'"),
        ({"schedule": "cosin"}, "did you mean 'cosine'"),
        ({"schedule": "OneCycle"}, "did you mean 'one-cycle'"),
        ({"schedule": ExponentialLR}, "got the class ExponentialLR; give an instance"),
    ],
)
def test_another_training_that_cannot_be_understood_is_refused_with_a_hint(options, message):
    finding = search(to_strategy(strategy="range"), MadeUpLoop())
    with pytest.raises(BadInputError, match=message):
        finding.at(**options)
    assert finding.at("linear") == finding.at(schedule="linear")


@pytest.mark.parametrize("framework", ["lightning", "huggingface"])
def test_a_callback_hints_at_its_own_arguments_too(framework):
    pytest.importorskip({"huggingface": "transformers"}.get(framework, framework))
    finder = importlib.import_module(f"lrfind.{framework}").LRFinder
    for given, meant in {"aply": "apply", "num_training": "steps", "epoch": "epochs"}.items():
        with pytest.raises(BadInputError, match=f"unknown option '{given}'; did you mean '{meant}'"):
            finder(**{given: 3})
    with pytest.raises(BadInputError, match=r"unknown option 'xyz'; there are (?!.*\boptions\b)"):
        finder(xyz=3)


def test_the_former_name_of_the_length_of_training_is_still_taken():
    with pytest.warns(DeprecationWarning, match="total_steps"):
        assert to_strategy(horizon=500).test.total_steps == 500
    finding = search(to_strategy(strategy="range"), MadeUpLoop())
    with pytest.warns(DeprecationWarning, match="total_steps") as warned:
        assert finding.at(horizon=500) == finding.at(total_steps=500)
    assert warned[0].filename == __file__


def test_the_found_rate_is_judged_as_what_it_is_and_a_word_is_no_rate():
    finding = search(to_strategy(strategy="range"), MadeUpLoop())
    assert "is the found rate" in str(finding.judge(finding.lr))
    with pytest.raises(BadInputError, match="must be a number"):
        finding.judge("1e-3")


def test_a_slow_first_batch_is_waited_for_and_is_not_in_the_time_left(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("lrfind.progress.perf_counter", lambda: now[0])
    shown = Display(lambda *_: None, Replicated())
    shown.on_round([RangeTest(steps=101)._probe()])
    assert "waiting for the first batch" in shown.line
    for seconds in (9.0, 9.1, 9.2):
        now[0] = seconds
        shown.on_step(1e-6, 1.0)
    assert "10 s left" in shown.line

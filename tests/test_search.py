import pytest
from curves_with_answers import loss_at, made_up

from lrfind.records import Record
from lrfind.search import find_with, search
from lrfind.strategies.range_test import RangeTest


class MadeUpLoop:
    """A loop whose losses are a formula of the rate."""

    def __init__(self):
        self.probes = []

    def run(self, probe, on_step):
        self.probes.append(probe)
        losses = tuple(map(float, loss_at(probe.lrs)))
        for lr, loss in zip(probe.lrs, losses, strict=True):
            on_step(lr, loss)
        return Record(probe, probe.lrs, losses, "done", seconds=1.0)


def test_a_search_counts_everything_it_ran():
    rounds, steps = [], []
    loop = MadeUpLoop()
    finding = search(RangeTest(), loop, on_round=rounds.append, on_step=lambda lr, loss: steps.append(lr))
    assert len(loop.probes) == 1
    assert rounds == [loop.probes]
    assert tuple(steps) == loop.probes[0].lrs
    assert finding.cost.steps == 128


@pytest.mark.parametrize(
    ("terminal", "progress", "shown"), [(True, True, True), (True, False, False), (False, True, False)]
)
def test_progress_is_shown_in_a_terminal_unless_it_is_off(capsys, monkeypatch, terminal, progress, shown):
    monkeypatch.setattr("rich.console.Console.is_terminal", terminal)
    find_with(MadeUpLoop(), progress=progress)
    out, err = capsys.readouterr()
    assert out == ""
    assert ("finding a learning rate" in err) is shown


def test_a_search_that_was_cut_short_goes_on_from_its_records():
    loop = MadeUpLoop()
    whole = search(RangeTest(), loop)
    resumed = search(RangeTest(), loop, records=whole.records)
    assert len(loop.probes) == 1
    assert (resumed.lr, resumed.records, resumed.interval) == (whole.lr, whole.records, whole.interval)
    assert resumed.cost.seconds >= 1.0


def test_a_loop_that_fails_fails_the_search():
    class Broken:
        def run(self, probe, on_step):
            raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"):
        search(RangeTest(), Broken())
    assert search(RangeTest(), Broken(), records=[made_up()]).cost.steps == 128

"""How optimizers reply to their rate is told without their names, and without touching anything."""

import math

import pytest
import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from lrfind.optim import reply_of
from lrfind.records import Probe, Record
from lrfind.replies import Reply


def reply(kind, **options):
    return reply_of(kind([nn.Parameter(torch.ones(2, 2))], lr=0.1, **options))


@pytest.mark.parametrize(
    ("kind", "is_scale_free"),
    [
        ("SGD", False),
        ("ASGD", False),
        ("Adam", True),
        ("AdamW", True),
        ("RMSprop", True),
        ("Adagrad", True),
        ("Muon", True),
    ],
)
def test_whether_a_step_depends_on_the_scale_of_the_loss(kind, is_scale_free):
    found = reply(getattr(torch.optim, kind))
    assert found.is_scale_free is is_scale_free
    assert found.follows
    assert found.cap(1000) == math.inf


def test_steps_that_shrink_grow_and_stay():
    shrinking, growing, steady = (reply(getattr(torch.optim, name)) for name in ("Adagrad", "RAdam", "Adam"))
    assert shrinking.gain(400) == pytest.approx(shrinking.gain(100) / 2, rel=0.05)
    assert growing.gain(400) > 1.5 * growing.gain(100)
    assert steady.gain(400) == pytest.approx(steady.gain(100), rel=0.05)


def test_beyond_what_was_measured_gains_go_on_as_they_went():
    assert reply(torch.optim.Adagrad).gain(6400) == pytest.approx(reply(torch.optim.Adagrad).gain(100) / 8, rel=0.25)


def test_adafactor_caps_its_steps():
    found = reply(torch.optim.Adafactor)
    assert found.cap(100) == pytest.approx(0.1, rel=0.1)
    assert found.cap(1600) == pytest.approx(1 / 40, rel=0.2)


def test_rprop_does_not_follow_its_rate():
    assert not reply(torch.optim.Rprop).follows


class Mine(torch.optim.Optimizer):
    def __init__(self, params, schedule):
        super().__init__(params, {"lr": 0.1})

    def step(self, closure=None):
        raise RuntimeError("not to be stepped")


def test_what_cannot_be_made_again_cannot_be_told():
    assert reply_of(Mine([nn.Parameter(torch.ones(2))], schedule=len)) is None
    assert reply(torch.optim.LBFGS) is None


def test_nothing_is_told_where_every_step_is_listened_to():
    handle = register_optimizer_step_post_hook(lambda *_: None)
    try:
        assert reply(torch.optim.SGD, momentum=0.123) is None
    finally:
        handle.remove()


def test_nothing_moves():
    model = nn.Linear(3, 2)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1, weight_decay=0.25)
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    numbers, state = torch.get_rng_state(), [one.clone() for one in model.parameters()]
    found = reply_of(optimizer)
    assert found.age == 1
    assert torch.equal(torch.get_rng_state(), numbers)
    assert all(torch.equal(a, b) for a, b in zip(state, model.parameters(), strict=True))
    assert optimizer.param_groups[0]["weight_decay"] == 0.25


def test_a_record_keeps_the_reply_and_the_rate_in_use():
    known = Reply((1.0, 0.5), (math.inf, math.inf), True, False, 7)
    record = Record(Probe((0.1,)), (0.1,), (1.0,), "done", reply=known, used=0.3)
    assert Record.from_dict(record.to_dict()) == record
    old = {name: value for name, value in record.to_dict().items() if name not in ("reply", "used")}
    assert (Record.from_dict(old).reply, Record.from_dict(old).used) == (None, 0.0)

"""What is given in the wrong place or of the wrong kind is answered by a sentence, before any work."""

import pytest
import torch
from curves_with_answers import made_up

import lrfind
from lrfind.errors import BadInputError, RateNotAppliedError
from lrfind.huggingface import LRFinder as OfHuggingFace
from lrfind.huggingface import VerifyLR as VerifyOfHuggingFace
from lrfind.huggingface import find as find_in_trainer
from lrfind.lightning import LRFinder, VerifyLR, apply
from lrfind.strategies.range_test import RangeTest

NET = torch.nn.Linear(2, 1)
OPTIMIZER = torch.optim.Adam(NET.parameters())
SCHEDULER = torch.optim.lr_scheduler.StepLR(OPTIMIZER, 5)
BATCHES = [(torch.randn(4, 2), torch.randn(4, 1))] * 10
FINDING = RangeTest(total_steps=2000).find([made_up()])


def found(loss_fn=torch.nn.functional.mse_loss, **options):
    return lrfind.find(NET, torch.optim.Adam(NET.parameters()), BATCHES, loss_fn, progress=False, **options)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: VerifyLR(None), "lr must be a number"),
        (lambda: VerifyLR("1e-3"), "lr must be a number"),
        (lambda: VerifyOfHuggingFace(None), "lr must be a number"),
        (lambda: LRFinder(every="2"), "every must be a number of epochs"),
        (lambda: OfHuggingFace(every="2"), "every must be a number of epochs"),
        (lambda: LRFinder(optimizer="adam"), "index of an optimizer"),
        (lambda: VerifyLR(1e-3, optimizer="adam"), "index of an optimizer"),
        (lambda: find_in_trainer(NET, OPTIMIZER), r"find takes \(trainer\).*got \(Linear, Adam\)"),
        (lambda: apply(NET, FINDING), r"\(finding, model\) in this order, got a Linear"),
        (lambda: apply(1e-3, NET), r"\(finding, model\) in this order, got a float"),
        (lambda: FINDING.apply(SCHEDULER, OPTIMIZER), "the optimizer and then the scheduler, got Adam"),
        (lambda: found(resume=5), "resume must be the path of a file, got 5"),
        (lambda: found(lambda outputs, targets, weight: 0), r"loss_fn\(model, batch\) is how it is called"),
        (lambda: found(None, step=lambda model: 0), r"step\(model, optimizer, batch\) is how it is called"),
    ],
)
def test_it_is_a_sentence(call, said):
    with pytest.raises(BadInputError, match=said):
        call()


def test_apply_false_is_said_to_watch_nothing():
    with pytest.raises(RateNotAppliedError, match="apply=False watches nothing"):
        _ = LRFinder(apply=False).span


@pytest.mark.filterwarnings("error")
def test_a_rate_of_adam_is_one_of_adamw():
    lrfind.Finding.apply(found(), torch.optim.AdamW(NET.parameters())).remove()
    with pytest.warns(UserWarning, match="was found for Adam and is applied to SGD"):
        found().apply(torch.optim.SGD(NET.parameters(), lr=0.1)).remove()

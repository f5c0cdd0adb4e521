"""A finding in words: the rate, how sure it is, what it means for the rate in use, and what to do."""

from __future__ import annotations

from html import escape
from textwrap import TextWrapper
from typing import TYPE_CHECKING

from lrfind.errors import LRFindError
from lrfind.numbers import counted

if TYPE_CHECKING:
    from lrfind.records import Finding

PICTURES = (".png", ".svg", ".pdf", ".jpg", ".jpeg")
TO_PICTURE = 'finding.plot().figure.savefig("{}") draws it'
"""What to do instead of saving a finding as a picture, or plotting to a file."""

_CERTAINTY = (("sure", 0.025, 100.0, 1.0), ("fairly sure", 0.05, 2000.0, 0.0))
"""How sure a rate is called: up to this expected loss (a share of what training learns) and this ratio of the ends of
its interval, and from this share of ramps that show something of the training. Else, it is unsure."""


def sentences(finding: Finding) -> list[str]:
    """Return the rate and what it is for, then a line each: certainty, the rate in use, cycles, cost, and the notes."""
    used = in_use(finding)
    return [
        finding.headline,
        *_groups(finding),
        certainty(finding),
        *([f"yours: {used}"] if used else []),
        f"cycles: {finding.base_lr:.2g} to {finding.max_lr:.2g}",
        f"cost: {costs(finding)}",
        *(f"note: {note}" for note in finding.notes),
    ]


def costs(finding: Finding) -> str:
    """Return what the search took."""
    return f"{counted(finding.cost.steps, 'step')}, {finding.cost.seconds:.1f} s"


def as_text(finding: Finding) -> str:
    """Return the sentences, wrapped for a terminal."""
    wrapper = TextWrapper(100, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
    return "\n".join(map(wrapper.fill, sentences(finding)))


def as_html(finding: Finding, picture: str) -> str:
    """Return the sentences and a picture for a notebook."""
    first, *others = map(escape, sentences(finding))
    words = "<br>".join((f"<strong>{first}</strong>", *others))
    return f'<div style="max-width: 46em"><p>{words}</p>{picture}</div>'


def purpose(finding: Finding) -> str:
    """Return the training that the rate is for: its schedule and its length."""
    schedule = "held constant" if finding.schedule == "constant" else f"the peak of {finding.schedule}"
    lengths = (finding.total_steps, "step"), (finding.epochs, "epoch")
    length = " or ".join(counted(number, unit) for number, unit in lengths if number)
    return f"{schedule}, {length}" if length else schedule


def certainty(finding: Finding) -> str:
    """Return how sure the rate is, and where the best one should lie."""
    return ": ".join(how_sure(finding))


def how_sure(finding: Finding) -> tuple[str, str]:
    """Return how sure the rate is in a word ("interval" if unknown), and where the best one should lie."""
    low, high = finding.interval
    if not finding.is_calibrated:
        return "interval", f"with other seeds the {finding.method} reading mostly lies in {low:.2g} to {high:.2g}"
    where = f"the best rate should lie in {low:.2g} to {high:.2g}"
    try:
        judged = finding.judge(finding.lr)
    except LRFindError:
        return "interval", where
    if not judged.is_read:
        first = finding.records[0]
        usual = f"what is usual for {first.optimizer}" if first.is_fresh else f"the {first.used:.2g} that training has"
        return "unsure", f"it rests on {usual}, not on your training; {where}"
    for word, loses, wide, shown in _CERTAINTY:
        if judged.regret <= loses and high <= wide * low and judged.shown >= shown and not judged.is_short:
            return word, where
    return "unsure", where


def in_use(finding: Finding) -> str:
    """Say where the optimizer's own rate lies, and what that means; empty if unknown."""
    used, (low, high) = finding.used, finding.interval
    if used is None:
        return ""
    if abs(used / finding.lr - 1) < 0.05:
        return f"{used:.3g}, the same"
    place = "below" if used < low else "above" if used > high else "within"
    said = f"{used:.3g} is {place} the interval"
    try:
        judged = finding.judge(used)
    except LRFindError:
        return said
    return f"{said}; it {judged.words}, {judged.expected}"


def _groups(finding: Finding) -> list[str]:
    rates = [finding.lr * ratio for ratio in finding.ratios]
    if len(set(rates)) < 2:
        return []
    each = ", ".join(f"{rate:.3g}" for rate in rates)
    said = each if len(rates) <= 6 else f"{len(rates)}, from {min(rates):.3g} to {max(rates):.3g}"
    return [f"param groups: {said}"]

"""Pages that show what their code prints: each output shown is what a run gives, within rounding."""

import re

BLOCK = re.compile(r"^```(python|bash|text)(.*?)\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)
NUMBER = re.compile(r"\d[\d,]*\.?\d*(?:e[-+]?\d+)?")
CHART = re.compile("[\u2500-\u28ff]")
TIME = re.compile(r" s\b")
CLOSE = 0.03
"""Numbers that differ relatively by no more than this are the same: another machine rounds otherwise."""


def shown_after(page):
    """Yield each block of code with its language and mark, and the output that is shown below it, if there is one."""
    blocks = BLOCK.findall(page)
    for (kind, mark, code), (following, _, output) in zip(blocks, [*blocks[1:], ("", "", "")], strict=True):
        if kind != "text":
            yield kind, mark, code, output if following == "text" else None


def differences(shown, printed):
    """Return what is shown otherwise than it was printed: words, and numbers but for times; charts are not compared."""
    first, second = (" ".join(CHART.sub(" ", text).split()) for text in (shown, printed))
    words, others = NUMBER.split(first), NUMBER.split(second)
    if words != others:
        return [(one, other) for one, other in zip(words, others, strict=False) if one != other] or [(shown, printed)]
    pairs = zip(NUMBER.findall(first), NUMBER.findall(second), words[1:], strict=True)
    return [(one, other) for one, other, after in pairs if not TIME.match(after) and not is_close(one, other)]


def is_close(one, other):
    """Say whether two numbers, as they are written, are the same but for rounding."""
    first, second = (float(number.replace(",", "").rstrip(".")) for number in (one, other))
    digits = len(one.partition("e")[0].partition(".")[2])
    return abs(first - second) <= max(CLOSE * abs(first), 1.01 * 10.0**-digits if "e" not in one else 0.0)

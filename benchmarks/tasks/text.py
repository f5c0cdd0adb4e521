"""Characters of Python's own help: a transformer, a GRU, a window of five."""

from benchmarks.data import text
from benchmarks.models import CharGRU, CharTransformer, CharWindow
from benchmarks.task import ADAM, ADAMW, MOMENTUM, Task

TASKS = (
    Task("transformer-adamw", "text", text, CharTransformer, ADAMW, 16, ("constant", "cosine-warmup")),
    Task("gru-adam", "text", text, CharGRU, ADAM, 16, ("constant", "linear")),
    Task("window-momentum", "text", text, CharWindow, MOMENTUM, 16, ("constant", "one-cycle")),
)

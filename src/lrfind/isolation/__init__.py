"""Nothing moves: the originals are probed, and everything that a probe can reach is put back."""

from lrfind.isolation.generators import generators_kept, seed_all
from lrfind.isolation.kept import Kept
from lrfind.isolation.loaders import check_loader, data_of, end_workers, fresh, length_of

__all__ = [
    "Kept",
    "check_loader",
    "data_of",
    "end_workers",
    "fresh",
    "generators_kept",
    "length_of",
    "seed_all",
]

"""Probe the original objects, and put back everything that a probe can reach."""

from lrfind.isolation.iterators import end_workers, fresh, length_of, loaders_in
from lrfind.isolation.kept import Kept
from lrfind.isolation.process import generators_kept, seed_all

__all__ = ["Kept", "end_workers", "fresh", "generators_kept", "length_of", "loaders_in", "seed_all"]

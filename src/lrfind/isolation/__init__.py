"""Nothing moves: probe on copies or on what a snapshot puts back, and put back every random number generator."""

from lrfind.isolation.copies import Isolation, check_isolation, clone, copies_of, fits
from lrfind.isolation.generators import KINDS, generators_in, seed_all
from lrfind.isolation.loaders import check_loader, fresh, length_of
from lrfind.isolation.snapshots import preserved, untouched

__all__ = [
    "KINDS",
    "Isolation",
    "check_isolation",
    "check_loader",
    "clone",
    "copies_of",
    "fits",
    "fresh",
    "generators_in",
    "length_of",
    "preserved",
    "seed_all",
    "untouched",
]

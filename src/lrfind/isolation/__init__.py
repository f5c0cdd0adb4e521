"""Nothing moves: probe on copies or on what a snapshot puts back, and put back every random number generator."""

from lrfind.isolation.copies import clone, fits
from lrfind.isolation.generators import KINDS, generators_in, seed_all
from lrfind.isolation.loaders import check_loader, fresh
from lrfind.isolation.snapshots import noted, preserved

__all__ = ["KINDS", "check_loader", "clone", "fits", "fresh", "generators_in", "noted", "preserved", "seed_all"]

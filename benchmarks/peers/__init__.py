"""The peers: every record in ``PEERS`` of a module of this package. A new file is found by itself."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from benchmarks.peer import Peer


def collected() -> dict[str, Peer]:
    """Return the records of every file in this folder, by name."""
    names = sorted(module.name for module in iter_modules(__path__))
    return {peer.name: peer for name in names for peer in import_module(f"{__name__}.{name}").PEERS}


PEERS = collected()

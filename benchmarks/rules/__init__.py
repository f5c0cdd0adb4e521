"""The rules: every record in ``RULES`` of a module of this package. A new file is found by itself."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from benchmarks.rule import Rule


def collected() -> dict[str, Rule]:
    """Return the records of every file in this folder, by name."""
    names = sorted(module.name for module in iter_modules(__path__))
    return {rule.name: rule for name in names for rule in import_module(f"{__name__}.{name}").RULES}


RULES = collected()

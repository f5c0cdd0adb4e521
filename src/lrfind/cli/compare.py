"""``lrfind compare``."""

from __future__ import annotations

import typer


def compare(context: typer.Context) -> None:
    """Compare."""

"""The command line: a file per command, and what they share."""

import os
import sys

from lrfind.errors import MissingExtraError, from_extra


def main() -> None:
    """Run the command line, with the current directory on ``sys.path`` as for ``python -m``."""
    try:
        with from_extra("cli"):
            from lrfind.cli.app import app
    except MissingExtraError as error:
        sys.exit(f"lrfind: {error}")
    if (here := os.getcwd()) not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)
    app(prog_name="lrfind")

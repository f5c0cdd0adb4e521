"""The command line: a file per command, and what they share."""

import sys

from lrfind.errors import MissingExtraError, from_extra


def main() -> None:
    """Run the command line."""
    try:
        with from_extra("cli"):
            from lrfind.cli.app import main as run
    except MissingExtraError as error:
        sys.exit(f"lrfind: {error}")
    run()


__all__ = ["main"]

"""The command line: one file per command, and what they share (faults, options, named things, charts)."""

from lrfind.cli.app import app, main

__all__ = ["app", "main"]

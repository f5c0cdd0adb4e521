"""The command line with a real Ctrl-C as it says a line: ``python pressed.py LINE compare ...``."""

import os
import signal
import sys

from lrfind.cli import main


class Pressing:
    """A stream that sends this process the signal of Ctrl-C, once, when a line has been written to it."""

    def __init__(self, stream, line):
        self._stream, self._line = stream, line

    def __getattr__(self, name):
        return getattr(self._stream, name)

    def write(self, text):
        count = self._stream.write(text)
        if self._line and self._line in text:
            self._line = ""
            self._stream.flush()
            os.kill(os.getpid(), signal.SIGINT)
        return count


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # where this was begun in the background, it is ignored
    sys.stderr = Pressing(sys.stderr, sys.argv.pop(1))
    main()

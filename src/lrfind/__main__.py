"""``python -m lrfind`` is ``lrfind``."""

from lrfind.cli import main

if __name__ == "__main__":
    main()

# SPDX-License-Identifier: GPL-2.0-only
"""The entry point: as little as possible before Ctrl-C is answered with its exit code and no traceback."""

import sys
from typing import NoReturn

INTERRUPTED = 130


def main() -> NoReturn:
    """Import the command line and run it."""
    try:
        from fuzz.commands import main as run
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    run()


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: GPL-2.0-only
"""The entry point: as little as possible before Ctrl-C is answered with its exit code and no traceback."""

import sys
from typing import NoReturn

INTERRUPTED = 130


def main() -> NoReturn:
    """Import the command line and run it."""
    try:
        # Importing them adds their commands to the group.
        from fuzz import (  # noqa: F401
            calibrate,
            commands,
            doctor_command,
            enumerate_command,
            explain,
            guest_command,
            import_command,
            report_command,
            reproduce,
            search,
            tree_check,
            tree_command,
            tree_compare,
            tree_coverage,
            tree_watch,
            witness_command,
        )
        from fuzz.cli import main as run
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    run()


if __name__ == "__main__":
    main()

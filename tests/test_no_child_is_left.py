# SPDX-License-Identifier: GPL-2.0-only
"""The look at children that every test ends with sees one as long as it is there."""

import subprocess
import sys

from tests.conftest import children


def test_a_child_is_seen_until_it_is_waited_for() -> None:
    before = children()
    program = "print(flush=True); input()"
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.pid in children()
        assert child.stdout is not None
        child.stdout.readline()  # before, the kernel may not have put down yet what it runs
        assert sys.executable in children()[child.pid]
        child.kill()
    assert children() == before

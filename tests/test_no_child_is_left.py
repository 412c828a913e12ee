# SPDX-License-Identifier: GPL-2.0-only
"""The look at children that every test ends with sees one as long as it is there."""

import subprocess
import sys

from tests.conftest import children


def test_a_child_is_seen_until_it_is_waited_for() -> None:
    before = children()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert child.pid in children()
        assert sys.executable in children()[child.pid]
        child.kill()
    assert children() == before

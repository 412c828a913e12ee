# SPDX-License-Identifier: GPL-2.0-only
"""What tests of every room need that use the kernel of this machine: its host, or a reason to be skipped by name."""

import pytest

from engines.real.host import Host, this_host
from memslots.errors import Missing


@pytest.fixture(scope="session")
def host() -> Host:
    """The KVM of this machine. Without one the test is skipped, and says why."""
    try:
        return this_host()
    except Missing as missing:
        pytest.skip(f"needs /dev/kvm: {missing}")

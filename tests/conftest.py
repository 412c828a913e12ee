# SPDX-License-Identifier: GPL-2.0-only
"""For tests of several rooms: the kernel of this machine, or a reason to be skipped by name; a QEMU that is none."""

import json
import os
import shlex
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engines.real.host import Host, this_host
from engines.tree.engine import end_processes
from memslots.errors import Missing
from tests.fake_tree import fake_build

# A shell starts what runs in the background with SIGINT ignored, and so would be everything that tests interrupt.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def host() -> Host:
    """The KVM of this machine. Without one the test is skipped, and says why."""
    try:
        return this_host()
    except Missing as missing:
        pytest.skip(f"needs /dev/kvm: {missing}")


@pytest.fixture(autouse=True)
def no_child_is_left() -> Iterator[None]:
    """Who leaves a child behind fails here, and not whoever runs after it in the same process."""
    before = children()
    yield
    # Those of a tree's engines are to last as long as this process.
    end_processes()
    left = {pid: what for pid, what in children().items() if pid not in before}
    assert not left, f"left behind: {left}"


def children() -> dict[int, str]:
    """This process's children that nobody has waited for: what /proc says each is, and in which state."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return {}
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            lines = status(int(entry.name)).splitlines()
            if f"PPid:\t{os.getpid()}" in lines:
                found[int(entry.name)] = f"{_command(entry)} {next(line for line in lines if 'State:' in line)}"
    return found


def _command(process: Path) -> str:
    try:
        return (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""


class FakeKernel:
    """A kernel that only `fake_qemu.py` can boot: what it does at which request stands in it."""

    def __init__(self, path: Path, harm: dict[str, str]) -> None:
        self.path = path
        path.write_bytes(bytes(0x202) + b"HdrS" + json.dumps(harm).encode())

    def __str__(self) -> str:
        return str(self.path)

    def boots(self) -> list[int]:
        """The process of each boot."""
        record = Path(f"{self.path}.boots")
        return [int(line) for line in record.read_text().split()] if record.exists() else []

    def running(self) -> list[int]:
        """Those of them that are still there."""
        return [pid for pid in self.boots() if Path(f"/proc/{pid}/status").exists() and "(zombie)" not in status(pid)]

    def words(self) -> list[str]:
        """The command line of the last boot."""
        return Path(f"{self.path}.line").read_text().split("\n")


def status(pid: int) -> str:
    """What /proc says of a process; nothing once it is gone."""
    try:
        return Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return "(zombie)"


@pytest.fixture
def fake_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., FakeKernel]:
    """Make a kernel for the QEMU that is first in PATH from now on: ours. `harm` maps words to what they do."""
    if shutil.which("setpriv") is None:
        pytest.skip("needs setpriv: apt-get install util-linux")
    programs = tmp_path / "bin"
    programs.mkdir()
    fake = Path(__file__).with_name("fake_qemu.py")
    for name, text in {
        "qemu-system-x86_64": f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {shlex.quote(str(fake))} "$@"\n',
        "busybox": "#!/bin/sh\n",
    }.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")

    def make(name: str = "bzImage", **harm: str) -> FakeKernel:
        return FakeKernel(tmp_path / name, harm)

    return make


@pytest.fixture(scope="session")
def fake_tree(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Make a build of a kernel tree that is none, with what `fake_tree.c` can be compiled with."""
    folder = tmp_path_factory.mktemp("trees")
    return lambda *defines: fake_build(folder, *defines)

# SPDX-License-Identifier: GPL-2.0-only
"""The first files of a guest: busybox, modules, and a script that makes this machine's files its root.

In the format that the kernel unpacks (Documentation/driver-api/early-userspace/buffer-format.rst).
"""

import shlex
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from memslots.errors import Missing

_FOLDER, _PROGRAM, _FILE, _DEVICE = 0o040755, 0o100755, 0o100644, 0o020600
_INIT = """#!/bin/busybox sh
b=/bin/busybox
lost() {{ echo "sameslots: $1"; $b sync; $b reboot -f; }}
$b mount -t proc proc /proc
$b mount -t sysfs sysfs /sys
$b mount -t devtmpfs devtmpfs /dev || lost "no devtmpfs (CONFIG_DEVTMPFS)"
for m in {modules}; do $b insmod "/modules/$m" || echo "sameslots: cannot load $m"; done
$b mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,ro,cache=loose host /host \\
    || lost "no files of the host (CONFIG_9P_FS, CONFIG_NET_9P_VIRTIO, CONFIG_VIRTIO_PCI)"
{mounts}
$b mkdir -p /dev/shm
$b mount -t tmpfs tmpfs /dev/shm
for each in dev proc sys; do $b mount --move /$each /host/$each; done
$b env -i {environment} $b chroot /host {command}
lost "the process inside has ended, $?"
"""


class Entry(NamedTuple):
    """A file of the archive; `device` has the numbers of one."""

    name: str
    mode: int
    content: bytes = b""
    device: tuple[int, int] = (0, 0)


def initramfs(
    modules: Mapping[str, bytes], command: Sequence[str], environment: Mapping[str, str], write: Sequence[str]
) -> bytes:
    """The archive. `command` runs in the host's files, which are read-only but for those of `write`. Raises Missing."""
    mounts = [
        f"$b mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,cache=none write{i} "
        f"/host{shlex.quote(folder)} || lost 'cannot mount what may be written to'"
        for i, folder in enumerate(write)
    ]
    init = _INIT.format(
        modules=" ".join(modules),
        mounts="\n".join(mounts),
        environment=shlex.join(f"{name}={value}" for name, value in environment.items()),
        command=shlex.join(command),
    )
    return archive(
        [
            *(Entry(name, _FOLDER) for name in ("bin", "dev", "host", "modules", "proc", "sys")),
            # The console that the kernel opens for init, before there is a devtmpfs.
            Entry("dev/console", _DEVICE, device=(5, 1)),
            Entry("bin/busybox", _PROGRAM, static_busybox().read_bytes()),
            Entry("init", _PROGRAM, init.encode("utf-8", "surrogateescape")),
            *(Entry(f"modules/{name}", _FILE, content) for name, content in modules.items()),
        ]
    )


def archive(entries: Sequence[Entry]) -> bytes:
    """The entries as a cpio archive of the "newc" kind."""
    out = bytearray()
    for number, entry in enumerate([*entries, Entry("TRAILER!!!", 0)], 1):
        name = entry.name.encode() + b"\0"
        numbers = (number, entry.mode, 0, 0, 1, 0, len(entry.content), 0, 0, *entry.device, len(name), 0)
        out += b"070701" + b"".join(b"%08X" % each for each in numbers) + name
        out += b"\0" * (-len(out) % 4) + entry.content
        out += b"\0" * (-len(out) % 4)
    return bytes(out)


def static_busybox() -> Path:
    """This machine's busybox, which has to need no library. Raises Missing."""
    found = shutil.which("busybox")
    if found is None or b"ld-linux" in Path(found).read_bytes()[:4096]:
        raise Missing("a busybox without libraries is not installed: apt-get install busybox-static")
    return Path(found)

# SPDX-License-Identifier: GPL-2.0-only
"""A guest as a process: QEMU with the kernel, the first files, a console and one port, and nothing on disk.

The first files are a memfd, console and port are socket pairs. QEMU dies with the process that started it, by
PR_SET_PDEATHSIG; and should that come too late, the guest ends when its port is closed.
"""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, NamedTuple

from engines.guests.initramfs import initramfs, static_busybox
from engines.guests.kernels import KernelFiles, kernel_named
from engines.guests.modules import FOR_EVERY_GUEST, modules_in_order, unknown_module
from engines.guests.plan import Plan
from engines.real.permission import GUEST
from memslots.errors import BadInput, Missing

PORT = "sameslots"
QEMU = "qemu-system-x86_64"
# Warnings go to the console, for an oops is one. A panic ends QEMU: panic=-1 reboots, and -no-reboot exits.
_KERNEL_COMMAND_LINE = "console=ttyS0 loglevel=5 panic=-1 rdinit=/init"
_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TERM", "COLUMNS", "NO_COLOR", "VIRTUAL_ENV")


class Booting(NamedTuple):
    """A guest that is starting: its process, our ends of the port and of the console, and what QEMU complains of."""

    process: subprocess.Popen[bytes]
    port: socket.socket
    console: socket.socket
    complaints: BinaryIO


def ready(plan: Plan) -> tuple[KernelFiles, str, str]:
    """What a guest needs of this machine: its kernel, QEMU and a leash.

    Raises Missing, BadInput for no kernel, and for a module that is none of the kernel's.
    """
    static_busybox()
    qemu = _installed(QEMU, "apt-get install qemu-system-x86")
    leash = _installed("setpriv", "apt-get install util-linux")
    kernel = kernel_named(plan.kernel)
    # What is loaded when nothing is said may be built in, or not be there: not every kernel has to have a KVM.
    asked = set(_modules(plan)) - set(_modules(Plan(plan.kernel)))
    unknown = unknown_module(kernel.modules, sorted(asked)) if asked else None
    if unknown is not None:
        raise BadInput(
            f"guest: module {unknown}: {plan.kernel} has none of this name: expected one in its package or below its"
            " folder, or one that its modules.builtin names"
        )
    return kernel, qemu, leash


def _modules(plan: Plan) -> list[str]:
    return list(filter(None, plan.modules.split(",")))


def boot(plan: Plan) -> Booting:
    """Start a guest. Raises Missing where something is not installed, BadInput for a kernel that is none."""
    kernel, qemu, leash = ready(plan)
    write = [str(Path(folder).absolute()) for folder in plan.write]
    for folder in write:
        if not Path(folder).is_dir():
            raise BadInput(f"{folder}: expected a folder that the guest may write to")
    wanted = (*FOR_EVERY_GUEST, *_modules(plan))
    first_files = initramfs(modules_in_order(kernel.modules, wanted), _inside(), _environment(), write)
    with ExitStack() as ours:
        initrd = ours.enter_context(os.fdopen(os.memfd_create("initrd"), "wb"))
        initrd.write(first_files)
        initrd.flush()
        port, port_inside = socket.socketpair()
        console, console_inside = socket.socketpair()
        ours.enter_context(port_inside)
        ours.enter_context(console_inside)
        complaints = os.fdopen(os.memfd_create("complaints"), "w+b")
        fds = initrd.fileno(), console_inside.fileno(), port_inside.fileno()
        process = subprocess.Popen(
            [leash, "--pdeathsig", "KILL", *command_line(qemu, plan, kernel, write, *fds)],
            stdin=subprocess.DEVNULL,
            stdout=complaints,
            stderr=complaints,
            pass_fds=fds,
            # Ctrl-C at the terminal is ours to answer.
            start_new_session=True,
        )
    return Booting(process, port, console, complaints)


def command_line(
    qemu: str, plan: Plan, kernel: KernelFiles, write: Sequence[str], initrd: int, console: int, port: int
) -> list[str]:
    """QEMU's command line; the last three are descriptors that it inherits."""
    line = [qemu, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-machine", "q35"]
    line += ["-accel", "tcg", "-cpu", plan.cpu, "-smp", str(plan.cpus), "-m", plan.memory]
    line += ["-kernel", str(kernel.image), "-initrd", f"/proc/self/fd/{initrd}"]
    line += ["-append", f"{_KERNEL_COMMAND_LINE} {plan.append}".rstrip()]
    line += ["-chardev", f"socket,id=console,fd={console}", "-serial", "chardev:console"]
    line += ["-device", "virtio-serial-pci", "-chardev", f"socket,id=port,fd={port}"]
    line += ["-device", f"virtserialport,chardev=port,name={PORT}"]
    for name, folder, access in [("host", "/", "on"), *((f"write{i}", path, "off") for i, path in enumerate(write))]:
        # A comma in a value is written twice.
        shared = f"local,id={name},path={folder.replace(',', ',,')},security_model=none,multidevs=remap"
        line += ["-fsdev", f"{shared},readonly={access}", "-device", f"virtio-9p-pci,fsdev={name},mount_tag={name}"]
    return line


def _inside() -> list[str]:
    """The process that runs in the guest: this Python, which has this checkout, in this working directory."""
    # -P: what lies in the working directory is not imported.
    module = [sys.executable, "-P", "-m", "engines.guests.inside"]
    return ["/bin/sh", "-c", 'cd "$1" && shift && exec "$@"', "sh", str(Path.cwd()), *module]


def _environment() -> dict[str, str]:
    passed_on = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        **passed_on,
        GUEST: "1",
        # /tmp is this machine's, and read-only; and nothing that is compiled could be kept.
        "TMPDIR": "/dev/shm",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _installed(program: str, remedy: str) -> str:
    found = shutil.which(program)
    if found is None:
        raise Missing(f"{program} is not installed: {remedy}")
    return found

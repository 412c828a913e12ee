# SPDX-License-Identifier: GPL-2.0-only
"""The one door to kconfiglib: a tree's own Kconfig, answered with no to all but a few wishes.

Run as a program of its own, since reading a Kconfig needs the environment and the working directory of a kernel
build, and takes seconds. It prints what a build has to know about the answers, as JSON.
"""

import io
import json
import os
import re
import sys
from pathlib import Path
from typing import TextIO

WISHES = """
64BIT=y SMP=n VIRTUALIZATION=y KVM=y KVM_INTEL=y PROCESSOR_SELECT=y CPU_SUP_INTEL=y HIGH_RES_TIMERS=y MODULES=n
DEBUG_KERNEL=y DEBUG_SPINLOCK=y EXPERT=y EVENTFD=y PREEMPT_NONE=y BUG=y NET=n TRACING=n JUMP_LABEL=n PARAVIRT=n
HYPERVISOR_GUEST=n RETPOLINE=n MITIGATIONS=n CPU_MITIGATIONS=n KVM_SMM=y X86_LOCAL_APIC=y PCI=n
"""
"""One CPU, for which per-CPU variables are plain ones; spinlocks that are calls; nothing that is patched at boot."""

_ENVIRONMENT = {
    "ARCH": "x86",
    "SRCARCH": "x86",
    "KERNELVERSION": "0",
    "KERNELRELEASE": "0",
    "CC": "gcc",
    "HOSTCC": "gcc",
    "HOSTCXX": "g++",
    "LD": "ld",
    "AR": "ar",
    "NM": "nm",
    "OBJCOPY": "objcopy",
    "STRIP": "strip",
    "RUSTC": "rustc",
    "BINDGEN": "bindgen",
    "PAHOLE": "pahole",
    "CC_VERSION_TEXT": "gcc",
    "RUSTC_VERSION_TEXT": "",
    "CLANG_FLAGS": "",
}


def answer(tree: Path, header: Path) -> dict[str, list[str]]:
    """Write autoconf.h. What came out otherwise than wished, and which files were read."""
    from kconfiglib import Kconfig

    class Newer(Kconfig):  # type: ignore[misc]  # it has no types
        """Kconfig with words that came after kconfiglib."""

        def _open(self, filename: str, mode: str) -> TextIO:
            file: TextIO = super()._open(filename, mode)
            if "w" in mode:
                return file
            with file:
                text = file.read()
            text = re.sub(r"(?m)^(\s+)modules\s*$", r"\1option modules", text)
            return io.StringIO(re.sub(r"(?m)^\s+transitional\b.*$", "", text))

    os.environ.update(_ENVIRONMENT, srctree=str(tree))
    os.chdir(tree)
    config = Newer("Kconfig", warn=False)
    for symbol in config.unique_defined_syms:
        symbol.set_value(2 if symbol.is_allnoconfig_y else 0)
    wishes = [wish.split("=") for wish in WISHES.split()]
    for _ in range(3):  # one wish may be what another depends on
        for name, value in wishes:
            if name in config.syms:
                config.syms[name].set_value(value)
    config.write_autoconf(str(header))
    known = [(name, value, config.syms[name]) for name, value in wishes if name in config.syms]
    unmet = [
        f"{name}={value} came out as {symbol.str_value or 'n'}"
        for name, value, symbol in known
        if symbol.type and symbol.str_value != value
    ]
    return {"unmet": unmet, "read": [str(tree / name) for name in config.kconfig_filenames]}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(answer(Path(sys.argv[1]), Path(sys.argv[2]))))

# SPDX-License-Identifier: GPL-2.0-only
"""What a kernel build generates before it compiles anything, written outside the tree."""

import json
import re
import sys
from math import gcd
from pathlib import Path

from engines.tree import kconfig
from engines.tree.digests import Steps, made_of
from engines.tree.source import Source
from engines.tree.tools import Tools, Unbuildable, run, start
from memslots.errors import Missing

_WRAPPED = (
    ("asm", "include/asm-generic", "arch/x86/include/asm"),
    ("uapi/asm", "include/uapi/asm-generic", "arch/x86/include/uapi/asm"),
)
"""Where a header of the architecture's is missing, the generic one stands in."""
_EMPTY = ("unistd_64_x32", "unistd_32_ia32", "syscalls_64", "syscalls_32", "cpufeaturemasks")


def write(path: Path, text: str) -> None:
    """Only if it is not what the file holds: what has not changed is not compiled again."""
    if not path.exists() or path.read_text() != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def headers(source: Source, folder: Path) -> None:
    """The asm wrappers and the numbers of system calls. A wrapper that the tree has no use for any more is removed."""
    wanted: dict[Path, str] = {}
    for kind, generic, own in _WRAPPED:
        has = {path.name for path in (source.path / own).glob("*.h")}
        for path in sorted((source.path / generic).glob("*.h")):
            if path.name not in has:
                wanted[folder / kind / path.name] = f"#include <asm-generic/{path.name}>\n"
    table = (source.path / "arch/x86/entry/syscalls/syscall_64.tbl").read_text()
    numbers = re.findall(r"^(\d+)\s+(?:common|64)\s+(\w+)", table, re.MULTILINE)
    text = "".join(f"#define __NR_{name} {number}\n" for number, name in numbers)
    for name in ("unistd_64", "unistd_32", "unistd_x32"):
        wanted[folder / "uapi/asm" / f"{name}.h"] = text
    for name in _EMPTY:
        wanted[folder / "asm" / f"{name}.h"] = ""
    for path, content in wanted.items():
        write(path, content)
    for kind, _, _ in _WRAPPED:
        for path in (folder / kind).glob("*.h"):
            if path not in wanted:
                path.unlink()


def autoconf(source: Source, folder: Path, tools: Tools, steps: Steps) -> list[str]:
    """include/generated/autoconf.h; and the wishes that the tree's Kconfig does not grant."""
    header, report = folder / "generated/autoconf.h", folder / "kconfig.json"
    header.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, kconfig.__file__, str(source.path), str(header)]
    if not steps.fresh("Kconfig", [*command, tools.version], (header, report)):
        process = start(command)
        out, err = process.communicate()
        if process.returncode:
            last = err.strip().splitlines()[-1:] or [f"exit code {process.returncode}"]
            if "No module named 'kconfiglib'" in last[0]:
                raise Missing("kconfiglib is not here: pip install kconfiglib")
            raise Unbuildable(f"{source.path}/Kconfig: {last[0]}", err.splitlines())
        report.write_text(out)
        steps.taken("Kconfig", [*command, tools.version], [*json.loads(out)["read"], kconfig.__file__])
    unmet: list[str] = json.loads(report.read_text())["unmet"]
    _timeconst(header, folder)
    return unmet


def _timeconst(header: Path, folder: Path) -> None:
    """include/generated/timeconst.h: HZ as fractions."""
    found = re.search(r"^#define CONFIG_HZ (\d+)", header.read_text(), re.MULTILINE)
    hz = int(found[1]) if found else 250
    lines = []
    for unit, per_second in (("MSEC", 1000), ("USEC", 1_000_000), ("NSEC", 1_000_000_000)):
        common = gcd(hz, per_second)
        lines += [
            f"#define HZ_TO_{unit}_NUM {per_second // common}\n#define HZ_TO_{unit}_DEN {hz // common}\n",
            f"#define {unit}_TO_HZ_NUM {hz // common}\n#define {unit}_TO_HZ_DEN {per_second // common}\n",
        ]
    write(folder / "generated/timeconst.h", "".join(lines))


def constants(
    source: Source, path: Path, out: Path, flags: list[str], tools: Tools, steps: Steps, what: str
) -> dict[str, str]:
    """The constants that a file of C names, as the compiler computes them: lines of assembly that begin with ->."""
    command = [*tools.cc, *flags, "-MD", "-MF", f"{out}.d", "-S", str(path), "-o", str(out)]
    if not steps.fresh(path.name, [tools.version, *command], (out,)):
        steps.forget(path.name)
        run(command, what, cwd=source.path)
        steps.taken(path.name, [tools.version, *command], made_of(Path(f"{out}.d")))
    return dict(re.findall(r"->(\w+) \$?(-?\w+)", out.read_text()))


def bounds(source: Source, folder: Path, flags: list[str], tools: Tools, steps: Steps) -> None:
    """include/generated/bounds.h: what kernel/bounds.c computes at compile time. It includes that file itself."""
    path = folder / "generated/bounds.h"
    if not path.exists():
        write(path, "")
    flags = [*flags, "-D__GENERATING_BOUNDS_H"]
    numbers = constants(
        source, source.path / "kernel/bounds.c", folder / "bounds.s", flags, tools, steps, "kernel/bounds.c"
    )
    write(path, "".join(f"#define {name} {value}\n" for name, value in numbers.items()))

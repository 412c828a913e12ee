# SPDX-License-Identifier: GPL-2.0-only
"""What the kernel's own words say went wrong: WARN, oops, KASAN, lockdep, tasks and processors that are stuck.

The words are those of Linux 5.17 to 6.18: lib/bug.c, arch/x86/mm/fault.c, mm/kasan/report.c, kernel/locking/lockdep.c,
kernel/hung_task.c, kernel/watchdog.c, kernel/rcu/tree_stall.h.
"""

import re
from collections.abc import Iterable
from posixpath import normpath
from typing import NamedTuple

from engines.real.kmsg import Line

_WARN = re.compile(
    r"^WARNING: (?:CPU: \d+ PID: (?P<pid>\d+) at (?:(?P<old>\S+:\d+) )?(?P<f>[^\s+]+)"
    r"|(?:(?P<new>\S+:\d+) )?at (?P<g>[^\s+,]+)(?:.*, CPU#\d+: .*/(?P<task>\d+)$)?)"
)
"""As 6.1 says it, with or without a file and line, and as it is said since 6.19."""
_INTERRUPT = "an interrupt"
_KASAN = re.compile(r"BUG: (?:KASAN|KFENCE): (.+)")
_DAMAGE = {
    "use-after-free": "use-after-free",
    "double-free": "double-free",
    "invalid-free": "double-free",
    "out-of-bounds": "out-of-bounds",
}
"""KASAN's and KFENCE's names for memory errors, and the contract's. 6.1 says `double-free or invalid-free`."""
_NULL = re.compile(r"BUG: kernel NULL pointer dereference|KASAN: null-ptr-deref in")
_BUG = re.compile(r"kernel BUG at (\S+?)!?$")
_OOPS = re.compile(
    r"BUG: unable to handle|general protection fault|stack segment|divide error|invalid opcode|^Oops\b|\bOops: "
)
_LOCKDEP = re.compile(
    r"^WARNING: (.*\b(?:lock|locks|locking|unlock|RCU usage)\b.*)|BUG: ((?:sleeping function called|Invalid wait).*\w)"
)
_STUCK = re.compile(
    r"(INFO: task .+ blocked for more than \d+ seconds)|(soft lockup - CPU#\d+)|(rcu: INFO: \S+ .*stall.*)"
)
_STUCK_TASK = re.compile(r"INFO: task .+:(\d+) blocked for more than|soft lockup - CPU#\d+ stuck for .*:(\d+)\]")


class Symptoms(NamedTuple):
    """What was found, in the kernel's own words, without addresses where they are not needed.

    `damage` holds the contract's names, each once. `oops` is the kind of the first one, empty where it is none of the
    contract's kinds, and None if there was none.
    """

    warnings: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()
    """WARNs of others than the task that was asked about."""
    damage: tuple[str, ...] = ()
    oops: str | None = None
    oops_text: str = ""
    lockdep: tuple[str, ...] = ()
    stuck: tuple[str, ...] = ()

    @property
    def any(self) -> bool:
        """Whether anything was found."""
        return self != Symptoms()


def symptoms_in(lines: Iterable[Line], task: int | None = None) -> Symptoms:
    """What these lines of the log tell. A WARN that names another task than `task`, if that is known, is foreign.

    So is one of which the log says that an interrupt had come upon the task. One that names nobody is the task's.
    """
    warnings: list[str] = []
    foreign: list[str] = []
    damage: list[str] = []
    lockdep: list[str] = []
    stuck: list[str] = []
    oops: str | None = None
    oops_text = ""
    for line, caller in lines:
        if warned := _WARN.search(line):
            text, who = _warning(warned, caller)
            if who == _INTERRUPT or (task is not None and who not in ("", f"task {task}")):
                foreign.append(f"WARN of {who}: {text}")
            else:
                warnings.append(text)
        elif locked := _LOCKDEP.search(line):
            lockdep.append((locked[1] or locked[2]).rstrip("!"))
        elif waits := _STUCK.search(line):
            stuck.append(next(filter(None, waits.groups())))
        elif (kasan := _KASAN.search(line)) and (name := _damage(kasan[1])):
            damage.append(name)
        elif kind := _fatal(line):
            oops, oops_text = oops or kind, oops_text or line
        elif _OOPS.search(line):
            # What is read through a freed or poisoned pointer may be any address.
            oops = oops or ("use-after-free" if "use-after-free" in damage else "")
            oops_text = oops_text or line
    warned_of = tuple(warnings), tuple(foreign)
    return Symptoms(*warned_of, tuple(sorted(set(damage))), oops, oops_text, tuple(lockdep), tuple(stuck))


def _warning(warned: re.Match[str], caller: str) -> tuple[str, str]:
    """Where a WARN stands, and who met it: a task by number, an interrupt, or nobody who is named."""
    function, place = warned["f"] or warned["g"], warned["old"] or warned["new"]
    # KVM's common files are named by way of arch/x86.
    text = f"{function} ({normpath(place)})" if place else function
    number = warned["pid"] or warned["task"] or caller[1:]
    return text, _INTERRUPT if caller.startswith("C") else f"task {number}" if number else ""


def stuck_task(line: str) -> int | None:
    """The process that this line says is stuck, None if it names none."""
    named = _STUCK_TASK.search(line)
    return int(named[1] or named[2]) if named is not None else None


def _damage(text: str) -> str | None:
    return next((name for words, name in _DAMAGE.items() if words in text), None)


def _fatal(line: str) -> str | None:
    """The kind of an oops that has a name of its own."""
    return "null-dereference" if _NULL.search(line) else "bug" if _BUG.search(line) else None

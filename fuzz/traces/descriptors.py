# SPDX-License-Identifier: GPL-2.0-only
"""Whose VM a file descriptor is: threads share their table of descriptors, processes do not, numbers are used again."""

from dataclasses import dataclass, field


class Ambiguous(Exception):
    """A descriptor that is a VM in more than one process, used by a thread that may be of either."""


@dataclass(slots=True)
class _Table:
    """The descriptors of one process that are VMs."""

    vms: dict[int, int] = field(default_factory=dict)


class Descriptors:
    """The VMs of a recording by thread and descriptor.

    Where the recording has the calls that make threads, they say who shares a table with whom. Where it has not, a
    thread is taken to be of the one process that has a VM of this number.
    """

    def __init__(self) -> None:
        self._table_of: dict[int, _Table] = {}
        self._tables: list[_Table] = []
        self._count = 0

    def vm_of(self, pid: int, fd: int) -> int:
        """The VM that thread `pid` knows as `fd`; a new one if nobody has heard of it. Raises Ambiguous."""
        table = self._table_of.get(pid)
        if table is None:
            holders = [each for each in self._tables if fd in each.vms]
            if len(holders) > 1:
                raise Ambiguous
            table = self._join(pid, holders[0] if holders else _Table())
        if fd not in table.vms:
            table.vms[fd] = self._next()
        return table.vms[fd]

    def created(self, pid: int, fd: int) -> tuple[int, ...]:
        """Thread `pid` has made a VM, which is `fd` from now on: the VMs that have gone with what `fd` was before."""
        table = self._table_of.get(pid) or self._join(pid, _Table())
        before = table.vms.get(fd)
        table.vms[fd] = self._next()
        return () if before is None or self._held(before) else (before,)

    def cloned(self, pid: int, child: int, shares: bool) -> None:
        """Thread `pid` has made `child`, which shares its descriptors or has a copy of them."""
        if child in self._table_of:
            return  # it was faster than the call that made it, and is known by what it did
        table = self._table_of.get(pid) or self._join(pid, _Table())
        self._join(child, table if shares else _Table(dict(table.vms)))

    def exited(self, pid: int) -> tuple[int, ...]:
        """Thread `pid` is no more: the VMs that went with the last thread of its process."""
        table = self._table_of.pop(pid, None)
        if table is None or any(each is table for each in self._table_of.values()):
            return ()
        self._tables = [each for each in self._tables if each is not table]
        return tuple(vm for vm in table.vms.values() if not self._held(vm))

    def _join(self, pid: int, table: _Table) -> _Table:
        self._table_of[pid] = table
        if not any(each is table for each in self._tables):
            self._tables.append(table)
        return table

    def _held(self, vm: int) -> bool:
        return any(vm in table.vms.values() for table in self._tables)

    def _next(self) -> int:
        self._count += 1
        return self._count - 1

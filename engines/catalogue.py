# SPDX-License-Identifier: GPL-2.0-only
"""Every engine by name. A new engine is a new file and a line here."""

from collections.abc import Callable

from engines.ideal.engine import Ideal
from engines.protocol import Engine
from engines.real.host import this_host
from engines.real.kvm import IoctlSerial
from engines.real.kvm_list import IoctlList
from engines.real.list_vm import ThisKvm
from engines.simulated.engines import RfcV1, Serial, SerialRfcV1
from engines.simulated.qemu_commit import QemuCommit
from memslots.errors import BadInput
from memslots.machine import Machine

ENGINES: dict[str, Callable[[], Engine]] = {
    "serial": Serial,
    "serial-rfc-v1": SerialRfcV1,
    "rfc-v1": RfcV1,
    "qemu-commit": QemuCommit,
    "ideal": Ideal,
    "kvm": IoctlSerial,
    "kvm-list": IoctlList,
}


QUICK: dict[str, Callable[[], Engine]] = {
    **ENGINES,
    "rfc-v1": lambda: RfcV1(aftermath=False),
}
"""The same engines as a campaign wants them: good for every bucket, and no better than that."""

STRICT = frozenset(("ideal",))
"""The engines that are held to refuse a header or an entry whose form has no meaning (contract I4)."""

MACHINES: dict[str, Callable[[], Machine]] = {
    "kvm": lambda: this_host().machine,
    "kvm-list": lambda: ThisKvm().host().machine,
}
"""For the engines that are a machine's kernel: what its VMs are like."""


def machine_of_engine(name: str) -> Machine | None:
    """The machine that cases for this engine should be for; None if it takes any. Raises Missing, Withheld."""
    return MACHINES[name]() if name in MACHINES else None


def engine_named(name: str, *, quick: bool = False) -> Engine:
    """A new engine of this name. Raises BadInput."""
    if name not in ENGINES:
        raise BadInput(f"no engine {name!r}: expected one of {', '.join(ENGINES)}")
    return (QUICK if quick else ENGINES)[name]()


class Here:
    """The engines of this process: simulated ones, and those of the kernel that runs here."""

    named = staticmethod(engine_named)
    machine = staticmethod(machine_of_engine)

    def close(self) -> None:
        """Nothing is open."""


HERE = Here()

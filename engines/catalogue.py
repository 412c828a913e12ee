# SPDX-License-Identifier: GPL-2.0-only
"""Every engine by name. A new engine is a new file and a line here."""

from collections.abc import Callable
from pathlib import Path

from engines.ideal.engine import Ideal
from engines.protocol import Engine
from engines.real.host import this_host
from engines.real.kvm import IoctlSerial
from engines.real.kvm_list import IoctlList
from engines.real.list_vm import ThisKvm
from engines.simulated.engines import RfcV1, Serial, SerialRfcV1
from engines.simulated.qemu_commit import QemuCommit
from engines.tree.built import Built, built_in
from engines.tree.engine import LIST, SERIAL, TreeList, tree_engine, tree_serial_engine
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

BUILDS: dict[str, Callable[[str], Engine]] = {LIST: tree_engine, SERIAL: tree_serial_engine}
"""The engines that are made of a folder: `tree:DIR`, DIR being what `sameslots tree build` has made."""

EXPECTED = f"expected one of {', '.join(ENGINES)}, {', '.join(f'{kind}:DIR' for kind in BUILDS)}"
"""What to say where a name is none."""

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


def built(name: str) -> bool:
    """Whether this is the name of an engine that is made of a build, there or not."""
    kind, _, where = name.partition(":")
    return kind in BUILDS and where != "" and name not in ENGINES


def known(name: str) -> bool:
    """Whether this is the name of an engine. Whether there is a build, is found out when it is made."""
    return name in ENGINES or built(name)


def build_named(name: str) -> Built | None:
    """The build that an engine of this name is made of, None if it is of none. Raises BadInput, Missing."""
    return built_in(Path(name.partition(":")[2])) if built(name) else None


def strict(engine: Engine) -> bool:
    """Whether an engine is held to refuse what has no meaning: by its nature, or since its tree's list ioctl does."""
    return engine.name in STRICT or (isinstance(engine, TreeList) and engine.built.strict)


def machine_of_engine(name: str) -> Machine | None:
    """The machine that cases for this engine should be for; None if it takes any. Raises Missing, Withheld."""
    return MACHINES[name]() if name in MACHINES else None


def engine_named(name: str, *, quick: bool = False) -> Engine:
    """A new engine of this name. Raises BadInput, Missing."""
    kind, _, where = name.partition(":")
    if built(name):
        return BUILDS[kind](where)
    if name not in ENGINES:
        raise BadInput(f"no engine {name!r}: {EXPECTED}")
    return (QUICK if quick else ENGINES)[name]()


class Here:
    """The engines of this process: simulated ones, and those of the kernel that runs here."""

    named = staticmethod(engine_named)
    machine = staticmethod(machine_of_engine)

    def close(self) -> None:
        """Nothing is open."""


HERE = Here()

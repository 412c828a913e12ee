# SPDX-License-Identifier: GPL-2.0-only
"""What a guest is to be like: which kernel, how large, and how long it may take."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

from memslots.errors import BadInput


@dataclass(frozen=True, slots=True)
class Plan:
    """A guest to be booted. `kernel` is what `kernel_named` takes; `modules`, and `write`, are separated by commas.

    Emulated by QEMU's TCG: this machine's KVM, if there is one, is not needed and not used.
    """

    kernel: str
    memory: str = "1G"
    cpus: int = 1
    """One is several times faster than two: what processors wait for each other for is slow when emulated."""
    cpu: str = "EPYC-v1"
    """QEMU's CPU model: one with SVM, or VMX where a later QEMU emulates it, so that there is a /dev/kvm inside."""
    modules: str = "kvm_amd"
    """Loaded when it boots, if the kernel comes with modules."""
    append: str = ""
    """Further words for the kernel's command line."""
    boot: float = 180.0
    """Seconds until the guest has to answer."""
    case: float = 60.0
    """Seconds that one case may take."""
    write: tuple[str, ...] = ()
    """Folders of this machine that the guest may write to."""


_WORDS = tuple(each.name for each in fields(Plan) if each.name not in ("kernel", "write"))


def plan_named(text: str) -> Plan:
    """The plan of `KERNEL[,KEY=VALUE...]`, as `--guest` takes it. Raises BadInput."""
    kernel, *words = text.split(",")
    values: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if key not in _WORDS or not equals:
            raise BadInput(f"guest {text}: {word!r}: expected KEY=VALUE, KEY one of {', '.join(_WORDS)}")
        values[key] = value.replace("+", ",") if key == "modules" else value
    return planned(kernel, values)


def planned(kernel: str, values: Mapping[str, str], write: tuple[str, ...] = ()) -> Plan:
    """The plan with some of its values given as text. Raises BadInput, naming the one that is wrong."""
    if not kernel:
        raise BadInput("guest: expected a kernel: a bzImage, a .deb file, or a folder with one of them unpacked")
    plan = Plan(kernel, write=write)
    for key, text in values.items():
        plain = getattr(plan, key)
        try:
            value = type(plain)(text)
            if not isinstance(value, str) and not 0 < value < 1_000_000:
                raise ValueError
        except ValueError:
            raise BadInput(f"guest: {key}={text}: expected a number above 0") from None
        plan = replace(plan, **{key: value})
    return plan

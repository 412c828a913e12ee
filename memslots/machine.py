# SPDX-License-Identifier: GPL-2.0-only
"""What a VM is like, as far as memory slots care."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache

from memslots.errors import BadCase
from memslots.uapi import KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY, KVM_MEM_SLOTS_NUM, KVM_USER_MEM_SLOTS


@dataclass(frozen=True, slots=True)
class Machine:
    """A profile with its numbers. `page_size` is in bytes, `max_gfn` is the last gfn that a slot may hold.

    `page_shift` is log2 of the page size, `known_flags` what user space may set.

    Raises BadCase where a number is outside what KVM could be built with.
    """

    profile: str = "linux-6.1"
    address_spaces: int = 2
    page_size: int = 4096
    max_gfn: int = (1 << 40) - 1
    user_slots: int = KVM_USER_MEM_SLOTS
    readonly: int = 1
    # Derived once, since every request of a campaign asks for them.
    page_shift: int = field(init=False, repr=False, compare=False)
    known_flags: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name, (least, most) in _RANGES.items():
            value = getattr(self, name)
            if not least <= value <= most:
                raise BadCase(f"machine: {name}={value:#x}: expected {least:#x} to {most:#x}")
        if self.page_size & (self.page_size - 1):
            raise BadCase(f"machine: page_size={self.page_size:#x}: expected a power of two")
        object.__setattr__(self, "page_shift", self.page_size.bit_length() - 1)
        object.__setattr__(self, "known_flags", KVM_MEM_LOG_DIRTY_PAGES | (KVM_MEM_READONLY if self.readonly else 0))

    def numbers(self) -> dict[str, int]:
        """Every number by name."""
        return {name: getattr(self, name) for name in _RANGES}

    def overrides(self) -> dict[str, int]:
        """The numbers that differ from those of the profile, by name."""
        plain = PROFILES[self.profile].numbers()
        return {name: value for name, value in self.numbers().items() if value != plain[name]}


MOST_GFN = (1 << 52) - 1
"""A gpa is 64 bits wide."""
_RANGES = {
    "address_spaces": (1, 2),
    "page_size": (4096, 65536),
    "max_gfn": (0, MOST_GFN),
    "user_slots": (1, KVM_MEM_SLOTS_NUM),
    "readonly": (0, 1),
}
assert {each.name for each in fields(Machine) if each.init} == {"profile", *_RANGES}

PROFILES = {
    "linux-6.1": Machine(),
    "linux-6.18": Machine(profile="linux-6.18", address_spaces=1),
}
"""The machines that have a name. 6.1 has two address spaces on x86 always, 6.18 only with CONFIG_KVM_SMM."""

DEFAULT_MACHINE = PROFILES["linux-6.1"]


def machine_of(profile: str, overrides: Mapping[str, int]) -> Machine:
    """The machine of a profile with some of its numbers changed. Raises BadCase, naming what is unknown."""
    if profile not in PROFILES:
        raise BadCase(f"machine {profile!r}: expected one of {', '.join(PROFILES)}")
    unknown = [name for name in overrides if name not in _RANGES]
    if unknown:
        raise BadCase(f"machine: unknown key {unknown[0]!r}, expected one of {', '.join(_RANGES)}")
    return _changed(profile, tuple(overrides.items()))


@lru_cache(maxsize=256)
def _changed(profile: str, overrides: tuple[tuple[str, int], ...]) -> Machine:
    """Made once for the many cases that name the same machine."""
    return replace(PROFILES[profile], **dict(overrides))  # type: ignore[arg-type]  # every key but profile is a number

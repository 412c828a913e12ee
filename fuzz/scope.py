# SPDX-License-Identifier: GPL-2.0-only
"""A small scope: which lists, from which given states, an enumeration goes through, and how many those are."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from math import comb, perm, prod
from typing import NamedTuple

from memslots.errors import BadInput
from memslots.machine import DEFAULT_MACHINE, Machine, machine_of
from memslots.region import Region
from memslots.uapi import FLAG_NAMES, KVM_MEM_LOG_DIRTY_PAGES, KVM_MEMSLOT_INVALID, flag_names

_LIMITS = {"entries": (0, 8), "slots": (1, 8), "gfns": (1, 64), "hvas": (1, 2), "spaces": (1, 2)}
_MEMORY = {
    "own": "userspace_addr the slot's own wherever it lies",
    "follow": "userspace_addr following the gfn",
    "mixed": "userspace_addr following the gfn or the slot's own",
}
_MOST_GIVEN_STATES = 1_000_000
_MOST_LISTS = 1 << 62
"""What the ledger can count."""
_USER_FLAGS = {name: bit for name, bit in FLAG_NAMES.items() if bit != KVM_MEMSLOT_INVALID}


class Letter(NamedTuple):
    """What one entry may ask for, within the scope. `npages` is 0 for a DELETE, which has nothing but its id.

    `hva` says which of the pieces of memory that the slot may have. Letters sort as lists do: the plain ones first.
    """

    as_id: int
    id: int
    npages: int
    base_gfn: int
    flags: int
    hva: int
    invalidate: int


@dataclass(frozen=True, slots=True)
class Scope:
    """Lists of up to `entries` entries over `slots` ids in each of `spaces` address spaces and `gfns` pages.

    `flags` and `invalidate` are the values that the fields flags and invalidate_slot take. `memory` says what slots
    have: `own`, each `hvas` pieces that no other slot has, wherever it lies; `follow`, the guest's, which follows the
    gfn, so that slots that hold the same gfn hold the same memory; `mixed`, that or one piece of their own. With
    `faults`, each list is tried with every single failure, too. Raises BadInput where it cannot be.
    """

    entries: int = 2
    slots: int = 2
    gfns: int = 4
    flags: tuple[int, ...] = (0, KVM_MEM_LOG_DIRTY_PAGES)
    invalidate: tuple[int, ...] = (0, 1)
    hvas: int = 1
    spaces: int = 1
    faults: bool = False
    memory: str = "own"
    machine: Machine = DEFAULT_MACHINE

    def __post_init__(self) -> None:
        for name, (least, most) in _LIMITS.items():
            if not least <= getattr(self, name) <= most:
                raise BadInput(f"{name}={getattr(self, name)}: expected {least} to {most}")
        if self.memory not in _MEMORY:
            raise BadInput(f"memory={self.memory}: expected one of {', '.join(_MEMORY)}")
        if self.memory != "own" and self.hvas > 1:
            raise BadInput(f"hvas={self.hvas}, memory={self.memory}: expected hvas=1")
        if self.spaces > self.machine.address_spaces:
            raise BadInput(f"spaces={self.spaces}: the machine has {self.machine.address_spaces} address space")
        if self.invalidate not in ((0,), (0, 1)):
            raise BadInput(
                f"invalidate={self.invalidate}: expected 0, or 0 and 1: given states are made of unflagged ones"
            )
        if not self.flags or len(set(self.flags)) < len(self.flags):
            raise BadInput(f"flags={_flags_words(self.flags, ',')}: expected each of them once")
        for flags in self.flags:
            if flags & ~self.machine.known_flags:
                raise BadInput(f"flags={flag_names(flags)}: this machine's kernel refuses them in any given state")
        if self.given_states > _MOST_GIVEN_STATES or self.lists > _MOST_LISTS:
            raise BadInput(
                f"{self.lists:.1e} lists from {self.given_states:.1e} given states: expected fewer"
                " entries, slots, gfns, flags or spaces"
            )

    @property
    def pieces(self) -> int:
        """How many pieces of memory a region may ask for, where it lies."""
        return 2 if self.memory == "mixed" else self.hvas

    @property
    def shifts(self) -> bool:
        """Whether a case may be moved to other gfns as a whole: nothing in the scope meets the machine's last gfn."""
        return self.machine.max_gfn >= self.gfns - 1

    @property
    def given_states(self) -> int:
        """How many states there are to start from: the slots of each address space do not overlap."""
        room = min(self.gfns, self.machine.max_gfn + 1)
        # Of k ranges that do not overlap, 2k ends have to be placed; ends of neighbours may coincide.
        one_space: int = sum(
            comb(room + k, 2 * k) * perm(self.slots, k) * (len(self.flags) * self.pieces) ** k
            for k in range(self.slots + 1)
        )
        return prod([one_space] * self.spaces)

    @property
    def lists(self) -> int:
        """How many pairs of a given state and a list there are, before symmetries are removed."""
        letters = len(self.letters())
        lists: int = sum(letters**n for n in range(self.entries + 1))
        return self.given_states * lists

    def letters(self) -> list[Letter]:
        """Every entry of the scope, in order."""
        ids = list(product(range(self.spaces), range(self.slots)))
        deletes = [Letter(as_id, i, 0, 0, 0, 0, flagged) for as_id, i in ids for flagged in self.invalidate]
        sized = [
            Letter(as_id, i, npages, base, flags, hva, flagged)
            for as_id, i in ids
            for npages in range(1, self.gfns + 1)
            for base in range(self.gfns - npages + 1)
            for flags, hva, flagged in product(self.flags, range(self.pieces), self.invalidate)
        ]
        return sorted(deletes + sized)

    def region(self, letter: Letter) -> Region:
        """The request that a letter stands for."""
        as_id, slot_id, npages, base, flags, hva, invalidate = letter
        slot = as_id << 16 | slot_id
        if not npages:
            return Region(slot, invalidate_slot=invalidate)
        page = self.machine.page_size
        if self.memory != "own" and not hva:
            memory = base
        else:
            # Behind what follows the gfn, where there is any: that has the room of one slot.
            before = hva * self.spaces * self.slots if self.memory == "own" else 1
            memory = (before + as_id * self.slots + slot_id) * self.gfns
        return Region(slot, flags, base * page, npages * page, memory * page, invalidate)

    def settings(self) -> Mapping[str, str]:
        """The scope by name, as a folder keeps it."""
        return {
            "entries": str(self.entries),
            "slots": str(self.slots),
            "gfns": str(self.gfns),
            "flags": _flags_words(self.flags, ","),
            "invalidate": ",".join(map(str, self.invalidate)),
            "hvas": str(self.hvas),
            "memory": self.memory,
            "spaces": str(self.spaces),
            "faults": "yes" if self.faults else "no",
            "machine": " ".join([self.machine.profile, *(f"{k}={v:#x}" for k, v in self.machine.numbers().items())]),
        }

    @classmethod
    def of_settings(cls, settings: Mapping[str, str]) -> "Scope":
        """The scope that has these settings, whatever else they hold. Raises BadInput."""
        profile, *numbers = settings["machine"].split()
        pairs = (number.split("=") for number in numbers)
        return cls(
            int(settings["entries"]),
            int(settings["slots"]),
            int(settings["gfns"]),
            flags_of(settings["flags"]),
            tuple(map(int, settings["invalidate"].split(","))),
            int(settings["hvas"]),
            int(settings["spaces"]),
            settings["faults"] == "yes",
            settings["memory"],
            machine_of(profile, {name: int(value, 16) for name, value in pairs}),
        )

    def in_words(self) -> str:
        """`lists of up to 3 entries over 2 slots and 4 gfns, ..., flagged and not, from all 63 given states`.

        What is the same in all of them is said as well.
        """
        words = f"lists of up to {_counted(self.entries, 'entry', 'entries')} over {_counted(self.slots, 'slot')}"
        words += f" in each of {self.spaces} address spaces" if self.spaces > 1 else ""
        words += f" and {_counted(self.gfns, 'gfn')}"
        words += "" if self.shifts else f" of which {self.machine.max_gfn:#x} is the last that there is"
        words += f", with flags {_flags_words(self.flags, ' or ')}" if self.flags != (0,) else ""
        words += f", {_MEMORY[self.memory]}"
        words += " or its second one" if self.hvas > 1 else ""
        words += ", flagged and not" if len(self.invalidate) > 1 else ""
        words += ", without faults and with every single one that is met" if self.faults else ""
        return f"{words}, from all {_counted(self.given_states, 'given state')}"


def flags_of(text: str) -> tuple[int, ...]:
    """The values that `0,LOG_DIRTY_PAGES,LOG_DIRTY_PAGES|READONLY` names. Raises BadInput."""
    return tuple([sum(map(_flag, dict.fromkeys(word.split("|")))) for word in text.split(",")])


def _flag(name: str) -> int:
    if name != "0" and name not in _USER_FLAGS:
        names = ", ".join(_USER_FLAGS)
        raise BadInput(f"flags: {name!r}: expected 0, or names of {names} with | between those of one value")
    return _USER_FLAGS.get(name, 0)


def _flags_words(each: tuple[int, ...], between: str) -> str:
    return between.join(flag_names(flags) if flags else "0" for flags in each)


def _counted(n: int, one: str, many: str = "") -> str:
    return f"{n:,} {one if n == 1 else many or one + 's'}"

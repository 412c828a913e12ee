# SPDX-License-Identifier: GPL-2.0-only
"""One memslot set: slot objects by id and by base."""

from collections.abc import Iterable

from engines.ideal.objects import SlotObject
from memslots.slot import SlotSet


class Memslots:
    """One struct kvm_memslots: a generation, the id hash and the gfn tree."""

    __slots__ = ("_walked", "generation", "gfn_tree", "id_hash")

    def __init__(self, generation: int, objects: Iterable[SlotObject], walked: SlotSet) -> None:
        """A set of these objects, a walk of which is known to meet `walked`."""
        self.generation = generation
        self.id_hash = {o.slot[1]: o for o in objects}
        self.gfn_tree = {o.slot[2]: o for o in objects}
        self._walked: SlotSet | None = walked

    def twin(self) -> "Memslots":
        """Another set of the same objects, as the other one of an address space is at rest."""
        other = Memslots(self.generation, (), ())
        other.id_hash = self.id_hash.copy()
        other.gfn_tree = self.gfn_tree.copy()
        other._walked = self._walked
        return other

    def holds(self, slot_object: SlotObject) -> bool:
        """Whether this very object is linked here."""
        return self.id_hash.get(slot_object.slot[1]) is slot_object

    def unlink(self, old: SlotObject) -> None:
        """Take out an object that the set holds."""
        del self.id_hash[old.slot[1]]
        del self.gfn_tree[old.slot[2]]
        self._walked = None

    def link(self, new: SlotObject) -> None:
        """Put in an object whose id and base are free."""
        self.id_hash[new.slot[1]] = new
        self.gfn_tree[new.slot[2]] = new
        self._walked = None

    def walk(self) -> SlotSet:
        """The slots by id. A walk of a set that nobody has edited since is not taken again."""
        if self._walked is None:
            id_hash = self.id_hash
            self._walked = tuple([id_hash[slot_id].slot for slot_id in sorted(id_hash)])
        return self._walked

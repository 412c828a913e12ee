# SPDX-License-Identifier: GPL-2.0-only
"""What the simulated kernel is made of: slot objects, their vmalloc areas, and memslot sets.

Faithful to include/linux/kvm_host.h, struct kvm_memory_slot and struct kvm_memslots, Linux 6.1.
"""

from bisect import bisect_left, bisect_right, insort

from memslots.slot import Slot
from memslots.uapi import KVM_MEMSLOT_INVALID


class Area:
    """A vmalloc area: a dirty bitmap, or the x86 arrays of a slot (rmap, large-page info, page track) as one."""

    __slots__ = ("freed",)

    def __init__(self) -> None:
        self.freed = False


class SlotObject:
    """One struct kvm_memory_slot. `slot` is what it says and never changes; the rest is pointers."""

    __slots__ = ("arch", "dirty_bitmap", "freed", "slot")

    def __init__(self, slot: Slot, dirty_bitmap: Area | None = None, arch: Area | None = None) -> None:
        self.slot = slot
        self.dirty_bitmap = dirty_bitmap
        self.arch = arch
        self.freed = False


def written(slot: Slot) -> str:
    """A slot in one word, for events: address space, id, base and length in pages."""
    return f"{slot.as_id}:{slot.id}@{slot.base_gfn:#x}+{slot.npages:#x}"


def named(slot_object: SlotObject | None) -> str:
    """A slot object in a word or two, for events."""
    if slot_object is None:
        return "nothing"
    slot = slot_object.slot
    return written(slot) + (" INVALID" if slot.flags & KVM_MEMSLOT_INVALID else "")


class Memslots:
    """One struct kvm_memslots: a generation and three indexes over the same objects.

    `id_hash` finds an object by its id, `gfn_tree` by its base with `bases` in order; `hva_tree` is the interval
    tree, of which membership is enough: only MMU notifiers search it.

    Exact as long as objects are unlinked from the set that holds them and linked once; `LinkedMemslots` goes on
    from there.
    """

    __slots__ = ("bases", "generation", "gfn_tree", "hva_tree", "id_hash", "node_idx")

    def __init__(self, node_idx: int, generation: int) -> None:
        self.node_idx = node_idx
        self.generation = generation
        self.id_hash: dict[int, SlotObject] = {}
        self.gfn_tree: dict[int, SlotObject] = {}
        self.bases: list[int] = []
        self.hva_tree: set[SlotObject] = set()

    def lookup(self, slot_id: int) -> SlotObject | None:
        """The object with this id that its hash bucket holds first (id_to_memslot)."""
        return self.id_hash.get(slot_id)

    def holds(self, slot_object: SlotObject) -> bool:
        """Whether the object is linked here, as far as nobody has misused the set."""
        return slot_object in self.hva_tree

    def unlink(self, old: SlotObject) -> None:
        """Take `old` out of the id hash and the hva tree."""
        self.hva_tree.discard(old)
        if self.id_hash.get(old.slot.id) is old:
            del self.id_hash[old.slot.id]

    def link(self, new: SlotObject) -> None:
        """Put `new` into the id hash and the hva tree."""
        self.id_hash[new.slot.id] = new
        self.hva_tree.add(new)

    def insert_gfn(self, new: SlotObject) -> bool:
        """Whether `new` could be inserted: its base was not there (kvm_insert_gfn_node, else BUG)."""
        base = new.slot.base_gfn
        if base in self.gfn_tree:
            return False
        self.gfn_tree[base] = new
        insort(self.bases, base)
        return True

    def replace_gfn(self, old: SlotObject, new: SlotObject) -> None:
        """Put `new` where `old` stands, which has the same base (kvm_replace_gfn_node)."""
        self.gfn_tree[old.slot.base_gfn] = new

    def erase_gfn(self, old: SlotObject) -> None:
        """Erase `old` (kvm_erase_gfn_node)."""
        base = old.slot.base_gfn
        del self.gfn_tree[base]
        del self.bases[bisect_left(self.bases, base)]

    def another_id_in(self, slot: Slot) -> bool:
        """Whether a slot with another id intersects `slot`, as kvm_check_memslot_overlap finds it.

        The search begins at the one slot with the greatest base at or below the range, or at the next if that
        one ends before the range. Where slots overlap one another, an earlier long one is missed: sic.
        """
        bases = self.bases
        tree = self.gfn_tree
        base = slot.base_gfn
        i = bisect_right(bases, base) - 1
        if i < 0:
            i = 0
        else:
            below = tree[bases[i]].slot
            if below.base_gfn + below.npages <= base:
                i += 1
        end = base + slot.npages
        while i < len(bases) and bases[i] < end:
            if tree[bases[i]].slot.id != slot.id:
                return True
            i += 1
        return False

    def in_gfn_order(self) -> list[SlotObject]:
        """What a walk of the gfn tree meets."""
        return [self.gfn_tree[base] for base in self.bases]

    def in_hash_order(self) -> list[SlotObject]:
        """What a walk of the id hash meets."""
        return list(self.id_hash.values())

    def in_hva_order(self) -> list[SlotObject]:
        """What a walk of the interval tree meets, in whatever order."""
        return list(self.hva_tree)

    def partly_linked(self) -> set[SlotObject]:
        """Every object that one index of the set holds and another does not."""
        by_gfn, by_id, by_hva = set(self.in_gfn_order()), set(self.in_hash_order()), set(self.in_hva_order())
        return (by_gfn | by_id | by_hva) - (by_gfn & by_id & by_hva)

    def objects(self) -> set[SlotObject]:
        """Every object that some index of the set holds."""
        return self.hva_tree.union(self.id_hash.values())

# SPDX-License-Identifier: GPL-2.0-only
"""A memslot set with every pointer of its three indexes, for VMs whose sets are misused.

`Memslots` says the same faster while objects are unlinked from the set that holds them and linked once. From the
first stray edit on, what a set holds follows from these pointers alone.
"""

from collections.abc import Iterator

from engines.simulated.ended import Ended, Oops
from engines.simulated.objects import Memslots, SlotObject
from engines.simulated.rbtree import LEFT, NULL, RIGHT, Node, Patience, Tree
from memslots.slot import Slot

_BUCKET_BITS = 7


def _bucket(slot_id: int) -> int:
    """hash_32 of an id in a table of 128 (include/linux/hash.h)."""
    return (slot_id * 0x61C8_8647 & 0xFFFF_FFFF) >> (32 - _BUCKET_BITS)


class _Link:
    """One struct hlist_node, or the head of a bucket: `pprev` is whose `next` points here."""

    __slots__ = ("next", "owner", "pprev")

    def __init__(self, owner: SlotObject | None) -> None:
        self.owner = owner
        self.next: _Link | None = None
        self.pprev: _Link | None = None


class _GfnNode(Node):
    __slots__ = ("owner",)

    def __init__(self, owner: SlotObject) -> None:
        super().__init__()
        self.owner = owner


class _Nodes:
    """The nodes that a slot object has for one set."""

    __slots__ = ("gfn", "hva", "id")

    def __init__(self, owner: SlotObject) -> None:
        self.id = _Link(owner)
        self.gfn = _GfnNode(owner)
        self.hva = _GfnNode(owner)


class LinkedMemslots(Memslots):
    """`Memslots`, with the pointers of include/linux/kvm_host.h in place of dictionaries."""

    __slots__ = ("_buckets", "_gfn_root", "_hva_root", "_nodes")

    def __init__(self, node_idx: int, generation: int) -> None:
        super().__init__(node_idx, generation)
        self._buckets: dict[int, _Link] = {}
        self._gfn_root = Tree()
        self._hva_root = Tree()
        # An object keeps its nodes, and what they point to, after it was unlinked.
        self._nodes: dict[SlotObject, _Nodes] = {}

    def _nodes_of(self, slot_object: SlotObject) -> _Nodes:
        nodes = self._nodes.get(slot_object)
        if nodes is None:
            nodes = self._nodes[slot_object] = _Nodes(slot_object)
        return nodes

    def lookup(self, slot_id: int) -> SlotObject | None:
        patience = Patience(len(self._nodes))
        for slot_object in self._in_bucket(_bucket(slot_id)):
            patience.step()
            if slot_object.slot.id == slot_id:
                return slot_object
        return None

    def _in_bucket(self, bucket: int) -> Iterator[SlotObject]:
        head = self._buckets.get(bucket)
        link = None if head is None else head.next
        while link is not None:
            assert link.owner is not None
            yield link.owner
            if link.owner.freed and self.node_idx == 0:
                raise Oops("use-after-free")  # the allocator has overwritten this node
            link = link.next

    def unlink(self, old: SlotObject) -> None:
        super().unlink(old)
        nodes = self._nodes_of(old)
        link = nodes.id
        if link.pprev is not None:  # hash_del of an unhashed node does nothing
            link.pprev.next = link.next
            if link.next is not None:
                link.next.pprev = link.pprev
            link.next = link.pprev = None
        self._hva_root.erase(nodes.hva)

    def link(self, new: SlotObject) -> None:
        super().link(new)
        nodes = self._nodes_of(new)
        head = self._buckets.setdefault(_bucket(new.slot.id), _Link(None))
        link = nodes.id
        link.next = head.next
        if head.next is not None:
            head.next.pprev = link
        head.next = link
        link.pprev = head
        self._hva_root.insert(nodes.hva, lambda at: int(not new.slot.userspace_addr < _owner(at).userspace_addr))

    def insert_gfn(self, new: SlotObject) -> bool:
        base = new.slot.base_gfn

        def side_at(at: Node) -> int | None:
            other = _owner(at).base_gfn
            return None if base == other else int(base > other)

        return self._gfn_root.insert(self._nodes_of(new).gfn, side_at)

    def replace_gfn(self, old: SlotObject, new: SlotObject) -> None:
        self._gfn_root.replace(self._nodes_of(old).gfn, self._nodes_of(new).gfn)

    def erase_gfn(self, old: SlotObject) -> None:
        self._gfn_root.erase(self._nodes_of(old).gfn)

    def another_id_in(self, slot: Slot) -> bool:
        patience = Patience(len(self._nodes))
        start, end = slot.base_gfn, slot.end_gfn
        above = NULL
        at = self._gfn_root.root
        while at is not NULL:
            patience.step()
            if start < _owner(at).base_gfn:
                above = at
                at = at.child[LEFT]
            else:
                at = at.child[RIGHT]
        if above is NULL:
            at = self._gfn_root.extreme(RIGHT)
        else:
            below = self._gfn_root.neighbour(above, LEFT)
            at = above if below is NULL else below
        if at is not NULL and _owner(at).end_gfn <= start:
            at = self._gfn_root.neighbour(at, RIGHT)
        while at is not NULL and _owner(at).base_gfn < end:
            patience.step()
            if _owner(at).id != slot.id:
                return True
            at = self._gfn_root.neighbour(at, RIGHT)
        return False

    def in_gfn_order(self) -> list[SlotObject]:
        return _met_once(_along(self._gfn_root))

    def in_hash_order(self) -> list[SlotObject]:
        return [o for bucket in sorted(self._buckets) for o in _met_once(self._in_bucket(bucket))]

    def in_hva_order(self) -> list[SlotObject]:
        return _met_once(_along(self._hva_root))

    def objects(self) -> set[SlotObject]:
        return {*super().objects(), *self.in_gfn_order(), *self.in_hash_order()}


def _along(tree: Tree) -> Iterator[SlotObject]:
    at = tree.extreme(LEFT)
    while at is not NULL:
        yield _object(at)
        at = tree.neighbour(at, RIGHT)


def _met_once(walk: Iterator[SlotObject]) -> list[SlotObject]:
    """What a walk of a broken structure meets before it comes back to itself or falls off."""
    met: dict[SlotObject, None] = {}
    try:
        for slot_object in walk:
            if slot_object in met:
                break
            met[slot_object] = None
    except Ended:
        pass
    return list(met)


def _object(node: Node) -> SlotObject:
    assert isinstance(node, _GfnNode)
    return node.owner


def _owner(node: Node) -> Slot:
    return _object(node).slot

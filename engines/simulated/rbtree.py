# SPDX-License-Identifier: GPL-2.0-only
"""A red-black tree that behaves like lib/rbtree.c, down to what a misuse does to it.

A correct caller needs none of this: a sorted list would do. rfc-v1 erases nodes that are in no tree, and inserts
nodes that are in one; what is left then depends on the shape and the colours of the tree and on the pointers that
an erased node keeps. So the steps of Linux 6.1's lib/rbtree.c (__rb_insert, __rb_erase_augmented,
____rb_erase_color, rb_replace_node) are taken in its order. Left and right are one code: `side` names them.
"""

from collections.abc import Callable

from engines.simulated.ended import Ended, Oops

LEFT = 0
RIGHT = 1


class Node:
    """One struct rb_node, zeroed as kzalloc leaves it: red, no parent, no children."""

    __slots__ = ("black", "child", "parent")

    def __init__(self) -> None:
        self.parent = NULL
        self.child = [NULL, NULL]
        self.black = False


class _Null(Node):
    """The NULL pointer: to look behind it is an oops."""

    __slots__ = ()

    def __init__(self) -> None:
        pass

    def __getattribute__(self, name: str) -> object:
        raise Oops("null-dereference")

    def __setattr__(self, name: str, value: object) -> None:
        raise Oops("null-dereference")


NULL: Node = _Null()


class Patience:
    """Counts steps and raises Ended("looped") where no walk that comes to an end could take as many."""

    __slots__ = ("_left",)

    def __init__(self, nodes: int) -> None:
        """For a walk over a structure into which at most `nodes` nodes were ever linked."""
        self._left = 2 * nodes + 8

    def step(self) -> None:
        """One more step."""
        self._left -= 1
        if self._left < 0:
            raise Ended("looped")


class Tree:
    """One struct rb_root, with the cached leftmost node that interval trees keep."""

    __slots__ = ("leftmost", "linked", "root")

    def __init__(self) -> None:
        self.linked = 0
        """How often a node was put in: no walk that ends meets more nodes."""
        self.root = NULL
        self.leftmost = NULL

    def insert(self, node: Node, side_at: Callable[[Node], int | None]) -> bool:
        """Whether `node` was inserted where `side_at` leads; False where it answers None: the key is there."""
        self.linked += 1
        patience = Patience(self.linked)
        parent = NULL
        side = LEFT
        leftmost = True
        at = self.root
        while at is not NULL:
            patience.step()
            parent = at
            answer = side_at(at)
            if answer is None:
                return False
            side = answer
            leftmost &= side == LEFT
            at = parent.child[side]
        node.parent = parent
        node.black = False
        node.child = [NULL, NULL]
        if parent is NULL:
            self.root = node
        else:
            parent.child[side] = node
        if leftmost:
            self.leftmost = node
        self._recolour(node, patience)
        return True

    def replace(self, victim: Node, new: Node) -> None:
        """Let `new` take the place of `victim`, whose own pointers say where that is (rb_replace_node)."""
        self.linked += 1
        parent = victim.parent
        new.parent = parent
        new.black = victim.black
        new.child = list(victim.child)
        for child in new.child:
            if child is not NULL:
                child.parent = new
        self._change_child(victim, new, parent)

    def erase(self, node: Node) -> None:
        """Take `node` out, believing its pointers; they stay as they are (rb_erase)."""
        patience = Patience(self.linked)
        if self.leftmost is node:
            self.leftmost = self.neighbour(node, RIGHT)
        left, right = node.child
        if left is NULL:
            parent, black = node.parent, node.black
            self._change_child(node, right, parent)
            if right is not NULL:
                right.parent, right.black = parent, black
                return
            if black and parent is not NULL:
                self._rebalance(parent, patience)
            return
        if right is NULL:
            left.parent, left.black = node.parent, node.black
            self._change_child(node, left, node.parent)
            return
        successor = right
        if successor.child[LEFT] is NULL:
            parent = successor
            orphan = successor.child[RIGHT]
        else:
            parent = successor
            while successor.child[LEFT] is not NULL:
                patience.step()
                parent = successor
                successor = successor.child[LEFT]
            orphan = successor.child[RIGHT]
            parent.child[LEFT] = orphan
            successor.child[RIGHT] = right
            right.parent = successor
        left = node.child[LEFT]
        successor.child[LEFT] = left
        left.parent = successor
        above, black = node.parent, node.black
        self._change_child(node, successor, above)
        if orphan is not NULL:
            orphan.parent, orphan.black = parent, True
            rebalance = False
        else:
            rebalance = successor.black
        successor.parent, successor.black = above, black
        if rebalance:
            self._rebalance(parent, patience)

    def _change_child(self, old: Node, new: Node, parent: Node) -> None:
        if parent is NULL:
            self.root = new
        elif parent.child[LEFT] is old:
            parent.child[LEFT] = new
        else:
            parent.child[RIGHT] = new

    def _rotate_set_parents(self, old: Node, new: Node, *, black: bool) -> None:
        """`new` takes the place and colour of `old`, which becomes its child in the colour given."""
        parent = old.parent
        new.parent, new.black = parent, old.black
        old.parent, old.black = new, black
        self._change_child(old, new, parent)

    def _recolour(self, node: Node, patience: Patience) -> None:
        """Restore the colours after `node` was linked as a red leaf."""
        parent = node.parent
        while True:
            patience.step()
            if parent is NULL:
                node.parent, node.black = NULL, True
                return
            if parent.black:
                return
            gparent = parent.parent
            far = RIGHT if gparent.child[RIGHT] is not parent else LEFT
            near = 1 - far
            uncle = gparent.child[far]
            if uncle is not NULL and not uncle.black:
                uncle.parent, uncle.black = gparent, True
                parent.parent, parent.black = gparent, True
                node = gparent
                parent = node.parent
                node.black = False
                continue
            inner = parent.child[far]
            if node is inner:
                inner = node.child[near]
                parent.child[far] = inner
                node.child[near] = parent
                if inner is not NULL:
                    inner.parent, inner.black = parent, True
                parent.parent, parent.black = node, False
                parent = node
                inner = node.child[far]
            gparent.child[near] = inner
            parent.child[far] = gparent
            if inner is not NULL:
                inner.parent, inner.black = gparent, True
            self._rotate_set_parents(gparent, parent, black=False)
            return

    def _rebalance(self, parent: Node, patience: Patience) -> None:
        """Restore the black heights after a black leaf below `parent` was taken out."""
        node = NULL
        while True:
            patience.step()
            far = RIGHT if parent.child[RIGHT] is not node else LEFT
            near = 1 - far
            sibling = parent.child[far]
            if not sibling.black:
                nephew = sibling.child[near]
                parent.child[far] = nephew
                sibling.child[near] = parent
                nephew.parent, nephew.black = parent, True
                self._rotate_set_parents(parent, sibling, black=False)
                sibling = nephew
            outer = sibling.child[far]
            if outer is NULL or outer.black:
                inner = sibling.child[near]
                if inner is NULL or inner.black:
                    sibling.parent, sibling.black = parent, False
                    if not parent.black:
                        parent.black = True
                        return
                    node = parent
                    parent = node.parent
                    if parent is NULL:
                        return
                    continue
                outer = inner.child[far]
                sibling.child[near] = outer
                inner.child[far] = sibling
                parent.child[far] = inner
                if outer is not NULL:
                    outer.parent, outer.black = sibling, True
                outer = sibling
                sibling = inner
            inner = sibling.child[near]
            parent.child[far] = inner
            sibling.child[near] = parent
            outer.parent, outer.black = sibling, True
            if inner is not NULL:
                inner.parent = parent
            self._rotate_set_parents(parent, sibling, black=True)
            return

    def extreme(self, side: int) -> Node:
        """The first (LEFT) or last (RIGHT) node, or NULL (rb_first, rb_last)."""
        patience = Patience(self.linked)
        node = self.root
        if node is NULL:
            return NULL
        while node.child[side] is not NULL:
            patience.step()
            node = node.child[side]
        return node

    def neighbour(self, node: Node, side: int) -> Node:
        """The next (RIGHT) or previous (LEFT) node in order, or NULL (rb_next, rb_prev)."""
        patience = Patience(self.linked)
        if node.parent is node:  # RB_EMPTY_NODE
            return NULL
        if node.child[side] is not NULL:
            node = node.child[side]
            while node.child[1 - side] is not NULL:
                patience.step()
                node = node.child[1 - side]
            return node
        while True:
            patience.step()
            parent = node.parent
            if parent is NULL or node is not parent.child[side]:
                return parent
            node = parent

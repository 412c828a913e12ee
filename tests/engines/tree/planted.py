# SPDX-License-Identifier: GPL-2.0-only
"""Mistakes to plant in a copy of virt/kvm/kvm_main.c: each a rule, each to be found."""

import re
from typing import NamedTuple


class Planted(NamedTuple):
    """Within the function, what matches `found` becomes `instead`. `shows`: words that only this one is known by."""

    name: str
    function: str
    found: str
    instead: str
    shows: str

    def in_text(self, text: str) -> str:
        """The file with the mistake in it. Exactly one place must match."""
        head = re.search(rf"^[^\s#/][^;{{}}]*\b{self.function}\([^;]*?\)\n\{{", text, re.MULTILINE)
        assert head is not None, f"{self.name}: there is no {self.function}()"
        end = text.index("\n}\n", head.end())
        body, n = re.subn(self.found, self.instead, text[head.end() : end], flags=re.DOTALL)
        assert n == 1, f"{self.name}: {n} places match in {self.function}(), expected 1"
        return text[: head.end()] + body + text[end:]


SWAP, SET, REPLACE = "kvm_swap_active_memslots", "kvm_set_memslot", "kvm_replace_memslot"
COMMIT, CHECKS = "kvm_commit_memory_region", "__kvm_set_memory_region"


def under_spinlock(statement: str, shows: str) -> Planted:
    """A statement right before a set is published."""
    published = r"rcu_assign_pointer\([^;]*;"
    return Planted(
        f"under a spinlock: {statement}", SWAP, published, rf"{statement} \g<0>", f"{shows} under a spinlock"
    )


def edit(whose: str, out: str, back: str) -> str:
    """Takes a slot out of an index of a set, and puts it back after others had their chance to look."""
    return f"""{{
        struct kvm_memslots *set = {whose};
        struct kvm_memory_slot *slot;
        int idx = set->node_idx, bkt;
        hash_for_each(set->id_hash, bkt, slot, id_node[idx]) {{
            {out}
            mutex_lock(&kvm->irq_lock);
            mutex_unlock(&kvm->irq_lock);
            {back}
            break;
        }}
    }}"""


ACTIVE, LEFT = "__kvm_memslots(kvm, as_id)", "kvm_get_inactive_memslots(kvm, as_id)"
ID_HASH = ("hash_del(&slot->id_node[idx]);", "hash_add(set->id_hash, &slot->id_node[idx], slot->id);")
HVA_TREE = (
    "interval_tree_remove(&slot->hva_node[idx], &set->hva_tree);",
    "interval_tree_insert(&slot->hva_node[idx], &set->hva_tree);",
)
SYNC = r"synchronize_srcu\w*\(&kvm->srcu\);"
SWAPPED_BY_HAND = r"""{
    struct kvm_memslots *set = kvm_get_inactive_memslots(kvm, as_id);
    set->generation = __kvm_memslots(kvm, as_id)->generation + KVM_ADDRESS_SPACE_NUM;
    rcu_assign_pointer(kvm->memslots[as_id], set);
    mutex_unlock(&kvm->slots_arch_lock);
    if (old && new && old->dirty_bitmap && !new->dirty_bitmap)
        kvm_destroy_dirty_bitmap(old);
    synchronize_srcu(&kvm->srcu);
}"""

PLANTED = (
    Planted("readers are not awaited", SWAP, r"synchronize_srcu\w*\(&kvm->srcu\);", "", "readers-not-awaited"),
    Planted("a lock is released twice", SWAP, r"(mutex_unlock\([^;]*;)", r"\1 \1", "nobody holds it"),
    Planted("a lock is kept on an error path", SET, r"(else \{\s*)mutex_unlock\([^;]*;", r"\1", "slots_arch_lock"),
    Planted("a lock is taken twice", SET, r"(mutex_lock\([^;]*;)", r"\1 \1", "hung"),
    Planted(
        "slots_arch_lock is held while readers are awaited",
        SWAP,
        r"(mutex_unlock\([^;]*;)(.*?synchronize_srcu\w*\(&kvm->srcu\);)",
        r"\2 \1",
        "slots_arch_lock held over srcu's wait",
    ),
    Planted(
        "a set is published without slots_lock",
        "kvm_set_memory_region",
        r"mutex_lock\([^;]*;(.*)mutex_unlock\([^;]*;",
        r"\1",
        "published without slots_lock",
    ),
    Planted(
        "a set is published without slots_arch_lock",
        SWAP,
        r"(rcu_assign_pointer\([^;]*;)(.*?)(mutex_unlock\([^;]*;)",
        r"\3 \1 \2",
        "published without slots_arch_lock",
    ),
    Planted(
        "slots_lock is taken under slots_arch_lock",
        SWAP,
        r"(mutex_unlock\([^;]*;)",
        r"mutex_unlock(&kvm->slots_lock); mutex_lock(&kvm->slots_lock); \1",
        "slots_lock taken under slots_arch_lock",
    ),
    Planted(
        "a set is published with a generation that looks final",
        SWAP,
        r"gen \| KVM_MEMSLOT_GEN_UPDATE_IN_PROGRESS;",
        "gen;",
        "published with a generation not in progress",
    ),
    Planted(
        "the generation is final before readers are awaited",
        SWAP,
        rf"({SYNC})(.*)slots->generation = gen;",
        r"{ u64 early = (slots->generation & ~KVM_MEMSLOT_GEN_UPDATE_IN_PROGRESS) + KVM_ADDRESS_SPACE_NUM;"
        r" slots->generation = early; } \1 gen = slots->generation; kvm_arch_memslots_updated(kvm, gen);",
        "generation is final with readers in the old set",
    ),
    Planted(
        "readers of something else are awaited",
        SWAP,
        r"(synchronize_srcu\w*)\(&kvm->srcu\);",
        r"\1(&kvm->irq_srcu);",
        "readers-not-awaited",
    ),
    under_spinlock("mutex_lock(&kvm->irq_lock); mutex_unlock(&kvm->irq_lock);", "irq_lock"),
    under_spinlock("synchronize_srcu(&kvm->irq_srcu);", "synchronize_srcu"),
    under_spinlock("kfree(kmalloc(8, GFP_KERNEL));", "kmalloc"),
    under_spinlock("vfree(vzalloc(8));", "vmalloc"),
    under_spinlock("if (copy_from_user(&gen, NULL, 8)) ;", "copy_from_user"),
    under_spinlock("might_sleep();", "might_sleep"),
    under_spinlock("cond_resched();", "cond_resched"),
    Planted(
        "a deleted slot's page tables are not flushed",
        "kvm_invalidate_memslot",
        r"kvm_arch_flush_shadow_memslot\([^;]*;",
        "",
        "no kvm_arch_flush_shadow_memslot: slot 0:",
    ),
    Planted(
        "page tables are flushed while mappings can come back",
        "kvm_invalidate_memslot",
        r"(kvm_swap_active_memslots\([^;]*;)(.*?)(kvm_arch_flush_shadow_memslot\([^;]*;)",
        r"\3 \1 \2",
        "no kvm_arch_flush_shadow_memslot: slot 0:",
    ),
    Planted(
        "another slot's page tables are flushed",
        "kvm_invalidate_memslot",
        r"kvm_arch_flush_shadow_memslot\([^;]*;",
        "{ short id = old->id; old->id = id + 1; kvm_arch_flush_shadow_memslot(kvm, old); old->id = id; }",
        "no kvm_arch_flush_shadow_memslot: slot 0:",
    ),
    Planted(
        "the architecture does not hear of a new set",
        SWAP,
        r"kvm_arch_memslots_updated\([^;]*;",
        "",
        "no kvm_arch_memslots_updated",
    ),
    Planted(
        "the architecture does not hear of a change",
        COMMIT,
        r"kvm_arch_commit_memory_region\([^;]*;",
        "",
        "no kvm_arch_commit_memory_region: slot 0:",
    ),
    Planted(
        "the architecture hears of all changes but deletions",
        COMMIT,
        r"kvm_arch_commit_memory_region\([^;]*;",
        r"if (change != KVM_MR_DELETE) \g<0>",
        "no kvm_arch_commit_memory_region: slot 0:",
    ),
    Planted(
        "a set is published without mn_invalidate_lock",
        SWAP,
        r"(rcu_assign_pointer\([^;]*;)\s*(spin_unlock\([^;]*;)",
        r"\2 \1",
        "published without mn_invalidate_lock",
    ),
    Planted(
        "MMU notifiers are not awaited",
        SWAP,
        r"finish_rcuwait\([^;]*;",
        "",
        "published with MMU notifiers not awaited",
    ),
    Planted(
        "a dirty bitmap is half as long",
        "kvm_alloc_dirty_bitmap",
        r"calloc\(2,",
        "calloc(1,",
        "incomplete",
    ),
    Planted("the INVALID copy leaks", SET, r"(MOVE\)\s*)kfree\(\w+\);(?!.*kfree)", r"\1;", "leaked"),
    Planted("a refused slot object leaks", CHECKS, r"(if \(r\)\s*)kfree\(new\);", r"\1;", "leaked"),
    Planted("a dirty bitmap leaks", COMMIT, r"kvm_destroy_dirty_bitmap\(old\);", ";", "leaked"),
    Planted("the old object is freed twice", COMMIT, r"(kfree\(old\);)", r"\1 \1", "double-free"),
    Planted(
        "an object is freed while the active set holds it",
        SET,
        r"(kvm_update_flags_memslot\([^;]*;)",
        r"{ struct kvm_memory_slot *early = old; kfree(early); \1 }",
        "early-free",
    ),
    Planted(
        "a bitmap is freed while the active set's slot has it",
        "kvm_update_flags_memslot",
        r"\A",
        "if (!new->dirty_bitmap) kvm_destroy_dirty_bitmap(old);",
        "early-free: freed while the active set holds it",
    ),
    Planted(
        "a bitmap is freed while readers may be at it",
        "kvm_activate_memslot",
        r"kvm_swap_active_memslots\([^;]*;",
        SWAPPED_BY_HAND,
        "early-free: freed while readers may hold it",
    ),
    Planted(
        "a vmalloc'ed bitmap goes to kfree",
        "kvm_destroy_dirty_bitmap",
        r"\bkvfree\(",
        "kfree(",
        "wrong-free: kfree of what vmalloc gave",
    ),
    Planted("a kmalloc'ed object goes to vfree", COMMIT, r"kfree\(old\);", "vfree(old);", "vfree of what kmalloc gave"),
    Planted(
        "an object goes to another cache",
        COMMIT,
        r"(kfree\(old\);)",
        r"""\1 {
            struct kmem_cache *one = kmem_cache_create("one", 64, 0, 0, NULL);
            struct kmem_cache *other = kmem_cache_create("other", 64, 0, 0, NULL);
            kmem_cache_free(other, kmem_cache_alloc(one, GFP_KERNEL));
            kmem_cache_destroy(one);
            kmem_cache_destroy(other);
        }""",
        "kmem_cache_free of another cache's object",
    ),
    Planted("an object is used after it was freed", COMMIT, r"kfree\(old\);", "kfree(old); old->flags = 0;", "after"),
    Planted(
        "an overlap of one page is missed", CHECKS, r"base_gfn \+ npages\)(?=\))", "base_gfn + npages - 1)", "errno"
    ),
    Planted(
        "a neighbour counts as an overlap", CHECKS, r"base_gfn \+ npages\)(?=\))", "base_gfn + npages + 1)", "EEXIST"
    ),
    Planted("the id hash is not updated", REPLACE, r"hash_add\([^;]*;", "", "corrupt"),
    Planted("the hva tree is not updated", REPLACE, r"interval_tree_insert\([^;]*;", "", "corrupt"),
    Planted("the gfn tree keeps what is deleted", REPLACE, r"(if \(!new\) \{\s*)kvm_erase_gfn_node\([^;]*;", r"\1", ""),
    Planted("the active set is edited", "kvm_get_inactive_memslots", r"(node_idx) \^ 1", r"\1", "in-place"),
    Planted(
        "the active set's id hash is edited", SWAP, r"\A", edit(ACTIVE, *ID_HASH), "changed-in-place: address space"
    ),
    Planted(
        "the active set's hva tree is edited", SWAP, r"\A", edit(ACTIVE, *HVA_TREE), "changed-in-place: address space"
    ),
    Planted(
        "the active set's slot changes its address space",
        SWAP,
        r"\A",
        edit(ACTIVE, "slot->as_id ^= 1;", "slot->as_id ^= 1;"),
        "changed-in-place: address space",
    ),
    Planted(
        "the active set's slot gets the new one's bitmap",
        "kvm_update_flags_memslot",
        r"\A",
        "if (new->dirty_bitmap && !old->dirty_bitmap) old->dirty_bitmap = new->dirty_bitmap;",
        "changed-in-place: address space",
    ),
    Planted(
        "what x86 keeps with the active set's slot is edited",
        SWAP,
        r"\A",
        edit(ACTIVE, "((u64 *)&slot->arch)[1] ^= 8;", "((u64 *)&slot->arch)[1] ^= 8;"),
        "changed-in-place: address space",
    ),
    Planted(
        "a set that readers may be in is edited",
        SWAP,
        SYNC,
        edit(LEFT, *ID_HASH) + r"\g<0>",
        "readers may be in it still",
    ),
    Planted(
        "last_used_slot stays what is replaced",
        REPLACE,
        r"if \(\(long\)old == [^;]*;",
        "",
        "stale-look-up: last_used_slot is not in the set",
    ),
    Planted(
        "last_used_slot is what has been freed",
        COMMIT,
        r"(kfree\(old\);)",
        r"atomic_long_set((atomic_long_t *)&__kvm_memslots(kvm, old->as_id)->last_used_slot, (long)old); \1",
        "use-after-free: last_used_slot is freed",
    ),
    Planted("the other set is not brought up to date", "kvm_activate_memslot", r"kvm_replace_memslot\([^;]*;", "", ""),
    Planted("the generation stays in progress", SWAP, r"\bslots->generation = gen;", "", "generation"),
    Planted("the generation counts by one", SWAP, r"gen \+= [^;]*;", "gen += 1;", "generation"),
    Planted("deleted pages are still counted", COMMIT, r"kvm->nr_memslot_pages -= [^;]*;", ";", "nr_memslot_pages"),
    Planted(
        "no slot is ever INVALID", "kvm_invalidate_memslot", r"\w+->flags \|= KVM_MEMSLOT_INVALID;", "", "published"
    ),
    Planted("an odd size is accepted", CHECKS, r"mem->memory_size & \(PAGE_SIZE - 1\)", "0", "errno"),
    Planted("a WARN fires", "kvm_update_flags_memslot", r"\A", "WARN_ON_ONCE(old->id == new->id);", "warn"),
    Planted("a BUG is hit", "kvm_move_memslot", r"\A", "BUG_ON(old->npages == new->npages);", "bug"),
    Planted(
        "a loop does not end",
        "kvm_check_memslot_overlap",
        r"(return true;)",
        r"while (READ_ONCE(id) >= 0) ; \1",
        "looped",
    ),
)

NO_MISTAKES = (
    Planted(
        "all page tables are flushed",
        "kvm_invalidate_memslot",
        r"kvm_arch_flush_shadow_memslot\([^;]*;",
        "kvm_arch_flush_shadow_all(kvm);",
        "",
    ),
    Planted(
        "the hook gets a copy",
        "kvm_invalidate_memslot",
        r"kvm_arch_flush_shadow_memslot\([^;]*;",
        "{ struct kvm_memory_slot copy = *old; kvm_arch_flush_shadow_memslot(kvm, &copy); }",
        "",
    ),
    Planted("kvfree takes all", COMMIT, r"kfree\(old\);", "kvfree(old);", ""),
    under_spinlock("if (mutex_trylock(&kvm->irq_lock)) mutex_unlock(&kvm->irq_lock);", "nothing"),
)
READ_AFTER_FREE = Planted(
    "freed memory is read, and nothing comes of it", COMMIT, r"kfree\(old\);", "kfree(old); READ_ONCE(old->npages);", ""
)
"""Only ASan sees it."""
ARCH_EARLY = Planted(
    "x86's arrays are freed while readers have them",
    "kvm_delete_memslot",
    r"\A",
    "kvm_arch_free_memslot(kvm, old);",
    "",
)
ARCH_LEAK = Planted("x86's arrays leak", "kvm_free_memslot", r"kvm_arch_free_memslot\([^;]*;", "", "leaked")
"""Only a build with x86's own hooks has any."""

// SPDX-License-Identifier: GPL-2.0-only
/*
 * One memslot set, seen through all three of its indexes. A set may be corrupt: no pointer is followed that does not
 * lead to a block of this VM, no object is entered twice, and freed ones lead nowhere.
 */
#include <linux/bitops.h>
#include <linux/kvm_host.h>
#include <linux/rbtree_augmented.h>
#include "inside.h"

#define DEEPEST 128	/* of a tree that obeys its rules, 2^63 nodes are needed to get there */

struct walk {
	struct ms_met *met;
	int count, room;
	int idx;
	unsigned int shape;
};

/* Note that an index holds the object. Whether the walk may follow its links. */
static bool enter(struct walk *w, struct ms_block *block, unsigned int where)
{
	struct ms_met *met;

	if (!block) {
		w->shape |= MEMSLOT_FREED;
		return false;
	}
	if (!block->seen) {
		if (w->count == w->room) {
			w->shape |= MEMSLOT_ENDLESS;
			return false;
		}
		w->met[w->count] = (struct ms_met){ block, block->live ? 0 : MEMSLOT_IS_FREED };
		block->seen = ++w->count;
	}
	met = &w->met[block->seen - 1];
	if (met->where & where) {
		w->shape |= MEMSLOT_TWICE;
		return false;
	}
	met->where |= where;
	if (!block->live)
		w->shape |= MEMSLOT_FREED;
	return block->live;
}

struct tree {
	bool by_gfn;
	unsigned int where;
	u64 least;		/* what the next node in order must not be below */
	int blacks;		/* on the way to the first leaf; -1: not known yet */
};

static struct kvm_memory_slot *slot_of(struct walk *w, struct tree *t, struct rb_node *node)
{
	if (t->by_gfn)
		return container_of(node, struct kvm_memory_slot, gfn_node[w->idx]);
	return container_of(node, struct kvm_memory_slot, hva_node[w->idx].rb);
}

static void leaf(struct walk *w, struct tree *t, int blacks)
{
	if (t->blacks < 0)
		t->blacks = blacks;
	else if (t->blacks != blacks)
		w->shape |= MEMSLOT_COLOURS;
}

static void walk_tree(struct walk *w, struct tree *t, struct rb_node *node,
					    struct rb_node *parent, int depth, int blacks)
{
	struct kvm_memory_slot *slot;
	bool red;
	u64 key;

	if (!node) {
		leaf(w, t, blacks);
		return;
	}
	slot = slot_of(w, t, node);
	if (depth == DEEPEST) {
		w->shape |= MEMSLOT_ENDLESS;
		return;
	}
	if (!enter(w, ms_block_at(slot), t->where))
		return;
	if (rb_parent(node) != parent)
		w->shape |= MEMSLOT_DISORDER;
	red = rb_is_red(node);
	if (red && (!parent || rb_is_red(parent)))
		w->shape |= MEMSLOT_COLOURS;
	walk_tree(w, t, node->rb_left, node, depth + 1, blacks + !red);
	key = t->by_gfn ? slot->base_gfn : slot->hva_node[w->idx].start;
	if (key < t->least)
		w->shape |= MEMSLOT_DISORDER;
	if (t->by_gfn && t->least && key < t->least)
		w->shape |= MEMSLOT_OVERLAP;
	t->least = t->by_gfn ? slot->base_gfn + slot->npages : key;
	walk_tree(w, t, node->rb_right, node, depth + 1, blacks + !red);
}

static u64 mixed(u64 sum, u64 word)
{
	return (sum ^ word) * 0x9e3779b97f4a7c15ULL;
}

/* Whatever the architecture keeps with a slot: words of its own, which it may write before the slot is published. */
static u64 mixed_arch(u64 sum, const struct kvm_memory_slot *slot)
{
	const u64 *word = (const u64 *)&slot->arch;
	int i;

	BUILD_BUG_ON(sizeof(slot->arch) % sizeof(*word));
	for (i = 0; i < sizeof(slot->arch) / sizeof(*word); i++)
		sum = sum * 9 + word[i];
	return sum;
}

/* What an index keeps of the slot changes with its neighbours there. */
static u64 mixed_links(u64 sum, const struct kvm_memory_slot *slot, int idx)
{
	const struct interval_tree_node *hva = &slot->hva_node[idx];
	const struct rb_node *gfn = &slot->gfn_node[idx], *rb = &hva->rb;

	sum = mixed(sum, (u64)slot->id_node[idx].next ^ rol64((u64)slot->id_node[idx].pprev, 16));
	sum = mixed(sum, rb->__rb_parent_color ^ rol64((u64)rb->rb_left, 16) ^ rol64((u64)rb->rb_right, 32));
	sum = mixed(sum, hva->start ^ rol64(hva->last, 16) ^ rol64(hva->__subtree_last, 32));
	return mixed(sum, gfn->__rb_parent_color ^ rol64((u64)gfn->rb_left, 16) ^ rol64((u64)gfn->rb_right, 32));
}

static u64 sum_below(struct rb_node *node, int idx, u64 sum, int depth, unsigned int stamp, struct ms_visit *visit)
{
	while (node && depth < DEEPEST) {
		struct kvm_memory_slot *slot = container_of(node, struct kvm_memory_slot, gfn_node[idx]);
		struct ms_block *block = ms_block_at(slot);

		if (!block || !block->live) {
			visit->astray = 1;
			return mixed(sum, 7);
		}
		if (stamp) {
			block->stamp = stamp;
			if (slot->flags & KVM_MEMSLOT_INVALID && visit->ninvalid < MS_INVALIDS)
				ms_describe(slot, &visit->invalid[visit->ninvalid++]);
		}
		visit->objects++;
		sum = sum_below(node->rb_left, idx, sum, depth + 1, stamp, visit);
		sum = mixed(sum, slot->base_gfn);
		sum = mixed(sum, slot->npages);
		sum = mixed(sum, slot->userspace_addr ^ (u64)slot->flags << 48 ^ (u16)slot->id);
		sum = mixed(sum, (u64)slot->dirty_bitmap ^ (u64)slot->as_id << 48);
		sum = mixed_arch(sum, slot);
		sum = mixed_links(sum, slot, idx);
		node = node->rb_right;
		depth++;
	}
	visit->astray |= depth >= DEEPEST;
	return sum;
}

/* The heads of the hash chains, in lanes that need not wait for one another. */
static u64 sum_of_heads(const struct kvm_memslots *set)
{
	u64 a = 0, b = 0, c = 0, d = 0;
	int i;

	BUILD_BUG_ON(ARRAY_SIZE(set->id_hash) % 4);
	for (i = 0; i < ARRAY_SIZE(set->id_hash); i += 4) {
		a = a * 9 + (u64)set->id_hash[i].first;
		b = b * 9 + (u64)set->id_hash[i + 1].first;
		c = c * 9 + (u64)set->id_hash[i + 2].first;
		d = d * 9 + (u64)set->id_hash[i + 3].first;
	}
	return mixed(mixed(mixed(a, b), c), d);
}

msu64 ms_sum(const void *p, unsigned int stamp, struct ms_visit *visit)
{
	const struct kvm_memslots *set = p;
	u64 sum = mixed(sum_of_heads(set), (u64)set->hva_tree.rb_root.rb_node);

	sum = mixed(sum, (u64)set->hva_tree.rb_leftmost);
	return sum_below(set->gfn_tree.rb_node, set->node_idx, sum, 0, stamp, visit);
}

/* The hva tree's nodes say which range they stand for, and the last address below them. */
static unsigned long below(struct walk *w, struct rb_node *node)
{
	struct interval_tree_node *it = container_of(node, struct interval_tree_node, rb);
	struct kvm_memory_slot *slot = container_of(it, struct kvm_memory_slot, hva_node[w->idx]);
	unsigned long last = it->last;

	if (it->start != slot->userspace_addr ||
	    it->last != slot->userspace_addr + (slot->npages << PAGE_SHIFT) - 1)
		w->shape |= MEMSLOT_DISORDER;
	if (node->rb_left)
		last = max(last, below(w, node->rb_left));
	if (node->rb_right)
		last = max(last, below(w, node->rb_right));
	if (it->__subtree_last != last)
		w->shape |= MEMSLOT_DISORDER;
	return last;
}

static void walk_hash(struct walk *w, struct kvm_memslots *set)
{
	struct hlist_node *node, **pprev;
	int i;

	for (i = 0; i < ARRAY_SIZE(set->id_hash); i++) {
		pprev = &set->id_hash[i].first;
		for (node = *pprev; node; node = node->next) {
			struct kvm_memory_slot *slot = container_of(node, struct kvm_memory_slot, id_node[w->idx]);

			if (!enter(w, ms_block_at(slot), MEMSLOT_IN_ID_HASH))
				break;
			if (node->pprev != pprev || hash_min(slot->id, HASH_BITS(set->id_hash)) != i)
				w->shape |= MEMSLOT_DISORDER;
			pprev = &node->next;
		}
	}
}

/* How many objects the set holds, each once, with where it is; `readers_only`: the gfn tree alone. */
int ms_walk(void *p, int readers_only, struct ms_met *met, int room, unsigned int *shape)
{
	struct kvm_memslots *set = p;
	struct walk w = { .met = met, .room = room, .idx = set->node_idx };
	struct tree by_gfn = { true, MEMSLOT_IN_GFN_TREE, 0, -1 };
	struct tree by_hva = { false, MEMSLOT_IN_HVA_TREE, 0, -1 };
	struct rb_node *first;
	unsigned int broken;
	int i;

	walk_tree(&w, &by_gfn, set->gfn_tree.rb_node, NULL, 0, 0);
	if (!readers_only) {
		walk_tree(&w, &by_hva, set->hva_tree.rb_root.rb_node, NULL, 0, 0);
		walk_hash(&w, set);
		broken = w.shape & (MEMSLOT_FREED | MEMSLOT_TWICE | MEMSLOT_ENDLESS);
		first = set->hva_tree.rb_root.rb_node;
		if (first && !broken) {
			below(&w, first);
			first = rb_first(&set->hva_tree.rb_root);
		}
		if (!broken && set->hva_tree.rb_leftmost != first)
			w.shape |= MEMSLOT_DISORDER;
	}
	for (i = 0; i < w.count; i++)
		met[i].block->seen = 0;
	*shape |= w.shape;
	return w.count;
}

void ms_describe(const void *p, struct memslot_slot *out)
{
	const struct kvm_memory_slot *slot = p;

	out->base_gfn = slot->base_gfn;
	out->npages = slot->npages;
	out->userspace_addr = slot->userspace_addr;
	out->flags = slot->flags;
	out->id = slot->id;
	out->as_id = slot->as_id;
}

/* Where the chain of its id has gone astray nobody can say: that is told of elsewhere, and counts as yes here. */
int ms_holds(const void *p, const struct memslot_slot *s)
{
	const struct kvm_memslots *set = p;
	const struct hlist_node *node = set->id_hash[hash_min(s->id, HASH_BITS(set->id_hash))].first;
	int n;

	for (n = 0; node; node = node->next, n++) {
		const struct kvm_memory_slot *slot = container_of(node, struct kvm_memory_slot, id_node[set->node_idx]);
		const struct ms_block *block = ms_block_at(slot);

		if (!block || !block->live || n > KVM_MEM_SLOTS_NUM)
			return 1;
		if (slot->id == s->id)
			return slot->base_gfn == s->base_gfn && slot->npages == s->npages &&
			       slot->userspace_addr == s->userspace_addr;
	}
	return 0;
}

/* Twice: the second half is for whoever fetches the first. */
unsigned long ms_bitmap_bytes(const void *slot)
{
	return 2 * kvm_dirty_bitmap_bytes((struct kvm_memory_slot *)slot);
}

const void *ms_bitmap_of(const void *slot)
{
	return ((const struct kvm_memory_slot *)slot)->dirty_bitmap;
}

#ifdef MEMSLOT_LAST_USED
const void *ms_last_used(const void *set)
{
	return (const void *)atomic_long_read(&((const struct kvm_memslots *)set)->last_used_slot);
}

static bool finds_another(struct kvm_memslots *set, gfn_t gfn, unsigned int stamp)
{
	struct kvm_memory_slot *slot = __gfn_to_memslot(set, gfn);
	struct ms_block *block = slot ? ms_block_at(slot) : NULL;

	return slot && !(block && block->live && block->stamp == stamp);
}

int ms_look_up(void *p, unsigned int stamp, unsigned int way)
{
	struct kvm_memslots *set = p;
	const struct kvm_memory_slot *last = ms_last_used(set);
	const struct ms_block *block = last ? ms_block_at(last) : NULL;
	struct rb_node *node = set->gfn_tree.rb_node, *next = node;

	if (block && !block->live)
		return MEMSLOT_USE_AFTER_FREE;
	if (last && (!block || finds_another(set, last->base_gfn, stamp)))
		return MEMSLOT_STALE;
	for (; next; way >>= 1) {
		node = next;
		next = way & 1 ? node->rb_right : node->rb_left;
	}
	if (!node)
		return 0;
	last = container_of(node, struct kvm_memory_slot, gfn_node[set->node_idx]);
	return finds_another(set, last->base_gfn, stamp) ? MEMSLOT_STALE : 0;
}
#else
const void *ms_last_used(const void *set)
{
	return NULL;
}

int ms_look_up(void *set, unsigned int stamp, unsigned int way)
{
	return 0;
}
#endif

msu64 ms_generation(const void *set)
{
	return ((const struct kvm_memslots *)set)->generation;
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a reader could see. Whenever the kernel code calls anything of the shim's, the active sets are looked at: a
 * set that has been swapped in is a publication; one that changes while it is active is a fault.
 */
#include <stdlib.h>
#include <string.h>
#include "shim.h"

#define SNAPSHOTS 4096
#define SLOTS (1 << 17)
#define WALK 65536
/* In one case so many slots are looked at to see whether a set is as it was. Then only publications are noticed. */
#define PATIENCE (4UL << 20)

static struct memslot_snapshot snapshots[SNAPSHOTS];
static struct memslot_slot slots[SLOTS];
static struct ms_met met[WALK];
static msu32 count, nslots, lost;
static void *last[MEMSLOT_SPACES];
static msu64 sums[MEMSLOT_SPACES];
static unsigned long looked_at;
static unsigned int waiting;	/* for readers: a bit an address space */

static int by_id(const void *a, const void *b)
{
	const struct memslot_slot *x = a, *y = b;

	if (x->id != y->id)
		return x->id < y->id ? -1 : 1;
	if (x->base_gfn != y->base_gfn)
		return x->base_gfn < y->base_gfn ? -1 : 1;
	return x->object < y->object ? -1 : x->object > y->object;
}

static void sort(struct memslot_slot *s, int n)
{
	int i, j;

	if (n > 64) {
		qsort(s, n, sizeof(*s), by_id);
		return;
	}
	for (i = 1; i < n; i++) {
		struct memslot_slot x = s[i];

		for (j = i; j > 0 && by_id(&x, &s[j - 1]) < 0; j--)
			s[j] = s[j - 1];
		s[j] = x;
	}
}

/* The slots of a set, sorted; how many there are, which may be more than there is room for. */
int ms_copy_set(void *set, int readers_only, struct memslot_slot *out, int room, msu32 *shape)
{
	int i, n = K(ms_walk)(set, readers_only, met, WALK, shape);

	if (n > room)
		return n;
	for (i = 0; i < n; i++) {
		const struct ms_block *block = met[i].block, *bitmap;
		const void *p;

		if (block->live || block->object == MEMSLOT_NONE)
			K(ms_describe)(block->start, &out[i]);
		else
			out[i] = *ms_epitaph(block->object);
		out[i].where = met[i].where;
		met[i].block->reached = ms.at_rest;
		out[i].object = block->object;
		p = block->live ? K(ms_bitmap_of)(block->start) : NULL;
		if (p) {
			bitmap = K(ms_block_at)(p);
			out[i].where |= bitmap && bitmap->live ? MEMSLOT_HAS_BITMAP : MEMSLOT_HAS_FREED_BITMAP;
		}
	}
	sort(out, n);
	return n;
}

static void keep(int what, int as_id, void *set, struct memslot_event *e)
{
	struct memslot_snapshot *shot = &snapshots[count];
	msu32 shape = 0;
	int n;

	e->b = count;
	if (!(ms.want & MEMSLOT_WANT_PUBLISHED))
		return;
	n = lost || count == SNAPSHOTS ? SLOTS + 1 : ms_copy_set(set, 1, slots + nslots, SLOTS - nslots, &shape);
	if (n > (int)(SLOTS - nslots)) {
		lost++;
		return;
	}
	*shot = (struct memslot_snapshot){ what, as_id, nslots, n, K(ms_generation)(set), ms.entry, 0 };
	nslots += n;
	count++;
}

static void not_waited(int as_id)
{
	if (!(waiting & 1u << as_id))
		return;
	ms.unsynced++;
	ms_event(MEMSLOT_EV_UNSYNCED, as_id, "");
}

/* `closely`: not only whether another set is active, but whether the active one is as it was. */
void ms_look(int closely)
{
	struct memslot_event *e;
	msu64 sum;
	int i;

	if (!ms.running || ms.entry < 0)
		return;
	for (i = 0; i < ms.spaces; i++) {
		void *set = ms.active[i];

		if (set == last[i] && (!closely || looked_at > PATIENCE))
			continue;
		sum = looked_at > PATIENCE ? 0 : K(ms_sum)(set, &looked_at);
		if (set != last[i]) {
			not_waited(i);
			waiting |= 1u << i;
			last[i] = set;
			ms.publications++;
			if (!(ms_locks_held(0) & MEMSLOT_SLOTS_LOCK))
				ms_rule("published without slots_lock", NULL);
			e = ms_event(MEMSLOT_EV_PUBLISH, i, "");
			e->a = K(ms_generation)(set);
			keep(MEMSLOT_PUBLISHED, i, set, e);
		} else if (sum != sums[i]) {
			ms.in_place++;
			keep(MEMSLOT_IN_PLACE, i, set, ms_event(MEMSLOT_EV_IN_PLACE, i, ""));
		}
		sums[i] = sum;
	}
}

/* Readers have left every set but the active ones. */
void ms_synced(void)
{
	waiting = 0;
}

void ms_readers_begin(void)
{
	int i;

	count = nslots = lost = 0;
	waiting = 0;
	looked_at = 0;
	for (i = 0; i < ms.spaces; i++) {
		last[i] = ms.active[i];
		sums[i] = K(ms_sum)(last[i], &looked_at);
	}
}

int ms_waiting(void)
{
	return waiting != 0;
}

msu32 ms_readers_end(void)
{
	int i;

	for (i = 0; i < ms.spaces; i++)
		not_waited(i);
	waiting = 0;
	return ms.unsynced;
}

msu32 ms_published(const struct memslot_snapshot **out, const struct memslot_slot **out_slots, msu32 *out_nslots,
		   msu32 *out_lost)
{
	*out = snapshots;
	*out_slots = slots;
	*out_nslots = nslots;
	*out_lost = lost;
	return count;
}

int ms_in_active(const void *slot)
{
	const struct ms_block *block = K(ms_block_at)(slot);
	msu32 shape = 0;
	int as_id, i, n;

	for (as_id = 0; as_id < ms.spaces && looked_at <= PATIENCE; as_id++) {
		n = K(ms_walk)(ms.active[as_id], 0, met, WALK, &shape);
		looked_at += n;
		for (i = 0; i < n; i++)
			if (met[i].block == block)
				return 1;
	}
	return 0;
}

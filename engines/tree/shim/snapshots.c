// SPDX-License-Identifier: GPL-2.0-only
/* Copies of sets: of what readers find, as it is published, and of what is left. */
#include <stdlib.h>
#include "shim.h"

#define SNAPSHOTS 4096
#define SLOTS (1 << 17)
#define WALK 65536

static struct memslot_snapshot snapshots[SNAPSHOTS];
static struct memslot_slot slots[SLOTS];
static struct ms_met met[WALK];
static msu32 count, nslots, lost;

void ms_snapshots_begin(void)
{
	count = nslots = lost = 0;
}

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
			if (!bitmap || !bitmap->live)
				out[i].where |= MEMSLOT_HAS_FREED_BITMAP;
			else if (bitmap->size >= K(ms_bitmap_bytes)(block->start))
				out[i].where |= MEMSLOT_HAS_BITMAP;
		}
	}
	sort(out, n);
	return n;
}

void ms_keep(int what, int as_id, void *set, struct memslot_event *e)
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

msu32 ms_published(const struct memslot_snapshot **out, const struct memslot_slot **out_slots, msu32 *out_nslots,
		   msu32 *out_lost)
{
	*out = snapshots;
	*out_slots = slots;
	*out_nslots = nslots;
	*out_lost = lost;
	return count;
}

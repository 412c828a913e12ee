// SPDX-License-Identifier: GPL-2.0-only
/* What is wrong with sets at rest: read off the copies, with no pointer followed. */
#include "shim.h"

#define LACKING 1024
#define LOG_DIRTY_PAGES 1u
#define IN_ALL (MEMSLOT_IN_GFN_TREE | MEMSLOT_IN_HVA_TREE | MEMSLOT_IN_ID_HASH)

static msu32 said(int what, int is_active, const struct memslot_slot *s)
{
	struct memslot_event *e = ms_event(MEMSLOT_EV_SHAPE, what, "");

	e->a = is_active;
	if (s) {
		e->slot = (msu32)s->as_id << 16 | s->id;
		e->object = s->object;
		e->flags = s->flags;
	}
	return what;
}

static msu32 lacking[LACKING];
static msu32 nlacking;

/* An object is in two sets, and counts once. */
static void lacks(const struct memslot_slot *s)
{
	msu32 i;

	for (i = 0; i < nlacking; i++)
		if (lacking[i] == s->object)
			return;
	if (nlacking < LACKING)
		lacking[nlacking++] = s->object;
}

msu32 ms_incomplete(void)
{
	msu32 n = nlacking;

	nlacking = 0;
	return n;
}

static msu32 judge_slot(const struct memslot_slot *s, int as_id, int is_active)
{
	int logs = s->flags & LOG_DIRTY_PAGES, has = s->where & MEMSLOT_HAS_BITMAP;
	msu32 shape = 0;

	if ((s->where & IN_ALL) != IN_ALL || !logs != !has)
		lacks(s);
	if (s->where & MEMSLOT_IS_FREED)
		return said(MEMSLOT_FREED, is_active, s);
	if ((s->where & IN_ALL) != IN_ALL)
		shape |= said(MEMSLOT_NOT_IN_ALL, is_active, s);
	if (s->flags & 1u << 16)
		shape |= said(MEMSLOT_LEFT_INVALID, is_active, s);
	if (s->as_id != as_id)
		shape |= said(MEMSLOT_WRONG_SPACE, is_active, s);
	if (s->where & MEMSLOT_HAS_FREED_BITMAP)
		shape |= said(MEMSLOT_BITMAP_FREED, is_active, s);
	return shape;
}

msu32 ms_judge_set(void *set, int as_id, int is_active, const struct memslot_slot *slots, int n)
{
	const struct ms_block *last;
	msu32 shape = 0;
	const void *p;
	int i;

	for (i = 0; i < n; i++) {
		shape |= judge_slot(&slots[i], as_id, is_active);
		if (i && slots[i].id == slots[i - 1].id)
			shape |= said(MEMSLOT_TWICE, is_active, &slots[i]);
	}
	if (K(ms_generation)(set) >> 63)
		shape |= said(MEMSLOT_UPDATE_IN_PROGRESS, is_active, NULL);
	p = K(ms_last_used)(set);
	last = p ? K(ms_block_at)(p) : NULL;
	if (p && !(last && last->live))
		shape |= said(MEMSLOT_FREED, is_active, NULL);
	return shape;
}

msu32 ms_judge_pair(int as_id, const struct memslot_slot *active, int nactive, const struct memslot_slot *inactive,
		    int ninactive)
{
	int i;

	for (i = 0; nactive == ninactive && i < nactive; i++)
		if (active[i].object != inactive[i].object)
			break;
	if (nactive == ninactive && i == nactive)
		return 0;
	return said(MEMSLOT_SETS_DIFFER, 1, i < nactive ? &active[i] : i < ninactive ? &inactive[i] : NULL);
}

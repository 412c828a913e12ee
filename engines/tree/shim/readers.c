// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a reader could see. Whenever the kernel code calls anything of the shim's, the active sets are looked at: a
 * set that has been swapped in is a publication; one that changes while readers are in it is a fault.
 */
#include "shim.h"

/* In one case so many slots are looked at to see whether a set is as it was. Then only publications are noticed. */
#define PATIENCE (4UL << 20)

/*
 * Each set that becomes active has a stamp of its own, a number that rises; so has each state of one that is edited in
 * place. What it holds is stamped.
 */
struct space {
	void *active;
	msu64 sum;
	msu32 stamp;
	msu32 oldest;		/* in the state of this stamp, and in all later ones, readers may be */
	void *left;		/* the set that was active before, if nobody has waited for its readers since */
	msu64 left_sum;
};

static struct space spaces[MEMSLOT_SPACES];
static struct ms_visit visit;
static msu32 stamps;

static int patient(void)
{
	return visit.objects <= PATIENCE;
}

int ms_look_through(unsigned long objects)
{
	visit.objects += objects;
	return patient();
}

static msu64 sum_of(const void *set, msu32 stamp)
{
	visit.astray = visit.ninvalid = 0;
	return patient() ? K(ms_sum)(set, stamp, &visit) : 0;
}

/* A number for this address space alone. */
static msu32 next_stamp(int as_id)
{
	return ++stamps * MEMSLOT_SPACES + as_id;
}

static void not_waited(int as_id)
{
	if (!spaces[as_id].left)
		return;
	ms.unsynced++;
	ms_event(MEMSLOT_EV_UNSYNCED, as_id, "");
}

/*
 * As a vCPU would, which leaves in the set what it has found last, for the tree to keep right from then on. Where the
 * set has gone astray no vCPU comes.
 */
static void look_up(int as_id)
{
	const struct space *s = &spaces[as_id];

	if (visit.astray || !patient())
		return;
	switch (K(ms_look_up)(s->active, s->stamp, ms.publications)) {
	case MEMSLOT_USE_AFTER_FREE:
		ms_damage(MEMSLOT_USE_AFTER_FREE, "last_used_slot is freed", 0);
		break;
	case MEMSLOT_STALE:
		ms_damage(MEMSLOT_STALE, "last_used_slot is not in the set", 0);
		break;
	}
}

/* What a vCPU caches with such a generation it does not believe again. */
static int in_progress(const void *set)
{
	return K(ms_generation)(set) >> 63;
}

static void published(int as_id, void *set)
{
	struct space *s = &spaces[as_id];
	struct memslot_event *e;
	msu32 held;

	not_waited(as_id);
	s->left = s->active;
	s->left_sum = s->sum;
	s->active = set;
	s->stamp = next_stamp(as_id);
	s->sum = sum_of(set, s->stamp);
	ms.publications++;
	held = ms_locks_held(0);
	if (!(held & MEMSLOT_SLOTS_LOCK))
		ms_rule("published without slots_lock", NULL);
	if (!(held & MEMSLOT_SLOTS_ARCH_LOCK))
		ms_rule("published without slots_arch_lock", NULL);
	ms_duties_of_publication(as_id, set, &visit);
	if (!in_progress(set))
		ms_rule("published with a generation not in progress", NULL);
	e = ms_event(MEMSLOT_EV_PUBLISH, as_id, "");
	e->a = K(ms_generation)(set);
	ms_keep(MEMSLOT_PUBLISHED, as_id, set, e);
	look_up(as_id);
}

static void compare(int as_id)
{
	struct space *s = &spaces[as_id];
	msu64 sum = sum_of(s->active, s->stamp);

	if (sum != s->sum && patient()) {
		s->stamp = next_stamp(as_id);
		s->sum = sum_of(s->active, s->stamp);
		ms.in_place++;
		ms_keep(MEMSLOT_IN_PLACE, as_id, s->active, ms_event(MEMSLOT_EV_IN_PLACE, as_id, ""));
	}
	if (!s->left)
		return;
	sum = sum_of(s->left, 0);
	if (sum != s->left_sum && patient()) {
		s->left_sum = sum;
		ms.in_place++;
		ms_event(MEMSLOT_EV_IN_PLACE, as_id, "readers may be in it still");
	}
}

/* `closely`: not only whether another set is active, but whether those that readers are in are as they were. */
void ms_look(int closely)
{
	int i;

	if (!ms.running || ms.entry < 0)
		return;
	for (i = 0; i < ms.spaces; i++) {
		if (ms.active[i] != spaces[i].active)
			published(i, ms.active[i]);
		else if (closely && patient())
			compare(i);
	}
}

/* Readers are in no set but the active ones. */
static void nobody_left(void)
{
	int i;

	for (i = 0; i < ms.spaces; i++) {
		spaces[i].oldest = spaces[i].stamp;
		spaces[i].left = NULL;
	}
}

/* Readers have been waited for: until now one may have looked a slot up in the set that was active before. */
void ms_synced(void)
{
	int i;

	for (i = 0; i < ms.spaces; i++)
		if (spaces[i].left && !in_progress(spaces[i].active))
			ms_rule("generation is final with readers in the old set", NULL);
	nobody_left();
}

void ms_readers_begin(void)
{
	int i;

	stamps = 0;
	visit.objects = 0;
	ms_duties_begin();
	for (i = 0; i < ms.spaces; i++) {
		struct space *s = &spaces[i];

		s->active = ms.active[i];
		s->stamp = next_stamp(i);
		s->sum = sum_of(s->active, s->stamp);
		look_up(i);
	}
	nobody_left();
}

msu32 ms_readers_end(void)
{
	int i;

	for (i = 0; i < ms.spaces; i++)
		not_waited(i);
	nobody_left();
	return ms.unsynced;
}

int ms_may_be_held(const struct ms_block *slot)
{
	const struct space *s = &spaces[slot->stamp % MEMSLOT_SPACES];

	return slot->stamp && slot->stamp >= s->oldest && s->stamp != s->oldest;
}

int ms_waiting(void)
{
	int i, n = 0;

	for (i = 0; i < ms.spaces; i++)
		n += spaces[i].stamp != spaces[i].oldest;
	return n;
}

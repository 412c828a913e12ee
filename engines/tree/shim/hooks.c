// SPDX-License-Identifier: GPL-2.0-only
/* The arch hooks as the case wants them: the n-th prepare fails, and what lies beyond max_gfn is refused. */
#include "shim.h"

#define ENOMEM 12
#define EINVAL 22

static void note(const char *name, unsigned int change, const void *slot)
{
	struct memslot_event *e;
	struct memslot_slot s;

	ms_service_closely();
	if (!(ms.want & MEMSLOT_WANT_EVENTS))
		return;
	e = ms_event(MEMSLOT_EV_HOOK, change, name);
	if (!slot || !K(ms_block_at)(slot))
		return;
	K(ms_describe)(slot, &s);
	e->slot = (msu32)s.as_id << 16 | s.id;
	e->flags = s.flags;
	e->a = s.base_gfn;
	e->b = s.npages;
}

static const char *const names[] = {
	[MS_COMMIT] = "commit",
	[MS_FREE_MEMSLOT] = "free_memslot",
	[MS_MEMSLOTS_UPDATED] = "memslots_updated",
	[MS_FLUSH_SHADOW] = "flush_shadow_memslot",
	[MS_FLUSH_SHADOW_ALL] = "flush_shadow_all",
};

int k_ms_hook(enum ms_duty duty, unsigned int change, const void *slot)
{
	note(names[duty], change, slot);
	ms_duty_done(duty, slot);
	return 0;
}

int k_ms_prepare_fails(const void *slot, unsigned int change, msu64 last_gfn, int bounded)
{
	note("prepare", change, slot);
	if (ms_fails(MEMSLOT_FAULT_PREPARE))
		return -ENOMEM;
	return bounded && last_gfn > ms.max_gfn ? -EINVAL : 0;
}

void k_ms_in_hook(int yes)
{
	ms.in_hook = yes;
}

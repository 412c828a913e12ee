// SPDX-License-Identifier: GPL-2.0-only
/*
 * What whoever publishes a set owes others: the architecture's hooks, and MMU notifiers. As there is no page table, no
 * vCPU and no notifier here, nobody else would miss them.
 */
#include <stdio.h>
#include "shim.h"

#define IDS (1 << 15)

/* An INVALID slot of an active set, and when it became that. */
struct invalid {
	struct memslot_slot slot;
	msu64 since;
};

struct space {
	struct invalid invalid[MS_INVALIDS];
	int ninvalid;
	int not_updated;		/* a set was published, and kvm_arch_memslots_updated() not called since */
};

static struct space spaces[MEMSLOT_SPACES];
static msu64 flushed[MEMSLOT_SPACES][IDS], committed[MEMSLOT_SPACES][IDS];
static msu64 flushed_all;
static msu64 now, began;	/* `now` rises with every publication, and never falls */
static int awaited;		/* MMU notifiers, since mn_invalidate_lock was taken */

void ms_duties_begin(void)
{
	int i;

	for (i = 0; i < ms.spaces; i++)
		spaces[i].ninvalid = spaces[i].not_updated = 0;
	began = ++now;
	awaited = 0;
}

static msu64 *of(msu64 times[][IDS], const struct memslot_slot *s)
{
	return s->as_id < MEMSLOT_SPACES && s->id < IDS ? &times[s->as_id][s->id] : NULL;
}

static void rule_of(const char *what, const struct memslot_slot *s)
{
	char which[64];

	snprintf(which, sizeof(which), "%s: slot %u:%u", what, s->as_id, s->id);
	ms_rule(which, NULL);
}

/* What page tables map of a slot that is deleted or moved goes, when no new mappings of it can come. */
static void judge_invalid(struct space *space, const void *set)
{
	int i;

	for (i = 0; i < space->ninvalid; i++) {
		const struct invalid *each = &space->invalid[i];
		const msu64 *at = of(flushed, &each->slot);

		if (at && *at < each->since && flushed_all < each->since && !K(ms_holds)(set, &each->slot))
			rule_of("no kvm_arch_flush_shadow_memslot", &each->slot);
	}
}

static void keep_invalid(struct space *space, const struct ms_visit *visit)
{
	static struct invalid before[MS_INVALIDS];
	int i, j, nbefore = space->ninvalid;

	for (i = 0; i < nbefore; i++)
		before[i] = space->invalid[i];
	space->ninvalid = visit->ninvalid;
	for (i = 0; i < visit->ninvalid; i++) {
		/* Of one that there was no room for before nobody knows since when. */
		space->invalid[i] = (struct invalid){ visit->invalid[i], nbefore == MS_INVALIDS ? 0 : now };
		for (j = 0; j < nbefore; j++)
			if (before[j].slot.id == visit->invalid[i].id)
				space->invalid[i].since = before[j].since;
	}
}

void ms_duties_of_publication(int as_id, const void *set, const struct ms_visit *visit)
{
	struct space *space = &spaces[as_id];

	now++;
	if (space->not_updated)
		ms_rule("no kvm_arch_memslots_updated before the next set", NULL);
	space->not_updated = 1;
	if (!ms_holds_lock(K(ms_notifier_lock)(ms.vm)))
		ms_rule("published without mn_invalidate_lock", NULL);
	if (!awaited)
		ms_rule("published with MMU notifiers not awaited", NULL);
	if (!visit->astray)
		judge_invalid(space, set);
	keep_invalid(space, visit);
}

void ms_duty_to_notifiers(int done)
{
	awaited = done;
}

void ms_duty_done(enum ms_duty duty, const void *slot)
{
	struct memslot_slot s;
	msu64 *at;
	int i;

	if (duty == MS_MEMSLOTS_UPDATED)
		for (i = 0; i < ms.spaces; i++)
			spaces[i].not_updated = 0;
	if (duty == MS_FLUSH_SHADOW_ALL)
		flushed_all = now;
	if (!slot)
		return;
	K(ms_describe)(slot, &s);
	at = duty == MS_FLUSH_SHADOW ? of(flushed, &s) : duty == MS_COMMIT ? of(committed, &s) : NULL;
	if (at)
		*at = now;
}

static int unlike(const struct memslot_slot *a, const struct memslot_slot *b)
{
	return a->base_gfn != b->base_gfn || a->npages != b->npages || a->userspace_addr != b->userspace_addr ||
	       a->flags != b->flags;
}

/* One address space before and after a call that has succeeded, both in the order of ids. */
void ms_duties_of_change(const struct memslot_slot *before, int nbefore, const struct memslot_slot *after, int nafter)
{
	int i = 0, j = 0;

	while (i < nbefore || j < nafter) {
		int first = j == nafter || (i < nbefore && before[i].id < after[j].id);
		int second = i == nbefore || (j < nafter && after[j].id < before[i].id);
		const struct memslot_slot *s = second ? &after[j] : &before[i];
		const msu64 *at = of(committed, s);

		if (at && *at < began && (first || second || unlike(&before[i], &after[j])))
			rule_of("no kvm_arch_commit_memory_region", s);
		i += !second;
		j += !first;
	}
}

void ms_duties_end(void)
{
	int i;

	for (i = 0; i < ms.spaces; i++)
		if (spaces[i].not_updated)
			ms_rule("no kvm_arch_memslots_updated after the last set", NULL);
}

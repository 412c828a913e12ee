// SPDX-License-Identifier: GPL-2.0-only
/* One case: a fresh VM, what is given, the list under test; and all that is left, read back into one buffer. */
#define _GNU_SOURCE
#include <string.h>
#include "shim.h"

#define ENOTTY 25
#define SET_USER_MEMORY_REGION 0x4020ae46u
#define SLOTS (1 << 17)
#define ERRNOS (1 << 16)
#define SETS (4 * MEMSLOT_SPACES)

static struct memslot_slot slots[SLOTS];
static struct memslot_snapshot before[MEMSLOT_SPACES], refusal[MEMSLOT_SPACES], at_rest[2 * MEMSLOT_SPACES];
static msu32 nslots, nrefusal;
static mss32 errnos[ERRNOS];
static msu32 nerrnos;
static mss64 answer;

/* How the ioctl ended; what it returned is in `answer`. */
static int __attribute__((noinline)) call(unsigned int cmd, unsigned long arg)
{
	int ended;

	ms_stack_begins(__builtin_frame_address(0));
	ms.schedules = 0;
	answer = 0;
	ended = sigsetjmp(ms.out, 0);
	if (!ended) {
		ms.running = 1;
		answer = (int)K(ms_ioctl)(ms.vm, cmd, arg);
		ms_service_closely();
	}
	ms.running = 0;
	ms.in_hook = 0;
	return ended;
}

static int request(const struct memslot_request *r)
{
	int ended;

	ms_user(r, 32);
	ms_event(MEMSLOT_EV_REQUEST, 0, "");
	ended = call(SET_USER_MEMORY_REGION, ms_user_base());
	if (nerrnos < ERRNOS)
		errnos[nerrnos++] = answer;
	return ended;
}

static int __attribute__((noinline)) copied(void *set, int readers_only, struct memslot_snapshot *shot, msu32 *shape)
{
	int n = 0, fell;

	ms.judging = 1;
	fell = sigsetjmp(ms.out, 0);
	if (!fell) {
		ms.running = 1;
		n = ms_copy_set(set, readers_only, slots + nslots, SLOTS - nslots, shape);
	} else {
		*shape |= MEMSLOT_ENDLESS;
	}
	ms.running = 0;
	ms.judging = 0;
	if (n > (int)(SLOTS - nslots)) {
		*shape |= MEMSLOT_ENDLESS;
		n = 0;
	}
	shot->first = nslots;
	shot->nslots = n;
	shot->generation = K(ms_generation)(set);
	shot->entry = ms.entry;
	nslots += n;
	return n;
}

static void copy_active(struct memslot_snapshot *shots, int what)
{
	msu32 shape = 0;
	int i;

	for (i = 0; i < ms.spaces; i++) {
		shots[i] = (struct memslot_snapshot){ .what = what, .as_id = i };
		copied(ms.active[i], 1, &shots[i], &shape);
	}
}

static msu32 read_sets(void)
{
	msu32 shape = 0;
	msu64 pages = 0;
	int i, k;

	for (i = 0; i < ms.spaces; i++) {
		struct memslot_snapshot *active = &at_rest[i], *inactive = &at_rest[ms.spaces + i];
		void *set = ms.active[i], *other = K(ms_other)(ms.vm, i, set);

		*active = (struct memslot_snapshot){ .what = MEMSLOT_ACTIVE, .as_id = i };
		*inactive = (struct memslot_snapshot){ .what = MEMSLOT_INACTIVE, .as_id = i };
		copied(set, 0, active, &shape);
		copied(other, 0, inactive, &shape);
		for (k = 0; k < (int)active->nslots; k++)
			pages += slots[active->first + k].npages;
		shape |= ms_judge_set(set, i, 1, slots + active->first, active->nslots);
		shape |= ms_judge_set(other, i, 0, slots + inactive->first, inactive->nslots);
		shape |= ms_judge_pair(i, slots + active->first, active->nslots, slots + inactive->first,
				       inactive->nslots);
	}
	if (pages != K(ms_pages)(ms.vm))
		shape |= MEMSLOT_WRONG_PAGES;
	return shape;
}

static void begin(const struct memslot_case *c)
{
	ms_memory_begin();
	ms_reset();
	ms_locks_begin();
	ms_events_begin();
	ms_snapshots_begin();
	ms.warned = ms.damage = ms.unsynced = ms.in_place = ms.publications = 0;
	ms.ended = ms.why = 0;
	ms.injected = 0;
	ms.faulting = 0;
	memset(ms.met, 0, sizeof(ms.met));
	ms.max_gfn = c->max_gfn;
	ms.faults = (const struct memslot_fault *)(c + 1);
	ms.nfaults = c->nfaults;
	nslots = nerrnos = nrefusal = 0;
}

/* The first of what is given that is not accepted, or MEMSLOT_NONE. */
static msu32 give(const struct memslot_case *c, const struct memslot_request *requests)
{
	msu32 i;

	ms.entry = GIVEN;
	ms.want = 0;
	for (i = 0; i < c->ngiven; i++) {
		ms.ended = request(&requests[i]);
		if (ms.ended || answer)
			return i;
	}
	return MEMSLOT_NONE;
}

static void apply_serially(const struct memslot_case *c, const struct memslot_request *requests)
{
	mss64 first = 0;
	msu32 i;

	for (i = 0; i < c->napply && !ms.ended; i++) {
		ms.entry = i;
		ms.ended = request(&requests[i]);
		if (ms.ended || !answer)
			continue;
		if (c->how == MEMSLOT_SERIAL)
			return;
		if (first)
			continue;
		first = answer;
		nrefusal = ms.spaces;
		copy_active(refusal, MEMSLOT_AT_REFUSAL);
	}
	if (first)
		answer = first;
}

static void apply_as_list(const struct memslot_case *c, const struct memslot_request *requests)
{
	msu32 cmd = ms_write_list(c, requests);

	ms.entry = 0;
	ms_event(MEMSLOT_EV_REQUEST, 0, "");
	if (!cmd) {
		answer = -ENOTTY;
	} else {
		ms_allow(c->nent);
		ms.ended = call(cmd, ms_user_base());
		ms_allow(0);
	}
	if (nerrnos < ERRNOS)
		errnos[nerrnos++] = answer;
}

static msu32 __attribute__((noinline)) closed(void)
{
	int ended = sigsetjmp(ms.out, 0);

	if (!ended) {
		ms.running = 1;
		K(ms_destroy)(ms.vm);
	}
	ms.running = 0;
	return ended;
}

static void judge_duties(void)
{
	int i;

	ms_duties_end();
	for (i = 0; !answer && i < ms.spaces; i++)
		ms_duties_of_change(slots + before[i].first, before[i].nslots, slots + at_rest[i].first,
				    at_rest[i].nslots);
}

static void conclude(const struct memslot_case *c, struct memslot_result *r)
{
	struct ms_leaks leaks;

	ms.faulting = 0;
	ms.entry = AFTERWARDS;
	r->value = answer;
	r->nr_memslot_pages = K(ms_pages)(ms.vm);
	r->publications = ms.publications;
	r->in_place = ms.in_place;
	r->unsynced = ms_readers_end();
	ms.at_rest = 1;
	r->shape = read_sets();
	r->incomplete = ms_incomplete();
	ms.at_rest = 0;
	if (ms.ended == MEMSLOT_RETURNED && r->refused_given == MEMSLOT_NONE)
		judge_duties();
	r->locks = ms_locks_held(ms.ended == MEMSLOT_RETURNED);
	leaks = ms_find_leaks(ms.ended == MEMSLOT_RETURNED, ms.ended == MEMSLOT_RETURNED);
	r->leaked_slots = leaks.slots;
	r->leaked_bitmaps = leaks.bitmaps;
	r->leaked_other = leaks.other;
	ms_check_fences();
	r->damage = ms.damage;
	r->warned = ms.warned;
	if (c->want & MEMSLOT_WANT_CLOSE && ms.ended == MEMSLOT_RETURNED && !(r->shape & MEMSLOT_ENDLESS))
		r->closed = closed();
}

static void *append(char *out, msu32 *size, const void *from, unsigned long n, unsigned long room)
{
	void *to = out + *size;

	if (*size + n <= room)
		memcpy(to, from, n);
	*size += (n + 7) & ~7UL;
	return to;
}

static long written(struct memslot_result *r, void *out, unsigned long room)
{
	const struct memslot_snapshot *published;
	const struct memslot_slot *published_slots;
	const struct memslot_event *events;
	msu32 i, npublished, npublished_slots, lost, size = sizeof(*r);
	struct memslot_snapshot *shot;

	npublished = ms_published(&published, &published_slots, &npublished_slots, &lost);
	r->nevents = ms_events(&events, &r->lost);
	r->lost += lost;
	r->nerrnos = nerrnos;
	r->errnos = size;
	append(out, &size, errnos, nerrnos * sizeof(errnos[0]), room);
	r->snapshots = size;
	append(out, &size, before, ms.spaces * sizeof(*before), room);
	shot = append(out, &size, published, npublished * sizeof(*published), room);
	for (i = 0; i < npublished && size <= room; i++)
		shot[i].first += nslots;
	append(out, &size, refusal, nrefusal * sizeof(*refusal), room);
	append(out, &size, at_rest, 2 * ms.spaces * sizeof(*at_rest), room);
	r->nsnapshots = 3 * ms.spaces + npublished + nrefusal;
	r->slots = size;
	r->nslots = nslots + npublished_slots;
	append(out, &size, slots, nslots * sizeof(*slots), room);
	append(out, &size, published_slots, npublished_slots * sizeof(*slots), room);
	r->events = size;
	append(out, &size, events, r->nevents * sizeof(*events), room);
	r->size = size;
	if (room >= sizeof(*r))
		memcpy(out, r, sizeof(*r));
	return size;
}

API long memslot_apply(const struct memslot_case *c, void *out, unsigned long room)
{
	const struct memslot_request *requests =
		(const void *)((const struct memslot_fault *)(c + 1) + c->nfaults);
	struct memslot_result r = { .closed = MEMSLOT_NONE };

	begin(c);
	r.refused_given = give(c, requests);
	if (r.refused_given != MEMSLOT_NONE) {
		copy_active(before, MEMSLOT_BEFORE);
	} else {
		copy_active(before, MEMSLOT_BEFORE);
		ms_readers_begin();
		ms.warned = ms.damage = 0;
		ms_events_begin();
		ms.want = c->want;
		ms.faulting = 1;
		answer = 0;
		if (c->how == MEMSLOT_LIST)
			apply_as_list(c, requests + c->ngiven);
		else
			apply_serially(c, requests + c->ngiven);
	}
	conclude(c, &r);
	r.ended = ms.ended;
	r.why = ms.why;
	r.injected = ms.injected;
	memcpy(r.met, ms.met, sizeof(r.met));
	return written(&r, out, room);
}

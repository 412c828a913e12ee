// SPDX-License-Identifier: GPL-2.0-only
/*
 * A libmemslot.so without a kernel tree in it: a plain table of slots behind the interface, for tests of the Python side.
 *
 * It is right, but for what a request asks of it by its userspace_addr (ODD and up), and what a test compiles in:
 * -DNO_LIST, no list ioctl; -DNAIVE, a list that undoes nothing; -DOVERLAP_OFF_BY_ONE; -DNO_VM, memslot_open() fails;
 * -DOTHER_ABI.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include "memslot_abi.h"

#define SPACES 2
#define PAGE 4096ULL
#define MOST 512
#define ROOM (1 << 16)
#define INVALID (1u << 16)
#define ODD 0xdead0000ULL

enum { WARNS = 1, BUGS, OOPSES, WAITS, LOOPS, UNKNOWN, DIES, STAYS, LEAKS, FREES_TWICE, OVERRUNS, KEEPS_LOCK, IN_PLACE };
enum { CREATE, DELETE, MOVE, FLAGS_ONLY };

struct table { int n; struct memslot_slot of[MOST]; };

static struct memslot_result res;
static struct table active[SPACES], saved[SPACES];
static msu64 generation[SPACES], pages, max_gfn;
static struct memslot_snapshot snapshots[ROOM];
static struct memslot_slot slots[ROOM];
static struct memslot_event events[1024];
static mss32 errnos[ROOM];
static int want, entry, quiet;
static struct memslot_fault faults[8];
static unsigned int nfaults, objects;
static msu8 counters[64];
static struct memslot_facts facts = {
#ifdef OTHER_ABI
	.abi = MEMSLOT_ABI + 1,
#else
	.abi = MEMSLOT_ABI,
#endif
	.address_spaces = SPACES, .user_slots = 32764, .readonly = 1, .page_size = PAGE,
#ifndef NO_LIST
	.list_ioctl = 0x4008ae49,
#endif
	.coverage = 1,
};

static struct memslot_event *event(int kind, int what, const char *text)
{
	static struct memslot_event nowhere;
	struct memslot_event *e = res.nevents < 1024 ? &events[res.nevents] : &nowhere;

	if (kind < MEMSLOT_EV_MISHAP && !(want & MEMSLOT_WANT_EVENTS))
		return &nowhere;
	res.nevents += res.nevents < 1024;
	memset(e, 0, sizeof(*e));
	e->kind = kind;
	e->what = what;
	e->entry = entry;
	e->object = e->slot = MEMSLOT_NONE;
	strncpy(e->text, text, sizeof(e->text) - 1);
	return e;
}

static void snapshot(int what, int as, const struct table *t)
{
	if (res.nsnapshots == ROOM || res.nslots + t->n > ROOM) {
		res.lost++;
		return;
	}
	snapshots[res.nsnapshots++] = (struct memslot_snapshot){ what, as, res.nslots, t->n, generation[as], entry, 0 };
	memcpy(slots + res.nslots, t->of, t->n * sizeof(t->of[0]));
	res.nslots += t->n;
}

static void publish(int as, const struct table *t)
{
	generation[as] += SPACES;
	if (quiet)
		return;
	res.publications++;
	event(MEMSLOT_EV_PUBLISH, as, "");
	if (want & MEMSLOT_WANT_PUBLISHED)
		snapshot(MEMSLOT_PUBLISHED, as, t);
}

/* The set with one slot INVALID, as readers see it during a DELETE or MOVE. */
static void publish_invalid(int as, int at)
{
	struct table t = active[as];

	t.of[at].flags |= INVALID;
	publish(as, &t);
}

static int fails(int kind)
{
	unsigned int i, n;

	if (entry < 0)
		return 0;
	n = res.met[kind]++;
	for (i = 0; i < nfaults; i++) {
		if (faults[i].kind == kind && faults[i].nth == n) {
			event(MEMSLOT_EV_INJECTED, kind, "")->a = n;
			res.injected |= 1u << i;
			return 1;
		}
	}
	return 0;
}

static void end(int how, int kind, const char *text)
{
	res.ended = how;
	strcpy(event(kind, 0, text)->file, "virt/kvm/kvm_main.c");
	events[res.nevents - 1].line = 42;
}

/* What a request asks for that no kernel should do. Nonzero: it does not come back. */
static int oddity(msu64 hva)
{
	switch (hva < ODD ? 0 : (hva - ODD) / PAGE) {
	case WARNS:
		res.warned++;
		event(MEMSLOT_EV_WARN, 0, "kvm_odd");
		break;
	case BUGS:
		end(MEMSLOT_BUG, MEMSLOT_EV_BUG, "kvm_odd");
		break;
	case OOPSES:
		res.why = MEMSLOT_WHY_NULL;
		end(MEMSLOT_OOPS, MEMSLOT_EV_OOPS, "");
		break;
	case WAITS:
		res.locks |= MEMSLOT_SLOTS_LOCK;
		end(MEMSLOT_DEADLOCK, MEMSLOT_EV_DEADLOCK, "slots_lock");
		break;
	case LOOPS:
		end(MEMSLOT_LOOP, MEMSLOT_EV_LOOP, "");
		break;
	case UNKNOWN:
		end(MEMSLOT_UNRESOLVED, MEMSLOT_EV_UNRESOLVED, "kvm_new_helper");
		break;
	case DIES:
		raise(SIGKILL);
	case STAYS:
		for (;;)
			;
	case LEAKS:
		res.leaked_slots++;
		event(MEMSLOT_EV_LEAK, MEMSLOT_FAULT_SLOT, "");
		break;
	case FREES_TWICE:
		res.damage |= MEMSLOT_DOUBLE_FREE;
		event(MEMSLOT_EV_DAMAGE, MEMSLOT_DOUBLE_FREE, "kfree");
		break;
	case OVERRUNS:
		res.damage |= MEMSLOT_OUT_OF_BOUNDS;
		event(MEMSLOT_EV_DAMAGE, MEMSLOT_OUT_OF_BOUNDS, "kmalloc");
		break;
	case KEEPS_LOCK:
		res.locks |= MEMSLOT_SLOTS_ARCH_LOCK;
		event(MEMSLOT_EV_HELD, 0, "slots_arch_lock");
		break;
	case IN_PLACE:
		res.in_place++;
		event(MEMSLOT_EV_IN_PLACE, 0, "");
		break;
	}
	return res.ended != MEMSLOT_RETURNED;
}

static int find(const struct table *t, unsigned int id)
{
	int i;

	for (i = 0; i < t->n && t->of[i].id < id; i++)
		;
	return i;
}

static int overlaps(const struct table *t, unsigned int id, msu64 base, msu64 npages)
{
	int i;

	for (i = 0; i < t->n; i++) {
		const struct memslot_slot *s = &t->of[i];
#ifdef OVERLAP_OFF_BY_ONE
		if (s->id != id && s->base_gfn < base + npages && base + 1 < s->base_gfn + s->npages)
#else
		if (s->id != id && s->base_gfn < base + npages && base < s->base_gfn + s->npages)
#endif
			return 1;
	}
	return 0;
}

static int set_region(const struct memslot_request *r)
{
	msu64 gpa = r->guest_phys_addr, size = r->memory_size, hva = r->userspace_addr, base = gpa / PAGE, n = size / PAGE;
	unsigned int as = r->slot >> 16, id = r->slot & 0xffff;
	struct memslot_slot *old = NULL, new;
	struct table *t;
	int at, change;

	if (fails(MEMSLOT_FAULT_COPY))
		return -EFAULT;
#ifdef NO_LOGGING
	if (r->flags & 1)
		return -EINVAL;
#endif
	if (id >= facts.user_slots || r->flags & ~3u || (size | gpa | hva) % PAGE || as >= SPACES)
		return -EINVAL;
	if (hva + size < hva || hva + size > (1ULL << 47) - PAGE || gpa + size < gpa || n > 0x7fffffff)
		return -EINVAL;
	t = &active[as];
	at = find(t, id);
	if (at < t->n && t->of[at].id == id)
		old = &t->of[at];
	if (!size) {
		if (!old)
			return -EINVAL;
		change = DELETE;
	} else if (!old) {
		change = CREATE;
	} else {
		if (hva != old->userspace_addr || n != old->npages || (r->flags ^ old->flags) & 2)
			return -EINVAL;
		if (base == old->base_gfn && r->flags == old->flags)
			return 0;
		change = base != old->base_gfn ? MOVE : FLAGS_ONLY;
	}
	if ((change == CREATE || change == MOVE) && overlaps(t, id, base, n))
		return -EEXIST;
	if (change != DELETE && fails(MEMSLOT_FAULT_SLOT))
		return -ENOMEM;
	if (change == CREATE && oddity(hva))
		return 0;
	if (change == DELETE || change == MOVE) {
		if (fails(MEMSLOT_FAULT_INVALID))
			return -ENOMEM;
		publish_invalid(as, at);
	}
	if ((change != DELETE && r->flags & 1 && !(old && old->flags & 1) && fails(MEMSLOT_FAULT_BITMAP)) ||
	    fails(MEMSLOT_FAULT_PREPARE)) {
		if (change == DELETE || change == MOVE)
			publish(as, t);
		return -ENOMEM;
	}
	if ((change == CREATE || change == MOVE) && base + n - 1 > max_gfn) {
		if (change == MOVE)
			publish(as, t);
		return -EINVAL;
	}
	new = (struct memslot_slot){ base, n, hva, r->flags, id, as, r->flags & 1 ? 7 | 16 : 7, objects++ };
	if (change == DELETE) {
		pages -= old->npages;
		memmove(old, old + 1, (--t->n - at) * sizeof(*old));
	} else if (change == CREATE) {
		pages += n;
		memmove(t->of + at + 1, t->of + at, (t->n++ - at) * sizeof(*old));
		t->of[at] = new;
	} else {
		*old = new;
	}
	publish(as, t);
	return 0;
}

/* What readers have mapped of a slot that is deleted, moved or made anew must be told to them by INVALID. */
static int goes_away(struct memslot_slot *old, const struct table *t)
{
	const struct memslot_slot *now = &t->of[find(t, old->id)];

	if (now < t->of + t->n && now->id == old->id && now->base_gfn == old->base_gfn && now->npages == old->npages &&
	    now->userspace_addr == old->userspace_addr && !((now->flags ^ old->flags) & 2))
		return 0;
	old->flags |= INVALID;
	return 1;
}

static int odd_form(const struct memslot_request *r)
{
	static const msu8 zeros[sizeof(r->padding)];

	return r->invalidate_slot > 1 || memcmp(r->padding, zeros, sizeof(zeros));
}

/* All or nothing; readers see each address space with what goes INVALID, and then as it is in the end, one space right after the other. */
static int set_list(const struct memslot_case *c, const struct memslot_request *r)
{
	static const struct memslot_request zero;
	msu64 generations[SPACES];
	unsigned int i, as, j, window, changed[SPACES];
	int err = 0;

	if (fails(MEMSLOT_FAULT_COPY))
		return -EFAULT;
	if (c->header_flags)
		return -EINVAL;
	if (c->nent > 2 * 32767)
		return -E2BIG;
	memcpy(saved, active, sizeof(active));
	memcpy(generations, generation, sizeof(generation));
	quiet = 1;
	for (i = 0; i < c->nent && !err && !res.ended; i++)
		err = i < c->napply && odd_form(&r[i]) ? -EINVAL : set_region(i < c->napply ? &r[i] : &zero);
	quiet = 0;
	memcpy(generation, generations, sizeof(generation));
	if (res.ended)
		return 0;
#ifndef NAIVE
	if (err) {
		memcpy(active, saved, sizeof(active));
		for (pages = as = 0; as < SPACES; as++)
			for (j = 0; j < (unsigned int)active[as].n; j++)
				pages += active[as].of[j].npages;
		return err;
	}
#endif
	for (as = 0; as < SPACES; as++) {
		changed[as] = active[as].n != saved[as].n ||
			      memcmp(active[as].of, saved[as].of, saved[as].n * sizeof(saved[as].of[0]));
		for (j = window = 0; j < (unsigned int)saved[as].n; j++)
			window |= goes_away(&saved[as].of[j], &active[as]);
		if (window)
			publish(as, &saved[as]);
	}
	for (as = 0; as < SPACES; as++)
		if (changed[as])
			publish(as, &active[as]);
	return err;
}

int memslot_open(void)
{
#ifdef NO_VM
	return -MEMSLOT_BUG;
#endif
	return 0;
}

const char *memslot_last_words(void)
{
	return "kvm_create_vm fails";
}

const struct memslot_facts *memslot_facts(void)
{
	return &facts;
}

int memslot_set_layout(const struct memslot_layout *layout)
{
	return layout->entry_size == 64 ? 0 : -1;
}

msu8 *memslot_counters(msu32 *n)
{
	*n = sizeof(counters);
	return counters;
}

static void *put(char *out, unsigned long room, msu32 *offset, const void *from, unsigned long bytes)
{
	*offset = res.size;
	if (res.size + bytes <= room)
		memcpy(out + res.size, from, bytes);
	res.size += (bytes + 7) & ~7ul;
	return out;
}

long memslot_apply(const struct memslot_case *c, void *out, unsigned long room)
{
	const struct memslot_fault *f = (const void *)(c + 1);
	const struct memslot_request *r = (const void *)(f + c->nfaults);
	unsigned int i, as;
	int err = 0, refused = 0;

	memset(&res, 0, sizeof(res));
	res.refused_given = res.closed = MEMSLOT_NONE;
	for (as = 0; as < SPACES; as++) {
		active[as].n = 0;
		generation[as] = as;
	}
	pages = objects = 0;
	want = c->want;
	max_gfn = c->max_gfn;
	nfaults = 0;
	entry = -1;
	quiet = 1;
	for (i = 0; i < c->ngiven && !err; i++) {
		err = errnos[res.nerrnos++] = set_region(r + i);
		if (err || res.ended)
			res.refused_given = i;
	}
	quiet = 0;
	r += c->ngiven;
	for (nfaults = 0; nfaults < c->nfaults && nfaults < 8; nfaults++)
		faults[nfaults] = f[nfaults];
	for (as = 0; as < SPACES; as++)
		snapshot(MEMSLOT_BEFORE, as, &active[as]);
	entry = 0;
	counters[c->napply & 63]++;
	if (res.refused_given != MEMSLOT_NONE) {
	} else if (c->how == MEMSLOT_LIST) {
		err = errnos[res.nerrnos++] = facts.list_ioctl ? set_list(c, r) : -ENOTTY;
	} else {
		for (i = 0; i < c->napply && !res.ended; i++) {
			entry = i;
			err = set_region(r + i);
			if (res.ended)
				break;
			errnos[res.nerrnos++] = err;
			if (err && c->how == MEMSLOT_SERIAL)
				break;
			for (as = 0; err && !refused && as < SPACES; as++)
				snapshot(MEMSLOT_AT_REFUSAL, as, &active[as]);
			refused |= err;
		}
	}
	res.value = err;
	res.nr_memslot_pages = pages;
	for (as = 0; as < SPACES; as++)
		snapshot(MEMSLOT_ACTIVE, as, &active[as]);
	for (as = 0; as < SPACES; as++)
		snapshot(MEMSLOT_INACTIVE, as, &active[as]);
	res.size = sizeof(res);
	put(out, room, &res.errnos, errnos, res.nerrnos * sizeof(errnos[0]));
	put(out, room, &res.snapshots, snapshots, res.nsnapshots * sizeof(snapshots[0]));
	put(out, room, &res.slots, slots, res.nslots * sizeof(slots[0]));
	put(out, room, &res.events, events, res.nevents * sizeof(events[0]));
	memcpy(out, &res, sizeof(res));
	return res.size;
}

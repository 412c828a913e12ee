// SPDX-License-Identifier: GPL-2.0-only
/* What the files on libc's side share: the state of the case that runs, and how they note what happens in it. */
#ifndef SHIM_H
#define SHIM_H
#define MEMSLOT_LIBC
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include "inside.h"

#define API __attribute__((visibility("default")))

#define GIVEN (-1)
#define AFTERWARDS (-2)

struct ms_state {
	void *vm;
	void **active;
	int spaces;
	volatile int running;		/* the kernel's code is on the stack: a signal is its doing */
	volatile int judging;		/* what happens now is the reader's fall over corrupt sets, no event */
	sigjmp_buf out;
	int entry;
	int in_hook;
	int at_rest;			/* what is read now says which objects are in reach */
	unsigned int want;
	msu64 max_gfn;
	volatile unsigned long services;	/* how often the shim was called: no loop, as long as it rises */
	unsigned long schedules;

	msu32 ended, why;
	msu32 warned, damage, unsynced, in_place, publications;

	const struct memslot_fault *faults;
	msu32 nfaults;
	int faulting;			/* chances to fail are counted */
	msu32 injected;
	msu32 met[MEMSLOT_FAULT_KINDS];
};

extern struct ms_state ms;

/* events.c */
void ms_events_begin(void);
struct memslot_event *ms_event(int kind, int what, const char *text);
msu32 ms_events(const struct memslot_event **events, msu32 *lost);
void ms_damage(int what, const char *text, unsigned long pc);
void ms_unresolved(const char *name);	/* called by its stub; it leaves */
int ms_fails(int kind);			/* whether the case wants this one to fail */
unsigned long ms_offset(unsigned long pc);	/* in the library; 0: elsewhere */

/* ending.c */
void ms_signals(void);
void ms_leave(int ended) __attribute__((noreturn));
void ms_allow(unsigned long entries);	/* for how long no service need be called */
unsigned long ms_stack(const unsigned long **words);	/* what was on the stack of a call that did not return */
void ms_stack_begins(void *top);

/* locks.c */
void ms_locks_boot(void);		/* what is held now is how every case begins */
void ms_locks_begin(void);
msu32 ms_locks_held(int note);
int ms_holds_lock(const void *at);
void ms_rule(const char *which, const void *pc);	/* of locking, which is broken here */
void ms_may_sleep(const char *what, const void *pc);	/* what must not be done under a spinlock */

/* memory.c */
void ms_memory_open(void);
void ms_memory_boot(void);
unsigned long ms_booted_bytes(void);
void ms_memory_begin(void);
struct ms_block *ms_blocks(int *count, int *booted);
struct memslot_slot *ms_epitaph(msu32 object);	/* what a freed slot object said */
void ms_fill(void *p, int c, size_t n);
void *ms_get(size_t n, unsigned int gfp, const struct ms_allocator *by, void *caller);
void ms_freed(struct ms_block *block);	/* it is free from now on */
int ms_fresh(const void *p, size_t n);	/* inside a mapping that is zeros still */
void ms_synced(void);
void ms_check_fences(void);

/* allocators.c */
struct ms_allocator {
	const char *name;
	unsigned int pool;		/* which of them gives */
	size_t limit;
	int sleeps;			/* whoever frees it, too */
};
extern const struct ms_allocator ms_kmalloc, ms_kvmalloc;
void k_kvfree(const void *p);

/* frees.c */
struct ms_release {
	const char *name;
	unsigned int pools;		/* what it takes back */
	int only_warns;			/* of what is free already */
};
void ms_put(const void *p, const struct ms_release *how, const void *cache, void *pc);

/* copies.c */
void ms_user(const void *bytes, size_t n);	/* what user memory holds from ms_user_base() on; zeros follow */
unsigned long ms_user_base(void);
int ms_user_open(void);

/* duties.c */
void ms_duties_begin(void);
void ms_duties_of_publication(int as_id, const void *set, const struct ms_visit *visit);
void ms_duty_to_notifiers(int done);
void ms_duty_done(enum ms_duty duty, const void *slot);
void ms_duties_of_change(const struct memslot_slot *before, int nbefore, const struct memslot_slot *after, int nafter);
void ms_duties_end(void);

/* readers.c */
void ms_look(int closely);
void ms_readers_begin(void);
int ms_may_be_held(const struct ms_block *slot);	/* by a reader of a set that is not active any more */
int ms_waiting(void);			/* whether there are any */
int ms_look_through(unsigned long objects);	/* so many more; whether it is not too many for a case */
msu32 ms_readers_end(void);

/* snapshots.c */
void ms_snapshots_begin(void);
void ms_keep(int what, int as_id, void *set, struct memslot_event *e);
msu32 ms_published(const struct memslot_snapshot **snapshots, const struct memslot_slot **slots, msu32 *nslots,
		   msu32 *lost);
int ms_copy_set(void *set, int readers_only, struct memslot_slot *slots, int room, msu32 *shape);

/* leaks.c */
struct ms_leaks {
	msu32 slots, bitmaps, other;
};
struct ms_leaks ms_find_leaks(int returned, int note);

/* opened.c, lists.c, coverage.c */
void ms_reset(void);
void ms_list_ioctl(msu32 number);
msu32 ms_write_list(const struct memslot_case *c, const struct memslot_request *requests);	/* its ioctl, or 0 */
void ms_coverage_open(void);
void ms_asan_open(void);

/* shape.c */
msu32 ms_judge_pair(int as_id, const struct memslot_slot *active, int nactive, const struct memslot_slot *inactive,
		    int ninactive);
msu32 ms_incomplete(void);	/* how many objects, since it was asked last */
msu32 ms_judge_set(void *set, int as_id, int is_active, const struct memslot_slot *slots, int n);

/* A service of the kernel that the shim supplies begins like this. */
static inline void ms_service(void)
{
	ms.services++;
	if (ms.active)
		ms_look(0);
}

/* Or like this, where others may run, or have run. */
static inline void ms_service_closely(void)
{
	ms.services++;
	if (ms.active)
		ms_look(1);
}
#endif

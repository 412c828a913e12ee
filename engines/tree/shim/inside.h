// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the two sides of the library know of each other. inside.c and sets.c see the tree's headers, everything else
 * sees libc's; in between there are plain C types only. The build gives every kernel symbol the prefix k_, so that
 * none meets one of libc.
 */
#ifndef INSIDE_H
#define INSIDE_H
#include "memslot_abi.h"

#ifdef MEMSLOT_LIBC
#define K(name) k_##name
#else
#define K(name) name
#endif

/* A piece of memory that the kernel code asked for. It is never handed out again while a case runs. */
struct ms_block {
	char *start;
	unsigned long size;
	unsigned long mapped;	/* bytes of its own mapping, or 0 */
	unsigned int live;
	unsigned int kind;	/* enum memslot_fault_kind */
	unsigned int object;	/* the n-th slot object, or MEMSLOT_NONE */
	unsigned int seen;	/* scratch of a walk: 1 + where it is in the list of what was met */
	unsigned int reached;	/* scratch of the search for leaks */
	unsigned int stamp;	/* of the last active set that held it, see readers.c; 0: none has */
	const struct ms_allocator *by;
	const void *cache;	/* the kmem_cache that it came out of */
};

struct ms_met {			/* an object that a walk has met */
	struct ms_block *block;
	unsigned int where;	/* enum memslot_where */
};

#define MS_INVALIDS 64	/* so many INVALID slots of a set are looked at */

struct ms_visit {
	unsigned long objects;	/* how many were met is added */
	int astray;		/* links lead to what is no slot object, or in circles */
	int ninvalid;
	struct memslot_slot invalid[MS_INVALIDS];	/* of a set that gets a stamp */
};

enum ms_duty {			/* hooks of the architecture */
	MS_COMMIT,
	MS_FREE_MEMSLOT,
	MS_MEMSLOTS_UPDATED,
	MS_FLUSH_SHADOW,
	MS_FLUSH_SHADOW_ALL,
};

/* ---- the kernel side, called by the shim ---- */
void *K(ms_create)(void);	/* a VM, or NULL */
void K(ms_destroy)(void *vm);
long K(ms_ioctl)(void *vm, unsigned int cmd, unsigned long arg);
void K(ms_facts)(struct memslot_facts *facts);
void **K(ms_active)(void *vm);	/* the active set of each address space */
void *K(ms_other)(void *vm, int as_id, void *set);	/* the set that is not this one */
msu64 K(ms_generation)(const void *set);
msu64 K(ms_pages)(const void *vm);
int K(ms_which_lock)(const void *vm, const void *lock);	/* enum memslot_locks, or 0 */
void K(ms_vm_fields)(const void *vm, unsigned long edges[4]);	/* the VM but for its sets: two ranges */
const void *K(ms_notifier_lock)(const void *vm);	/* mn_invalidate_lock */
const void *K(ms_notifier_wait)(const void *vm);	/* what waits for mn_active_invalidate_count */
int K(ms_holds)(const void *set, const struct memslot_slot *s);	/* a slot of this id, at these gfns with this hva */
unsigned long K(ms_bitmap_bytes)(const void *slot);	/* what its dirty bitmap has to have */
int K(ms_readers)(const void *vm);	/* whether srcu_read_lock() lacks an unlock */
int K(ms_readers_of)(const void *srcu);
int K(ms_of_memslots)(const void *vm, const void *srcu);	/* readers of memslots are under this one */
int K(ms_walk)(void *set, int readers_only, struct ms_met *met, int room, unsigned int *shape);
void K(ms_describe)(const void *slot, struct memslot_slot *out);
const void *K(ms_bitmap_of)(const void *slot);
const void *K(ms_last_used)(const void *set);
/* As a vCPU finds a slot; 0, or enum memslot_damage. What is in the set has the stamp. `way`: to which slot. */
int K(ms_look_up)(void *set, unsigned int stamp, unsigned int way);
/* Changes when readers find anything else in the set, or an index of it is edited. What it holds gets the stamp. */
msu64 K(ms_sum)(const void *set, unsigned int stamp, struct ms_visit *visit);
/* The bits of gfp_t that mean something here. */
struct ms_gfp {
	unsigned int zero, nowarn, sleeps;
};
extern const struct ms_gfp K(ms_gfp);

/* ---- the shim, called by the kernel side ---- */
struct ms_block *K(ms_block_at)(const void *start);	/* NULL: no block begins there */
int K(ms_hook)(enum ms_duty duty, unsigned int change, const void *slot);
void K(ms_in_hook)(int yes);		/* what is allocated meanwhile is the architecture's */
int K(ms_prepare_fails)(const void *slot, unsigned int change, msu64 last_gfn, int bounded);
#endif

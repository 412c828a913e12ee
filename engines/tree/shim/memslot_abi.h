// SPDX-License-Identifier: GPL-2.0-only
/*
 * What libmemslot.so can be asked: the one interface between Python and a kernel tree's own memslot code.
 *
 * A process calls memslot_open() once (again after a fork), and then memslot_apply() once a case. Every case meets a
 * VM of its own: the memory of the kernel code is put back to what it was right after kvm_create_vm(). All numbers are
 * little-endian and naturally aligned; no struct has padding that is not named; arrays are addressed by the offsets
 * in struct memslot_result. Nothing in a result is a pointer, and equal cases give equal bytes.
 */
#ifndef MEMSLOT_ABI_H
#define MEMSLOT_ABI_H

#define MEMSLOT_ABI 1

#define MEMSLOT_SPACES 8	/* address spaces that the interface has room for */
#define MEMSLOT_NONE 0xffffffffu

typedef unsigned char msu8;
typedef unsigned short msu16;
typedef unsigned int msu32;
typedef int mss32;
typedef unsigned long long msu64;
typedef long long mss64;

/* ---- a case: this header, then nfaults faults, then ngiven + napply requests ---- */

enum memslot_how {
	MEMSLOT_SERIAL,		/* one KVM_SET_USER_MEMORY_REGION after the other, up to the first that is refused */
	MEMSLOT_KEEP_GOING,	/* the same, and on after refusals */
	MEMSLOT_LIST,		/* one KVM_SET_USER_MEMORY_REGION_LIST; ENOTTY where the tree has none */
};

enum memslot_want {
	MEMSLOT_WANT_EVENTS = 1,	/* every event; else only those from MEMSLOT_EV_MISHAP on */
	MEMSLOT_WANT_PUBLISHED = 2,	/* a snapshot of the set at each publication */
	MEMSLOT_WANT_CLOSE = 4,		/* close the VM in the end; see memslot_result.closed */
};

enum memslot_fault_kind {	/* memslots/case.py, FAULT_KINDS */
	MEMSLOT_FAULT_COPY,	/* a copy from user space */
	MEMSLOT_FAULT_ARRAY,	/* an allocation that is none of the following: a temporary array */
	MEMSLOT_FAULT_SLOT,	/* of the size of a slot object, slots_arch_lock not held */
	MEMSLOT_FAULT_INVALID,	/* of the size of a slot object, slots_arch_lock held: an INVALID copy */
	MEMSLOT_FAULT_BITMAP,	/* made by kvm_alloc_dirty_bitmap() */
	MEMSLOT_FAULT_PREPARE,	/* kvm_arch_prepare_memory_region() answers -ENOMEM */
	MEMSLOT_FAULT_KINDS
};

struct memslot_fault {
	msu32 kind;
	msu32 nth;		/* from 0, each kind on its own, counted from the first request of apply on */
};

struct memslot_request {	/* struct kvm_userspace_memory_region_entry of the RFC, whatever the tree's layout */
	msu32 slot;
	msu32 flags;
	msu64 guest_phys_addr;
	msu64 memory_size;
	msu64 userspace_addr;
	msu8 invalidate_slot;
	msu8 padding[31];
};

struct memslot_case {
	msu32 how;
	msu32 want;
	msu32 nfaults;
	msu32 ngiven;		/* always applied serially, without faults; a refused one ends the case */
	msu32 napply;
	msu32 nent;		/* of the list's header; napply where it tells the truth. Missing entries are zeros */
	msu32 header_flags;
	msu32 zero;
	msu64 max_gfn;		/* what the arch's prepare hook refuses beyond */
};

/* ---- a result: this header, then the arrays at its offsets (in bytes from the header's first) ---- */

enum memslot_ended {
	MEMSLOT_RETURNED,
	MEMSLOT_DEADLOCK,	/* a lock that is held already, or schedule() for ever: hung */
	MEMSLOT_BUG,		/* BUG(), panic() */
	MEMSLOT_OOPS,		/* a signal; `why` says which kind */
	MEMSLOT_LOOP,		/* an endless loop: looped */
	MEMSLOT_UNRESOLVED,	/* called something that the shim has no idea of; the event's text names it */
};

enum memslot_why {		/* of an oops */
	MEMSLOT_WHY_NONE,
	MEMSLOT_WHY_NULL,	/* an address below 64 KiB */
	MEMSLOT_WHY_FREED,	/* an address out of freed memory */
	MEMSLOT_WHY_WILD,	/* any other */
};

enum memslot_locks {
	MEMSLOT_SLOTS_LOCK = 1,
	MEMSLOT_SLOTS_ARCH_LOCK = 2,
	MEMSLOT_OTHER_LOCK = 4,
	MEMSLOT_SRCU_READER = 8,	/* srcu_read_lock() without its unlock */
};

enum memslot_damage {
	MEMSLOT_USE_AFTER_FREE = 1,	/* seen as a write into freed memory, or by ASan */
	MEMSLOT_DOUBLE_FREE = 2,	/* by kfree(); by vfree() it is a WARN, as in the kernel */
	MEMSLOT_OUT_OF_BOUNDS = 4,
	MEMSLOT_BAD_FREE = 8,		/* of what nobody allocated */
	MEMSLOT_EARLY_FREE = 16,	/* of a slot object that the active set holds, or before readers have left it */
	MEMSLOT_STALE = 64,		/* what readers found last is found in a set that does not hold it */
	MEMSLOT_WRONG_FREE = 32,	/* by a function of another allocator, or to another kmem_cache */
};

enum memslot_shape {		/* what is wrong with the sets at rest */
	MEMSLOT_NOT_IN_ALL = 1,		/* an object is not in all three indexes of a set */
	MEMSLOT_TWICE = 2,		/* an index has an object, or the id hash and trees an id, twice */
	MEMSLOT_OVERLAP = 4,
	MEMSLOT_DISORDER = 8,		/* a tree is not sorted, or a node's parent is not who points at it */
	MEMSLOT_SETS_DIFFER = 16,	/* active and inactive set do not hold the same objects */
	MEMSLOT_FREED = 32,		/* a set, or its last_used_slot, holds freed memory: dangling */
	MEMSLOT_LEFT_INVALID = 64,
	MEMSLOT_WRONG_SPACE = 128,
	MEMSLOT_UPDATE_IN_PROGRESS = 256,	/* generation, bit 63 */
	MEMSLOT_ENDLESS = 512,		/* an index could not be walked to its end */
	MEMSLOT_BITMAP_FREED = 1024,	/* a slot's dirty_bitmap is freed memory */
	MEMSLOT_WRONG_PAGES = 2048,	/* nr_memslot_pages is not the sum of npages */
	MEMSLOT_COLOURS = 4096,		/* a tree breaks the rules of red and black */
};

struct memslot_result {
	msu32 size;		/* of all of it; more than the room given: nothing else is true */
	msu32 ended;		/* enum memslot_ended, of the last request or the list */
	msu32 why;		/* enum memslot_why */
	msu32 refused_given;	/* index of the given request that was refused or did not return, or MEMSLOT_NONE */
	mss64 value;		/* what the last ioctl returned: 0, a positive value, -errno */
	msu64 nr_memslot_pages;
	msu32 locks;		/* enum memslot_locks: held when it ended */
	msu32 damage;		/* enum memslot_damage */
	msu32 shape;		/* enum memslot_shape; judged however it ended */
	msu32 warned;		/* how many WARNs fired */
	msu32 publications;	/* during apply */
	msu32 unsynced;		/* publications after which nobody waited for readers (synchronize_srcu) */
	msu32 in_place;		/* changes of an active set between two looks, with no publication */
	msu32 leaked_slots;	/* live and out of reach, when it has ended: slot objects and INVALID copies */
	msu32 leaked_bitmaps;
	msu32 leaked_other;	/* arrays, arch memory */
	msu32 closed;		/* enum memslot_ended of kvm_destroy_vm(); MEMSLOT_NONE if not asked for or not sane */
	msu32 injected;		/* how many of the case's faults were met: bit n is the n-th of faults[] */
	msu32 met[MEMSLOT_FAULT_KINDS];	/* how many chances to fail there were, by enum memslot_fault_kind */
	msu32 nerrnos;		/* mss32: what each given, then each applied request answered (a list: one answer) */
	msu32 nsnapshots;
	msu32 nslots;
	msu32 nevents;
	msu32 lost;		/* events and snapshots that there was no room for */
	msu32 errnos;		/* offsets */
	msu32 snapshots;
	msu32 slots;
	msu32 events;
	msu32 incomplete;	/* objects that an index of their set lacks, or whose bitmap belies their flags */
};

enum memslot_what {
	MEMSLOT_BEFORE,		/* the active set when apply began; one an address space, in order */
	MEMSLOT_PUBLISHED,	/* in the order of publication; where readers look alone, the gfn tree */
	MEMSLOT_IN_PLACE,	/* the active set, changed without a publication; among the published */
	MEMSLOT_AT_REFUSAL,	/* MEMSLOT_KEEP_GOING: active after the first refused request; one an address space */
	MEMSLOT_ACTIVE,		/* when it had ended; one an address space */
	MEMSLOT_INACTIVE,
};

struct memslot_snapshot {
	msu32 what;		/* enum memslot_what */
	msu32 as_id;
	msu32 first;		/* its slots: nslots from here, sorted by id, then by base_gfn */
	msu32 nslots;
	msu64 generation;
	mss32 entry;		/* which request of apply made it; a list: 0 */
	msu32 zero;
};

enum memslot_where {		/* which indexes of the set hold the object; a freed one is seen, too */
	MEMSLOT_IN_GFN_TREE = 1,
	MEMSLOT_IN_HVA_TREE = 2,
	MEMSLOT_IN_ID_HASH = 4,
	MEMSLOT_IS_FREED = 8,
	MEMSLOT_HAS_BITMAP = 16,
	MEMSLOT_HAS_FREED_BITMAP = 32,
};

struct memslot_slot {
	msu64 base_gfn;
	msu64 npages;
	msu64 userspace_addr;
	msu32 flags;		/* KVM_MEMSLOT_INVALID (1 << 16) included */
	msu16 id;
	msu16 as_id;
	msu32 where;		/* enum memslot_where; of published sets MEMSLOT_IN_GFN_TREE and what is known of it */
	msu32 object;		/* the n-th slot object that was allocated; it has the same number in the other set */
};

/*
 * Events in order. `text` and `what`, `a`, `b` as each kind says. The first ones are the recorded events of
 * memslots/outcome.py (Event), from MEMSLOT_EV_MISHAP on they are mishaps, there in every result.
 */
enum memslot_event_kind {
	MEMSLOT_EV_LOCK = 1,	/* text: which */
	MEMSLOT_EV_UNLOCK,
	MEMSLOT_EV_ALLOC,	/* what: enum memslot_fault_kind; a: bytes; object; text: the allocator's function */
	MEMSLOT_EV_FREE,	/* the same; of a slot object: slot, flags, a base_gfn, b npages */
	MEMSLOT_EV_PUBLISH,	/* what: address space; a: generation then; b: index of its snapshot, if wanted */
	MEMSLOT_EV_SYNC,	/* text: synchronize_srcu, ... */
	MEMSLOT_EV_COPY,	/* a: bytes copied from user space */
	MEMSLOT_EV_HOOK,	/* text: which; what: enum kvm_mr_change; slot, flags, a, b: the new slot (or old) */
	MEMSLOT_EV_REQUEST,	/* a request begins: entry */

	MEMSLOT_EV_MISHAP = 64,
	MEMSLOT_EV_WARN = 64,	/* text: function; file; line; pc */
	MEMSLOT_EV_INJECTED,	/* what: enum memslot_fault_kind; a: nth */
	MEMSLOT_EV_DAMAGE,	/* what: enum memslot_damage; text; pc */
	MEMSLOT_EV_UNLOCK_UNHELD,	/* text: which lock */
	MEMSLOT_EV_HELD,	/* at return; text: which lock */
	MEMSLOT_EV_RULE,	/* of locking, broken: text; pc */
	MEMSLOT_EV_UNSYNCED,	/* what: address space */
	MEMSLOT_EV_IN_PLACE,	/* what: address space; b: index of its snapshot, if wanted */
	MEMSLOT_EV_LEAK,	/* what: enum memslot_fault_kind; a: bytes; object; of a slot object as EV_FREE */
	MEMSLOT_EV_SHAPE,	/* what: enum memslot_shape; a: 1 the active, 0 the inactive set; slot */
	MEMSLOT_EV_BUG,		/* as WARN */
	MEMSLOT_EV_OOPS,	/* a: address; b: signal; pc */
	MEMSLOT_EV_DEADLOCK,	/* text: which lock; pc */
	MEMSLOT_EV_LOOP,	/* pc */
	MEMSLOT_EV_UNRESOLVED,	/* text: the function */
	MEMSLOT_EV_UNDEFINED,	/* UBSan: text, file, line */
};

struct memslot_event {
	msu16 kind;
	msu16 what;
	mss32 entry;		/* which request of apply; -1: before it (given); -2: after it, while reading back */
	msu32 object;		/* which slot object, or MEMSLOT_NONE */
	msu32 slot;		/* as_id << 16 | id, or MEMSLOT_NONE */
	msu32 flags;
	msu32 line;
	msu64 a;
	msu64 b;
	msu64 pc;		/* offset in the library, for addr2line; 0: not known */
	char text[48];		/* zero-terminated */
	char file[32];		/* the end of the path below the tree, zero-terminated: virt/kvm/kvm_main.c */
};

/* ---- how a list looks in user memory; offsets in bytes, size 0: there is no such field ---- */

struct memslot_field {
	msu16 offset;
	msu16 size;		/* 1, 2, 4, 8; 0: none. padding: any */
};

struct memslot_layout {
	msu32 ioctl;		/* 0: no list ioctl */
	msu32 header_size;
	msu32 entry_size;
	struct memslot_field nent;
	struct memslot_field header_flags;
	struct memslot_field entries;	/* size 8: a pointer to the entries; 0: they follow the header */
	struct memslot_field slot;	/* these are in the entry */
	struct memslot_field flags;
	struct memslot_field guest_phys_addr;
	struct memslot_field memory_size;
	struct memslot_field userspace_addr;
	struct memslot_field invalidate_slot;
	struct memslot_field padding;
};

struct memslot_facts {
	msu32 abi;		/* MEMSLOT_ABI */
	msu32 address_spaces;
	msu32 user_slots;
	msu32 readonly;
	msu32 page_size;
	msu32 list_ioctl;	/* the tree's KVM_SET_USER_MEMORY_REGION_LIST, or 0 */
	msu32 sizeof_slot;	/* of struct kvm_memory_slot; struct kvm; what a reset copies */
	msu32 sizeof_vm;
	msu32 sizeof_reset;
	msu32 asan;		/* built with */
	msu32 coverage;
	msu32 x86;
};

/* 0; or -enum memslot_ended: the VM could not be made, memslot_apply() must not be called; see memslot_last_words() */
int memslot_open(void);
/* What the last event said, in words: for the error message of a failed open. */
const char *memslot_last_words(void);
const struct memslot_facts *memslot_facts(void);
/* How lists are written from now on. Without it: the RFC's layout under the tree's own number. 0, -1: not possible. */
int memslot_set_layout(const struct memslot_layout *layout);
/* Apply a case. The size of the result, which may be more than the room. `out` is 8-byte aligned. */
long memslot_apply(const struct memslot_case *c, void *out, unsigned long room);

/* --coverage: one byte a basic block, in the order of the build's list of sites; never reset by memslot_apply(). */
msu8 *memslot_counters(msu32 *n);
/* The return addresses of the sites, as libFuzzer's table wants them: n pairs of address and flags (1: entry). */
const unsigned long *memslot_pcs(msu32 *n);
#endif

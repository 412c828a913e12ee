// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel's allocators. Blocks come one after the other out of one arena (large ones out of mappings of their own)
 * and are not handed out again while a case runs: what is freed stays recognizable. Between two blocks lies a fence.
 *
 * Without ASan a freed block is filled with 0x6b: who follows a pointer out of it crashes, and a later write shows.
 * With ASan it keeps all but its first 16 bytes, as under KASAN, and every use is reported.
 */
#define _GNU_SOURCE
#include <string.h>
#include <sys/mman.h>
#include "shim.h"

#ifdef MEMSLOT_ASAN
void __asan_poison_memory_region(const volatile void *p, size_t n);
void __asan_unpoison_memory_region(const volatile void *p, size_t n);
#define CLOSE(p, n) __asan_poison_memory_region(p, n)
#define OPEN(p, n) __asan_unpoison_memory_region(p, n)
#define FREED_BYTES 16
#else
#define CLOSE(p, n) do { } while (0)
#define OPEN(p, n) do { } while (0)
#define FREED_BYTES (~0UL)
#endif

#define ARENA (64UL << 20)
#define BLOCKS (1 << 18)
#define OBJECTS (1 << 17)
#define FENCE 32
#define LARGE (1UL << 20)
#define PAGE 4096UL
#define MAGIC 0x736c6f74736c6f74UL

struct header {			/* in the fence before a block */
	unsigned long magic, index;
};

static char *arena, *next, *boot_copy, *booted_next;
static struct ms_block *blocks;
static struct memslot_slot *epitaphs;
static int count, booted;
static int mapped_blocks[BLOCKS], nmapped, booted_nmapped;
static msu32 objects;
static unsigned long slot_size;

/* libc's own are ASan's, which mind what is closed. */
void ms_fill(void *p, int c, size_t n)
{
	asm volatile("rep stosb" : "+D"(p), "+c"(n) : "a"(c) : "memory");
}

static void move(void *to, const void *from, size_t n)
{
	asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
}

static void *reserve(size_t n)
{
	void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

void ms_memory_open(void)
{
	struct memslot_facts facts;

	arena = next = reserve(ARENA);
	blocks = reserve(BLOCKS * sizeof(*blocks));
	epitaphs = reserve(OBJECTS * sizeof(*epitaphs));
	K(ms_facts)(&facts);
	slot_size = facts.sizeof_slot;
	CLOSE(arena, ARENA);
}

void ms_memory_boot(void)
{
	booted = count;
	booted_nmapped = nmapped;
	booted_next = next;
	boot_copy = reserve(next - arena + PAGE);
	move(boot_copy, arena, next - arena);
}

unsigned long ms_booted_bytes(void)
{
	return booted_next - arena;
}

/* Of a bitmap of half a gigabyte ASan watches the beginning: to tell it of all takes longer than any call. */
static inline size_t watched(const struct ms_block *block)
{
	return block->mapped && block->size > LARGE ? LARGE : block->size;
}

/* Put back what was there when the VM had been made. */
void ms_memory_begin(void)
{
	int i;

	for (i = booted_nmapped; i < nmapped; i++) {
		const struct ms_block *b = &blocks[mapped_blocks[i]];

		OPEN(b->start, watched(b));	/* whatever is mapped there next is another block */
		munmap(b->start - PAGE, b->mapped);
	}
	nmapped = booted_nmapped;
	ms_fill(booted_next, 0, next - booted_next);
	CLOSE(booted_next, next - booted_next);
	move(arena, boot_copy, booted_next - arena);
	for (i = 0; i < booted; i++)
		blocks[i].live = 1;
	next = booted_next;
	count = booted;
	objects = 0;
}

struct ms_block *ms_blocks(int *out_count, int *out_booted)
{
	*out_count = count;
	*out_booted = booted;
	return blocks;
}

struct memslot_slot *ms_epitaph(msu32 object)
{
	return &epitaphs[object];
}

struct ms_block *k_ms_block_at(const void *at)
{
	const char *p = at;
	const struct header *h = (const struct header *)p - 1;
	int i;

	if (p > arena && p < next) {
		if ((uintptr_t)p & 15 || h->magic != MAGIC || h->index >= (unsigned long)count)
			return NULL;
		return blocks[h->index].start == p ? &blocks[h->index] : NULL;
	}
	if ((uintptr_t)p & (PAGE - 1))
		return NULL;
	for (i = nmapped; i-- > 0;)
		if (blocks[mapped_blocks[i]].start == p)
			return &blocks[mapped_blocks[i]];
	return NULL;
}

int ms_fresh(const void *at, size_t n)
{
	const char *p = at;
	int i;

	for (i = nmapped; i-- > 0;) {
		const struct ms_block *b = &blocks[mapped_blocks[i]];

		if (p >= b->start && p + n <= b->start + b->size)
			return 1;
	}
	return 0;
}

extern char bitmap_begins[] __asm__("__start_bitmap_text") __attribute__((weak));
extern char bitmap_ends[] __asm__("__stop_bitmap_text") __attribute__((weak));

/* What an allocation is for, as far as size, caller and locks tell. */
static int kind_of(size_t n, const char *caller)
{
	if (ms.in_hook)
		return MEMSLOT_FAULT_PREPARE;
	if (caller >= bitmap_begins && caller < bitmap_ends)
		return MEMSLOT_FAULT_BITMAP;
	if (n != slot_size)
		return MEMSLOT_FAULT_ARRAY;
	return ms_locks_held(0) & MEMSLOT_SLOTS_ARCH_LOCK ? MEMSLOT_FAULT_INVALID : MEMSLOT_FAULT_SLOT;
}

static char *room_for(size_t n, unsigned long *mapped)
{
	size_t room = (n + 15) & ~15UL;
	char *p;

	if (n > LARGE || next + sizeof(struct header) + room + FENCE + LARGE > arena + ARENA) {
		*mapped = (PAGE + room + FENCE + PAGE - 1) & ~(PAGE - 1);
		p = reserve(*mapped);
		return p ? p + PAGE : NULL;
	}
	*mapped = 0;
	p = next + sizeof(struct header);
	next = p + room + FENCE;
	return p;
}

void *ms_get(size_t n, unsigned int gfp, const struct ms_allocator *by, void *caller)
{
	struct memslot_event *e;
	struct header *h;
	struct ms_block *block;
	unsigned long mapped;
	int kind;
	char *p;

	ms_service();
	if (gfp & K(ms_gfp).sleeps)
		ms_may_sleep(by->name, caller);
	kind = kind_of(n, caller);
	if (kind != MEMSLOT_FAULT_PREPARE && ms_fails(kind))
		return NULL;
	if (n > by->limit || count == BLOCKS) {
		if (!(gfp & K(ms_gfp).nowarn)) {
			ms.warned++;
			e = ms_event(MEMSLOT_EV_WARN, 0, "too large an allocation");
			e->pc = ms_offset((unsigned long)caller);
			e->a = n;
		}
		return NULL;
	}
	if (!n)
		return (void *)16;	/* ZERO_SIZE_PTR */
	p = room_for(n, &mapped);
	if (!p)
		return NULL;
	h = (struct header *)p - 1;
	h->magic = MAGIC;
	h->index = count;
	if (mapped)
		mapped_blocks[nmapped++] = count;
	block = &blocks[count++];
	*block = (struct ms_block){ p, n, mapped, 1, kind, MEMSLOT_NONE, 0, 0, 0, by, NULL };
	/* x86's arrays and bitmaps may be as long as a slot. */
	if (n == slot_size && kind != MEMSLOT_FAULT_PREPARE && kind != MEMSLOT_FAULT_BITMAP &&
	    objects < OBJECTS && ms.vm)
		block->object = objects++;
	OPEN(p, watched(block));
	if (!mapped) {
		if (!(gfp & K(ms_gfp).zero))
			ms_fill(p, 0xa5, n);	/* behind the last block there are zeros */
		ms_fill(p + n, 0xcc, ((n + 15) & ~15UL) - n + FENCE);
	}
	e = ms_event(MEMSLOT_EV_ALLOC, kind, by->name);
	e->a = n;
	e->object = block->object;
	return p;
}

void ms_freed(struct ms_block *block)
{
	block->live = 0;
	if (!block->mapped)
		ms_fill(block->start, 0x6b, block->size < FREED_BYTES ? block->size : FREED_BYTES);
	CLOSE(block->start, watched(block));
}

#define LONGEST 4096

static char freed_pattern[LONGEST], fence_pattern[LONGEST];

/* libc's memcmp is fast, and under ASan minds what is closed. */
static int same(const char *p, const char *pattern, size_t n)
{
#ifdef MEMSLOT_ASAN
	size_t i;

	for (i = 0; i < n; i++)
		if (p[i] != pattern[i])
			return 0;
	return 1;
#else
	return !memcmp(p, pattern, n);
#endif
}

/* Writes that nobody saw happen: into freed blocks, and into the fences. */
void ms_check_fences(void)
{
	int i;

	if (!fence_pattern[0]) {
		memset(freed_pattern, 0x6b, LONGEST);
		memset(fence_pattern, 0xcc, LONGEST);
	}
	for (i = booted; i < count; i++) {
		const struct ms_block *b = &blocks[i];
		size_t n = b->size < FREED_BYTES ? b->size : FREED_BYTES;

		if (b->mapped)
			continue;
		if (!b->live && !same(b->start, freed_pattern, n < LONGEST ? n : LONGEST))
			ms_damage(MEMSLOT_USE_AFTER_FREE, "written after it was freed", 0);
		if (!same(b->start + b->size, fence_pattern, ((b->size + 15) & ~15UL) - b->size + FENCE))
			ms_damage(MEMSLOT_OUT_OF_BOUNDS, "written behind its end", 0);
	}
}
